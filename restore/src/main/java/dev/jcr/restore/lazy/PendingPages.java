package dev.jcr.restore.lazy;

import dev.jcr.image.pages.Ranges;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/// Pages of one address space that were not given yet, and which page of the image each is: a page
/// that is missing and not in here is zero. Not thread-safe.
///
/// A page leaves it when it was given, discarded or unmapped, and never comes back: memory that the
/// process discards later is zero whatever the image has.
final class PendingPages {
  private final TreeMap<Long, Part> parts = new TreeMap<>();
  private long bytes;

  /// Pages in a row from the start that is its key.
  ///
  /// @param shift address in the image less address in the process
  private record Part(long end, long shift) {}

  /// Pages in a row that are missing.
  record Missing(long start, long end, long shift) {
    long origin() {
      return start + shift;
    }
  }

  static PendingPages of(Ranges ranges) {
    PendingPages pages = new PendingPages();
    for (int i = 0; i < ranges.size(); i++) {
      pages.put(ranges.start(i), ranges.end(i), 0);
    }
    return pages;
  }

  PendingPages copy() {
    PendingPages copy = new PendingPages();
    copy.parts.putAll(parts);
    copy.bytes = bytes;
    return copy;
  }

  boolean isEmpty() {
    return parts.isEmpty();
  }

  long bytes() {
    return bytes;
  }

  void clear() {
    parts.clear();
    bytes = 0;
  }

  private void put(long start, long end, long shift) {
    parts.put(start, new Part(end, shift));
    bytes += end - start;
  }

  /// The lowest.
  Optional<Missing> first() {
    return Optional.ofNullable(parts.firstEntry()).map(PendingPages::missing);
  }

  private static Missing missing(Map.Entry<Long, Part> entry) {
    return new Missing(entry.getKey(), entry.getValue().end, entry.getValue().shift);
  }

  /// The lowest from `start` to before `end`, cut to these.
  Optional<Missing> within(long start, long end) {
    if (start >= end) {
      return Optional.empty();
    }
    Map.Entry<Long, Part> entry = parts.floorEntry(start);
    if (entry == null || entry.getValue().end <= start) {
      entry = parts.higherEntry(start);
    }
    if (entry == null || entry.getKey() >= end) {
      return Optional.empty();
    }
    return Optional.of(
        new Missing(
            Math.max(start, entry.getKey()),
            Math.min(end, entry.getValue().end),
            entry.getValue().shift));
  }

  /// Forgets pages.
  void remove(long start, long end) {
    while (true) {
      Optional<Missing> hit = within(start, end);
      if (hit.isEmpty()) {
        return;
      }
      Map.Entry<Long, Part> entry = parts.floorEntry(hit.get().start);
      long from = entry.getKey();
      Part part = entry.getValue();
      parts.remove(from);
      bytes -= part.end - from;
      if (from < start) {
        put(from, start, part.shift);
      }
      if (end < part.end) {
        put(end, part.end, part.shift);
      }
    }
  }

  /// mremap(2): pages have another address. Whatever was at the new place is gone.
  void move(long from, long to, long length) {
    PendingPages moved = new PendingPages();
    long at = from;
    for (Optional<Missing> next = within(at, from + length);
        next.isPresent();
        next = within(at, from + length)) {
      Missing part = next.get();
      moved.put(part.start + (to - from), part.end + (to - from), part.shift - (to - from));
      at = part.end;
    }
    remove(from, from + length);
    remove(to, to + length);
    moved.parts.forEach((start, part) -> put(start, part.end, part.shift));
  }
}
