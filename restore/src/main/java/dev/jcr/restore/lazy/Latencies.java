package dev.jcr.restore.lazy;

import java.util.Arrays;

/// How long faults waited, in microseconds; the last 65536 of them. Not thread-safe.
final class Latencies {
  private static final int MOST = 1 << 16;

  private final int[] values = new int[MOST];
  private int count;

  void add(long nanos) {
    values[count % MOST] = (int) Math.min(Integer.MAX_VALUE, nanos / 1000);
    count = count == 2 * MOST - 1 ? MOST : count + 1;
  }

  /// The value that this share of a thousand does not exceed; 0 without any.
  int quantile(int perMille) {
    int[] sorted = Arrays.copyOf(values, Math.min(count, MOST));
    Arrays.sort(sorted);
    return sorted.length == 0
        ? 0
        : sorted[Math.min(sorted.length - 1, (int) (sorted.length * (long) perMille / 1000))];
  }
}
