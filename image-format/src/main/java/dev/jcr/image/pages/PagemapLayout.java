package dev.jcr.image.pages;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.pages.ChunkRuns.Run;
import dev.jcr.image.v1.Compression;
import dev.jcr.image.v1.PageChunk;
import dev.jcr.image.v1.PageKind;
import dev.jcr.image.v1.PageRun;
import dev.jcr.image.v1.PageSpace;
import dev.jcr.image.v1.Pagemap;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.function.Supplier;
import java.util.stream.IntStream;

/// Checks a pagemap and cuts its runs into the chunks they are stored in.
public final class PagemapLayout {
  private PagemapLayout() {}

  /// Sizes that Linux has on the architectures jcr knows: 4, 16 and 64 KiB.
  static boolean isPageSize(int bytes) {
    return bytes == 4096 || bytes == 16384 || bytes == 65536;
  }

  /// The runs of every chunk, in order of the chunks.
  ///
  /// @param object the file, for messages
  /// @param size bytes of the part "pages"
  /// @throws CheckpointException of outcome IMAGE: not sorted, overlapping, not aligned, a chunk
  ///   too big or of two spaces, or bytes of the part that belong to no chunk or to two
  public static List<ChunkRuns> of(String object, Pagemap map, long size)
      throws CheckpointException {
    Check check = new Check(object);
    int pageSize = map.getPageSize();
    check.that(isPageSize(pageSize), "page size " + Integer.toUnsignedString(pageSize));
    check.that(
        map.getCompression() == Compression.COMPRESSION_NONE
            || map.getCompression() == Compression.COMPRESSION_ZSTD,
        "compression " + map.getCompressionValue());
    runs(check, map, pageSize);
    chunks(check, map, pageSize, size);
    return cut(check, map, pageSize);
  }

  private static void runs(Check check, Pagemap map, int pageSize) throws CheckpointException {
    int previousSpace = -1;
    for (PageSpace space : map.getSpacesList()) {
      check.that(space.getId() > previousSpace, "space " + space.getId() + " out of order");
      previousSpace = space.getId();
      check.that(space.getRunsCount() > 0, "space " + space.getId() + " without runs");
      long end = 0;
      PageKind kind = PageKind.PAGE_UNSPECIFIED;
      for (PageRun run : space.getRunsList()) {
        long start = run.getStart();
        Supplier<String> name =
            () -> "run 0x" + Long.toHexString(start) + " of space " + space.getId();
        check.that(start >= 0 && start % pageSize == 0, name, () -> " is not page-aligned");
        check.that(
            run.getPages() > 0 && run.getPages() <= (Long.MAX_VALUE - start) / pageSize,
            name,
            () -> " has " + Long.toUnsignedString(run.getPages()) + " pages");
        check.that(
            run.getKind() == PageKind.PAGE_STORED
                || run.getKind() == PageKind.PAGE_ZERO
                || run.getKind() == PageKind.PAGE_PARENT
                || (run.getKind() == PageKind.PAGE_REMOTE && space.getId() == 0),
            name,
            () -> " has kind " + run.getKindValue());
        check.that(start >= end, name, () -> " overlaps or is out of order");
        check.that(
            start != end || kind != run.getKind(), name, () -> " continues the run before it");
        end = start + run.getPages() * pageSize;
        kind = run.getKind();
      }
    }
  }

  private static void chunks(Check check, Pagemap map, int pageSize, long size)
      throws CheckpointException {
    for (int i = 0; i < map.getChunksCount(); i++) {
      PageChunk chunk = map.getChunks(i);
      int pages = chunk.getPages();
      check.that(
          pages > 0 && pages <= PageWriter.CHUNK_BYTES / pageSize,
          "chunk " + i + " has " + Integer.toUnsignedString(pages) + " pages");
      int length = chunk.getStoredLength();
      boolean fits =
          switch (chunk.getCompression()) {
            case COMPRESSION_NONE -> length == pages * pageSize;
            case COMPRESSION_ZSTD ->
                map.getCompression() == Compression.COMPRESSION_ZSTD
                    && length > 0
                    && length < pages * pageSize;
            case COMPRESSION_UNSPECIFIED, UNRECOGNIZED -> false;
          };
      check.that(
          fits,
          "chunk "
              + i
              + " of compression "
              + chunk.getCompressionValue()
              + " has "
              + Integer.toUnsignedString(length)
              + " bytes");
    }
    long at = 0;
    List<Integer> byOffset =
        IntStream.range(0, map.getChunksCount())
            .boxed()
            .sorted(Comparator.comparing(i -> map.getChunks(i).getOffset(), Long::compareUnsigned))
            .toList();
    for (int i : byOffset) {
      check.that(
          map.getChunks(i).getOffset() == at,
          "chunk "
              + i
              + " is at offset "
              + Long.toUnsignedString(map.getChunks(i).getOffset())
              + " instead of "
              + at);
      at += map.getChunks(i).getStoredLength();
    }
    check.that(at == size, "chunks end at " + at + " but the part pages has " + size + " bytes");
  }

  private static List<ChunkRuns> cut(Check check, Pagemap map, int pageSize)
      throws CheckpointException {
    List<ChunkRuns> result = new ArrayList<>(map.getChunksCount());
    int chunk = 0;
    List<Run> runs = new ArrayList<>();
    for (PageSpace space : map.getSpacesList()) {
      int filled = 0;
      for (PageRun run : space.getRunsList()) {
        if (run.getKind() != PageKind.PAGE_STORED) {
          continue;
        }
        long start = run.getStart();
        long left = run.getPages();
        while (left > 0) {
          check.that(chunk < map.getChunksCount(), "stored pages without a chunk");
          int capacity = map.getChunks(chunk).getPages();
          int n = (int) Math.min(left, capacity - filled);
          runs.add(new Run(start, n));
          start += (long) n * pageSize;
          left -= n;
          filled += n;
          if (filled == capacity) {
            result.add(new ChunkRuns(chunk, space.getId(), capacity, runs));
            runs.clear();
            filled = 0;
            chunk++;
          }
        }
      }
      check.that(filled == 0, "chunk " + chunk + " holds pages of two spaces");
    }
    check.that(chunk == map.getChunksCount(), "chunk " + chunk + " has no stored pages");
    return List.copyOf(result);
  }

  private record Check(String object) {
    /// There may be a run for every page: the words are only made where they are needed.
    void that(boolean condition, Supplier<String> name, Supplier<String> problem)
        throws CheckpointException {
      if (!condition) {
        that(false, name.get() + problem.get());
      }
    }

    void that(boolean condition, String problem) throws CheckpointException {
      if (!condition) {
        throw new CheckpointException(
            Outcome.IMAGE,
            "cannot read " + object + ": " + problem + "; copy the image again or dump again");
      }
    }
  }
}
