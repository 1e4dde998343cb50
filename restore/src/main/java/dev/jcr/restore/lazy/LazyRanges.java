package dev.jcr.restore.lazy;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.pages.OnDemand;
import dev.jcr.image.pages.Ranges;
import dev.jcr.image.v1.PageKind;
import dev.jcr.image.v1.Pagemap;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.Vma;

/// What comes on demand, and is not there before the process runs. Pure; the rule is [OnDemand].
///
/// @param mappings whole ones, to be registered
/// @param pages those that come
public record LazyRanges(Ranges mappings, Ranges pages) {
  /// Nothing comes on demand.
  public static final LazyRanges NONE = new LazyRanges(new Ranges(), new Ranges());

  /// As much of the stored pages as may come.
  public static LazyRanges of(ProcessState state, Pagemap pagemap) {
    return of(
        state,
        Ranges.of(pagemap, kind -> kind == PageKind.PAGE_STORED),
        pagemap.getPageSize(),
        OnDemand.LEAST_BYTES);
  }

  /// The pages that stayed with the source of a migration.
  ///
  /// @throws CheckpointException of outcome IMAGE: one of them cannot come that late
  public static LazyRanges remote(ProcessState state, Pagemap pagemap) throws CheckpointException {
    Ranges remote = Ranges.of(pagemap, kind -> kind == PageKind.PAGE_REMOTE);
    LazyRanges lazy = of(state, remote, pagemap.getPageSize(), 1);
    if (lazy.bytes() != remote.bytes()) {
      throw new CheckpointException(
          Outcome.IMAGE,
          "cannot restore: pages that stayed with the source are needed before the process runs; use the same jcr on both hosts");
    }
    return lazy;
  }

  private static LazyRanges of(ProcessState state, Ranges all, int pageSize, long leastBytes) {
    Ranges needed = OnDemand.neededAtOnce(state.getThreadsList(), pageSize);
    Ranges mappings = new Ranges();
    Ranges pages = new Ranges();
    for (Vma vma : state.getMemory().getVmasList()) {
      if (!OnDemand.isAllowed(vma)) {
        continue;
      }
      Ranges inside = Ranges.of(vma.getStart(), vma.getEnd()).and(all);
      if (inside.bytes() >= leastBytes) {
        mappings.add(vma.getStart(), vma.getEnd());
        Ranges late = inside.minus(needed);
        for (int i = 0; i < late.size(); i++) {
          pages.add(late.start(i), late.end(i));
        }
      }
    }
    return new LazyRanges(mappings, pages);
  }

  /// Of all [#pages].
  public long bytes() {
    return pages.bytes();
  }
}
