package dev.jcr.restore;

/// Which CLOCK_MONOTONIC and CLOCK_BOOTTIME a restored process reads.
public enum ClockMode {
  /// On the host on which it was dumped, as long as that has not started anew, they go on as if the
  /// process had lived on; elsewhere as with [#CONTINUE].
  AUTO,
  /// They go on from where they were at the dump.
  CONTINUE,
  /// Those that jcr reads.
  HOST
}
