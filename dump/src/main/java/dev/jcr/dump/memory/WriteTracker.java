package dev.jcr.dump.memory;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.pages.Ranges;
import dev.jcr.image.v1.Pagemap;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.PageScan;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.linux.Userfault;

/// Knows which pages a process wrote since the last image of its memory.
///
/// A page counts as unchanged only if three things agree: its mapping is registered with this
/// tracker's userfaultfd, which a mapping is not that was made, moved or grown into since; the page
/// is there and still write-protected; and the last image has it. Everything else is stored again,
/// so a mistake costs bytes and not truth. Pages that are gone (discarded, unmapped) are simply not
/// in the next image, which lists every page there is.
///
/// Writes to shared memory by way of other mappings cannot be seen; it is stored whole every time.
public final class WriteTracker implements AutoCloseable {
  private final Userfault userfault;
  private final int page;
  private Ranges known;

  /// @param page bytes of a page
  /// @param known pages that the last image has
  public WriteTracker(Userfault userfault, int page, Ranges known) {
    this.userfault = userfault;
    this.page = page;
    this.known = known;
  }

  public Userfault userfault() {
    return userfault;
  }

  /// The image that the next one continues is whole.
  public void continueFrom(Pagemap image) {
    known = Ranges.of(image);
  }

  /// Pages of the last image.
  Ranges known() {
    return known;
  }

  /// Tracks a mapping of which all may have been written, from here on: the process may run.
  void begin(PageScan scan, long start, long end) throws SyscallException, CheckpointException {
    long error = userfault.register(start, end);
    if (error == -Errno.ESRCH) {
      throw new CheckpointException(
          Outcome.TARGET_LOST,
          "cannot track the memory of the process: it ended or executed another program");
    }
    if (error == 0) {
      // New here. What it holds now is stored whole; from here on it is watched.
      forget(start, end);
      scan.protect(start, end, (_, _) -> {});
    }
  }

  /// Removes marks that an earlier registration of these pages left. When a moved mapping joins its
  /// new neighbour, mremap(2) ends the registration of both (mremap_userfaultfd_prep, which sees
  /// only the joined one), but the neighbour's pages keep their marks, and can be written without
  /// losing them: such a page looks unchanged for ever. Registered again, it would be left out.
  private void forget(long start, long end) throws SyscallException {
    long error = userfault.unprotect(start, end);
    if (error == 0 || error == -Errno.ESRCH) {
      return;
    }
    if (error == -Errno.EAGAIN) {
      forget(start, end);
    } else if (error != -Errno.ENOENT) {
      throw new SyscallException("forget which pages were written", Syscall.IOCTL, (int) -error);
    } else if (end - start > page) {
      // Part of it has been mapped anew since; pages behind that part were not reached.
      long middle = start + (end - start) / 2 / page * page;
      forget(start, middle);
      forget(middle, end);
    }
  }

  @Override
  public void close() {
    userfault.close();
  }
}
