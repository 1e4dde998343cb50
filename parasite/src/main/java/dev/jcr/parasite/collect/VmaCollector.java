package dev.jcr.parasite.collect;

import com.google.protobuf.ByteString;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.CheckpointException.Problem;
import dev.jcr.image.v1.Arch;
import dev.jcr.image.v1.FileIdentity;
import dev.jcr.image.v1.Vma;
import dev.jcr.image.v1.VmaKind;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.procfs.Smaps;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/// /proc/PID/smaps as VMAs of the image.
public final class VmaCollector {
  private static final String DELETED = " (deleted)";

  /// Memory of MAP_ANONYMOUS | MAP_HUGETLB.
  private static final String HUGE_ANONYMOUS = "/anon_hugepage (deleted)";

  /// With the logarithm of the page size from bit MAP_HUGE_SHIFT on.
  public static final int MAP_HUGETLB = 0x40000;

  private static final int MAP_HUGE_SHIFT = 26;
  private static final int MAP_GROWSDOWN = 0x100;
  private static final int MAP_NORESERVE = 0x4000;
  private static final int MAP_DROPPABLE = 0x08;

  /// Of `<asm/mman.h>` on arm64: guarded pages, where indirect branches must land on a BTI; memory
  /// with tags.
  private static final int PROT_BTI = 0x10;

  private static final int PROT_MTE = 0x20;

  /// The letters of a shadow stack; on aarch64 a guarded control stack.
  public static final String SHADOW_STACK = "ss";

  /// VmFlags that restore puts back.
  private static final Set<String> KEPT =
      Set.of("lo", "lf", "sr", "rr", "dc", "dd", "wf", "hg", "nh", "mg", "sl", SHADOW_STACK);

  /// VmFlags that nobody can put back, with the reason.
  private static final Map<String, String> REFUSED =
      Map.of(
          "um",
          "it is registered with a userfaultfd",
          "ui",
          "it is registered with a userfaultfd",
          SHADOW_STACK,
          "shadow stacks are not supported yet",
          "io",
          "it maps device memory",
          "pf",
          "it maps device memory");

  /// Maps an inode that lives in no file (shared anonymous memory, memfd, deleted file) to the
  /// object whose content is in the image.
  @FunctionalInterface
  public interface Objects {
    int objectFor(Smaps mapping) throws CheckpointException;
  }

  private final Map<String, FileIdentity> files = new HashMap<>();
  private final boolean running;

  private VmaCollector(boolean running) {
    this.running = running;
  }

  /// For a process that is stopped.
  public static VmaCollector ofStopped() {
    return new VmaCollector(false);
  }

  /// For a process that goes on: a file that is gone since its mapping was listed counts as
  /// deleted.
  public static VmaCollector ofRunning() {
    return new VmaCollector(true);
  }

  /// What cannot be restored, all of it.
  public static List<Problem> problems(List<Smaps> mappings) {
    return problems(mappings, Kernel.HOST);
  }

  static List<Problem> problems(List<Smaps> mappings, Arch arch) {
    List<Problem> problems = new ArrayList<>();
    for (Smaps mapping : mappings) {
      if (isKernels(mapping)) {
        continue;
      }
      Optional<String> reason =
          mapping.vmFlags().stream()
              .filter(REFUSED::containsKey)
              .filter(flag -> !(flag.equals(SHADOW_STACK) && arch == Arch.ARCH_AARCH64))
              .findFirst()
              .map(REFUSED::get);
      if (reason.isEmpty()) {
        reason = unsupportedPath(mapping);
      }
      if (reason.isEmpty() && mapping.protectionKey() != 0) {
        reason = Optional.of("it has a protection key, not supported yet");
      }
      reason.ifPresent(text ->
          problems.add(
              new Problem(
                  "vma",
                  "mapping 0x%x-0x%x%s"
                      .formatted(
                          mapping.start(),
                          mapping.end(),
                          mapping.path().isEmpty() ? "" : " of " + mapping.path()),
                  text,
                  "unmap it before the dump")));
    }
    return problems;
  }

  private static Optional<String> unsupportedPath(Smaps mapping) {
    String path = mapping.path();
    if (path.startsWith("anon_inode:") || path.startsWith("[uprobes]")) {
      return Optional.of("mappings of " + path + " are not supported");
    }
    if (path.startsWith("/[aio]")) {
      return Optional.of("an asynchronous I/O context (io_setup) is not supported yet");
    }
    if (path.startsWith("/SYSV") && mapping.offset() != 0) {
      return Optional.of("only a part of this System V segment is attached");
    }
    if (path.startsWith("socket:")) {
      return Optional.of("mappings of sockets are not supported");
    }
    boolean ownObject = path.equals(HUGE_ANONYMOUS) || path.startsWith("/memfd:");
    if (isHuge(mapping) && !ownObject) {
      return Optional.of("huge TLB pages of a file or a System V segment are not supported yet");
    }
    if (isSecret(mapping) && !mapping.vmFlags().contains("dd")) {
      return Optional.of("secret memory (memfd_secret) in core dumps (MADV_DODUMP)");
    }
    return Optional.empty();
  }

  private static boolean isSecret(Smaps mapping) {
    return mapping.path().equals("/secretmem" + DELETED);
  }

  private static boolean isHuge(Smaps mapping) {
    return mapping.vmFlags().contains("ht");
  }

  /// Shared anonymous memory, memfds, deleted files: content without a path. Private memory of huge
  /// pages has a file in the kernel too, but its content is its own.
  public static boolean isObject(Smaps mapping) {
    boolean privateHuge =
        mapping.path().equals(HUGE_ANONYMOUS) && mapping.permissions().charAt(3) == 'p';
    // The first System V segment has inode 0.
    return mapping.path().endsWith(DELETED)
        && !privateHuge
        && (mapping.inode() != 0 || mapping.path().startsWith("/SYSV"));
  }

  /// [vdso], [vvar], [vsyscall]: mapped by the kernel, not by the process.
  private static boolean isKernels(Smaps mapping) {
    return mapping.path().equals("[vdso]")
        || mapping.path().startsWith("[vvar")
        || mapping.path().equals("[vsyscall]");
  }

  public List<Vma> collect(List<Smaps> mappings, Objects objects) throws CheckpointException {
    List<Vma> vmas = new ArrayList<>();
    long end = 0;
    for (Smaps mapping : mappings) {
      if (!running || Long.compareUnsigned(mapping.start(), end) >= 0) {
        vmas.add(vma(mapping, objects));
      } else if (Long.compareUnsigned(mapping.end(), end) > 0) {
        // Of a running process the list is read in pieces. A mapping that joined the one before
        // between two of them is shown whole, from before the end of what was shown already.
        Vma vma = vma(mapping, objects);
        vmas.add(
            vma.toBuilder()
                .setStart(end)
                .setOffset(mapping.inode() == 0 ? 0 : vma.getOffset() + end - mapping.start())
                .build());
      } else {
        continue;
      }
      end = mapping.end();
    }
    return vmas;
  }

  private Vma vma(Smaps mapping, Objects objects) throws CheckpointException {
    String permissions = mapping.permissions();
    boolean shared = permissions.charAt(3) == 's';
    Vma.Builder vma =
        Vma.newBuilder()
            .setStart(mapping.start())
            .setEnd(mapping.end())
            .setProtection(
                (permissions.charAt(0) == 'r' ? 1 : 0)
                    | (permissions.charAt(1) == 'w' ? 2 : 0)
                    | (permissions.charAt(2) == 'x' ? 4 : 0)
                    | (mapping.vmFlags().contains("bt") ? PROT_BTI : 0)
                    | (mapping.vmFlags().contains("mt") ? PROT_MTE : 0))
            .setFlags(flags(mapping))
            .setProtectionKey(mapping.protectionKey());
    mapping.vmFlags().stream()
        .filter(KEPT::contains)
        // Secret memory is locked from the start, and mlock(2) does not take it.
        .filter(flag -> !(isSecret(mapping) && flag.equals("lo")))
        .sorted()
        .forEach(vma::addVmFlags);
    String path = mapping.path();
    if (path.equals("[vdso]")) {
      return vma.setKind(VmaKind.VMA_VDSO).build();
    }
    if (path.startsWith("[vvar")) {
      return vma.setKind(VmaKind.VMA_VVAR).build();
    }
    if (path.equals("[vsyscall]")) {
      return vma.setKind(VmaKind.VMA_VSYSCALL).build();
    }
    if (isObject(mapping)) {
      return object(vma, mapping, objects);
    }
    if (path.equals(HUGE_ANONYMOUS)) {
      return vma.setKind(VmaKind.VMA_PRIVATE_ANONYMOUS).build();
    }
    if (mapping.inode() == 0) {
      if (path.startsWith("[anon:")) {
        vma.setName(
            ByteString.copyFrom(path.substring(6, path.length() - 1), StandardCharsets.ISO_8859_1));
      } else if (!path.isEmpty() && !path.equals("[heap]") && !path.equals("[stack]")) {
        throw new CheckpointException(
            Outcome.UNSUPPORTED,
            "cannot dump mapping 0x%x-0x%x: %s is not known"
                .formatted(mapping.start(), mapping.end(), path));
      }
      return vma.setKind(VmaKind.VMA_PRIVATE_ANONYMOUS).build();
    }
    FileIdentity file = files.get(path);
    if (file == null) {
      try {
        file = FileIdentities.of(path);
      } catch (CheckpointException e) {
        if (running && isGone(e)) {
          return object(vma, mapping, objects);
        }
        throw e;
      }
      files.put(path, file);
    }
    return vma.setKind(shared ? VmaKind.VMA_SHARED_FILE : VmaKind.VMA_PRIVATE_FILE)
        .setOffset(mapping.offset())
        .setFile(file)
        .setMayWrite(shared && mapping.vmFlags().contains("mw"))
        .build();
  }

  private static Vma object(Vma.Builder vma, Smaps mapping, Objects objects)
      throws CheckpointException {
    boolean shared = mapping.permissions().charAt(3) == 's';
    return vma.setKind(shared ? VmaKind.VMA_SHARED_MEMORY : VmaKind.VMA_PRIVATE_FILE)
        .setOffset(mapping.offset())
        .setObjectId(objects.objectFor(mapping))
        .setMayWrite(mapping.vmFlags().contains("mw"))
        .build();
  }

  /// Whether a mapped file was removed after its mapping was listed: the next list says so.
  public static boolean isGone(CheckpointException failure) {
    return failure.getCause() instanceof SyscallException cause && cause.errno() == Errno.ENOENT;
  }

  /// Neighbours that differ in nothing as one: the kernel splits and merges them by history.
  public static List<Vma> merged(List<Vma> vmas) {
    List<Vma> merged = new ArrayList<>();
    for (Vma vma : vmas) {
      Vma last = merged.isEmpty() ? null : merged.getLast();
      if (last != null && continues(last, vma)) {
        merged.set(merged.size() - 1, last.toBuilder().setEnd(vma.getEnd()).build());
      } else {
        merged.add(vma);
      }
    }
    return merged;
  }

  private static boolean continues(Vma last, Vma next) {
    boolean mapsObject = next.hasFile() || next.getObjectId() != 0;
    long offset = mapsObject ? last.getOffset() + (last.getEnd() - last.getStart()) : 0;
    return last.getEnd() == next.getStart()
        && offset == next.getOffset()
        && last.toBuilder()
            .setEnd(0)
            .setStart(0)
            .setOffset(0)
            .build()
            .equals(next.toBuilder().setEnd(0).setStart(0).setOffset(0).build());
  }

  private static int flags(Smaps mapping) {
    int flags = 0;
    for (String flag : mapping.vmFlags()) {
      flags |=
          switch (flag) {
            case "gd" -> MAP_GROWSDOWN;
            case "nr" -> MAP_NORESERVE;
            case "dp" -> MAP_DROPPABLE;
            case "ht" ->
                MAP_HUGETLB
                    | Long.numberOfTrailingZeros(mapping.kernelPageSizeKb() * 1024)
                        << MAP_HUGE_SHIFT;
            default -> 0;
          };
    }
    return flags;
  }
}
