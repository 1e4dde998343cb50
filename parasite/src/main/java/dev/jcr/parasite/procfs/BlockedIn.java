package dev.jcr.parasite.procfs;

import java.util.List;

/// `/proc/TID/syscall`: the system call in which a task is blocked.
///
/// @param running the task was on a CPU: nothing else is known, all else is 0 or empty
/// @param number number of the call; -1 when blocked outside a call
/// @param arguments six of them; none outside a call
@SuppressWarnings("ArrayRecordComponent") // never compared; a long[] is what registers are set from
public record BlockedIn(boolean running, long number, long[] arguments, long sp, long pc) {
  public static BlockedIn parse(String text) {
    String line = text.strip();
    if (line.equals("running")) {
      return new BlockedIn(true, -1, new long[0], 0, 0);
    }
    List<String> words = Scan.words(line);
    if (words.isEmpty()) {
      throw Scan.bad("a call", line);
    }
    long number = new Scan(words.getFirst()).decimal();
    int arguments = words.size() - 3;
    if (arguments != (number == -1 ? 0 : 6)) {
      throw Scan.bad("sp and pc, or six arguments, sp and pc", line);
    }
    long[] values = new long[arguments];
    for (int i = 0; i < arguments; i++) {
      values[i] = hex(words.get(i + 1));
    }
    return new BlockedIn(
        false, number, values, hex(words.get(arguments + 1)), hex(words.get(arguments + 2)));
  }

  private static long hex(String word) {
    Scan scan = new Scan(word);
    scan.expect("0x");
    return scan.hex();
  }
}
