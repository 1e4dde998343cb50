package dev.jcr.dump.timers;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.v1.IntervalTimer;
import dev.jcr.image.v1.PosixTimer;
import dev.jcr.image.v1.Timers;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.procfs.PosixTimerEntry;
import dev.jcr.parasite.remote.Batch;
import dev.jcr.parasite.remote.Infection;
import java.util.Comparator;
import java.util.List;

/// setitimer(2) and timer_create(2) timers, with the time left at the freeze.
public final class TimerCollector {
  private static final long NANOS = 1_000_000_000L;
  private static final long MICROS = 1_000_000L;
  private static final int ITIMERVAL_SIZE = 32;
  private static final int TIMERS_A_BATCH = 200;
  private static final int ITIMER_REAL = 0;
  private static final int SIGEV_SIGNAL = 0;
  private static final int SIGEV_NONE = 1;
  private static final int SIGEV_THREAD_ID = 4;

  private TimerCollector() {}

  /// Time left at the freeze of a timer that showed `left` `elapsed` after it: timers of real time
  /// go on while a process is frozen. 0 stays 0 (not armed, or expired). A period that is exceeded
  /// ended meanwhile: its signal is pending, and what is left is of the next one.
  public static long atFreeze(long left, long interval, long elapsed) {
    if (left == 0) {
      return 0;
    }
    long then = left + elapsed;
    return interval > 0 && left <= interval && then > interval ? left : then;
  }

  /// `entries` are those of /proc/PID/timers, `stoppedAt` is System.nanoTime of the freeze.
  public static Timers collect(
      Infection.InfectedThread thread, List<PosixTimerEntry> entries, long stoppedAt)
      throws CheckpointException {
    List<PosixTimerEntry> sorted =
        entries.stream().sorted(Comparator.comparingInt(PosixTimerEntry::id)).toList();
    Batch batch = thread.batch();
    long[] interval = new long[3];
    for (int which = 0; which < interval.length; which++) {
      interval[which] = batch.room(ITIMERVAL_SIZE);
      batch.require("read interval timer " + which, Syscall.GETITIMER, which, interval[which]);
    }
    Batch.Results results = thread.run(batch);
    long elapsed = System.nanoTime() - stoppedAt;
    Timers.Builder timers = Timers.newBuilder();
    for (int which = 0; which < interval.length; which++) {
      long at = interval[which];
      long period = results.word(at) * MICROS + results.word(at + 8);
      long left = results.word(at + 16) * MICROS + results.word(at + 24);
      if (which == ITIMER_REAL) {
        left = atFreeze(left, period, elapsed / 1000);
      }
      if (left != 0 || period != 0) {
        timers.addInterval(
            IntervalTimer.newBuilder().setWhich(which).setInterval(period).setValue(left));
      }
    }
    for (int from = 0; from < sorted.size(); from += TIMERS_A_BATCH) {
      posix(
          thread,
          sorted.subList(from, Math.min(sorted.size(), from + TIMERS_A_BATCH)),
          stoppedAt,
          timers);
    }
    return timers.build();
  }

  /// Clocks that go on while the process does not run: all but those of CPU time, which are
  /// CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID and negative numbers.
  private static boolean isRealTime(int clock) {
    return clock >= 0 && clock != 2 && clock != 3;
  }

  private static void posix(
      Infection.InfectedThread thread,
      List<PosixTimerEntry> entries,
      long stoppedAt,
      Timers.Builder timers)
      throws CheckpointException {
    Batch batch = thread.batch();
    long[] rooms = new long[entries.size()];
    int[] overruns = new int[entries.size()];
    for (int i = 0; i < rooms.length; i++) {
      int id = entries.get(i).id();
      rooms[i] = batch.room(ITIMERVAL_SIZE);
      batch.require("read timer " + id, Syscall.TIMER_GETTIME, id, rooms[i]);
      overruns[i] = batch.add(Syscall.TIMER_GETOVERRUN, id);
    }
    Batch.Results results = thread.run(batch);
    long elapsed = System.nanoTime() - stoppedAt;
    for (int i = 0; i < rooms.length; i++) {
      PosixTimerEntry entry = entries.get(i);
      long interval = results.word(rooms[i]) * NANOS + results.word(rooms[i] + 8);
      long left = results.word(rooms[i] + 16) * NANOS + results.word(rooms[i] + 24);
      int notify =
          switch (entry.notification()) {
            case "none" -> SIGEV_NONE;
            default -> entry.toThread() ? SIGEV_THREAD_ID : SIGEV_SIGNAL;
          };
      timers.addPosix(
          PosixTimer.newBuilder()
              .setId(entry.id())
              .setClock(entry.clock())
              .setNotify(notify)
              .setSignal(entry.signal())
              .setValue(entry.value())
              .setThread(entry.toThread() ? entry.target() : 0)
              .setInterval(interval)
              .setRemaining(isRealTime(entry.clock()) ? atFreeze(left, interval, elapsed) : left)
              .setOverrun((int) Math.max(0, results.value(overruns[i]))));
    }
  }
}
