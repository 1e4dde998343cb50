package dev.jcr.parasite.procfs;

import java.util.OptionalLong;

/// `/proc/PID/task/TID/sched`.
///
/// @param execStartNanos when it last ran, in ns of its CPU's run-queue clock; empty where the
///   kernel shows none (no CONFIG_SCHED_DEBUG)
public record SchedFile(OptionalLong execStartNanos) {
  public static SchedFile parse(String text) {
    for (String line : Scan.lines(text)) {
      if (line.startsWith("se.exec_start")) {
        int colon = line.indexOf(':');
        if (colon < 0) {
          throw Scan.bad("a colon", line);
        }
        // "877676.524447": milliseconds, a dot, and always six digits of nanoseconds.
        Scan scan = new Scan(line.substring(colon + 1));
        long millis = scan.decimal();
        scan.expect(".");
        String nanos = scan.rest().strip();
        if (nanos.length() != 6) {
          throw Scan.bad("six digits after the dot", line);
        }
        long fraction = new Scan(nanos).decimal();
        return new SchedFile(OptionalLong.of(millis * 1_000_000 + fraction));
      }
    }
    return new SchedFile(OptionalLong.empty());
  }
}
