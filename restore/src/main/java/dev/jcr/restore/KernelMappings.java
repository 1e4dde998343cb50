package dev.jcr.restore;

import com.google.protobuf.ByteString;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.v1.Vma;
import dev.jcr.image.v1.VmaKind;
import dev.jcr.parasite.collect.VmaCollector;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.remote.ProcessMemory;
import java.io.IOException;
import java.util.List;

/// The vDSO and its data, as this kernel gives them to every new process.
///
/// @param parts in the order of their addresses, which are those in jcr itself
/// @param code the bytes of the vDSO
record KernelMappings(List<Vma> parts, ByteString code) {
  KernelMappings {
    parts = List.copyOf(parts);
  }

  static KernelMappings ofThisHost() throws CheckpointException, IOException {
    List<Vma> parts =
        VmaCollector.ofStopped()
            .collect(
                Proc.at("/proc/self").smaps().stream()
                    .filter(m -> m.path().equals("[vdso]") || m.path().startsWith("[vvar"))
                    .toList(),
                _ -> 0);
    ByteString code = ByteString.EMPTY;
    try (ProcessMemory self = ProcessMemory.open((int) ProcessHandle.current().pid())) {
      for (Vma part : parts) {
        if (part.getKind() == VmaKind.VMA_VDSO) {
          code = ByteString.copyFrom(self.bytes(part.getStart(), (int) size(part)));
        }
      }
    }
    return new KernelMappings(parts, code);
  }

  /// Bytes of all of them, with what lies between.
  long size() {
    return parts.isEmpty() ? 0 : parts.getLast().getEnd() - parts.getFirst().getStart();
  }

  static long size(Vma vma) {
    return vma.getEnd() - vma.getStart();
  }

  /// The same at another place; their distances stay, which the code relies on.
  KernelMappings at(long start) {
    if (parts.isEmpty()) {
      return this;
    }
    long delta = start - parts.getFirst().getStart();
    return new KernelMappings(
        parts.stream()
            .map(part ->
                part.toBuilder()
                    .setStart(part.getStart() + delta)
                    .setEnd(part.getEnd() + delta)
                    .build())
            .toList(),
        code);
  }
}
