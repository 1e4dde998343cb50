package dev.jcr.parasite.procfs;

import java.util.ArrayList;
import java.util.List;

/// A timer of timer_create(2) as `/proc/PID/timers` lists it, newest first; proc_pid_timers(5).
///
/// @param id the kernel's timer id
/// @param signal number to send, 0 for none
/// @param value sigev_value
/// @param notification "signal", "none" or "thread"
/// @param toThread SIGEV_THREAD_ID: the target is a tid
/// @param target pid or tid
/// @param clock clock id; negative for CPU-time clocks
public record PosixTimerEntry(
    int id, int signal, long value, String notification, boolean toThread, int target, int clock) {

  public static List<PosixTimerEntry> parse(String text) {
    List<PosixTimerEntry> timers = new ArrayList<>();
    List<String> lines = Scan.lines(text);
    int at = 0;
    while (at < lines.size()) {
      if (at + 4 > lines.size()) {
        throw Scan.bad("four lines for a timer", lines.get(at));
      }
      Scan first = new Scan(lines.get(at));
      first.expect("ID:");
      int id = first.integer();
      Scan second = new Scan(lines.get(at + 1));
      second.expect("signal:");
      int signal = second.integer();
      second.expect("/");
      // %px of the kernel: no 0x in most versions, (null) in some old ones.
      second.take("0x");
      long value = second.take("(null)") ? 0 : second.hex();
      Scan third = new Scan(lines.get(at + 2));
      third.expect("notify:");
      third.skipBlanks();
      String notification =
          third.take("signal")
              ? "signal"
              : third.take("none") ? "none" : third.take("thread") ? "thread" : "";
      if (notification.isEmpty()) {
        throw third.bad("signal, none or thread");
      }
      third.expect("/");
      boolean toThread = third.take("tid.");
      if (!toThread) {
        third.expect("pid.");
      }
      int target = third.integer();
      Scan fourth = new Scan(lines.get(at + 3));
      fourth.expect("ClockID:");
      timers.add(
          new PosixTimerEntry(id, signal, value, notification, toThread, target, fourth.integer()));
      at += 4;
      // Later kernels may add lines; they belong to the timer above.
      while (at < lines.size() && !lines.get(at).startsWith("ID:")) {
        at++;
      }
    }
    return timers;
  }
}
