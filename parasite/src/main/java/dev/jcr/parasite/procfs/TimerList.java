package dev.jcr.parasite.procfs;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// `/proc/timer_list`, which root may read: the sleepers among the kernel's high resolution timers,
/// of all processes. Whose they are it does not say.
///
/// @param now CLOCK_MONOTONIC of the host in ns, when the list was begun
/// @param sleepers in the order of the list
public record TimerList(long now, List<Sleeper> sleepers) {
  /// A timer that wakes a task (hrtimer_wakeup of kernel/time/hrtimer.c): nanosleep, futex, poll
  /// and everything else that sleeps for a time, but for sockets.
  ///
  /// @param address where the timer is, hashed, but the same in every list
  /// @param end when the sleep is to end, in ns on the clock of [TimerList#now]
  public record Sleeper(String address, long end) {}

  private static final String NOW = "now at ";
  private static final String TIMER = " #";
  private static final String WAKE = ">, hrtimer_wakeup,";
  private static final String RELATIVE = "[in ";

  /// Reads the whole text.
  ///
  /// @throws IllegalArgumentException the text is not of the form that kernel/time/timer_list.c
  ///   makes
  public static TimerList parse(String text) {
    long now = -1;
    List<Sleeper> sleepers = new ArrayList<>();
    @Nullable String address = null;
    for (String line : Scan.lines(text)) {
      if (now < 0 && line.startsWith(NOW)) {
        now = new Scan(line.substring(NOW.length())).decimal();
      } else if (address != null) {
        int relative = line.indexOf(RELATIVE);
        if (relative < 0) {
          throw Scan.bad("the end of a timer", line);
        }
        // Negative for a timer that is late.
        long in = new Scan(line.substring(relative + RELATIVE.length())).decimal();
        sleepers.add(new Sleeper(address, now + in));
        address = null;
      } else if (line.startsWith(TIMER)) {
        int wake = line.indexOf(WAKE);
        int start = line.indexOf('<');
        if (wake > 0 && start > 0 && start < wake) {
          address = line.substring(start + 1, wake);
        }
      }
    }
    if (now < 0) {
      throw new IllegalArgumentException("expected the time of a list of timers");
    }
    return new TimerList(now, List.copyOf(sleepers));
  }
}
