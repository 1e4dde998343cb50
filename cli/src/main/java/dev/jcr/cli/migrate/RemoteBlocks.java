package dev.jcr.cli.migrate;

import dev.jcr.cli.migrate.Link.Kind;
import dev.jcr.cli.migrate.Link.Message;
import dev.jcr.cli.migrate.PageRequest.Urgency;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.pages.PageBlock;
import dev.jcr.image.pages.PageStore.Slice;
import dev.jcr.image.pages.Ranges;
import dev.jcr.restore.lazy.PageBlocks;
import dev.jcr.restore.lazy.RemoteMemory;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/// Pages that are still with the source: asked for by window of addresses, some windows ahead. A
/// window is sent once, unless it is read again (by a child of fork(2), which may miss what its
/// parent has). Whoever receives from the link hands answers to [#arrived].
final class RemoteBlocks implements PageBlocks, RemoteMemory {
  private static final int WINDOW = 128 << 10;
  private static final int AHEAD = 16;

  private final Link link;
  private final String id;
  private final ReentrantLock lock = new ReentrantLock();
  private final Map<Long, CompletableFuture<byte[]>> asked = new LinkedHashMap<>();
  private final Set<Long> taken = new HashSet<>();
  private Ranges pages = new Ranges();
  private int pageSize;
  private @Nullable String lost;

  /// @param id of the migration, for messages
  RemoteBlocks(Link link, String id) {
    this.link = link;
    this.id = id;
  }

  @Override
  public PageBlocks open(Ranges all, int size) {
    lock.lock();
    try {
      pages = all;
      pageSize = size;
      return this;
    } finally {
      lock.unlock();
    }
  }

  @Override
  public int pageSize() {
    return pageSize;
  }

  @Override
  public int blockBytes() {
    return WINDOW;
  }

  @Override
  public List<Slice> read(long address, boolean demanded, ByteBuffer into)
      throws CheckpointException {
    long window = address & -(long) WINDOW;
    Ranges inside = inside(window);
    CompletableFuture<byte[]> block;
    lock.lock();
    try {
      CompletableFuture<byte[]> known = asked.get(window);
      if (known == null) {
        known = ask(demanded ? Urgency.NOW : Urgency.AHEAD, window, inside);
      } else if (demanded && !known.isDone()) {
        send(new PageRequest(Urgency.HURRY, window, inside));
      }
      block = known;
      if (!demanded) {
        askAhead(window);
      }
    } finally {
      lock.unlock();
    }
    byte[] packed = await(block);
    lock.lock();
    try {
      asked.remove(window, block);
      taken.add(window);
    } finally {
      lock.unlock();
    }
    into.clear().put(PageBlock.unpack(ByteBuffer.wrap(packed), (int) inside.bytes()));
    List<Slice> slices = new ArrayList<>();
    int first = 0;
    for (int i = 0; i < inside.size(); i++) {
      int count = (int) ((inside.end(i) - inside.start(i)) / pageSize);
      slices.add(new Slice(inside.start(i), first, count));
      first += count;
    }
    return slices;
  }

  private Ranges inside(long window) {
    return Ranges.of(window, window + WINDOW).and(pages);
  }

  private CompletableFuture<byte[]> ask(Urgency urgency, long window, Ranges inside)
      throws CheckpointException {
    CompletableFuture<byte[]> block = new CompletableFuture<>();
    asked.put(window, block);
    send(new PageRequest(urgency, window, inside));
    return block;
  }

  /// The windows behind one that were not asked for yet.
  private void askAhead(long window) throws CheckpointException {
    // What nobody came for: its pages were given up by the process, or by demand.
    asked.entrySet().removeIf(each -> each.getKey() < window && each.getValue().isDone());
    long at = window + WINDOW;
    while (asked.size() < AHEAD) {
      int index = pages.firstEndingAfter(at);
      if (index == pages.size()) {
        return;
      }
      long next = Math.max(at, pages.start(index)) & -(long) WINDOW;
      if (!asked.containsKey(next) && !taken.contains(next)) {
        Object _ = ask(Urgency.AHEAD, next, inside(next));
      }
      at = next + WINDOW;
    }
  }

  private void send(PageRequest request) throws CheckpointException {
    if (lost != null) {
      throw gone(lost);
    }
    try {
      link.send(Kind.WANT, request.bytes());
    } catch (IOException e) {
      throw gone(String.valueOf(e.getMessage()));
    }
  }

  private CheckpointException gone(String why) {
    return new CheckpointException(
        Outcome.FAILED,
        "the source of migration " + id + ", which has the rest of its memory, is lost: " + why);
  }

  private static byte[] await(CompletableFuture<byte[]> block) throws CheckpointException {
    try {
      return block.get();
    } catch (ExecutionException e) {
      if (e.getCause() instanceof CheckpointException failure) {
        throw new CheckpointException(
            failure.outcome(), String.valueOf(failure.getMessage()), failure);
      }
      throw new IllegalStateException(e.getCause());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new CheckpointException(Outcome.FAILED, "cannot wait for a page: interrupted", e);
    }
  }

  /// A BLOCK. One that nobody asked for is dropped.
  void arrived(Message message) throws CheckpointException {
    ByteBuffer bytes = ByteBuffer.wrap(message.bytes());
    if (bytes.remaining() < 8) {
      throw Link.strange("a BLOCK of " + bytes.remaining() + " bytes");
    }
    long window = bytes.getLong();
    byte[] packed = new byte[bytes.remaining()];
    bytes.get(packed);
    lock.lock();
    try {
      CompletableFuture<byte[]> block = asked.get(window);
      if (block != null) {
        block.complete(packed);
      }
    } finally {
      lock.unlock();
    }
  }

  /// The connection ended: whoever waits for a page is told.
  void lost(String why) {
    lock.lock();
    try {
      if (lost == null) {
        lost = why;
        asked.values().forEach(block -> block.completeExceptionally(gone(why)));
      }
    } finally {
      lock.unlock();
    }
  }

  @Override
  public String remedy(int pid) {
    return "run jcr migrate --recover at the source, or kill process %d; without the source its memory cannot be completed"
        .formatted(pid);
  }

  @Override
  public void close() {}
}
