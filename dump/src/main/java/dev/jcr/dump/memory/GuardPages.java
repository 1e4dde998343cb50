package dev.jcr.dump.memory;

import dev.jcr.image.CheckpointException.Problem;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.PageScan;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.procfs.MapsEntry;
import dev.jcr.parasite.procfs.Proc;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/// Guard regions of madvise(MADV_GUARD_INSTALL), Linux 6.13: invisible in /proc/PID/maps, and not
/// to be read.
public final class GuardPages {
  private GuardPages() {}

  /// One problem for each mapping that has guard pages; none on kernels that cannot show them.
  public static List<Problem> problems(int pid) throws IOException {
    List<Problem> problems = new ArrayList<>();
    try (PageScan scan = PageScan.open(pid)) {
      for (MapsEntry entry : Proc.of(pid).maps()) {
        if (entry.path().startsWith("[v")) {
          continue;
        }
        List<Long> found = new ArrayList<>();
        scan.scan(entry.start(), entry.end(), PageScan.GUARD, 0, 0, (start, _) -> found.add(start));
        if (!found.isEmpty()) {
          problems.add(
              new Problem(
                  "vma",
                  "mapping 0x%x-0x%x".formatted(entry.start(), entry.end()),
                  "it has guard pages (MADV_GUARD_INSTALL) from 0x%x on, not supported yet"
                      .formatted(found.getFirst()),
                  "remove them before the dump"));
        }
      }
    } catch (SyscallException e) {
      if (e.errno() != Errno.EINVAL) {
        throw e;
      }
    }
    return problems;
  }
}
