package dev.jcr.parasite.procfs;

import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.SyscallException;
import java.io.IOException;

/// A process, and the thread by whose id what all its threads share is reached: memory,
/// descriptors, directories, namespaces.
///
/// That is its leader, whose id the process has, unless that has ended while others go on. Then it
/// is a zombie that has let go of all these (kernel/exit.c, do_exit): its files in `/proc` are
/// empty or fail, and so do calls that take its id, as process_vm_readv(2). `/proc/TID` of another
/// thread has the same files, though no listing of `/proc` shows it. What belongs to the process as
/// such (signals, limits, timers, group, session) is reached by either.
///
/// @param pid the process
/// @param tid a thread of it that goes on; the leader if it does
public record Anchor(int pid, int tid) {
  /// Of a process whose leader goes on, or of a thread as if it were alone.
  public static Anchor ofLiving(int pid) {
    return new Anchor(pid, pid);
  }

  /// Looks at a process. Of one that has ended the leader is all there is.
  public static Anchor of(int pid) throws IOException {
    Proc proc = Proc.of(pid);
    if (proc.stat().state() == 'Z') {
      for (int tid : proc.tasks()) {
        if (tid != pid && goesOn(proc, tid)) {
          return new Anchor(pid, tid);
        }
      }
    }
    return ofLiving(pid);
  }

  private static boolean goesOn(Proc proc, int tid) {
    try {
      char state = proc.stat(tid).state();
      return state != 'Z' && state != 'X';
    } catch (IOException _) {
      return false; // it has ended meanwhile
    }
  }

  /// Whether the leader has ended while other threads go on.
  public boolean leaderEnded() {
    return tid != pid;
  }

  /// Its folder in `/proc`, with what is shared. Where a file tells an id, it is the thread's.
  public Proc proc() {
    return Proc.of(tid);
  }

  /// By which its descriptors can be taken over. Of a thread that is no leader kernels before Linux
  /// 6.9 give none (EINVAL).
  public Fd pidFd() throws SyscallException {
    return leaderEnded() ? Fd.ofThread(tid) : Fd.ofProcess(pid);
  }
}
