package dev.jcr.image.pages;

import java.nio.ByteBuffer;
import java.util.Arrays;

/// Room for one chunk of page contents and the list of runs they belong to. Page `i` of the buffer
/// lies at byte `i * pageSize`, in the order of the [#add] calls.
///
/// Belongs to the caller from [PageWriter#take] to [PageWriter#submit]; not thread-safe.
public final class PageBuffer {
  private final ByteBuffer data;
  private final int pageSize;
  private int space = -1;
  private int pages;
  private int runs;
  private long[] starts = new long[16];
  private long[] counts = new long[16];

  PageBuffer(ByteBuffer data, int pageSize) {
    this.data = data;
    this.pageSize = pageSize;
  }

  /// The whole buffer, direct; its position and limit are ignored at submit.
  public ByteBuffer data() {
    return data;
  }

  /// Pages that still fit.
  public int room() {
    return data.capacity() / pageSize - pages;
  }

  /// Pages added so far.
  public int pages() {
    return pages;
  }

  /// Byte offset in [#data] where the next added page belongs.
  public int offset() {
    return pages * pageSize;
  }

  /// Appends a run of `pages` pages whose contents are (or will be, before submit) at [#offset].
  /// `start` is an address or an offset in a shared object, in bytes.
  ///
  /// @throws IllegalArgumentException another space than the buffer's, not page-aligned, not after
  ///   the run before, or more than [#room]
  public void add(int space, long start, long pages) {
    if (space < 0 || (this.space >= 0 && this.space != space)) {
      throw new IllegalArgumentException("space " + space + " in a buffer of " + this.space);
    }
    if (pages <= 0 || pages > room() || start % pageSize != 0) {
      throw new IllegalArgumentException(
          "run 0x" + Long.toHexString(start) + " of " + pages + " pages, room " + room());
    }
    if (runs > 0) {
      long end = starts[runs - 1] + counts[runs - 1] * pageSize;
      if (Long.compareUnsigned(start, end) < 0) {
        throw new IllegalArgumentException(
            "run 0x" + Long.toHexString(start) + " begins before 0x" + Long.toHexString(end));
      }
      if (start == end) {
        counts[runs - 1] += pages;
        this.pages += (int) pages;
        return;
      }
    }
    this.space = space;
    if (runs == starts.length) {
      starts = Arrays.copyOf(starts, 2 * runs);
      counts = Arrays.copyOf(counts, 2 * runs);
    }
    starts[runs] = start;
    counts[runs++] = pages;
    this.pages += (int) pages;
  }

  /// Takes the last `pages` pages off again: the source gave fewer than announced.
  public void removeLast(long pages) {
    if (pages < 0 || pages > this.pages) {
      throw new IllegalArgumentException(pages + " of " + this.pages + " pages");
    }
    long left = pages;
    while (left > 0) {
      long n = Math.min(left, counts[runs - 1]);
      counts[runs - 1] -= n;
      left -= n;
      if (counts[runs - 1] == 0) {
        runs--;
      }
    }
    this.pages -= (int) pages;
  }

  int space() {
    return space;
  }

  /// Runs added so far, neighbours joined.
  public int runs() {
    return runs;
  }

  /// First address or offset of a run.
  public long start(int run) {
    return starts[run];
  }

  /// Pages of a run.
  public long count(int run) {
    return counts[run];
  }

  void clear() {
    space = -1;
    pages = 0;
    runs = 0;
    data.clear();
  }
}
