package dev.jcr.restore.process;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.v1.Zombie;
import dev.jcr.parasite.arch.Machine;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Prctl;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.ptrace.Tracee;
import dev.jcr.parasite.ptrace.WaitStatus;
import dev.jcr.parasite.remote.OwnedProcess;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;

/// Children of a process that have ended and were not waited for.
public final class Zombies {
  private static final int SIGKILL = 9;
  private static final int SIGCHLD = 17;
  private static final int ZEROS_AT = 4096;

  private final Machine machine;
  private final OwnedProcess parent;
  private final int parentGroup;

  /// @param parentGroup its process group in the image
  public Zombies(Machine machine, OwnedProcess parent, int parentGroup) {
    this.machine = machine;
    this.parent = parent;
    this.parentGroup = parentGroup;
  }

  /// Clones each child with its pid and lets it end as it ended; the parent's SIGCHLD is taken
  /// away, since it had that one long ago.
  public void make(List<Zombie> zombies) throws CheckpointException {
    long zeros = parent.scratch() + ZEROS_AT;
    try (Arena arena = Arena.ofConfined()) {
      parent.write(zeros, arena.allocate(64, 8));
    }
    // With SIGCHLD ignored the kernel would reap them.
    parent.require("reset SIGCHLD", Syscall.RT_SIGACTION, SIGCHLD, zeros, 0, 8);
    for (Zombie zombie : zombies) {
      long made = TaskMaker.clone(parent, parent.scratch(), 0, zombie.getPid());
      if (made == -Errno.EEXIST) {
        throw TaskMaker.idInUse(parent.ids().process(), zombie.getPid());
      }
      TaskMaker.require("create process " + zombie.getPid(), made);
      Tracee tracee = Tracee.attached((int) made);
      boolean ended = false;
      try {
        TaskMaker.awaitEventStop(tracee);
        end(
            zombie,
            new OwnedProcess(
                machine,
                tracee,
                parent.memory(),
                parent.base(),
                parent.syscallAt(),
                new OwnedProcess.Ids(zombie.getPid(), zombie.getPid())),
            zeros);
        ended = true;
      } finally {
        if (!ended) {
          // A pid namespace does not end before it.
          TaskMaker.endStub(tracee.tid());
        }
      }
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment set = arena.allocate(JAVA_LONG);
      set.set(JAVA_LONG, 0, 1L << (SIGCHLD - 1));
      parent.write(parent.scratch(), set);
    }
    while (parent.call(Syscall.RT_SIGTIMEDWAIT, parent.scratch(), 0, zeros, 8) == SIGCHLD) {
      // One at most: it is no real-time signal.
    }
  }

  /// @param zeros 64 bytes of them in the process: a signal action, a timeout, an empty name
  private void end(Zombie zombie, OwnedProcess child, long zeros) throws CheckpointException {
    Tracee tracee = child.tracee();
    int group = zombie.getProcessGroup();
    if (zombie.getSession() == zombie.getPid()) {
      child.call(Syscall.SETSID);
    } else if (group != parentGroup) {
      child.call(Syscall.SETPGID, 0, group == zombie.getPid() ? 0 : group);
    }
    // No core.
    child.call(Syscall.PRCTL, Prctl.SET_DUMPABLE, 0);
    int signal = zombie.getStatus() & 0x7f;
    if (signal == 0) {
      tracee.setGeneral(
          machine.syscall(
              child.base(),
              child.syscallAt(),
              Syscall.EXIT_GROUP.number(machine.arch()),
              zombie.getStatus() >>> 8 & 0xff));
      tracee.resume(0);
    } else {
      if (signal != SIGKILL) {
        child.call(Syscall.RT_SIGACTION, signal, zeros, 0, 8);
        tracee.setSignalMask(0);
      }
      Kernel.raw(Syscall.KILL, tracee.tid(), signal);
      if (signal != SIGKILL) {
        tracee.resume(0);
      }
    }
    while (true) {
      WaitStatus status = tracee.await();
      if (status.ended()) {
        return;
      }
      tracee.resume(status instanceof WaitStatus.SignalStop(int delivered) ? delivered : 0);
    }
  }
}
