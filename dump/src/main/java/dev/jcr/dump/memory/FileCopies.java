package dev.jcr.dump.memory;

import dev.jcr.image.v1.SharedObject;
import dev.jcr.image.v1.Vma;
import dev.jcr.image.v1.VmaKind;
import dev.jcr.parasite.linux.FileStatus;
import dev.jcr.parasite.linux.SyscallException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/// Small files that a process maps shared and writable, copied into the image in case they are gone
/// when it is restored. A JVM's performance data is such a file: any other JVM that starts removes
/// those of processes that do not run.
public final class FileCopies {
  private static final long MOST_BYTES = 1 << 20;
  private static final int S_IFMT = 0xf000;
  private static final int S_IFREG = 0x8000;

  private FileCopies() {}

  /// One object for each such file, with ids behind those of `others`.
  public static List<SharedObject> of(List<Vma> vmas, List<SharedObject> others)
      throws SyscallException {
    int id = others.stream().mapToInt(SharedObject::getId).max().orElse(0);
    Set<String> seen = new HashSet<>();
    for (SharedObject other : others) {
      if (other.getKind() == SharedObject.Kind.KIND_EMBEDDED_FILE) {
        seen.add(other.getName());
      }
    }
    List<SharedObject> copies = new ArrayList<>();
    for (Vma vma : vmas) {
      if (vma.getKind() != VmaKind.VMA_SHARED_FILE
          || !vma.getMayWrite()
          || (vma.getFile().getMode() & S_IFMT) != S_IFREG
          || !seen.add(vma.getFile().getPath())) {
        continue;
      }
      FileStatus status = FileStatus.of(vma.getFile().getPath());
      if (status.size() <= MOST_BYTES) {
        copies.add(
            SharedObject.newBuilder()
                .setId(++id)
                .setKind(SharedObject.Kind.KIND_FILE_COPY)
                .setName(vma.getFile().getPath())
                .setSize(status.size())
                .setMode(status.mode())
                .setUid(status.uid())
                .setGid(status.gid())
                .build());
      }
    }
    return copies;
  }
}
