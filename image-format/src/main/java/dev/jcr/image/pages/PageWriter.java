package dev.jcr.image.pages;

import com.github.luben.zstd.Zstd;
import com.github.luben.zstd.ZstdCompressCtx;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.Errnos;
import dev.jcr.image.v1.Compression;
import dev.jcr.image.v1.PageChunk;
import dev.jcr.image.v1.PageKind;
import dev.jcr.image.v1.PageSpace;
import dev.jcr.image.v1.Pagemap;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.GatheringByteChannel;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/// Writes page contents to the part "pages" while one thread goes on reading more.
///
/// One caller takes a [PageBuffer], fills it and submits it. Two threads drop zero pages, checksum
/// and compress; chunks reach the file in the order they were submitted, so that the same input
/// gives the same bytes. A failure of a thread is thrown by the caller's next call.
///
/// Between [#hold] and [#release] the threads rest and buffers are never waited for: the freeze of
/// a process that is to run on costs the copying of its pages and nothing else.
public final class PageWriter implements AutoCloseable {
  /// Bytes of pages in one chunk at most.
  public static final int CHUNK_BYTES = 1 << 20;

  private static final int WORKERS = 2;
  private static final int POOL = 16;
  private static final int SLAB_BUFFERS = 64;
  private static final int MAX_BATCH = 16;

  /// A chunk on its way; after `done` written by whoever finds it at the head of the order.
  private static final class Job {
    @Nullable PageBuffer buffer;
    // Either the buffer's data or, when compressed, one of `outs`.
    @Nullable ByteBuffer out;
    boolean compressed;
    boolean done;
    int space;
    // Pairs of start and pages.
    final List<long[]> stored = new ArrayList<>(1);
    final List<long[]> zero = new ArrayList<>(0);
    int pages;
    int storedCrc;
    int contentCrc;
  }

  private record Chunk(int space, long start, PageChunk message) {}

  private final GatheringByteChannel channel;
  private final Path path;
  private final Compression compression;
  private final int level;
  private final int pageSize;
  private final ByteBuffer zeros;

  private final ReentrantLock lock = new ReentrantLock();
  private final Condition work = lock.newCondition();
  private final Condition progress = lock.newCondition();
  private final ArrayDeque<PageBuffer> free = new ArrayDeque<>();
  private final ArrayDeque<ByteBuffer> outs = new ArrayDeque<>();
  private final ArrayDeque<Job> queue = new ArrayDeque<>();
  private final ArrayDeque<Job> order = new ArrayDeque<>();
  private final List<Chunk> chunks = new ArrayList<>();
  private final RunList runs;
  private final List<Thread> workers = new ArrayList<>();
  private boolean held;
  private boolean spilled;
  private boolean closed;
  private boolean writing;
  private long position;
  private @Nullable CheckpointException failure;
  private @Nullable Pagemap result;

  /// Starts the threads.
  ///
  /// @param channel where to write, from its position 0; stays the caller's to sync and close
  /// @param path name of it, for messages
  /// @param level zstd level, ignored for [Compression#COMPRESSION_NONE]
  /// @param pageSize of the process, a power of two from 4 KiB to 64 KiB
  public PageWriter(
      GatheringByteChannel channel, Path path, Compression compression, int level, int pageSize) {
    if (!PagemapLayout.isPageSize(pageSize)) {
      throw new IllegalArgumentException("page size " + pageSize);
    }
    if (compression != Compression.COMPRESSION_NONE
        && compression != Compression.COMPRESSION_ZSTD) {
      throw new IllegalArgumentException("compression " + compression);
    }
    this.channel = channel;
    this.path = path;
    this.compression = compression;
    this.level = level;
    this.pageSize = pageSize;
    this.zeros = ByteBuffer.allocateDirect(CHUNK_BYTES);
    this.runs = new RunList(pageSize);
    for (int i = 0; i < WORKERS; i++) {
      workers.add(Thread.ofPlatform().daemon().name("jcr-pages-" + i).unstarted(this::run));
    }
    allocate(POOL);
    workers.forEach(Thread::start);
  }

  /// An empty buffer. Waits for one while all are on their way, except between [#hold] and
  /// [#release], when a new one is made instead.
  ///
  /// @throws CheckpointException writing failed
  public PageBuffer take() throws CheckpointException {
    lock.lock();
    try {
      while (true) {
        check();
        PageBuffer buffer = free.pollFirst();
        if (buffer != null) {
          return buffer;
        }
        if (held && !allocate(1)) {
          // No memory to hold more: a longer freeze is better than no dump.
          held = false;
          spilled = true;
          work.signalAll();
        }
        if (!held) {
          work.signal();
          progress.awaitUninterruptibly();
        }
      }
    } finally {
      lock.unlock();
    }
  }

  /// Hands a filled buffer over. An empty one is only given back.
  ///
  /// @throws CheckpointException writing failed
  public void submit(PageBuffer buffer) throws CheckpointException {
    lock.lock();
    try {
      if (closed) {
        throw new IllegalStateException("submit after finish or close");
      }
      if (buffer.pages() == 0 || failure != null) {
        recycle(buffer);
      } else {
        Job job = new Job();
        job.buffer = buffer;
        job.space = buffer.space();
        queue.add(job);
        order.add(job);
        // One alone is left to finish: a process that small is not kept waiting for a thread to
        // wake.
        if (!held && queue.size() > 1) {
          work.signal();
        }
      }
      check();
    } finally {
      lock.unlock();
    }
  }

  /// Records pages that are present and all zero without their contents.
  public void zero(int space, long start, long pages) {
    record(space, start, pages, PageKind.PAGE_ZERO);
  }

  /// Records pages whose contents are the parent image's.
  public void parent(int space, long start, long pages) {
    record(space, start, pages, PageKind.PAGE_PARENT);
  }

  /// Records pages of the process that stay with it, to be given while it runs elsewhere.
  public void remote(long start, long pages) {
    record(0, start, pages, PageKind.PAGE_REMOTE);
  }

  private void record(int space, long start, long pages, PageKind kind) {
    if (space < 0 || pages <= 0 || start % pageSize != 0) {
      throw new IllegalArgumentException(kind + " 0x" + Long.toHexString(start) + " " + pages);
    }
    lock.lock();
    try {
      runs.add(space, start, pages, kind);
    } finally {
      lock.unlock();
    }
  }

  /// Before a freeze: makes at least `buffers` empty buffers whose memory is already touched.
  ///
  /// @return whether there was memory for all of them (the JVM's limit of direct memory counts)
  public boolean reserve(int buffers) {
    lock.lock();
    try {
      return free.size() >= buffers || allocate(buffers - free.size());
    } finally {
      lock.unlock();
    }
  }

  /// From here to [#release] nothing is compressed or written and [#take] does not wait.
  public void hold() {
    lock.lock();
    try {
      held = true;
    } finally {
      lock.unlock();
    }
  }

  /// Ends [#hold].
  public void release() {
    lock.lock();
    try {
      held = false;
      work.signalAll();
    } finally {
      lock.unlock();
    }
  }

  /// Whether memory ran out while holding, so that writing began before [#release].
  public boolean spilled() {
    lock.lock();
    try {
      return spilled;
    } finally {
      lock.unlock();
    }
  }

  /// Has everything written, with the help of the calling thread, and ends the threads. Calling it
  /// again gives the same.
  ///
  /// @throws CheckpointException writing failed
  public Pagemap finish() throws CheckpointException {
    lock.lock();
    try {
      if (result != null) {
        return result;
      }
    } finally {
      lock.unlock();
    }
    release();
    help();
    lock.lock();
    try {
      while (!order.isEmpty() && failure == null) {
        progress.awaitUninterruptibly();
      }
      check();
      chunks.sort(
          Comparator.comparingInt(Chunk::space).thenComparing(Chunk::start, Long::compareUnsigned));
      List<PageSpace> spaces = runs.build();
      result =
          Pagemap.newBuilder()
              .setPageSize(pageSize)
              .setCompression(compression)
              .addAllSpaces(spaces)
              .addAllChunks(chunks.stream().map(Chunk::message).toList())
              .build();
      return result;
    } finally {
      lock.unlock();
      close();
    }
  }

  /// Pages in the part "pages" so far.
  public long storedPages() {
    lock.lock();
    try {
      return runs.stored();
    } finally {
      lock.unlock();
    }
  }

  /// Pages found all zero so far.
  public long zeroPages() {
    lock.lock();
    try {
      return runs.zero();
    } finally {
      lock.unlock();
    }
  }

  /// Pages left to the parent image so far.
  public long parentPages() {
    lock.lock();
    try {
      return runs.parent();
    } finally {
      lock.unlock();
    }
  }

  /// Bytes written to the part so far.
  public long storedBytes() {
    lock.lock();
    try {
      return position;
    } finally {
      lock.unlock();
    }
  }

  /// Ends the threads; what is not written yet is dropped.
  @Override
  public void close() {
    lock.lock();
    try {
      closed = true;
      work.signalAll();
    } finally {
      lock.unlock();
    }
    boolean interrupted = false;
    for (Thread worker : workers) {
      while (worker.isAlive()) {
        try {
          worker.join();
        } catch (InterruptedException _) {
          interrupted = true;
        }
      }
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  private void check() throws CheckpointException {
    if (failure != null) {
      // A copy, so that the trace is the caller's.
      throw new CheckpointException(
          failure.outcome(), String.valueOf(failure.getMessage()), failure);
    }
  }

  /// Slabs, because one malloc(3) of 64 MiB costs one mmap(2) and its pages can be huge ones.
  private boolean allocate(int buffers) {
    int left = buffers;
    while (left > 0) {
      int n = Math.min(left, SLAB_BUFFERS);
      ByteBuffer slab;
      try {
        // The JDK zeroes it, which also touches every page.
        slab = ByteBuffer.allocateDirect(n * CHUNK_BYTES);
      } catch (OutOfMemoryError e) {
        return false;
      }
      for (int i = 0; i < n; i++) {
        free.add(new PageBuffer(slab.slice(i * CHUNK_BYTES, CHUNK_BYTES), pageSize));
      }
      left -= n;
    }
    return true;
  }

  private void recycle(PageBuffer buffer) {
    buffer.clear();
    free.addFirst(buffer);
    progress.signalAll();
  }

  private void run() {
    work(true);
  }

  /// Does what the threads do, as long as there is work.
  private void help() {
    work(false);
  }

  private void work(boolean waiting) {
    try (Worker worker = new Worker()) {
      while (true) {
        Job job;
        lock.lock();
        try {
          while (waiting && !closed && failure == null && (held || queue.isEmpty())) {
            work.awaitUninterruptibly();
          }
          if (closed || failure != null || queue.isEmpty()) {
            return;
          }
          job = queue.removeFirst();
        } finally {
          lock.unlock();
        }
        worker.process(job);
        drain(job);
      }
    } catch (IOException e) {
      fail(Errnos.failure(Outcome.FAILED, "write", path, e, "choose another folder with -D"));
    } catch (RuntimeException | Error e) {
      fail(
          new CheckpointException(
              Outcome.FAILED, "cannot write " + path + ": " + e + "; this is a bug in jcr", e));
    }
  }

  private void fail(CheckpointException e) {
    lock.lock();
    try {
      if (failure == null) {
        failure = e;
      }
      work.signalAll();
      progress.signalAll();
    } finally {
      lock.unlock();
    }
  }

  /// Marks `job` done and writes the done chunks at the head of the order, unless another thread is
  /// just doing that.
  private void drain(Job job) throws IOException {
    List<Job> batch = new ArrayList<>(MAX_BATCH);
    lock.lock();
    try {
      job.done = true;
      if (job.compressed && job.buffer != null) {
        recycle(job.buffer);
        job.buffer = null;
      }
      while (!writing && !order.isEmpty() && order.getFirst().done && failure == null) {
        batch.clear();
        while (batch.size() < MAX_BATCH && !order.isEmpty() && order.getFirst().done) {
          batch.add(order.removeFirst());
        }
        long at = position;
        for (Job each : batch) {
          position += index(each, position);
        }
        writing = true;
        lock.unlock();
        try {
          write(batch, at);
        } finally {
          lock.lock();
          writing = false;
        }
        for (Job each : batch) {
          if (each.compressed && each.out != null) {
            outs.add(each.out);
          }
          if (each.buffer != null) {
            recycle(each.buffer);
          }
        }
        progress.signalAll();
      }
    } finally {
      lock.unlock();
    }
  }

  /// Enters a chunk into the index; its stored length.
  private int index(Job job, long at) {
    for (long[] run : job.zero) {
      runs.add(job.space, run[0], run[1], PageKind.PAGE_ZERO);
    }
    for (long[] run : job.stored) {
      runs.add(job.space, run[0], run[1], PageKind.PAGE_STORED);
    }
    if (job.out == null) {
      return 0;
    }
    int length = job.out.remaining();
    chunks.add(
        new Chunk(
            job.space,
            job.stored.getFirst()[0],
            PageChunk.newBuilder()
                .setOffset(at)
                .setStoredLength(length)
                .setPages(job.pages)
                .setStoredCrc32C(job.storedCrc)
                .setContentCrc32C(job.contentCrc)
                .setCompression(
                    job.compressed ? Compression.COMPRESSION_ZSTD : Compression.COMPRESSION_NONE)
                .build()));
    return length;
  }

  private void write(List<Job> batch, long at) throws IOException {
    ByteBuffer[] sources =
        batch.stream().map(j -> j.out).filter(b -> b != null).toArray(ByteBuffer[]::new);
    long left = 0;
    for (ByteBuffer source : sources) {
      left += source.remaining();
    }
    if (channel instanceof FileChannel file && file.position() != at) {
      file.position(at);
    }
    int first = 0;
    while (left > 0) {
      while (!sources[first].hasRemaining()) {
        first++;
      }
      left -= channel.write(sources, first, sources.length - first);
    }
  }

  /// What one thread needs of its own.
  private final class Worker implements AutoCloseable {
    private final CRC32C crc = new CRC32C();
    private final @Nullable ZstdCompressCtx zstd;

    Worker() {
      if (compression == Compression.COMPRESSION_ZSTD) {
        zstd = new ZstdCompressCtx();
        zstd.setLevel(level);
        // Chunks carry CRC32C of stored bytes and of contents.
        zstd.setChecksum(false);
      } else {
        zstd = null;
      }
    }

    void process(Job job) {
      PageBuffer buffer = job.buffer;
      if (buffer == null) {
        return;
      }
      ByteBuffer data = buffer.data();
      data.clear();
      dropZeroPages(job, buffer, data);
      int bytes = job.pages * pageSize;
      if (bytes == 0) {
        return;
      }
      data.position(0).limit(bytes);
      job.contentCrc = checksum(data);
      if (zstd != null && compress(job, zstd, data, bytes)) {
        return;
      }
      job.storedCrc = job.contentCrc;
      job.out = data;
    }

    /// Moves the other pages together and sorts the runs into stored and zero ones.
    private void dropZeroPages(Job job, PageBuffer buffer, ByteBuffer data) {
      int page = 0;
      for (int run = 0; run < buffer.runs(); run++) {
        long start = buffer.start(run);
        int end = page + (int) buffer.count(run);
        int first = page;
        while (page < end) {
          int from = page;
          boolean zero = isZero(data, page);
          do {
            page++;
          } while (page < end && isZero(data, page) == zero);
          long[] piece = {start + (long) (from - first) * pageSize, page - from};
          if (zero) {
            job.zero.add(piece);
          } else {
            job.stored.add(piece);
            if (job.pages != from) {
              data.put(job.pages * pageSize, data, from * pageSize, (page - from) * pageSize);
            }
            job.pages += page - from;
          }
        }
      }
    }

    private boolean isZero(ByteBuffer data, int page) {
      int at = page * pageSize;
      if (data.getLong(at) != 0 || data.getLong(at + pageSize / 2) != 0) {
        return false;
      }
      return data.slice(at, pageSize).mismatch(zeros.slice(0, pageSize)) < 0;
    }

    private int checksum(ByteBuffer bytes) {
      crc.reset();
      crc.update(bytes.duplicate());
      return (int) crc.getValue();
    }

    private boolean compress(Job job, ZstdCompressCtx zstd, ByteBuffer data, int bytes) {
      ByteBuffer out;
      lock.lock();
      try {
        out = outs.pollFirst();
      } finally {
        lock.unlock();
      }
      if (out == null) {
        out = ByteBuffer.allocateDirect((int) Zstd.compressBound(CHUNK_BYTES));
      }
      out.clear();
      int length = zstd.compressDirectByteBuffer(out, 0, out.capacity(), data, 0, bytes);
      if (length >= bytes) {
        lock.lock();
        try {
          outs.add(out);
        } finally {
          lock.unlock();
        }
        return false;
      }
      out.position(0).limit(length);
      job.storedCrc = checksum(out);
      job.out = out;
      job.compressed = true;
      return true;
    }

    @Override
    public void close() {
      if (zstd != null) {
        zstd.close();
      }
    }
  }
}
