package dev.jcr.dump.memory;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.pages.OnDemand;
import dev.jcr.image.pages.PageBuffer;
import dev.jcr.image.pages.PageWriter;
import dev.jcr.image.pages.Ranges;
import dev.jcr.image.v1.Vma;
import dev.jcr.image.v1.VmaKind;
import dev.jcr.parasite.collect.VmaCollector;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.PageScan;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.remote.ProcessMemory;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// Copies page contents of a stopped process into the page store.
///
/// Only pages that the process changed are read: present or swapped, not the page cache's own, not
/// the shared zero page. Reading others would populate them.
public final class PageDumper {
  /// The address space; shared objects have their own ids.
  private static final int PROCESS_SPACE = 0;

  private static final int MAP_DROPPABLE = 8;
  private static final int SEEK_DATA = 3;
  private static final int SEEK_HOLE = 4;

  /// IOV_MAX of `<linux/uio.h>`.
  private static final int MOST_RANGES = 1024;

  private final ProcessMemory memory;
  private final PageWriter writer;
  private final int page;
  private final boolean running;
  private final long[] addresses = new long[MOST_RANGES];
  private final long[] lengths = new long[MOST_RANGES];
  private int ranges;
  private PageBuffer buffer;
  private int filled;
  private long scanned;
  private final Map<Long, Ranges> guards = new HashMap<>();
  private @Nullable Ranges neededAtOnce;

  /// @param page bytes of a page
  public PageDumper(ProcessMemory memory, PageWriter writer, int page) throws CheckpointException {
    this(memory, writer, page, false);
  }

  private PageDumper(ProcessMemory memory, PageWriter writer, int page, boolean running)
      throws CheckpointException {
    this.memory = memory;
    this.page = page;
    this.writer = writer;
    this.running = running;
    this.buffer = writer.take();
  }

  /// For a process that runs: pages that vanish while they are read are left out.
  public static PageDumper ofRunning(ProcessMemory memory, PageWriter writer, int page)
      throws CheckpointException {
    return new PageDumper(memory, writer, page, true);
  }

  /// Leaves the pages that may come later ([OnDemand]) with the process; they are listed as such.
  ///
  /// @param needed those that must not
  public void leavePages(Ranges needed) {
    neededAtOnce = needed;
  }

  /// Pages of private mappings; shared ones are dumped by object.
  public void dump(List<Vma> vmas, PageScan scan) throws CheckpointException, SyscallException {
    dump(vmas, scan, null, false);
  }

  /// The same, without those that the last image has and that were not written since.
  ///
  /// @param protect begin the next period of tracking
  public void dump(List<Vma> vmas, PageScan scan, @Nullable WriteTracker tracker, boolean protect)
      throws CheckpointException, SyscallException {
    long guard = scan.guard();
    for (Vma vma : vmas) {
      if (!isPrivate(vma)) {
        continue;
      }
      scanned += (vma.getEnd() - vma.getStart()) / page;
      // A guarded control stack is written by calls; it is small, and stored whole every time.
      WriteTracker tracking =
          (vma.getFlags() & VmaCollector.MAP_HUGETLB) != 0
                  || vma.getVmFlagsList().contains(VmaCollector.SHADOW_STACK)
              ? null
              : tracker;
      Look look = look(vma, scan, guard, tracking, protect);
      Ranges written = look.written();
      if (look.guards() != null) {
        guards.put(vma.getStart(), look.guards());
      }
      Ranges present = look.present();
      Ranges stored = present;
      if (tracker != null && written != null) {
        Ranges unchanged = present.minus(written).and(tracker.known());
        for (int i = 0; i < unchanged.size(); i++) {
          writer.parent(
              PROCESS_SPACE, unchanged.start(i), (unchanged.end(i) - unchanged.start(i)) / page);
        }
        stored = present.minus(unchanged);
      }
      if (neededAtOnce != null
          && OnDemand.isAllowed(vma)
          && look.guards() != null
          && look.guards().size() == 0
          && stored.bytes() >= OnDemand.LEAST_BYTES) {
        Ranges late = stored.minus(neededAtOnce);
        late.forEach((start, end) -> writer.remote(start, (end - start) / page));
        stored = stored.minus(late);
      }
      for (int i = 0; i < stored.size(); i++) {
        add(stored.start(i), stored.end(i));
      }
    }
    flush();
  }

  /// What one walk of the page tables tells about a mapping.
  ///
  /// @param present pages that are the process's own, guard pages apart
  /// @param written those of them that were written since the last image; null when it is not known
  /// @param guards null where they were not looked for
  private record Look(Ranges present, @Nullable Ranges written, @Nullable Ranges guards) {}

  /// Sorts what a walk tells.
  ///
  /// @param guard how guard pages are told, 0 if they are not
  private record Sorted(long guard, Ranges present, Ranges written, Ranges guards)
      implements PageScan.CategorySink {
    Sorted(long guard) {
      this(guard, new Ranges(), new Ranges(), new Ranges());
    }

    @Override
    public void range(long start, long end, long categories) {
      if ((categories & guard) != 0) {
        guards.add(start, end);
        return;
      }
      present.add(start, end);
      if ((categories & PageScan.WRITTEN) != 0) {
        written.add(start, end);
      }
    }
  }

  /// @param tracking null: all may have been written
  private static Look look(
      Vma vma, PageScan scan, long guard, @Nullable WriteTracker tracking, boolean protect)
      throws SyscallException, CheckpointException {
    long start = vma.getStart();
    long end = vma.getEnd();
    long own = PageScan.PRESENT | PageScan.SWAPPED;
    if (tracking != null) {
      Sorted found = new Sorted(guard);
      // What is protected is marked in its entry of the page table; a guard page is such an entry.
      boolean known =
          protect
              ? scan.trackedCategories(true, start, end, notOwn(vma) | guard, own, 0, found)
              : scan.trackedCategories(false, start, end, notOwn(vma), own | guard, guard, found);
      if (known) {
        return new Look(found.present(), found.written(), protect ? null : found.guards());
      }
      if (protect) {
        // First: what is written from here on is found by the next look.
        tracking.begin(scan, start, end);
      }
    }
    Sorted found = new Sorted(guard);
    scan.categories(start, end, notOwn(vma), own | guard, guard, found);
    return new Look(found.present(), null, found.guards());
  }

  /// Guard regions of the mappings that were dumped, by their start.
  public Map<Long, Ranges> guards() {
    return Map.copyOf(guards);
  }

  /// Bytes that [#dump] is going to read, for the freeze estimate and for buffers.
  public static long estimate(List<Vma> vmas, PageScan scan) throws SyscallException {
    long guard = scan.guard();
    long[] bytes = new long[1];
    for (Vma vma : vmas) {
      if (isPrivate(vma)) {
        scan.scan(
            vma.getStart(),
            vma.getEnd(),
            0,
            notOwn(vma) | guard,
            PageScan.PRESENT | PageScan.SWAPPED,
            (start, end) -> bytes[0] += end - start);
      }
    }
    return bytes[0];
  }

  /// What the process did not write. For the pages of files the kernel looks at each page itself,
  /// 12 ms for a GiB; anonymous memory has none.
  private static long notOwn(Vma vma) {
    return vma.getKind() == VmaKind.VMA_PRIVATE_ANONYMOUS
        ? PageScan.PFNZERO
        : PageScan.FILE | PageScan.PFNZERO;
  }

  /// Droppable memory comes back empty: it holds the state of random number generators, which two
  /// copies of a process must not share.
  private static boolean isPrivate(Vma vma) {
    return (vma.getFlags() & MAP_DROPPABLE) == 0 && isPrivateKind(vma);
  }

  private static boolean isPrivateKind(Vma vma) {
    return vma.getKind() == VmaKind.VMA_PRIVATE_ANONYMOUS
        || vma.getKind() == VmaKind.VMA_PRIVATE_FILE;
  }

  private void add(long start, long end) throws CheckpointException {
    long at = start;
    while (at < end) {
      int pages = (int) Math.min(buffer.room(), (end - at) / page);
      buffer.add(PROCESS_SPACE, at, pages);
      addresses[ranges] = at;
      lengths[ranges] = (long) pages * page;
      ranges++;
      at += (long) pages * page;
      if (buffer.room() == 0 || ranges == MOST_RANGES) {
        flush();
      }
    }
  }

  private void flush() throws CheckpointException {
    if (ranges > 0) {
      MemorySegment data = MemorySegment.ofBuffer(buffer.data().clear());
      MemorySegment target = data.asSlice(filled);
      if (memory.readRanges(addresses, lengths, ranges, target)) {
        filled = buffer.offset();
      } else if (running) {
        readWhatIsThere();
      } else {
        long at = 0;
        for (int i = 0; i < ranges; i++) {
          memory.read(addresses[i], target.asSlice(at, lengths[i]));
          at += lengths[i];
        }
        filled = buffer.offset();
      }
      ranges = 0;
    }
    if (buffer.room() == 0 || filled > 0) {
      next();
    }
  }

  /// Page by page into another buffer, without those that are gone. They will be found again, if
  /// they come back, as written.
  private void readWhatIsThere() throws CheckpointException {
    PageBuffer whole = writer.take();
    whole.data().put(0, buffer.data(), 0, filled);
    int before = filled / page;
    for (int i = 0; i < buffer.runs() && before > 0; i++) {
      int pages = (int) Math.min(before, buffer.count(i));
      whole.add(PROCESS_SPACE, buffer.start(i), pages);
      before -= pages;
    }
    for (int i = 0; i < ranges; i++) {
      for (long at = addresses[i]; at < addresses[i] + lengths[i]; at += page) {
        MemorySegment into =
            MemorySegment.ofBuffer(whole.data().clear()).asSlice(whole.offset(), page);
        if (isRead(at, into)) {
          whole.add(PROCESS_SPACE, at, 1);
        }
      }
    }
    buffer.removeLast(buffer.pages());
    writer.submit(buffer);
    buffer = whole;
    filled = whole.offset();
  }

  private boolean isRead(long address, MemorySegment into) throws CheckpointException {
    if (memory.readAccessible(address, into) == page) {
      return true;
    }
    try {
      memory.read(address, into);
      return true;
    } catch (CheckpointException e) {
      if (e.outcome() == CheckpointException.Outcome.TARGET_LOST) {
        throw e;
      }
      return false;
    }
  }

  private void next() throws CheckpointException {
    writer.submit(buffer);
    buffer = writer.take();
    filled = 0;
  }

  /// The content of a shared object, read through `fd` (a descriptor of jcr's own); holes of the
  /// object stay holes.
  public void dumpObject(int space, Fd fd, long size) throws CheckpointException, SyscallException {
    long at = 0;
    while (at < size) {
      long data = Kernel.raw(Syscall.LSEEK, fd.number(), at, SEEK_DATA);
      if (Kernel.isError(data)) {
        break; // ENXIO: no data behind `at`
      }
      long hole = Kernel.raw(Syscall.LSEEK, fd.number(), data, SEEK_HOLE);
      long start = data / page * page;
      long end = Math.min(hole < 0 ? size : hole, size);
      while (start < end) {
        int pages = (int) Math.min(buffer.room(), (end - start + page - 1) / page);
        int offset = buffer.offset();
        buffer.add(space, start, pages);
        MemorySegment target =
            MemorySegment.ofBuffer(buffer.data().clear()).asSlice(offset, (long) pages * page);
        long read = fd.readFully(target, start);
        target.asSlice(read).fill((byte) 0);
        start += (long) pages * page;
        if (buffer.room() == 0) {
          next();
        }
      }
      at = Math.max(end, at + 1);
    }
    if (buffer.pages() > 0) {
      next();
    }
  }

  /// Gives the last buffer back.
  public void finish() throws CheckpointException {
    flush();
    writer.submit(buffer);
  }

  /// Pages looked at, present or not.
  public long scanned() {
    return scanned;
  }
}
