package dev.jcr.image.codec;

import static dev.jcr.image.codec.Rules.each;
import static dev.jcr.image.codec.Rules.in;
import static dev.jcr.image.codec.Rules.that;
import static dev.jcr.image.codec.Rules.upTo;

import dev.jcr.image.codec.Rules.Invalid;
import dev.jcr.image.v1.Arch;
import dev.jcr.image.v1.Host;
import dev.jcr.image.v1.Memory;
import dev.jcr.image.v1.PageRun;
import dev.jcr.image.v1.PageSpace;
import dev.jcr.image.v1.Pagemap;
import dev.jcr.image.v1.SharedObject;
import dev.jcr.image.v1.Vma;
import dev.jcr.image.v1.VmaKind;
import java.util.List;

/// Rules for the address space and for where pages may go.
final class MemoryRules {
  /// TASK_SIZE_MAX of x86_64 with five page-table levels (57-bit addresses, the upper half is the
  /// kernel's).
  private static final long X86_END = (1L << 56) - 4096;

  /// aarch64 with 52-bit addresses.
  private static final long ARM_END = 1L << 52;

  /// Fixed by the ABI; above all user addresses.
  private static final long VSYSCALL = 0xffff_ffff_ff60_0000L;

  /// MAP_FIXED and MAP_FIXED_NOREPLACE are restore's to decide.
  private static final int FORBIDDEN_FLAGS = 0x10 | 0x10_0000;

  private static final int PROT_MTE = 0x20;
  private static final int PROT_READ_WRITE = 3;

  /// A guarded control stack of arm64; shadow stacks of x86_64 are not supported yet.
  private static final String SHADOW_STACK = "ss";

  /// Memory that a byte of tags is for.
  private static final int BYTES_OF_TAG_BYTE = 32;

  private final FileRules files;
  private final int pageSize;
  private final long end;
  private final int protections;

  MemoryRules(Host host, FileRules files) {
    this.files = files;
    this.pageSize = host.getPageSize();
    boolean arm = host.getArch() == Arch.ARCH_AARCH64;
    this.end = arm ? ARM_END : X86_END;
    // PROT_BTI 0x10 and PROT_MTE 0x20.
    this.protections = arm ? 0x37 : 0x7;
  }

  void check(Memory memory) throws Invalid {
    pair(memory.getStartCode(), memory.getEndCode(), "end_code");
    pair(memory.getStartData(), memory.getEndData(), "end_data");
    pair(memory.getStartBrk(), memory.getBrk(), "brk");
    pair(memory.getStartStack(), memory.getStartStack(), "start_stack");
    pair(memory.getArgStart(), memory.getArgEnd(), "arg_end");
    pair(memory.getEnvStart(), memory.getEnvEnd(), "env_end");
    that(
        memory.getAuxv().size() % 16 == 0 && memory.getAuxv().size() <= 4096,
        "auxv is not made of pairs of words");
    that((memory.getLockFuture() & ~6) == 0, "lock_future has unknown bits");
    long[] previous = {0};
    each(
        "vmas",
        memory.getVmasList(),
        vma -> {
          that(
              Long.compareUnsigned(vma.getStart(), previous[0]) >= 0,
              "start is out of order or overlaps");
          previous[0] = vma.getEnd();
          vma(vma);
        });
    long[] tagged = {0};
    each(
        "tags",
        memory.getTagsList(),
        run -> {
          long length = (long) run.getTags().size() * BYTES_OF_TAG_BYTE;
          that(
              run.getStart() >= tagged[0] && run.getStart() % pageSize == 0,
              "start is out of order or not page-aligned");
          that(length > 0 && length % pageSize == 0, "tags are not those of whole pages");
          tagged[0] = run.getStart() + length;
          that(
              isTagged(memory.getVmasList(), run.getStart(), tagged[0]),
              "tags lie outside memory that has them");
        });
  }

  /// Whether all of a range lies in mappings with PROT_MTE.
  private static boolean isTagged(List<Vma> vmas, long start, long end) {
    long at = start;
    for (Vma vma : vmas) {
      if (vma.getStart() <= at && at < vma.getEnd() && (vma.getProtection() & PROT_MTE) != 0) {
        at = vma.getEnd();
      }
    }
    return at >= end;
  }

  private void pair(long from, long to, String name) throws Invalid {
    that(from >= 0 && from <= to && to < end, name + " is not an address behind its start");
  }

  private void vma(Vma vma) throws Invalid {
    if (vma.getKind() == VmaKind.VMA_VSYSCALL) {
      that(
          end == X86_END && vma.getStart() == VSYSCALL && vma.getEnd() == VSYSCALL + 4096,
          "start of the vsyscall page is another");
    } else {
      that(
          vma.getStart() >= 0 && vma.getStart() < vma.getEnd() && vma.getEnd() <= end,
          "end lies outside the user's addresses or not behind start");
    }
    that(
        vma.getStart() % pageSize == 0 && vma.getEnd() % pageSize == 0,
        "start is not page-aligned");
    that(
        vma.getOffset() >= 0
            && vma.getOffset() % pageSize == 0
            && vma.getOffset() <= Long.MAX_VALUE - (vma.getEnd() - vma.getStart()),
        "offset is not page-aligned or too large");
    that((vma.getProtection() & ~protections) == 0, "protection has unknown bits");
    that((vma.getFlags() & FORBIDDEN_FLAGS) == 0, "flags hold MAP_FIXED");
    that(upTo(vma.getProtectionKey(), 15), "protection_key is beyond 15");
    // ANON_VMA_NAME_MAX_LEN 80 with the NUL.
    that(
        vma.getName().size() < 80 && !Rules.hasNul(vma.getName()), "name is too long or has a NUL");
    vmFlags(vma.getVmFlagsList());
    that(
        !vma.getVmFlagsList().contains(SHADOW_STACK)
            || (end == ARM_END
                && vma.getKind() == VmaKind.VMA_PRIVATE_ANONYMOUS
                && (vma.getProtection() & ~PROT_READ_WRITE) == 0),
        "vm_flags make a shadow stack of memory that cannot be one");
    long[] previous = {vma.getStart()};
    each(
        "guards",
        vma.getGuardsList(),
        guard -> {
          that(
              Long.compareUnsigned(guard.getStart(), previous[0]) >= 0
                  && Long.compareUnsigned(guard.getStart(), guard.getEnd()) < 0
                  && Long.compareUnsigned(guard.getEnd(), vma.getEnd()) <= 0,
              "start is out of order or outside the mapping");
          that(
              guard.getStart() % pageSize == 0 && guard.getEnd() % pageSize == 0,
              "start is not page-aligned");
          previous[0] = guard.getEnd();
        });
    if (vma.hasNumaPolicy()) {
      Rules.in("numa_policy", vma.getNumaPolicy(), Rules::numaPolicy);
    }
    that(
        vma.getObjectId() == 0 || files.object(vma.getObjectId()) != null,
        "object_id is of no object");
    switch (vma.getKind()) {
      case VMA_PRIVATE_FILE, VMA_SHARED_FILE ->
          that(vma.hasFile() || vma.getObjectId() != 0, "file is missing");
      case VMA_SHARED_MEMORY -> that(vma.getObjectId() != 0, "object_id is missing");
      case VMA_PRIVATE_ANONYMOUS, VMA_VDSO, VMA_VVAR, VMA_VSYSCALL ->
          that(!vma.hasFile() && vma.getObjectId() == 0, "file is there without a file mapping");
      case VMA_UNSPECIFIED, UNRECOGNIZED -> throw new Invalid("kind is missing");
    }
  }

  private static void vmFlags(List<String> flags) throws Invalid {
    String previous = "";
    for (String flag : flags) {
      that(
          flag.length() == 2 && flag.chars().allMatch(c -> c > ' ' && c < 0x7f),
          "vm_flags are not pairs of letters");
      that(flag.compareTo(previous) > 0, "vm_flags are out of order");
      previous = flag;
    }
  }

  /// Runs lie where pages can be: space 0 in private mappings, others in their object.
  void pages(Memory memory, Pagemap pagemap) throws Invalid {
    for (PageSpace space : pagemap.getSpacesList()) {
      in(
          "pagemap space " + space.getId(),
          space,
          s -> {
            if (s.getId() == 0) {
              inVmas(memory.getVmasList(), s.getRunsList());
            } else {
              SharedObject object = files.object(s.getId());
              that(object != null, " is of no shared object");
              inObject(object == null ? 0 : object.getSize(), s.getRunsList());
            }
          });
    }
  }

  private void inVmas(List<Vma> vmas, List<PageRun> runs) throws Invalid {
    int at = 0;
    for (PageRun run : runs) {
      long address = run.getStart();
      long runEnd = address + run.getPages() * pageSize;
      while (address < runEnd) {
        while (at < vmas.size() && Long.compareUnsigned(vmas.get(at).getEnd(), address) <= 0) {
          at++;
        }
        that(
            at < vmas.size()
                && Long.compareUnsigned(vmas.get(at).getStart(), address) <= 0
                && holdsPages(vmas.get(at).getKind()),
            " has pages at an address that no private mapping covers");
        address = Math.min(runEnd, vmas.get(at).getEnd());
      }
    }
  }

  private static boolean holdsPages(VmaKind kind) {
    return switch (kind) {
      case VMA_PRIVATE_ANONYMOUS, VMA_PRIVATE_FILE, VMA_VDSO -> true;
      case VMA_SHARED_FILE, VMA_SHARED_MEMORY, VMA_VVAR, VMA_VSYSCALL -> false;
      case VMA_UNSPECIFIED, UNRECOGNIZED -> false;
    };
  }

  private void inObject(long size, List<PageRun> runs) throws Invalid {
    for (PageRun run : runs) {
      long last = run.getStart() + (run.getPages() - 1) * pageSize;
      that(last < size, " has pages behind the object's end");
    }
  }
}
