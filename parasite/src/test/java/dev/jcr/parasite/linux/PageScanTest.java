package dev.jcr.parasite.linux;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.jcr.image.CheckpointException;
import dev.jcr.parasite.host.HostFacts;
import dev.jcr.parasite.remote.ProcessMemory;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/// Scans fresh pages of the test's own.
class PageScanTest {
  private static final int PID = (int) ProcessHandle.current().pid();
  private static final long PAGE = pageSize();
  private static final long PAGES = 12_000;
  private static final int MADV_NOHUGEPAGE = 15;

  private static long pageSize() {
    try {
      return HostFacts.pageSize();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private long area;

  private record Range(long first, long end) {}

  @BeforeEach
  void map() throws SyscallException {
    area = Kernel.call("map pages", Syscall.MMAP, 0, PAGES * PAGE, 1 | 2, 0x22, -1, 0);
    Kernel.raw(Syscall.MADVISE, area, PAGES * PAGE, MADV_NOHUGEPAGE);
  }

  @AfterEach
  void unmap() {
    Kernel.raw(Syscall.MUNMAP, area, PAGES * PAGE);
  }

  /// Writes to one page.
  private void touch(ProcessMemory memory, MemorySegment bytes, long page)
      throws CheckpointException {
    memory.write(area + page * PAGE, bytes);
  }

  /// Ranges of written pages, in pages from the start of the area.
  private List<Range> scan(long from, long to) throws SyscallException {
    List<Range> ranges = new ArrayList<>();
    try (PageScan scan = PageScan.open(PID)) {
      scan.scan(
          area + from * PAGE,
          area + to * PAGE,
          0,
          PageScan.FILE | PageScan.PFNZERO,
          PageScan.PRESENT | PageScan.SWAPPED,
          (start, end) -> ranges.add(new Range((start - area) / PAGE, (end - area) / PAGE)));
    } catch (SyscallException e) {
      assumeTrue(e.errno() != Errno.ENOTTY, "no PAGEMAP_SCAN before Linux 6.7");
      throw e;
    }
    return ranges;
  }

  @Test
  void nothingThere() throws SyscallException {
    assertThat(scan(0, PAGES)).isEmpty();
    assertThat(scan(5, 5)).isEmpty();
  }

  @Test
  void neighboursAreOneRange() throws SyscallException, CheckpointException {
    try (ProcessMemory memory = ProcessMemory.open(PID);
        Arena arena = Arena.ofConfined()) {
      MemorySegment bytes = arena.allocateFrom("written", US_ASCII);
      for (long page : new long[] {3, 4, 5, 9, 511, 512, 513}) {
        touch(memory, bytes, page);
      }
    }
    assertThat(scan(0, PAGES))
        .containsExactly(new Range(3, 6), new Range(9, 10), new Range(511, 514));
    assertThat(scan(4, 512))
        .containsExactly(new Range(4, 6), new Range(9, 10), new Range(511, 512));
  }

  /// More regions than one call returns, and than the kernel collects at once (512).
  @Test
  void manyScatteredPages() throws SyscallException, CheckpointException {
    List<Range> expected = new ArrayList<>();
    try (ProcessMemory memory = ProcessMemory.open(PID);
        Arena arena = Arena.ofConfined()) {
      MemorySegment bytes = arena.allocateFrom("written", US_ASCII);
      for (long page = 1; page < PAGES; page += 2) {
        touch(memory, bytes, page);
        expected.add(new Range(page, page + 1));
      }
    }
    assertThat(expected).hasSizeGreaterThan(4096);
    assertThat(scan(0, PAGES)).isEqualTo(expected);
    // Exactly as many as the kernel collects at once, one less and one more.
    for (int count : new int[] {511, 512, 513, 1024, 1025}) {
      assertThat(scan(0, 2L * count)).isEqualTo(expected.subList(0, count));
    }
  }

  /// Reading maps the shared zero page, which holds nothing to be dumped.
  @Test
  void pagesThatWereOnlyReadAreLeftOut() throws SyscallException, CheckpointException {
    try (ProcessMemory memory = ProcessMemory.open(PID)) {
      memory.bytes(area + 7 * PAGE, 1);
    }
    assertThat(scan(0, PAGES)).isEmpty();
  }
}
