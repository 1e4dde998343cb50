package dev.jcr.dump.threads;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.procfs.TimerList;
import dev.jcr.parasite.procfs.TimerList.Sleeper;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;

/// The ends of the sleeps that a stop interrupted, to the nanosecond: those timers that the kernel
/// listed before the stop and does not list behind it. Whose they are is told by an estimate. Empty
/// where the list cannot be read (it is root's) or is too long to be read in the freeze.
final class SleepTimers {
  /// How exact an estimate is: /proc/TID/sched knows no more than the scheduler's tick.
  private static final long NEAR_NANOS = 15_000_000;

  private static final int MOST_BYTES = 512 * 1024;

  /// The kernel lists timers one by one, by their place in the order of their ends: when one ends
  /// meanwhile, all behind it move up by a place and one is left out. So lists are read until one
  /// has nothing new, or this often.
  private static final int MOST_LISTS = 4;

  private List<Sleeper> before = List.of();
  private long offset;
  private final List<Long> ends = new ArrayList<>();

  /// Before the stop.
  void look() {
    ends.clear();
    long from = System.nanoTime();
    Optional<TimerList> list = read();
    long to = System.nanoTime();
    before = list.isEmpty() ? List.of() : List.copyOf(completed(list.get()));
    // Both are CLOCK_MONOTONIC, but jcr may live in a time namespace.
    offset =
        list.map(TimerList::now)
            .filter(now -> now < from || now > to)
            .map(now -> to - now)
            .orElse(0L);
  }

  /// Behind the stop.
  void stopped() {
    if (before.isEmpty()) {
      return;
    }
    Optional<TimerList> after = read();
    if (after.isPresent()) {
      add(completed(after.get()));
    }
  }

  /// All that one of a few lists has.
  private static Set<Sleeper> completed(TimerList first) {
    Set<Sleeper> all = new LinkedHashSet<>(first.sleepers());
    for (int i = 1; i < MOST_LISTS; i++) {
      Optional<TimerList> next = read();
      if (next.isEmpty() || !all.addAll(next.get().sleepers())) {
        break;
      }
    }
    return all;
  }

  /// For tests: as if these had been listed before the stop, in ns of System.nanoTime.
  void listed(List<Sleeper> sleepers) {
    ends.clear();
    before = sleepers;
    offset = 0;
  }

  /// Those that are left behind the stop.
  void add(Collection<Sleeper> after) {
    Set<Sleeper> left = new HashSet<>(after);
    for (Sleeper sleeper : before) {
      if (!left.contains(sleeper)) {
        ends.add(sleeper.end() + offset);
      }
    }
  }

  private static Optional<TimerList> read() {
    try {
      byte[] list = Proc.at("/proc").bytes("timer_list");
      return list.length > MOST_BYTES
          ? Optional.empty()
          : Optional.of(TimerList.parse(new String(list, ISO_8859_1)));
    } catch (IOException | IllegalArgumentException _) {
      return Optional.empty();
    }
  }

  /// Takes the end of one sleep, in ns of System.nanoTime: that nearest to the estimate, or else
  /// the latest before it. The true one is among them, unless another sleep took it or the list
  /// left it out, and an estimate is too late rather than too early, so this is never too early by
  /// more than the estimate is.
  ///
  /// @param earliest in ns of System.nanoTime: it cannot end before
  /// @param estimate in ns of System.nanoTime; may be later than the end, and hardly earlier
  OptionalLong take(long earliest, long estimate) {
    Long best = null;
    for (Long end : ends) {
      if (end >= earliest
          && end <= estimate + NEAR_NANOS
          && (best == null || Math.abs(end - estimate) < Math.abs(best - estimate))) {
        best = end;
      }
    }
    if (best == null) {
      return OptionalLong.empty();
    }
    ends.remove(best);
    return OptionalLong.of(best);
  }
}
