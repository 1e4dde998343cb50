package dev.jcr.restore.memory;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.v1.FileIdentity;
import dev.jcr.image.v1.GuardRange;
import dev.jcr.image.v1.Vma;
import dev.jcr.parasite.collect.GuardPages;
import dev.jcr.parasite.collect.VmaCollector;
import dev.jcr.parasite.linux.PageScan;
import dev.jcr.parasite.procfs.Smaps;
import java.io.IOException;
import java.util.List;

/// Compares the mappings of a process with those of an image.
public final class MappingProof {
  private static final int ANY_OBJECT = 1;

  private MappingProof() {}

  /// Throws unless the process has the mappings `vmas` and, besides, no others than those in the
  /// bootstrap range.
  ///
  /// @param smaps of the process
  public static void require(
      int pid, List<Smaps> smaps, List<Vma> vmas, long bootstrap, int bootstrapSize)
      throws CheckpointException, IOException {
    List<Vma> wanted = VmaCollector.merged(provable(vmas));
    List<Vma> collected;
    try (PageScan scan = PageScan.open(pid)) {
      collected =
          GuardPages.added(
              VmaCollector.ofStopped()
                  .collect(
                      smaps.stream()
                          .filter(
                              m -> m.start() < bootstrap || m.start() >= bootstrap + bootstrapSize)
                          .toList(),
                      _ -> ANY_OBJECT),
              scan);
    }
    List<Vma> found = VmaCollector.merged(provable(collected));
    if (!guards(collected).equals(guards(vmas))) {
      throw new CheckpointException(
          Outcome.FAILED, "cannot prove the mappings: other guard regions than in the image");
    }
    for (int i = 0; i < Math.max(wanted.size(), found.size()); i++) {
      if (i >= wanted.size() || i >= found.size() || !wanted.get(i).equals(found.get(i))) {
        throw new CheckpointException(
            Outcome.FAILED,
            "cannot prove the mappings: the image has %s, the restored process has %s"
                .formatted(
                    i < wanted.size() ? wanted.get(i) : "none",
                    i < found.size() ? found.get(i) : "none"));
      }
    }
  }

  private static List<GuardRange> guards(List<Vma> vmas) {
    return vmas.stream().flatMap(vma -> vma.getGuardsList().stream()).toList();
  }

  /// VMAs without what may rightly differ: the times of files written since, the numbers of
  /// objects.
  private static List<Vma> provable(List<Vma> vmas) {
    return vmas.stream()
        .map(vma -> {
          Vma.Builder copy = vma.toBuilder().clearGuards().clearNumaPolicy();
          if (vma.getObjectId() != 0) {
            copy.setObjectId(ANY_OBJECT);
          }
          if (vma.hasFile()) {
            copy.setFile(FileIdentity.newBuilder().setPath(vma.getFile().getPath()));
          }
          return copy.build();
        })
        .toList();
  }
}
