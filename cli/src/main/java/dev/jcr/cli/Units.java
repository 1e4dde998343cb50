package dev.jcr.cli;

import java.util.Locale;

/// Numbers for people.
final class Units {
  private Units() {}

  /// `417 us`, `52.1 ms`, `3.20 s`.
  static String microseconds(long value) {
    if (value < 1000) {
      return value + " us";
    }
    if (value < 1_000_000) {
      return String.format(Locale.ROOT, "%.1f ms", value / 1e3);
    }
    return String.format(Locale.ROOT, "%.2f s", value / 1e6);
  }

  /// `812 B`, `1.2 MiB`.
  static String bytes(long value) {
    if (value < 1024) {
      return value + " B";
    }
    double scaled = value;
    int unit = -1;
    while (scaled >= 1024 && unit < 4) {
      scaled /= 1024;
      unit++;
    }
    return String.format(Locale.ROOT, "%.1f %ciB", scaled, "KMGTP".charAt(unit));
  }

  /// `1 thread`, `3 threads`.
  static String count(long number, String noun) {
    return number + " " + noun + (number == 1 ? "" : "s");
  }
}
