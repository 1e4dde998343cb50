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
  private static final int SIGEV_SIGNAL = 0;
  private static final int SIGEV_NONE = 1;
  private static final int SIGEV_THREAD_ID = 4;

  private TimerCollector() {}

  /// `entries` are those of /proc/PID/timers.
  public static Timers collect(Infection.InfectedThread thread, List<PosixTimerEntry> entries)
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
    Timers.Builder timers = Timers.newBuilder();
    for (int which = 0; which < interval.length; which++) {
      long at = interval[which];
      long period = results.word(at) * MICROS + results.word(at + 8);
      long left = results.word(at + 16) * MICROS + results.word(at + 24);
      if (left != 0 || period != 0) {
        timers.addInterval(
            IntervalTimer.newBuilder().setWhich(which).setInterval(period).setValue(left));
      }
    }
    for (int from = 0; from < sorted.size(); from += TIMERS_A_BATCH) {
      posix(thread, sorted.subList(from, Math.min(sorted.size(), from + TIMERS_A_BATCH)), timers);
    }
    return timers.build();
  }

  private static void posix(
      Infection.InfectedThread thread, List<PosixTimerEntry> entries, Timers.Builder timers)
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
    for (int i = 0; i < rooms.length; i++) {
      PosixTimerEntry entry = entries.get(i);
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
              .setInterval(results.word(rooms[i]) * NANOS + results.word(rooms[i] + 8))
              .setRemaining(results.word(rooms[i] + 16) * NANOS + results.word(rooms[i] + 24))
              .setOverrun((int) Math.max(0, results.value(overruns[i]))));
    }
  }
}
