package dev.jcr.parasite.collect;

import dev.jcr.image.pages.Ranges;
import dev.jcr.image.v1.GuardRange;
import dev.jcr.image.v1.Vma;
import dev.jcr.parasite.linux.PageScan;
import dev.jcr.parasite.linux.SyscallException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/// Guard regions of madvise(MADV_GUARD_INSTALL), Linux 6.13: invisible in /proc/PID/maps, and not
/// to be read.
public final class GuardPages {
  private GuardPages() {}

  /// `vmas` with their guard regions; unchanged on kernels that cannot show them.
  ///
  /// @param known those that were found before, by the start of the mapping
  public static List<Vma> added(List<Vma> vmas, PageScan scan, Map<Long, Ranges> known)
      throws SyscallException {
    if (scan.guard() == 0) {
      return vmas;
    }
    List<Vma> all = new ArrayList<>();
    for (Vma vma : vmas) {
      Ranges guards = known.get(vma.getStart());
      if (guards == null && isCandidate(vma)) {
        guards = of(vma.getStart(), vma.getEnd(), scan);
      }
      all.add(guards == null ? vma : with(vma, guards));
    }
    return all;
  }

  /// Those of one mapping, on a kernel that can show them.
  public static Ranges of(long start, long end, PageScan scan) throws SyscallException {
    Ranges guards = new Ranges();
    scan.scan(start, end, PageScan.GUARD, 0, 0, guards::add);
    return guards;
  }

  private static boolean isCandidate(Vma vma) {
    return switch (vma.getKind()) {
      case VMA_PRIVATE_ANONYMOUS, VMA_PRIVATE_FILE, VMA_SHARED_FILE, VMA_SHARED_MEMORY -> true;
      case VMA_VDSO, VMA_VVAR, VMA_VSYSCALL, VMA_UNSPECIFIED, UNRECOGNIZED -> false;
    };
  }

  private static Vma with(Vma vma, Ranges guards) {
    if (guards.size() == 0) {
      return vma;
    }
    Vma.Builder guarded = vma.toBuilder();
    for (int i = 0; i < guards.size(); i++) {
      guarded.addGuards(GuardRange.newBuilder().setStart(guards.start(i)).setEnd(guards.end(i)));
    }
    return guarded.build();
  }
}
