package dev.jcr.restore.memory;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.pages.Ranges;
import dev.jcr.image.v1.FileIdentity;
import dev.jcr.image.v1.GuardRange;
import dev.jcr.image.v1.Memory;
import dev.jcr.image.v1.NumaPolicy;
import dev.jcr.image.v1.Vma;
import dev.jcr.image.v1.VmaKind;
import dev.jcr.parasite.arch.Machine;
import dev.jcr.parasite.collect.NumaPolicies;
import dev.jcr.parasite.collect.VmaCollector;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FileName;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Prctl;
import dev.jcr.parasite.linux.SharedMemory;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.procfs.MapsEntry;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.remote.Batch;
import dev.jcr.parasite.remote.OwnedProcess;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;

/// Builds the mappings of a new process by calls made inside it.
public final class AddressSpace {
  private static final int PROT_WRITE = 2;
  private static final int PROT_READ_WRITE = 3;
  private static final int PROT_EXEC = 4;
  private static final int PROT_ALL = 7;
  private static final int MAP_SHARED = 1;
  private static final int MAP_PRIVATE = 2;
  private static final int MAP_DROPPABLE = 8;
  private static final int MAP_ANONYMOUS = 0x20;
  private static final int MAP_FIXED_NOREPLACE = 0x100000;
  private static final int MREMAP_MAYMOVE_FIXED = 3;
  private static final int MADV_NOHUGEPAGE = 15;
  private static final int MADV_GUARD_INSTALL = 102;
  private static final int MLOCK_ONFAULT = 1;

  /// Two calls each.
  private static final int PLAIN_AT_ONCE = Batch.MOST_CALLS / 2;

  /// Bytes of the bootstrap pages for code: of any architecture's largest page.
  private static final int CODE_SIZE = 1 << 16;

  private final OwnedProcess process;
  private final ObjectDescriptors objectFd;
  private final Proc proc;
  private final Ranges kept;
  private String openPath = "";
  private boolean openWritable;
  private long openFd = -1;

  /// Descriptor in the new process of a shared object's content, by object id.
  @FunctionalInterface
  public interface ObjectDescriptors {
    int of(int objectId) throws CheckpointException;
  }

  /// @param kept private anonymous mappings, readable and writable, that are there and stay
  public AddressSpace(OwnedProcess process, ObjectDescriptors objectFd, Ranges kept) {
    this.process = process;
    this.objectFd = objectFd;
    this.kept = kept;
    this.proc = Proc.of(process.tid());
  }

  /// Maps memory with code and room for batches of calls, and has the process make its calls there.
  public static void mapBootstrap(OwnedProcess process, long bootstrap, int size)
      throws CheckpointException {
    long at =
        process.require(
            "map the bootstrap pages",
            Syscall.MMAP,
            bootstrap,
            size,
            PROT_ALL,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
            -1,
            0);
    Machine machine = Machine.of(Kernel.HOST);
    try (Arena arena = Arena.ofConfined()) {
      process.write(at, arena.allocateFrom(JAVA_BYTE, machine.batchCode()));
    }
    process.moveTo(at + machine.syscallOffset(), at + CODE_SIZE, size - CODE_SIZE);
  }

  /// Maps code and scratch pages at `bootstrap`, moves there, and unmaps all else but the kernel's
  /// own mappings.
  public void empty(long bootstrap, int size) throws CheckpointException, IOException {
    mapBootstrap(process, bootstrap, size);
    for (MapsEntry entry : proc.maps()) {
      boolean own = entry.start() >= bootstrap && entry.end() <= bootstrap + size;
      if (!own && !isKernels(entry) && !entry.path().equals("[vsyscall]")) {
        Ranges.of(entry.start(), entry.end())
            .minus(kept)
            .forEach((start, end) ->
                process.require("unmap the stub", Syscall.MUNMAP, start, end - start));
      }
    }
  }

  private static boolean isKernels(MapsEntry entry) {
    return entry.path().equals("[vdso]") || entry.path().startsWith("[vvar");
  }

  /// Moves each of the kernel's mappings as a whole, first to `temporary`, because the places may
  /// overlap. They keep their distances, which the code in the vDSO relies on.
  public void placeVdso(List<Vma> wanted, long temporary) throws CheckpointException, IOException {
    List<MapsEntry> own = proc.maps().stream().filter(AddressSpace::isKernels).toList();
    if (wanted.isEmpty()) {
      for (MapsEntry entry : own) {
        process.require(
            "unmap " + entry.path(), Syscall.MUNMAP, entry.start(), entry.end() - entry.start());
      }
      return;
    }
    boolean same = own.size() == wanted.size();
    for (int i = 0; same && i < own.size(); i++) {
      same =
          own.get(i).end() - own.get(i).start() == wanted.get(i).getEnd() - wanted.get(i).getStart()
              && own.get(i).path().equals("[vdso]")
                  == (wanted.get(i).getKind() == VmaKind.VMA_VDSO);
    }
    if (!same) {
      throw new CheckpointException(
          Outcome.IMAGE,
          "cannot place the vDSO: this kernel's vDSO mappings differ from the image's; restore on"
              + " the kernel build that the image was made on");
    }
    long delta = temporary - own.getFirst().start();
    for (MapsEntry entry : own) {
      move(entry.path(), entry.start(), entry.end() - entry.start(), entry.start() + delta);
    }
    for (int i = 0; i < own.size(); i++) {
      move(
          own.get(i).path(),
          own.get(i).start() + delta,
          own.get(i).end() - own.get(i).start(),
          wanted.get(i).getStart());
    }
  }

  /// Writes code over a mapping that need not be writable, and reads it back.
  public void redirectVdso(long start, byte[] code) throws CheckpointException {
    process.memory().writeForced(start, code);
    if (!Arrays.equals(process.memory().bytes(start, code.length), code)) {
      throw new CheckpointException(
          Outcome.FAILED, "cannot prove the vDSO at 0x%x: it has other bytes".formatted(start));
    }
  }

  private void move(String what, long from, long size, long to) throws CheckpointException {
    if (from != to) {
      process.require("move " + what, Syscall.MREMAP, from, size, size, MREMAP_MAYMOVE_FIXED, to);
    }
  }

  /// mmap(2) of one VMA; `writable` adds PROT_WRITE until [#finish].
  public void map(Vma vma, boolean writable) throws CheckpointException {
    Ranges missing = missing(vma);
    if (isWhole(missing, vma)) {
      map(vma, vma.getProtection() | (writable ? PROT_WRITE : 0), vma.getStart(), vma.getEnd());
      return;
    }
    // With the protection of what is there, so that they become one mapping.
    missing.forEach((start, end) -> map(vma, PROT_READ_WRITE, start, end));
    if (vma.getProtection() != PROT_READ_WRITE) {
      process.require(
          "protect 0x%x-0x%x".formatted(vma.getStart(), vma.getEnd()),
          Syscall.MPROTECT,
          vma.getStart(),
          vma.getEnd() - vma.getStart(),
          vma.getProtection());
    }
  }

  /// Whether mapping it takes no calls but mmap(2), and madvise(2) against huge pages.
  public boolean isPlain(Vma vma) {
    return vma.getObjectId() == 0
        && !vma.hasFile()
        && !vma.hasNumaPolicy()
        && !vma.getVmFlagsList().contains(VmaCollector.SHADOW_STACK)
        && isWhole(missing(vma), vma);
  }

  private Ranges missing(Vma vma) {
    return Ranges.of(vma.getStart(), vma.getEnd()).minus(kept);
  }

  private static boolean isWhole(Ranges missing, Vma vma) {
    return missing.size() == 1
        && missing.start(0) == vma.getStart()
        && missing.end(0) == vma.getEnd();
  }

  /// Maps many that are [#isPlain] with few stops.
  ///
  /// @param writable whether each is to have PROT_WRITE until [#finish]
  public void mapPlain(List<Vma> vmas, List<Boolean> writable) throws CheckpointException {
    for (int from = 0; from < vmas.size(); from += PLAIN_AT_ONCE) {
      int to = Math.min(vmas.size(), from + PLAIN_AT_ONCE);
      mapTogether(vmas.subList(from, to), writable.subList(from, to));
    }
  }

  private void mapTogether(List<Vma> vmas, List<Boolean> writable) throws CheckpointException {
    Batch batch = process.batch();
    int[] mapped = new int[vmas.size()];
    int[] advised = new int[vmas.size()];
    for (int i = 0; i < mapped.length; i++) {
      Vma vma = vmas.get(i);
      long length = vma.getEnd() - vma.getStart();
      int protection = vma.getProtection() | (writable.get(i) ? PROT_WRITE : 0);
      mapped[i] =
          batch.add(
              Syscall.MMAP,
              vma.getStart(),
              length,
              protection,
              flags(vma) | MAP_ANONYMOUS,
              -1,
              vma.getOffset());
      advised[i] =
          hasSmallPages(vma)
              ? batch.add(Syscall.MADVISE, vma.getStart(), length, MADV_NOHUGEPAGE)
              : mapped[i];
    }
    Batch.Results results = process.run(batch);
    for (int i = 0; i < mapped.length; i++) {
      Vma vma = vmas.get(i);
      requireMapped(vma, vma.getStart(), vma.getEnd(), results.value(mapped[i]));
      if (Kernel.isError(results.value(advised[i]))) {
        throw new CheckpointException(
            Outcome.FAILED,
            "cannot advise 0x%x-0x%x: %s"
                .formatted(
                    vma.getStart(),
                    vma.getEnd(),
                    Errno.describe((int) -results.value(advised[i]))));
      }
    }
  }

  private static boolean hasSmallPages(Vma vma) {
    return vma.getVmFlagsList().contains("nh");
  }

  private static int flags(Vma vma) {
    boolean shared =
        vma.getKind() == VmaKind.VMA_SHARED_FILE || vma.getKind() == VmaKind.VMA_SHARED_MEMORY;
    // MAP_DROPPABLE is a type of its own, beside shared and private.
    boolean droppable = (vma.getFlags() & MAP_DROPPABLE) != 0;
    int type = droppable ? 0 : shared ? MAP_SHARED : MAP_PRIVATE;
    return vma.getFlags() | MAP_FIXED_NOREPLACE | type;
  }

  private void map(Vma vma, int protection, long start, long end) throws CheckpointException {
    long length = end - start;
    int flags = flags(vma);
    long fd;
    if (vma.getObjectId() != 0) {
      fd = objectFd.of(vma.getObjectId());
    } else if (vma.hasFile()) {
      fd = open(vma.getFile(), vma.getMayWrite());
    } else {
      flags |= MAP_ANONYMOUS;
      fd = -1;
    }
    // Like mmap(2) with MAP_FIXED_NOREPLACE.
    long result =
        vma.getVmFlagsList().contains(VmaCollector.SHADOW_STACK)
            ? process.call(Syscall.MAP_SHADOW_STACK, start, length, 0)
            : process.call(Syscall.MMAP, start, length, protection, flags, fd, vma.getOffset());
    requireMapped(vma, start, end, result);
    if (vma.hasNumaPolicy()) {
      // Before the contents, which take their pages by it.
      NumaPolicy policy = vma.getNumaPolicy();
      try (Arena arena = Arena.ofConfined()) {
        process.write(process.scratch(), arena.allocateFrom(JAVA_BYTE, NumaPolicies.mask(policy)));
      }
      process.require(
          "set the NUMA policy of 0x%x-0x%x (this host must have its nodes)".formatted(start, end),
          Syscall.MBIND,
          start,
          length,
          policy.getMode(),
          policy.getNodesCount() == 0 ? 0 : process.scratch(),
          NumaPolicies.maskBits(policy),
          0);
    }
    smallPages(vma, start, end);
  }

  private static void requireMapped(Vma vma, long start, long end, long result)
      throws CheckpointException {
    if (result != start) {
      String reason =
          Kernel.isError(result)
              ? Errno.describe((int) -result)
              : "it was placed at 0x" + Long.toHexString(result);
      throw new CheckpointException(
          result == -Errno.EPERM || result == -Errno.EACCES ? Outcome.PERMISSION : Outcome.FAILED,
          "cannot map 0x%x-0x%x%s: %s"
              .formatted(
                  start,
                  end,
                  vma.hasFile() ? " of " + vma.getFile().getPath() : "",
                  reason
                      + ((vma.getFlags() & VmaCollector.MAP_HUGETLB) != 0
                          ? "; it needs free huge TLB pages (vm.nr_hugepages)"
                          : "")));
    }
  }

  /// Before the contents: a page written into a mapping that may have huge ones takes a huge one.
  private void smallPages(Vma vma, long start, long end) throws CheckpointException {
    if (hasSmallPages(vma)) {
      advise("0x%x-0x%x".formatted(start, end), start, end - start, MADV_NOHUGEPAGE);
    }
  }

  /// shmat(2): a mapping of a whole System V segment.
  public void attach(Vma vma, int segment) throws CheckpointException {
    int flags =
        (vma.getMayWrite() ? 0 : SharedMemory.SHM_RDONLY)
            | ((vma.getProtection() & PROT_EXEC) != 0 ? SharedMemory.SHM_EXEC : 0);
    String what = "System V segment " + segment;
    process.require("attach " + what, Syscall.SHMAT, segment, vma.getStart(), flags);
    process.require(
        "protect " + what,
        Syscall.MPROTECT,
        vma.getStart(),
        vma.getEnd() - vma.getStart(),
        vma.getProtection());
    smallPages(vma, vma.getStart(), vma.getEnd());
  }

  /// Mappings of one file follow each other: the last file stays open.
  private long open(FileIdentity file, boolean writable) throws CheckpointException {
    if (openFd >= 0 && file.getPath().equals(openPath) && openWritable == writable) {
      return openFd;
    }
    closeFile();
    writeScratch(file.getPath());
    openFd =
        process.require(
            "open " + file.getPath(),
            Syscall.OPENAT,
            Fd.AT_FDCWD,
            process.scratch(),
            (writable ? Fd.O_RDWR : Fd.O_RDONLY) | Fd.O_CLOEXEC,
            0);
    openPath = file.getPath();
    openWritable = writable;
    return openFd;
  }

  /// Closes what [#map] kept open.
  public void closeFile() throws CheckpointException {
    if (openFd >= 0) {
      process.call(Syscall.CLOSE, openFd);
      openFd = -1;
    }
  }

  /// A string at the start of the scratch memory.
  private void writeScratch(String text) throws CheckpointException {
    try (Arena arena = Arena.ofConfined()) {
      process.write(process.scratch(), FileName.allocate(arena, text));
    }
  }

  /// Final protection, advice, locks and name.
  public void finish(Vma vma, boolean protect) throws CheckpointException {
    long start = vma.getStart();
    long length = vma.getEnd() - start;
    String what = "0x%x-0x%x".formatted(start, vma.getEnd());
    if (protect) {
      process.require("protect " + what, Syscall.MPROTECT, start, length, vma.getProtection());
    }
    if (!vma.getName().isEmpty()) {
      try (Arena arena = Arena.ofConfined()) {
        byte[] name = vma.getName().toByteArray();
        MemorySegment text = arena.allocate(name.length + 1L);
        MemorySegment.copy(name, 0, text, JAVA_BYTE, 0, name.length);
        process.write(process.scratch(), text);
      }
      process.require(
          "name " + what, Syscall.PRCTL, Prctl.SET_VMA, 0, start, length, process.scratch());
    }
    for (String flag : vma.getVmFlagsList()) {
      switch (flag) {
        case "lo" -> {
          if (vma.getVmFlagsList().contains("lf")) {
            process.require("lock " + what, Syscall.MLOCK2, start, length, MLOCK_ONFAULT);
          } else {
            process.require("lock " + what, Syscall.MLOCK, start, length);
          }
        }
        case "sr" -> advise(what, start, length, 2);
        case "rr" -> advise(what, start, length, 1);
        case "dc" -> advise(what, start, length, 10);
        case "dd" -> advise(what, start, length, 16);
        case "wf" -> advise(what, start, length, 18);
        case "hg" -> advise(what, start, length, 14);
        case "mg" -> advise(what, start, length, 12);
        default -> {}
      }
    }
    for (GuardRange guard : vma.getGuardsList()) {
      process.require(
          "guard 0x%x-0x%x".formatted(guard.getStart(), guard.getEnd()),
          Syscall.MADVISE,
          guard.getStart(),
          guard.getEnd() - guard.getStart(),
          MADV_GUARD_INSTALL);
    }
    if (vma.getVmFlagsList().contains("sl")) {
      // Last: a sealed mapping takes no advice.
      process.require("seal " + what, Syscall.MSEAL, start, length, 0);
    }
  }

  private void advise(String what, long start, long length, int advice) throws CheckpointException {
    process.require("advise " + what, Syscall.MADVISE, start, length, advice);
  }

  /// prctl(PR_SET_MM, PR_SET_MM_MAP): ranges, auxv and the executable. The stub's executable must
  /// not be mapped any more.
  public void layout(Memory memory, FileIdentity executable) throws CheckpointException {
    long fd = open(executable, false);
    int mapSize = 104;
    byte[] auxv = memory.getAuxv().toByteArray();
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment map = arena.allocate(mapSize + auxv.length, 8);
      long[] words = {
        memory.getStartCode(),
        memory.getEndCode(),
        memory.getStartData(),
        memory.getEndData(),
        memory.getStartBrk(),
        memory.getBrk(),
        memory.getStartStack(),
        memory.getArgStart(),
        memory.getArgEnd(),
        memory.getEnvStart(),
        memory.getEnvEnd(),
        process.scratch() + mapSize
      };
      for (int i = 0; i < words.length; i++) {
        map.setAtIndex(JAVA_LONG, i, words[i]);
      }
      map.set(JAVA_INT, 96, auxv.length);
      map.set(JAVA_INT, 100, (int) fd);
      MemorySegment.copy(auxv, 0, map, JAVA_BYTE, mapSize, auxv.length);
      process.write(process.scratch(), map);
    }
    process.require(
        "set the memory layout and executable " + executable.getPath(),
        Syscall.PRCTL,
        Prctl.SET_MM,
        Prctl.SET_MM_MAP,
        process.scratch(),
        mapSize,
        0);
    closeFile();
  }
}
