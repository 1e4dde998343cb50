package dev.jcr.image.pages;

import java.util.List;

/// Where the pages of one chunk belong, in the order they lie in it.
///
/// @param chunk index of the chunk in the pagemap
/// @param space 0 for the address space of the process, else the id of a shared object
/// @param pages sum over the runs
public record ChunkRuns(int chunk, int space, int pages, List<Run> runs) {
  /// Contiguous pages; `start` is an address or an offset in the object, in bytes.
  public record Run(long start, int pages) {}

  public ChunkRuns {
    runs = List.copyOf(runs);
  }
}
