package dev.jcr.image.pages;

import com.github.luben.zstd.ZstdDecompressCtx;
import com.github.luben.zstd.ZstdException;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.Errnos;
import dev.jcr.image.v1.Compression;
import dev.jcr.image.v1.PageChunk;
import dev.jcr.image.v1.PageKind;
import dev.jcr.image.v1.PageRun;
import dev.jcr.image.v1.PageSpace;
import dev.jcr.image.v1.Pagemap;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/// Reads the chunks of the part "pages" one by one, in any order, from any thread. What it gives
/// out has matched both checksums of the chunk.
///
/// Positional reads and not a mapping: a file that gets shorter meanwhile is an error and not a
/// SIGBUS.
public final class PageReader implements AutoCloseable {
  private static final int THREADS = 2;
  private static final Ranges NOTHING = new Ranges();

  /// Below this many chunks a second thread costs more than it saves.
  private static final int FEW_CHUNKS = 8;

  private final FileChannel channel;
  private final Path path;
  private final Pagemap map;
  private final List<ChunkRuns> layout;
  private final Map<Integer, Ranges> parents;
  private final int longestStored;
  private final int longestContent;
  private final ConcurrentLinkedQueue<Scratch> scratches = new ConcurrentLinkedQueue<>();

  /// Takes over the open part.
  ///
  /// @param channel closed by [#close]
  /// @throws CheckpointException the pagemap does not fit the part
  public PageReader(FileChannel channel, Path path, Pagemap map, String pagemapObject)
      throws CheckpointException {
    this.channel = channel;
    this.path = path;
    this.map = map;
    long size;
    try {
      size = channel.size();
    } catch (IOException e) {
      throw Errnos.failure(Outcome.IMAGE, "read", path, e, "copy the image again");
    }
    this.layout = PagemapLayout.of(pagemapObject, map, size);
    this.parents = parents(map);
    this.longestStored =
        map.getChunksList().stream().mapToInt(PageChunk::getStoredLength).max().orElse(0);
    this.longestContent =
        map.getPageSize()
            * map.getChunksList().stream().mapToInt(PageChunk::getPages).max().orElse(0);
  }

  /// The index that the part was opened with.
  Pagemap map() {
    return map;
  }

  /// What of a space it leaves to its parents.
  Ranges parents(int space) {
    return parents.getOrDefault(space, NOTHING);
  }

  private static Map<Integer, Ranges> parents(Pagemap map) {
    Map<Integer, Ranges> parents = new HashMap<>();
    for (PageSpace space : map.getSpacesList()) {
      Ranges ranges = new Ranges();
      for (PageRun run : space.getRunsList()) {
        if (run.getKind() == PageKind.PAGE_PARENT) {
          ranges.add(run.getStart(), run.getStart() + run.getPages() * map.getPageSize());
        }
      }
      if (ranges.size() > 0) {
        parents.put(space.getId(), ranges);
      }
    }
    return parents;
  }

  /// Chunks and where their pages belong, by chunk index.
  public List<ChunkRuns> layout() {
    return layout;
  }

  /// Bytes of one page.
  public int pageSize() {
    return map.getPageSize();
  }

  /// Bytes of the pages of a chunk.
  public int contentLength(int chunk) {
    return map.getChunks(chunk).getPages() * map.getPageSize();
  }

  /// CRC32C of the pages of a chunk, in order of its runs.
  public int contentCrc(int chunk) {
    return map.getChunks(chunk).getContentCrc32C();
  }

  /// Puts the pages of a chunk at the position of `into`, a direct buffer, and moves the position
  /// behind them.
  ///
  /// @throws CheckpointException of outcome IMAGE: unreadable, or a checksum differs
  public void read(int chunk, ByteBuffer into) throws CheckpointException {
    PageChunk entry = map.getChunks(chunk);
    int length = contentLength(chunk);
    if (!into.isDirect() || into.remaining() < length) {
      throw new IllegalArgumentException(
          "needs a direct buffer of " + length + " bytes, remaining " + into.remaining());
    }
    ByteBuffer content = into.slice(into.position(), length);
    Scratch scratch = scratches.poll();
    if (scratch == null) {
      scratch = new Scratch();
    }
    try {
      if (entry.getCompression() == Compression.COMPRESSION_NONE) {
        fill(entry, content);
        content.flip();
        check(entry, "stored", scratch.checksum(content), entry.getStoredCrc32C());
        // The same bytes: equal sums unless the pagemap was made wrong.
        check(entry, "content", entry.getStoredCrc32C(), entry.getContentCrc32C());
      } else {
        scratch.read(entry, content);
      }
    } finally {
      scratches.add(scratch);
    }
    into.position(into.position() + length);
  }

  /// Reads every chunk and compares its checksums, on two threads.
  ///
  /// @throws CheckpointException of outcome IMAGE, naming the first damaged chunk found
  public void verify() throws CheckpointException {
    AtomicInteger next = new AtomicInteger();
    AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();
    Runnable body =
        () -> {
          try {
            ByteBuffer into = ByteBuffer.allocateDirect(longestContent);
            for (int chunk = next.getAndIncrement();
                chunk < layout.size() && failure.get() == null;
                chunk = next.getAndIncrement()) {
              into.clear();
              read(chunk, into);
            }
          } catch (CheckpointException | RuntimeException | Error e) {
            failure.compareAndSet(null, e);
          }
        };
    Thread[] helpers = new Thread[layout.size() < FEW_CHUNKS ? 0 : THREADS - 1];
    for (int i = 0; i < helpers.length; i++) {
      helpers[i] = Thread.ofPlatform().daemon().name("jcr-verify-" + i).start(body);
    }
    body.run();
    for (Thread helper : helpers) {
      boolean interrupted = false;
      while (helper.isAlive()) {
        try {
          helper.join();
        } catch (InterruptedException _) {
          interrupted = true;
        }
      }
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
    }
    switch (failure.get()) {
      case null -> {}
      case CheckpointException e ->
          throw new CheckpointException(e.outcome(), String.valueOf(e.getMessage()), e);
      case Throwable e -> throw new IllegalStateException(e);
    }
  }

  @Override
  public void close() {
    for (Scratch scratch = scratches.poll(); scratch != null; scratch = scratches.poll()) {
      scratch.zstd.close();
    }
    try {
      channel.close();
    } catch (IOException _) {
      // Only read from: nothing can be lost.
    }
  }

  private void fill(PageChunk entry, ByteBuffer into) throws CheckpointException {
    long at = entry.getOffset();
    try {
      while (into.hasRemaining()) {
        int n = channel.read(into, at);
        if (n < 0) {
          throw damaged(entry, "the file ends inside a chunk");
        }
        at += n;
      }
    } catch (IOException e) {
      throw Errnos.failure(Outcome.IMAGE, "read", path, e, "copy the image again");
    }
  }

  private void check(PageChunk entry, String what, int actual, int expected)
      throws CheckpointException {
    if (actual != expected) {
      throw damaged(
          entry,
          "CRC32C of the "
              + what
              + " bytes is 0x"
              + Integer.toHexString(actual)
              + " instead of 0x"
              + Integer.toHexString(expected));
    }
  }

  private CheckpointException damaged(PageChunk entry, String problem) {
    return new CheckpointException(
        Outcome.IMAGE,
        "cannot read "
            + path
            + " at offset "
            + entry.getOffset()
            + ": "
            + problem
            + "; copy the image again or dump again");
  }

  /// What one running [#read] needs of its own.
  private final class Scratch {
    private final ByteBuffer stored = ByteBuffer.allocateDirect(longestStored);
    private final ZstdDecompressCtx zstd = new ZstdDecompressCtx();
    private final CRC32C crc = new CRC32C();

    int checksum(ByteBuffer bytes) {
      crc.reset();
      crc.update(bytes.duplicate());
      return (int) crc.getValue();
    }

    void read(PageChunk entry, ByteBuffer content) throws CheckpointException {
      stored.clear().limit(entry.getStoredLength());
      fill(entry, stored);
      stored.flip();
      check(entry, "stored", checksum(stored), entry.getStoredCrc32C());
      int length;
      try {
        length =
            zstd.decompressDirectByteBuffer(
                content, 0, content.capacity(), stored, 0, stored.limit());
      } catch (ZstdException e) {
        throw damaged(entry, "zstd: " + e.getMessage());
      }
      if (length != content.capacity()) {
        throw damaged(entry, "the chunk gives " + length + " bytes");
      }
      check(entry, "content", checksum(content), entry.getContentCrc32C());
    }
  }
}
