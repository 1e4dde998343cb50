package dev.jcr.restore;

import dev.jcr.restore.RestoredProcess.Timing;
import java.util.ArrayList;
import java.util.List;

/// How long the parts of a restore took that follow one another. Not thread-safe.
final class Laps {
  private final long began = System.nanoTime();
  private final List<Timing> timings = new ArrayList<>();
  private long from = began;

  /// From the last one, or the beginning, until now; one that goes on has one entry.
  void lap(String name) {
    long now = System.nanoTime();
    long took = (now - from) / 1000;
    from = now;
    if (!timings.isEmpty() && timings.getLast().step().equals(name)) {
      took += timings.removeLast().microseconds();
    }
    timings.add(new Timing(name, took));
  }

  List<Timing> timings() {
    return List.copyOf(timings);
  }

  /// Microseconds from the beginning.
  long all() {
    return (System.nanoTime() - began) / 1000;
  }
}
