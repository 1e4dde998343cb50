package dev.jcr.image.pages;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.v1.PageKind;
import dev.jcr.image.v1.PageRun;
import dev.jcr.image.v1.Pagemap;
import java.util.Arrays;
import java.util.function.Predicate;

/// Ranges of bytes, ascending and disjoint. Built by [#add], not changed afterwards.
public final class Ranges {
  private long[] bounds = new long[32];
  private int count;

  /// All pages of the address space that an image has, wherever their contents are.
  public static Ranges of(Pagemap pagemap) {
    return of(pagemap, _ -> true);
  }

  /// Those whose kind is one of some.
  public static Ranges of(Pagemap pagemap, Predicate<PageKind> kinds) {
    Ranges ranges = new Ranges();
    if (pagemap.getSpacesCount() > 0 && pagemap.getSpaces(0).getId() == 0) {
      for (PageRun run : pagemap.getSpaces(0).getRunsList()) {
        if (kinds.test(run.getKind())) {
          ranges.add(run.getStart(), run.getStart() + run.getPages() * pagemap.getPageSize());
        }
      }
    }
    return ranges;
  }

  /// A single one.
  public static Ranges of(long start, long end) {
    Ranges ranges = new Ranges();
    ranges.add(start, end);
    return ranges;
  }

  /// Does something with each.
  public interface Each {
    /// One of them.
    ///
    /// @throws CheckpointException ends [#forEach]
    void range(long start, long end) throws CheckpointException;
  }

  /// In ascending order.
  public void forEach(Each each) throws CheckpointException {
    for (int i = 0; i < size(); i++) {
      each.range(start(i), end(i));
    }
  }

  /// Appends a range that begins at the end of the last one or behind it.
  public void add(long start, long end) {
    if (count > 0 && bounds[count - 1] == start) {
      bounds[count - 1] = end;
      return;
    }
    if (count == bounds.length) {
      bounds = Arrays.copyOf(bounds, 2 * count);
    }
    bounds[count++] = start;
    bounds[count++] = end;
  }

  public int size() {
    return count / 2;
  }

  /// All of them together.
  public long bytes() {
    long bytes = 0;
    for (int i = 0; i < size(); i++) {
      bytes += end(i) - start(i);
    }
    return bytes;
  }

  public long start(int index) {
    return bounds[2 * index];
  }

  public long end(int index) {
    return bounds[2 * index + 1];
  }

  /// What is in both.
  public Ranges and(Ranges other) {
    Ranges result = new Ranges();
    int j = other.firstEndingAfter(count == 0 ? 0 : bounds[0]);
    for (int i = 0; i < size(); i++) {
      while (j < other.size() && other.end(j) <= start(i)) {
        j++;
      }
      for (int k = j; k < other.size() && other.start(k) < end(i); k++) {
        result.add(Math.max(start(i), other.start(k)), Math.min(end(i), other.end(k)));
      }
    }
    return result;
  }

  /// What is in this and not in the other.
  public Ranges minus(Ranges other) {
    Ranges result = new Ranges();
    int j = other.firstEndingAfter(count == 0 ? 0 : bounds[0]);
    for (int i = 0; i < size(); i++) {
      while (j < other.size() && other.end(j) <= start(i)) {
        j++;
      }
      long at = start(i);
      for (int k = j; k < other.size() && other.start(k) < end(i); k++) {
        if (other.start(k) > at) {
          result.add(at, other.start(k));
        }
        at = Math.max(at, other.end(k));
      }
      if (at < end(i)) {
        result.add(at, end(i));
      }
    }
    return result;
  }

  @Override
  public String toString() {
    StringBuilder text = new StringBuilder();
    for (int i = 0; i < size(); i++) {
      text.append(i == 0 ? "" : " ")
          .append(Long.toHexString(start(i)))
          .append('-')
          .append(Long.toHexString(end(i)));
    }
    return text.toString();
  }

  /// Index of the first that ends behind an address; [#size] if none does.
  public int firstEndingAfter(long address) {
    int low = 0;
    int high = size();
    while (low < high) {
      int middle = (low + high) >>> 1;
      if (end(middle) <= address) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
}
