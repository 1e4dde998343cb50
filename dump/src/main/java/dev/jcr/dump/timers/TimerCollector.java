package dev.jcr.dump.timers;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.v1.IntervalTimer;
import dev.jcr.image.v1.PosixTimer;
import dev.jcr.image.v1.Timers;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.procfs.PosixTimerEntry;
import dev.jcr.parasite.remote.Infection;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Comparator;
import java.util.List;

/// setitimer(2) and timer_create(2) timers, with the time left at the freeze.
public final class TimerCollector {
  private static final long NANOS = 1_000_000_000L;
  private static final long MICROS = 1_000_000L;
  private static final int ITIMERVAL_SIZE = 32;
  private static final int SIGEV_SIGNAL = 0;
  private static final int SIGEV_NONE = 1;
  private static final int SIGEV_THREAD_ID = 4;

  private TimerCollector() {}

  /// `entries` are those of /proc/PID/timers.
  public static Timers collect(Infection.InfectedThread thread, List<PosixTimerEntry> entries)
      throws CheckpointException {
    Timers.Builder timers = Timers.newBuilder();
    for (int which = 0; which <= 2; which++) {
      thread.require("read interval timer " + which, Syscall.GETITIMER, which, thread.scratch());
      ByteBuffer value =
          ByteBuffer.wrap(thread.fetch(ITIMERVAL_SIZE)).order(ByteOrder.LITTLE_ENDIAN);
      long interval = value.getLong(0) * MICROS + value.getLong(8);
      long left = value.getLong(16) * MICROS + value.getLong(24);
      if (left != 0 || interval != 0) {
        timers.addInterval(
            IntervalTimer.newBuilder().setWhich(which).setInterval(interval).setValue(left));
      }
    }
    List<PosixTimerEntry> sorted =
        entries.stream().sorted(Comparator.comparingInt(PosixTimerEntry::id)).toList();
    for (PosixTimerEntry entry : sorted) {
      String what = "read timer " + entry.id();
      thread.require(what, Syscall.TIMER_GETTIME, entry.id(), thread.scratch());
      ByteBuffer value =
          ByteBuffer.wrap(thread.fetch(ITIMERVAL_SIZE)).order(ByteOrder.LITTLE_ENDIAN);
      int notify =
          switch (entry.notification()) {
            case "none" -> SIGEV_NONE;
            case "thread", "signal" -> entry.toThread() ? SIGEV_THREAD_ID : SIGEV_SIGNAL;
            default -> SIGEV_SIGNAL;
          };
      timers.addPosix(
          PosixTimer.newBuilder()
              .setId(entry.id())
              .setClock(entry.clock())
              .setNotify(notify)
              .setSignal(entry.signal())
              .setValue(entry.value())
              .setThread(entry.toThread() ? entry.target() : 0)
              .setInterval(value.getLong(0) * NANOS + value.getLong(8))
              .setRemaining(value.getLong(16) * NANOS + value.getLong(24))
              .setOverrun((int) Math.max(0, thread.call(Syscall.TIMER_GETOVERRUN, entry.id()))));
    }
    return timers.build();
  }
}
