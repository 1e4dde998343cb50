package dev.jcr.image.pages;

import dev.jcr.image.v1.PageKind;
import dev.jcr.image.v1.PageRun;
import dev.jcr.image.v1.PageSpace;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/// Collects runs of all spaces in any order and makes the canonical list of them.
final class RunList {
  private record Run(long start, long pages, PageKind kind) {}

  private final Map<Integer, List<Run>> spaces = new TreeMap<>();
  private final int pageSize;
  private long stored;
  private long zero;
  private long parent;

  RunList(int pageSize) {
    this.pageSize = pageSize;
  }

  void add(int space, long start, long pages, PageKind kind) {
    switch (kind) {
      case PAGE_ZERO -> zero += pages;
      case PAGE_PARENT -> parent += pages;
      case PAGE_STORED -> stored += pages;
      case PAGE_REMOTE -> {}
      case PAGE_UNSPECIFIED, UNRECOGNIZED -> throw new IllegalArgumentException(kind.toString());
    }
    List<Run> runs = spaces.computeIfAbsent(space, _ -> new ArrayList<>());
    if (!runs.isEmpty()) {
      Run last = runs.getLast();
      if (last.kind == kind && last.start + last.pages * pageSize == start) {
        runs.set(runs.size() - 1, new Run(last.start, last.pages + pages, kind));
        return;
      }
    }
    runs.add(new Run(start, pages, kind));
  }

  long stored() {
    return stored;
  }

  long zero() {
    return zero;
  }

  long parent() {
    return parent;
  }

  /// Sorted and joined.
  ///
  /// @throws IllegalStateException two runs overlap: the collector gave a page twice
  List<PageSpace> build() {
    List<PageSpace> result = new ArrayList<>();
    for (var entry : spaces.entrySet()) {
      List<Run> runs = entry.getValue();
      runs.sort(Comparator.comparing(Run::start, Long::compareUnsigned));
      PageSpace.Builder space = PageSpace.newBuilder().setId(entry.getKey());
      long start = 0;
      long pages = 0;
      PageKind kind = PageKind.PAGE_UNSPECIFIED;
      for (Run run : runs) {
        long end = start + pages * pageSize;
        if (pages > 0 && Long.compareUnsigned(run.start, end) < 0) {
          throw new IllegalStateException(
              "page 0x" + Long.toHexString(run.start) + " of space " + entry.getKey() + " twice");
        }
        if (pages > 0 && run.start == end && run.kind == kind) {
          pages += run.pages;
          continue;
        }
        if (pages > 0) {
          space.addRuns(run(start, pages, kind));
        }
        start = run.start;
        pages = run.pages;
        kind = run.kind;
      }
      space.addRuns(run(start, pages, kind));
      result.add(space.build());
    }
    return result;
  }

  private static PageRun run(long start, long pages, PageKind kind) {
    return PageRun.newBuilder().setStart(start).setPages(pages).setKind(kind).build();
  }
}
