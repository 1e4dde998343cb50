package dev.jcr.parasite.linux;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// The PAGEMAP_SCAN ioctl on /proc/PID/pagemap (Linux 6.7, `<linux/fs.h>` struct pm_scan_arg):
/// which pages of a range are in which state, without touching them.
public final class PageScan implements AutoCloseable {
  public static final long WRITTEN = 2;
  public static final long FILE = 4;
  public static final long PRESENT = 8;
  public static final long SWAPPED = 0x10;
  public static final long PFNZERO = 0x20;
  public static final long HUGE = 0x40;
  public static final long GUARD = 0x100;

  private static final long WP_MATCHING = 1;
  private static final long CHECK_WPASYNC = 2;

  private static final long REQUEST = 0xC0606610L;
  private static final int ARGUMENT_SIZE = 96;
  private static final int REGIONS = 4096;
  private static final int REGION_SIZE = 24;

  private final int pid;
  private final Fd pagemap;
  private final Arena arena = Arena.ofConfined();
  private final MemorySegment argument = arena.allocate(ARGUMENT_SIZE, 8);
  private final MemorySegment regions = arena.allocate((long) REGIONS * REGION_SIZE, 8);

  /// Receives the ranges that matched, ascending and not adjacent to each other.
  @FunctionalInterface
  public interface Sink {
    void range(long start, long end);
  }

  /// Receives ranges of pages of the same categories, ascending.
  @FunctionalInterface
  public interface CategorySink {
    void range(long start, long end, long categories);
  }

  private PageScan(int pid, Fd pagemap) {
    this.pid = pid;
    this.pagemap = pagemap;
  }

  /// Confined to the calling thread.
  public static PageScan open(int pid) throws SyscallException {
    return new PageScan(pid, Fd.open("/proc/" + pid + "/pagemap", Fd.O_RDONLY, 0));
  }

  /// GUARD where this kernel knows it (Linux 6.15), else 0.
  public long guard() {
    argument.fill((byte) 0);
    argument.set(JAVA_LONG, 0, ARGUMENT_SIZE);
    argument.set(JAVA_LONG, 88, GUARD);
    long result = Kernel.raw(Syscall.IOCTL, pagemap.number(), REQUEST, argument.address());
    return Kernel.isError(result) ? 0 : GUARD;
  }

  /// Ranges of `start..end` whose pages have all of `required`, none of `excluded`, and any of
  /// `anyOf` (0: no such condition).
  public void scan(long start, long end, long required, long excluded, long anyOf, Sink sink)
      throws SyscallException {
    scan(0, start, end, required, excluded, anyOf, sink);
  }

  /// Ranges of pages that have none of `excluded` and any of `anyOf`, each with those of `told`
  /// that it has: in one walk of the page tables what [#scan] tells in several.
  public void categories(
      long start, long end, long excluded, long anyOf, long told, CategorySink sink)
      throws SyscallException {
    scan(0, start, end, 0, excluded, anyOf, told, told, sink);
  }

  /// As [#categories], with WRITTEN for those that were written to since [#protect].
  ///
  /// @param protect these count as not written from here on, as with [#protect]
  /// @return false when (part of) the range is not tracked: what was told is of no use
  public boolean trackedCategories(
      boolean protect,
      long start,
      long end,
      long excluded,
      long anyOf,
      long told,
      CategorySink sink)
      throws SyscallException {
    // WP_MATCHING protects of what matches only what was written (fs/proc/task_mmu.c,
    // pagemap_scan_pmd_entry).
    long flags = CHECK_WPASYNC | (protect ? WP_MATCHING : 0);
    long all = told | WRITTEN;
    return isTracked(() -> scan(flags, start, end, 0, excluded, anyOf, all, all, sink));
  }

  /// Ranges that were written to since [#protect], of a range that a [Userfault] tracks.
  ///
  /// @return false when (part of) the range is not tracked: then any page may have been written
  public boolean written(long start, long end, Sink sink) throws SyscallException {
    return tracked(CHECK_WPASYNC, start, end, sink);
  }

  /// As [#written], and from here on these pages count as not written: page by page in one step, so
  /// that no write is lost while the process runs.
  public boolean protect(long start, long end, Sink sink) throws SyscallException {
    return tracked(CHECK_WPASYNC | WP_MATCHING, start, end, sink);
  }

  /// Only pages that are there: others would get an entry of the page table each.
  private boolean tracked(long flags, long start, long end, Sink sink) throws SyscallException {
    long excluded = guard();
    return isTracked(() -> scan(flags, start, end, WRITTEN, excluded, PRESENT | SWAPPED, sink));
  }

  private interface Walk {
    void run() throws SyscallException;
  }

  /// False when a walk that CHECK_WPASYNC is asked of meets what is not tracked.
  private static boolean isTracked(Walk walk) throws SyscallException {
    try {
      walk.run();
      return true;
    } catch (SyscallException e) {
      if (e.errno() == Errno.EPERM) {
        return false;
      }
      throw e;
    }
  }

  private void scan(
      long flags, long start, long end, long required, long excluded, long anyOf, Sink sink)
      throws SyscallException {
    scan(
        flags,
        start,
        end,
        required,
        excluded,
        anyOf,
        required | anyOf,
        0,
        (from, to, _) -> sink.range(from, to));
  }

  private void scan(
      long flags,
      long start,
      long end,
      long required,
      long excluded,
      long anyOf,
      long returned,
      long told,
      CategorySink sink)
      throws SyscallException {
    long at = start;
    long pendingCategories = 0;
    long pendingStart = 0;
    long pendingEnd = 0;
    while (at < end) {
      argument.fill((byte) 0);
      argument.set(JAVA_LONG, 0, ARGUMENT_SIZE);
      argument.set(JAVA_LONG, 8, flags);
      argument.set(JAVA_LONG, 16, at);
      argument.set(JAVA_LONG, 24, end);
      argument.set(JAVA_LONG, 40, regions.address());
      argument.set(JAVA_LONG, 48, REGIONS);
      argument.set(JAVA_LONG, 64, excluded);
      argument.set(JAVA_LONG, 72, required | excluded);
      argument.set(JAVA_LONG, 80, anyOf);
      argument.set(JAVA_LONG, 88, returned);
      long count =
          Kernel.call(
              "scan the pages of process " + pid,
              Syscall.IOCTL,
              pagemap.number(),
              REQUEST,
              argument.address());
      for (int i = 0; i < count; i++) {
        long regionStart = regions.get(JAVA_LONG, (long) i * REGION_SIZE);
        long regionEnd = regions.get(JAVA_LONG, (long) i * REGION_SIZE + 8);
        long categories = regions.get(JAVA_LONG, (long) i * REGION_SIZE + 16) & told;
        if (regionStart == pendingEnd && categories == pendingCategories && pendingEnd != 0) {
          pendingEnd = regionEnd;
        } else {
          if (pendingEnd != 0) {
            sink.range(pendingStart, pendingEnd, pendingCategories);
          }
          pendingStart = regionStart;
          pendingEnd = regionEnd;
          pendingCategories = categories;
        }
      }
      // With 512 regions or more, walk_end can lie before regions that were returned (seen on 6.18:
      // 1024 single pages, walk_end at the 512th): going on from there alone repeats them.
      at = argument.get(JAVA_LONG, 32);
      if (count > 0) {
        at = Math.max(at, regions.get(JAVA_LONG, (count - 1) * REGION_SIZE + 8));
      }
    }
    if (pendingEnd != 0) {
      sink.range(pendingStart, pendingEnd, pendingCategories);
    }
  }

  @Override
  public void close() {
    arena.close();
    pagemap.close();
  }
}
