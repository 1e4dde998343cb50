package dev.jcr.restore.process;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.v1.IntervalTimer;
import dev.jcr.image.v1.PosixTimer;
import dev.jcr.image.v1.Timers;
import dev.jcr.parasite.linux.Prctl;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.remote.OwnedProcess;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// POSIX and interval timers. Those of descriptors are files.
public final class TimerSetter {
  private TimerSetter() {}

  /// Time runs for the process from here on.
  public static void set(OwnedProcess inside, Timers timers) throws CheckpointException {
    long at = inside.scratch();
    boolean chosenIds =
        timers.getPosixCount() > 0
            && inside.call(Syscall.PRCTL, Prctl.TIMER_CREATE_RESTORE_IDS, 1, 0, 0, 0) == 0;
    for (PosixTimer timer : timers.getPosixList()) {
      create(inside, timer, chosenIds);
      try (Arena arena = Arena.ofConfined()) {
        inside.write(
            at, itimerspec(arena, timer.getInterval(), timer.getRemaining(), 1_000_000_000L));
      }
      inside.require("set timer " + timer.getId(), Syscall.TIMER_SETTIME, timer.getId(), 0, at, 0);
    }
    if (chosenIds) {
      inside.require(
          "end choosing timer ids", Syscall.PRCTL, Prctl.TIMER_CREATE_RESTORE_IDS, 0, 0, 0, 0);
    }
    for (IntervalTimer timer : timers.getIntervalList()) {
      try (Arena arena = Arena.ofConfined()) {
        inside.write(
            at,
            itimerspec(
                arena,
                timer.getInterval(),
                // A period without a time left: it expired, and runs on when its signal is taken.
                Math.max(1, timer.getValue()),
                1_000_000L));
      }
      inside.require(
          "set interval timer " + timer.getWhich(), Syscall.SETITIMER, timer.getWhich(), at, 0);
    }
  }

  /// Interval, then value, each as whole seconds and a rest in units of 1/`unit` second.
  private static MemorySegment itimerspec(Arena arena, long interval, long value, long unit) {
    MemorySegment spec = arena.allocate(32, 8);
    spec.set(JAVA_LONG, 0, Long.divideUnsigned(interval, unit));
    spec.set(JAVA_LONG, 8, Long.remainderUnsigned(interval, unit));
    spec.set(JAVA_LONG, 16, Long.divideUnsigned(value, unit));
    spec.set(JAVA_LONG, 24, Long.remainderUnsigned(value, unit));
    return spec;
  }

  private static void create(OwnedProcess inside, PosixTimer timer, boolean chosenId)
      throws CheckpointException {
    long at = inside.scratch();
    try (Arena arena = Arena.ofConfined()) {
      // struct sigevent: value, signo, notify, tid; the wanted id behind it.
      MemorySegment event = arena.allocate(72, 8);
      event.set(JAVA_LONG, 0, timer.getValue());
      event.set(JAVA_INT, 8, timer.getSignal());
      event.set(JAVA_INT, 12, timer.getNotify());
      event.set(JAVA_INT, 16, timer.getThread());
      event.set(JAVA_INT, 64, timer.getId());
      inside.write(at, event);
      MemorySegment id = arena.allocate(JAVA_INT);
      while (true) {
        inside.require(
            "create timer " + timer.getId(), Syscall.TIMER_CREATE, timer.getClock(), at, at + 64);
        inside.read(at + 64, id);
        int got = id.get(JAVA_INT, 0);
        if (got == timer.getId()) {
          return;
        }
        // Older kernels count up: make and drop timers until the number comes.
        inside.require("drop timer " + got, Syscall.TIMER_DELETE, got);
        if (chosenId || got > timer.getId()) {
          throw new CheckpointException(
              Outcome.FAILED,
              "cannot create timer " + timer.getId() + ": the kernel gave id " + got);
        }
      }
    }
  }
}
