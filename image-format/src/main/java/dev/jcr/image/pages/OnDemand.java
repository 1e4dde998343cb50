package dev.jcr.image.pages;

import dev.jcr.image.v1.Thread;
import dev.jcr.image.v1.Vma;
import dev.jcr.image.v1.VmaKind;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Set;

/// Which memory may come while the process runs already, and which must be there before: the same
/// rule for who leaves pages behind and for who serves them. Pure.
///
/// Private anonymous mappings may: those are what userfaultfd(2) can serve (a private page over a
/// file cannot), and where memory grows large. Not one that is locked or guarded, that grows down,
/// that carries tags or is cleared on fork, or that cannot be read: some kernels give its content
/// to a tracer only (CONFIG_PROC_MEM_FORCE_PTRACE), and who has the pages may be none. And not a
/// small one, which is touched at once anyway. Of the others, what the restore itself or the kernel
/// writes to must be there: the top of each stack, restartable sequences, arguments of a call that
/// goes on.
public final class OnDemand {
  /// A mapping with less content than this is there before.
  public static final long LEAST_BYTES = 256 << 10;

  private static final long BELOW_STACK = 4096;
  private static final long ABOVE_STACK = 64 << 10;
  private static final long ARGUMENT = 256;
  private static final int X8664_RSP = 19;
  private static final int AARCH64_SP = 31;
  private static final int MAP_GROWSDOWN = 0x100;
  private static final int MAP_DROPPABLE = 8;
  private static final int MAP_HUGETLB = 0x40000;
  private static final int PROT_READ = 1;
  private static final int PROT_MTE = 0x20;

  /// mlock(2), mlock2(2), wiped on fork, shadow stacks.
  private static final Set<String> EXCLUDED = Set.of("lo", "lf", "wf", "ss");

  private OnDemand() {}

  /// Whether pages of a mapping may come later.
  public static boolean isAllowed(Vma vma) {
    return vma.getKind() == VmaKind.VMA_PRIVATE_ANONYMOUS
        && (vma.getFlags() & (MAP_GROWSDOWN | MAP_DROPPABLE | MAP_HUGETLB)) == 0
        && (vma.getProtection() & (PROT_READ | PROT_MTE)) == PROT_READ
        && vma.getGuardsCount() == 0
        && vma.getVmFlagsList().stream().noneMatch(EXCLUDED::contains);
  }

  private record Range(long start, long end) {}

  /// Pages that are written to for these threads before they run, whatever mapping they are in.
  public static Ranges neededAtOnce(List<Thread> threads, int pageSize) {
    List<Range> found = new ArrayList<>();
    for (Thread thread : threads) {
      List<Long> words =
          thread.getRegisters().hasX8664()
              ? thread.getRegisters().getX8664().getGeneralList()
              : thread.getRegisters().getAarch64().getGeneralList();
      int stackPointer = thread.getRegisters().hasX8664() ? X8664_RSP : AARCH64_SP;
      if (stackPointer < words.size()) {
        long sp = words.get(stackPointer);
        add(found, sp - BELOW_STACK, sp + ABOVE_STACK, pageSize);
      }
      if (thread.hasRseq()) {
        long rseq = thread.getRseq().getAddress();
        add(found, rseq, rseq + thread.getRseq().getLength(), pageSize);
      }
      for (long argument : thread.getBlockedCall().getArgumentsList()) {
        add(found, argument, argument + ARGUMENT, pageSize);
      }
    }
    found.sort(Comparator.comparingLong(Range::start));
    Ranges ranges = new Ranges();
    long end = 0;
    for (Range range : found) {
      if (range.end > end) {
        ranges.add(Math.max(range.start, end), range.end);
        end = range.end;
      }
    }
    return ranges;
  }

  private static void add(List<Range> found, long start, long end, int pageSize) {
    long from = start & -pageSize;
    long to = end + pageSize - 1 & -pageSize;
    if (from >= 0 && to > from) {
      found.add(new Range(from, to));
    }
  }
}
