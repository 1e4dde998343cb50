package dev.jcr.cli.migrate;

import dev.jcr.cli.migrate.Link.Kind;
import dev.jcr.cli.migrate.Link.Message;
import dev.jcr.cli.migrate.PageRequest.Urgency;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.pages.PageBlock;
import dev.jcr.image.pages.PageWriter;
import dev.jcr.image.v1.Compression;
import dev.jcr.parasite.remote.ProcessMemory;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/// Gives the pages of a stopped process to the host where it lives now: those that are waited for
/// before all others. A thread of its own receives what the other side says, so that an urgent wish
/// overtakes those that wait already.
final class PageGiver implements AutoCloseable {
  private final Link link;
  private final ProcessMemory memory;
  private final Compression compression;
  private final int level;
  private final ReentrantLock lock = new ReentrantLock();
  private final Condition heard = lock.newCondition();
  private final Deque<Message> said = new ArrayDeque<>();
  private final Deque<PageRequest> urgent = new ArrayDeque<>();
  private final Deque<PageRequest> ahead = new ArrayDeque<>();
  private final ByteBuffer buffer = ByteBuffer.allocateDirect(PageWriter.CHUNK_BYTES);
  private @Nullable Exception failure;
  private long given;

  /// From here on nobody else may receive.
  PageGiver(int pid, Link link, Compression compression, int level) throws CheckpointException {
    this.link = link;
    this.memory = ProcessMemory.open(pid);
    this.compression = compression;
    this.level = level;
    Thread.ofPlatform().daemon().name("jcr-wishes").start(this::listen);
  }

  /// Bytes of pages that were given.
  long given() {
    return given;
  }

  private void listen() {
    try {
      while (true) {
        Message message = link.receive();
        PageRequest wish = message.kind() == Kind.WANT ? PageRequest.of(message.bytes()) : null;
        lock.lock();
        try {
          if (wish == null) {
            said.add(message);
          } else {
            take(wish);
          }
          heard.signalAll();
        } finally {
          lock.unlock();
        }
      }
    } catch (IOException | CheckpointException | RuntimeException e) {
      lock.lock();
      try {
        failure = e;
        heard.signalAll();
      } finally {
        lock.unlock();
      }
    }
  }

  private void take(PageRequest wish) {
    switch (wish.urgency()) {
      case AHEAD -> ahead.add(wish);
      case NOW -> urgent.add(wish);
      case HURRY -> {
        if (ahead.removeIf(each -> each.window() == wish.window())) {
          urgent.add(new PageRequest(Urgency.NOW, wish.window(), wish.ranges()));
        }
      }
    }
  }

  /// Gives pages until the other side says something; a refusal is thrown.
  Message expect(Kind kind) throws IOException, CheckpointException {
    while (true) {
      Message message = null;
      PageRequest wish = null;
      lock.lock();
      try {
        while (said.isEmpty() && urgent.isEmpty() && ahead.isEmpty() && failure == null) {
          heard.awaitUninterruptibly();
        }
        if (!said.isEmpty()) {
          message = said.removeFirst();
        } else if (failure != null) {
          throw new IOException(failure.getMessage(), failure);
        } else {
          wish = urgent.isEmpty() ? ahead.removeFirst() : urgent.removeFirst();
        }
      } finally {
        lock.unlock();
      }
      if (message != null) {
        return Link.required(message, kind);
      }
      if (wish != null) {
        give(wish);
      }
    }
  }

  private void give(PageRequest wish) throws IOException, CheckpointException {
    int count = wish.ranges().size();
    long[] starts = new long[count];
    long[] lengths = new long[count];
    for (int i = 0; i < count; i++) {
      starts[i] = wish.ranges().start(i);
      lengths[i] = wish.ranges().end(i) - starts[i];
    }
    int size = (int) wish.ranges().bytes();
    MemorySegment into = MemorySegment.ofBuffer(buffer.clear().limit(size));
    if (!memory.readRanges(starts, lengths, count, into)) {
      long at = 0;
      for (int i = 0; i < count; i++) {
        memory.read(starts[i], into.asSlice(at, lengths[i]));
        at += lengths[i];
      }
    }
    byte[] content = new byte[size];
    buffer.get(0, content);
    byte[] packed = PageBlock.pack(content, compression, level);
    link.send(
        Kind.BLOCK,
        ByteBuffer.allocate(8 + packed.length).putLong(wish.window()).put(packed).array());
    given += size;
  }

  /// The thread ends with the connection.
  @Override
  public void close() {
    memory.close();
  }
}
