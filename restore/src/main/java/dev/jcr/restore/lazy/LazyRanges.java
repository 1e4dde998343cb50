package dev.jcr.restore.lazy;

import dev.jcr.image.pages.Ranges;
import dev.jcr.image.v1.PageKind;
import dev.jcr.image.v1.PageRun;
import dev.jcr.image.v1.PageSpace;
import dev.jcr.image.v1.Pagemap;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.Thread;
import dev.jcr.image.v1.Vma;
import dev.jcr.image.v1.VmaKind;
import dev.jcr.parasite.collect.VmaCollector;
import java.util.ArrayList;
import java.util.List;
import java.util.NavigableMap;
import java.util.Set;
import java.util.TreeMap;

/// What comes on demand, and what is there before the process runs. Pure.
///
/// On demand come the stored pages of private anonymous mappings: those are what userfaultfd(2) can
/// serve (a private page over a file cannot), and where memory grows large. Not of a mapping that
/// is locked or guarded, that grows down, that carries tags or is cleared on fork, and not of a
/// small one, which is touched at once anyway. Of the others, what the restore itself or the kernel
/// writes to is filled before: the top of each stack, restartable sequences, arguments of a call
/// that goes on.
public final class LazyRanges {
  /// Nothing comes on demand.
  public static final LazyRanges NONE = new LazyRanges(List.of(), new TreeMap<>());

  /// A mapping with less content than this is filled.
  private static final long LEAST_BYTES = 256 << 10;

  private static final long BELOW_STACK = 4096;
  private static final long ABOVE_STACK = 64 << 10;
  private static final long ARGUMENT = 256;
  private static final int X8664_RSP = 19;
  private static final int AARCH64_SP = 31;
  private static final int MAP_GROWSDOWN = 0x100;
  private static final int MAP_DROPPABLE = 8;
  private static final int PROT_MTE = 0x20;

  /// mlock(2), mlock2(2), wiped on fork, shadow stacks.
  private static final Set<String> EXCLUDED = Set.of("lo", "lf", "wf", VmaCollector.SHADOW_STACK);

  private final List<Range> mappings;
  private final NavigableMap<Long, Long> content;

  /// Addresses from `start` to before `end`.
  public record Range(long start, long end) {}

  private LazyRanges(List<Range> mappings, NavigableMap<Long, Long> content) {
    this.mappings = List.copyOf(mappings);
    this.content = content;
  }

  public static LazyRanges of(ProcessState state, Pagemap pagemap) {
    int pageSize = pagemap.getPageSize();
    List<PageRun> runs = new ArrayList<>();
    for (PageSpace space : pagemap.getSpacesList()) {
      if (space.getId() == 0) {
        space.getRunsList().stream()
            .filter(run -> run.getKind() == PageKind.PAGE_STORED)
            .forEach(runs::add);
      }
    }
    List<Range> mappings = new ArrayList<>();
    NavigableMap<Long, Long> content = new TreeMap<>();
    int at = 0;
    for (Vma vma : state.getMemory().getVmasList()) {
      while (at < runs.size() && end(runs.get(at), pageSize) <= vma.getStart()) {
        at++;
      }
      if (!mayBeLazy(vma)) {
        continue;
      }
      List<Range> stored = new ArrayList<>();
      long bytes = 0;
      for (int i = at; i < runs.size() && runs.get(i).getStart() < vma.getEnd(); i++) {
        long start = Math.max(runs.get(i).getStart(), vma.getStart());
        long end = Math.min(end(runs.get(i), pageSize), vma.getEnd());
        stored.add(new Range(start, end));
        bytes += end - start;
      }
      if (bytes >= LEAST_BYTES) {
        mappings.add(new Range(vma.getStart(), vma.getEnd()));
        stored.forEach(range -> content.put(range.start, range.end));
      }
    }
    LazyRanges all = new LazyRanges(mappings, content);
    state.getThreadsList().forEach(thread -> all.touch(thread, pageSize));
    return all;
  }

  private static boolean mayBeLazy(Vma vma) {
    return vma.getKind() == VmaKind.VMA_PRIVATE_ANONYMOUS
        && (vma.getFlags() & (MAP_GROWSDOWN | MAP_DROPPABLE)) == 0
        && (vma.getProtection() & PROT_MTE) == 0
        && vma.getGuardsCount() == 0
        && vma.getVmFlagsList().stream().noneMatch(EXCLUDED::contains);
  }

  private static long end(PageRun run, int pageSize) {
    return run.getStart() + run.getPages() * pageSize;
  }

  /// What is written to for this thread before it runs.
  private void touch(Thread thread, int pageSize) {
    List<Long> words =
        thread.getRegisters().hasX8664()
            ? thread.getRegisters().getX8664().getGeneralList()
            : thread.getRegisters().getAarch64().getGeneralList();
    int stackPointer = thread.getRegisters().hasX8664() ? X8664_RSP : AARCH64_SP;
    if (stackPointer < words.size()) {
      long sp = words.get(stackPointer);
      exclude(sp - BELOW_STACK, sp + ABOVE_STACK, pageSize);
    }
    if (thread.hasRseq()) {
      long rseq = thread.getRseq().getAddress();
      exclude(rseq, rseq + thread.getRseq().getLength(), pageSize);
    }
    thread
        .getBlockedCall()
        .getArgumentsList()
        .forEach(argument -> exclude(argument, argument + ARGUMENT, pageSize));
  }

  private void exclude(long start, long end, int pageSize) {
    long from = start & -pageSize;
    long to = end + pageSize - 1 & -pageSize;
    if (from < 0 || to <= from) {
      return;
    }
    Long first = content.floorKey(from);
    NavigableMap<Long, Long> near = content.tailMap(first == null ? from : first, true);
    for (Range range : ranges(near.headMap(to, false))) {
      if (range.end <= from) {
        continue;
      }
      content.remove(range.start);
      if (range.start < from) {
        content.put(range.start, from);
      }
      if (to < range.end) {
        content.put(to, range.end);
      }
    }
  }

  private static List<Range> ranges(NavigableMap<Long, Long> map) {
    return map.entrySet().stream().map(e -> new Range(e.getKey(), e.getValue())).toList();
  }

  /// Whole mappings to be registered, ascending.
  public List<Range> mappings() {
    return mappings;
  }

  /// Stored pages that come on demand, ascending.
  public List<Range> content() {
    return ranges(content);
  }

  public long bytes() {
    return content.entrySet().stream().mapToLong(e -> e.getValue() - e.getKey()).sum();
  }

  /// The same as [#content].
  public Ranges pages() {
    Ranges ranges = new Ranges();
    content.forEach(ranges::add);
    return ranges;
  }
}
