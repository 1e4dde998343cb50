package dev.jcr.parasite.procfs;

import java.util.LinkedHashMap;
import java.util.Map;

/// `/proc/PID/limits`. Nice and realtime priority limits are plain numbers, all else in the units
/// that the file names; prlimit64(2) is the better source where the caller may use it.
///
/// @param byName soft and hard limit by the kernel's name, e.g. "Max open files"
public record Limits(Map<String, Limit> byName) {
  /// -1 (RLIM_INFINITY) is unlimited.
  public record Limit(long soft, long hard) {}

  private static final int NAME_WIDTH = 26;

  public static Limits parse(String text) {
    Map<String, Limit> limits = new LinkedHashMap<>();
    for (String line : Scan.lines(text)) {
      if (line.startsWith("Limit ")) {
        continue;
      }
      if (line.length() <= NAME_WIDTH) {
        throw Scan.bad("a limit", line);
      }
      Scan scan = new Scan(line.substring(NAME_WIDTH));
      limits.put(
          line.substring(0, NAME_WIDTH).strip(), new Limit(limit(scan, line), limit(scan, line)));
    }
    return new Limits(limits);
  }

  private static long limit(Scan scan, String line) {
    scan.skipBlanks();
    if (scan.atEnd()) {
      throw Scan.bad("soft and hard limit", line);
    }
    return scan.take("unlimited") ? -1 : scan.decimal();
  }
}
