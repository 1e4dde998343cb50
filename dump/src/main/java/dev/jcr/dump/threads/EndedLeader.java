package dev.jcr.dump.threads;

import com.google.protobuf.ByteString;
import dev.jcr.dump.identity.IdentityCollector;
import dev.jcr.image.CheckpointException.Problem;
import dev.jcr.image.v1.Ended;
import dev.jcr.image.v1.Thread;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.procfs.Anchor;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.procfs.ProcStatus;
import java.io.IOException;
import java.util.List;

/// A leader that has ended while other threads go on: what `/proc` and calls that take its id still
/// tell of it. It cannot be traced.
public final class EndedLeader {
  /// In a wait status: the signal that ended it, and whether a core was dumped. No signal ends one
  /// thread alone.
  private static final int SIGNAL = 0xff;

  private EndedLeader() {}

  /// Why such a process cannot be dumped; none where the leader goes on.
  ///
  /// @param stopped by job control
  public static List<Problem> problems(Anchor process, boolean stopped) throws IOException {
    if (!process.leaderEnded()) {
      return List.of();
    }
    String leader = "leader thread " + process.pid();
    try (Fd _ = process.pidFd()) {
      // Its descriptors can be taken over.
    } catch (SyscallException e) {
      if (e.errno() != Errno.EINVAL) {
        throw e;
      }
      return List.of(
          new Problem(
              "thread",
              leader,
              "it has ended while others go on, and this kernel gives no descriptors by another"
                  + " thread (PIDFD_THREAD)",
              "use Linux 6.9 or later"));
    }
    // The kernel shows the signal instead (fs/proc/array.c, do_task_stat).
    if (stopped || (status(process.pid()) & SIGNAL) != 0) {
      return List.of(
          new Problem(
              "thread",
              leader,
              "it has ended while others go on, and its exit status does not show while the process"
                  + " is stopped",
              "let the process go on (SIGCONT)"));
    }
    return List.of();
  }

  /// Why such a process cannot be migrated: both hosts go by whether the process is stopped, and a
  /// zombie shows neither. None where the leader goes on.
  public static List<Problem> immovable(Anchor process) {
    return process.leaderEnded()
        ? List.of(
            new Problem(
                "thread",
                "leader thread " + process.pid(),
                "it has ended while others go on, which a migration does not support",
                "jcr dump, and jcr restore at the destination"))
        : List.of();
  }

  /// As wait(2) gives it.
  private static int status(int pid) throws IOException {
    return Proc.of(pid).stat(pid).exitCode();
  }

  /// The leader of a stopped process. Of its securebits nobody can tell, and they change nothing
  /// any more.
  public static Thread collect(int pid) throws IOException {
    ProcStatus status = Proc.of(pid).status(pid);
    return Thread.newBuilder()
        .setTid(pid)
        .setComm(ByteString.copyFrom(ThreadCollector.comm(status)))
        .setSignalMask(status.sigBlk())
        .setScheduling(ThreadCollector.scheduling(pid))
        .setCredentials(IdentityCollector.credentials(status, 0))
        .setEnded(Ended.newBuilder().setStatus(status(pid)))
        .build();
  }
}
