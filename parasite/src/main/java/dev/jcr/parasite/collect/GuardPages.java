package dev.jcr.parasite.collect;

import dev.jcr.image.v1.GuardRange;
import dev.jcr.image.v1.Vma;
import dev.jcr.parasite.linux.PageScan;
import dev.jcr.parasite.linux.SyscallException;
import java.util.ArrayList;
import java.util.List;

/// Guard regions of madvise(MADV_GUARD_INSTALL), Linux 6.13: invisible in /proc/PID/maps, and not
/// to be read.
public final class GuardPages {
  private GuardPages() {}

  /// `vmas` with their guard regions; unchanged on kernels that cannot show them.
  public static List<Vma> added(List<Vma> vmas, PageScan scan) throws SyscallException {
    if (scan.guard() == 0) {
      return vmas;
    }
    List<Vma> all = new ArrayList<>();
    for (Vma vma : vmas) {
      all.add(isCandidate(vma) ? added(vma, scan) : vma);
    }
    return all;
  }

  private static boolean isCandidate(Vma vma) {
    return switch (vma.getKind()) {
      case VMA_PRIVATE_ANONYMOUS, VMA_PRIVATE_FILE, VMA_SHARED_FILE, VMA_SHARED_MEMORY -> true;
      case VMA_VDSO, VMA_VVAR, VMA_VSYSCALL, VMA_UNSPECIFIED, UNRECOGNIZED -> false;
    };
  }

  private static Vma added(Vma vma, PageScan scan) throws SyscallException {
    List<GuardRange> guards = new ArrayList<>();
    scan.scan(
        vma.getStart(),
        vma.getEnd(),
        PageScan.GUARD,
        0,
        0,
        (start, end) -> {
          if (!guards.isEmpty() && guards.getLast().getEnd() == start) {
            guards.set(guards.size() - 1, guards.getLast().toBuilder().setEnd(end).build());
          } else {
            guards.add(GuardRange.newBuilder().setStart(start).setEnd(end).build());
          }
        });
    return guards.isEmpty() ? vma : vma.toBuilder().addAllGuards(guards).build();
  }
}
