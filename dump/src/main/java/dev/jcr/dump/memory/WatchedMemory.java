package dev.jcr.dump.memory;

import dev.jcr.image.CheckpointException.Problem;
import dev.jcr.parasite.linux.PageScan;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.procfs.Smaps;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/// Mappings that somebody write-protected by a userfaultfd. Where nobody waits for the writes (as
/// in jcr's own tracking, whose keeper may be at work), they are no state of the process; a
/// descriptor of its own would be refused as such.
public final class WatchedMemory {
  private WatchedMemory() {}

  private static final int LOOKS = 4;

  /// Those of a running process, whose mappings come and go between two looks: only what is found
  /// at every look.
  public static List<Problem> ofRunning(Proc proc, PageScan scan) throws IOException {
    List<Problem> problems = problems(proc.smaps(), scan);
    for (int look = 1; look < LOOKS && !problems.isEmpty(); look++) {
      problems.retainAll(problems(proc.smaps(), scan));
    }
    return problems;
  }

  /// One problem for each mapping of a stopped process whose writes somebody handles.
  public static List<Problem> problems(List<Smaps> mappings, PageScan scan)
      throws SyscallException {
    List<Problem> problems = new ArrayList<>();
    for (Smaps mapping : mappings) {
      if (mapping.vmFlags().contains("uw")
          && !scan.written(mapping.start(), mapping.start() + 4096, (_, _) -> {})) {
        problems.add(
            new Problem(
                "vma",
                "mapping 0x%x-0x%x".formatted(mapping.start(), mapping.end()),
                "it is registered with a userfaultfd",
                "unmap it before the dump"));
      }
    }
    return problems;
  }
}
