package dev.jcr.restore.memory;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.pages.Ranges;
import dev.jcr.image.v1.FileIdentity;
import dev.jcr.image.v1.GuardRange;
import dev.jcr.image.v1.Vma;
import dev.jcr.parasite.collect.GuardPages;
import dev.jcr.parasite.collect.VmaCollector;
import dev.jcr.parasite.linux.PageScan;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.procfs.Smaps;
import java.io.IOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// Compares the mappings of a process with those of an image.
public final class MappingProof {
  private static final int ANY_OBJECT = 1;

  /// Above this many bytes a mapping is scanned for guard regions by [Found#of].
  private static final long LARGE = 1 << 20;

  private MappingProof() {}

  /// What the kernel walks all pages of a process for.
  ///
  /// @param guards of its large mappings, by their start
  public record Found(List<Smaps> smaps, Map<Long, Ranges> guards) {
    public Found {
      smaps = List.copyOf(smaps);
      guards = Map.copyOf(guards);
    }

    /// Of a process that stands still.
    public static Found of(int pid) throws IOException {
      List<Smaps> smaps = Proc.of(pid).smaps();
      Map<Long, Ranges> guards = new HashMap<>();
      try (PageScan scan = PageScan.open(pid)) {
        if (scan.guard() != 0) {
          for (Smaps mapping : smaps) {
            if (mapping.end() - mapping.start() >= LARGE) {
              guards.put(mapping.start(), GuardPages.of(mapping.start(), mapping.end(), scan));
            }
          }
        }
      }
      return new Found(smaps, guards);
    }
  }

  /// Throws unless the process has the mappings `vmas` and, besides, no others than those in the
  /// bootstrap range.
  ///
  /// @param found mappings of the process
  public static void require(
      int pid, Found found, List<Vma> vmas, long bootstrap, int bootstrapSize)
      throws CheckpointException, IOException {
    List<Vma> wanted = VmaCollector.merged(provable(vmas));
    List<Vma> all;
    try (PageScan scan = PageScan.open(pid)) {
      all =
          GuardPages.added(
              VmaCollector.ofStopped()
                  .collect(
                      found.smaps().stream()
                          .filter(
                              m -> m.start() < bootstrap || m.start() >= bootstrap + bootstrapSize)
                          .toList(),
                      _ -> ANY_OBJECT),
              scan,
              found.guards());
    }
    List<Vma> there = VmaCollector.merged(provable(all));
    if (!guards(all).equals(guards(vmas))) {
      throw new CheckpointException(
          Outcome.FAILED, "cannot prove the mappings: other guard regions than in the image");
    }
    for (int i = 0; i < Math.max(wanted.size(), there.size()); i++) {
      if (i >= wanted.size() || i >= there.size() || !wanted.get(i).equals(there.get(i))) {
        throw new CheckpointException(
            Outcome.FAILED,
            "cannot prove the mappings: the image has %s, the restored process has %s"
                .formatted(
                    i < wanted.size() ? wanted.get(i) : "none",
                    i < there.size() ? there.get(i) : "none"));
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
