package dev.jcr.dump.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.pages.Ranges;
import dev.jcr.parasite.host.HostFacts;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.PageScan;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.linux.Userfault;
import dev.jcr.parasite.remote.ProcessMemory;
import java.io.IOException;
import java.lang.foreign.Arena;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// Tracks pages of the test's own, by the kernel's real userfaultfd.
@Timeout(60)
class WriteTrackerTest {
  private static final int PID = (int) ProcessHandle.current().pid();
  private static final long PAGE = 65_536;
  private static final long MOVED = 8;
  private static final long PAGES = 64;
  private static final long RESERVED = 4 * PAGES;
  private static final int READ_WRITE = 1 | 2;
  private static final int PRIVATE_ANONYMOUS = 0x22;
  private static final int FIXED = 0x10;
  private static final int MAYMOVE_FIXED = 1 | 2;
  private static final int MADV_NOHUGEPAGE = 15;

  private long smallest;
  private long reserved;
  private long home;
  private long away;
  private WriteTracker tracker;
  private PageScan scan;
  private ProcessMemory memory;

  @BeforeEach
  void begin() throws IOException, CheckpointException {
    smallest = HostFacts.pageSize();
    long made = Kernel.raw(Syscall.USERFAULTFD, Userfault.USER_MODE_ONLY);
    assumeTrue(!Kernel.isError(made), "no userfaultfd(2)");
    Userfault userfault = new Userfault(new Fd((int) made));
    tracker = new WriteTracker(userfault, (int) smallest, new Ranges());
    try {
      userfault.trackWrites();
    } catch (SyscallException e) {
      assumeTrue(e.errno() != Errno.EINVAL, "no UFFD_FEATURE_WP_ASYNC before Linux 6.7");
      throw e;
    }
    scan = PageScan.open(PID);
    memory = ProcessMemory.open(PID);
    reserved =
        Kernel.call("reserve", Syscall.MMAP, 0, RESERVED * PAGE, 0, PRIVATE_ANONYMOUS, -1, 0);
    home = map(reserved + PAGES * PAGE, PAGES);
    away = reserved + (PAGES / 2) * PAGE;
    for (long page = 0; page < PAGES; page++) {
      write(home + page * PAGE);
    }
  }

  @AfterEach
  void end() {
    tracker.close();
    if (reserved != 0) {
      scan.close();
      memory.close();
      Kernel.raw(Syscall.MUNMAP, reserved, RESERVED * PAGE);
    }
  }

  private static long map(long at, long pages) throws SyscallException {
    long start =
        Kernel.call(
            "map", Syscall.MMAP, at, pages * PAGE, READ_WRITE, PRIVATE_ANONYMOUS | FIXED, -1, 0);
    Kernel.raw(Syscall.MADVISE, start, pages * PAGE, MADV_NOHUGEPAGE);
    return start;
  }

  private void write(long address) throws CheckpointException {
    try (Arena arena = Arena.ofConfined()) {
      memory.write(address, arena.allocateFrom("written"));
    }
  }

  private static void move(long from, long to) throws SyscallException {
    Kernel.call("move", Syscall.MREMAP, from, MOVED * PAGE, MOVED * PAGE, MAYMOVE_FIXED, to);
  }

  /// Nothing means that all may have been written.
  private String written(long start, long pages) throws SyscallException, CheckpointException {
    long end = start + pages * PAGE;
    Ranges written = new Ranges();
    if (scan.protect(start, end, written::add)) {
      return written.toString();
    }
    tracker.begin(scan, start, end);
    return "unknown";
  }

  private String pages(long... addresses) {
    Ranges ranges = new Ranges();
    for (long address : addresses) {
      ranges.add(address, address + smallest);
    }
    return ranges.toString();
  }

  @Test
  void whatIsWrittenIsFound() throws SyscallException, CheckpointException {
    assertThat(written(home, PAGES)).isEqualTo("unknown");
    assertThat(written(home, PAGES)).isEmpty();
    write(home + 3 * PAGE);
    write(home + 7 * PAGE);
    assertThat(written(home, PAGES)).isEqualTo(pages(home + 3 * PAGE, home + 7 * PAGE));
    assertThat(written(home, PAGES)).isEmpty();
  }

  @Test
  void aMappingMadeAnewIsUnknown() throws SyscallException, CheckpointException {
    written(home, PAGES);
    map(home + 5 * PAGE, 1);
    assertThat(written(home, PAGES)).isEqualTo("unknown");
    write(home + 6 * PAGE);
    assertThat(written(home, PAGES)).isEqualTo(pages(home + 6 * PAGE));
  }

  /// mremap(2) ends the registration of what a moved mapping joins, and leaves the marks of its
  /// pages.
  @Test
  void marksOfAnEndedRegistrationDoNotHideWrites() throws SyscallException, CheckpointException {
    written(home, PAGES);
    move(home, away);
    written(away, MOVED);
    move(away, home);
    write(home + (MOVED + 5) * PAGE);
    assertThat(written(home, PAGES)).isEqualTo("unknown");
    write(home + (MOVED + 5) * PAGE);
    write(home + (MOVED + 6) * PAGE);
    assertThat(written(home, PAGES))
        .isEqualTo(pages(home + (MOVED + 5) * PAGE, home + (MOVED + 6) * PAGE));
  }
}
