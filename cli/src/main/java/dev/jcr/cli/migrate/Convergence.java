package dev.jcr.cli.migrate;

/// Knows when another round of memory is not worth it: what the process is going to write during
/// the next one is what is left for the time it stands still. Times are nanoseconds.
///
/// A round takes a while however little it sends, and single pages take longer than the long runs
/// of the first round: what a page takes is told by two later rounds, one with many pages and one
/// with few. What is written is counted by time, not by the pages of a round.
final class Convergence {
  private static final int NO_PROGRESS_ROUNDS = 4;

  /// In a round of so many pages they are what takes time; and in the difference of two rounds.
  private static final long MANY_PAGES = 1024;

  private static final long MORE_PAGES = 256;

  /// What is not worth a round.
  private static final long SHORT_NANOS = 2_000_000;

  private final long most;
  private final long base;
  private long rounds;
  private long before;
  private double least = Double.MAX_VALUE;
  private long mostPages;
  private long mostTime;
  private double left;
  private double smallest = Double.MAX_VALUE;
  private int noProgress;

  /// @param most how long the process may stand still
  /// @param base what the move takes without any memory, or 0
  Convergence(long most, long base) {
    this.most = most;
    this.base = base;
  }

  /// A round of `pages` took `nanos`.
  void round(long pages, long nanos) {
    rounds++;
    long time = Math.max(1, nanos);
    // The first round sends what there is; the pages of each later one were written during the one
    // before it.
    double writing = rounds == 1 ? pages : pages / (double) before * time;
    left = writing * perPage(pages, time);
    before = time;
    if (rounds > 1) {
      noProgress = left < smallest * 0.9 ? 0 : noProgress + 1;
      smallest = Math.min(smallest, left);
    }
  }

  /// Something else took `nanos` between two rounds, in which the process wrote too.
  void pause(long nanos) {
    before += nanos;
  }

  /// Nanoseconds that one more page takes.
  private double perPage(long pages, long time) {
    if (rounds == 1) {
      least = pages == 0 ? 0 : time / (double) pages;
      return least;
    }
    least = Math.min(least, time / (double) Math.max(1, pages));
    if (pages > mostPages) {
      mostPages = pages;
      mostTime = time;
    }
    if (mostPages - pages >= MORE_PAGES) {
      return Math.max(least, (mostTime - time) / (double) (mostPages - pages));
    }
    return pages >= MANY_PAGES ? Math.max(least, time / (double) pages) : least;
  }

  /// Time that the rest of the memory is expected to take.
  long memory() {
    return (long) left;
  }

  /// Time that the process is expected to stand still.
  long expected() {
    return base + memory();
  }

  /// Whether the process may be stopped now: it would be for short enough, and another round would
  /// not make it much shorter. When rounds make no difference any more, what is left is not their
  /// fault, and only the memory counts.
  boolean isSmallEnough() {
    return rounds > 1 && (fits() ? isShort() || noProgress > 0 : isStuck() && memory() <= most);
  }

  /// Whether it may be stopped, if there is to be no other round.
  boolean fits() {
    return rounds > 1 && expected() <= most;
  }

  private boolean isShort() {
    return memory() <= Math.max(base / 8, SHORT_NANOS);
  }

  /// Whether the rounds have stopped to get shorter.
  boolean isStuck() {
    return noProgress >= NO_PROGRESS_ROUNDS
        || (noProgress > 0 && memory() <= most && memory() <= base / 4);
  }
}
