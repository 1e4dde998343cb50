package dev.jcr.restore.memory;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.pages.PageStore;
import dev.jcr.image.pages.PageStore.Piece;
import dev.jcr.image.pages.PageWriter;
import dev.jcr.image.pages.Ranges;
import dev.jcr.image.v1.PageKind;
import dev.jcr.image.v1.PageRun;
import dev.jcr.image.v1.Pagemap;
import dev.jcr.image.v1.SharedObject;
import dev.jcr.image.v1.Vma;
import dev.jcr.image.v1.VmaKind;
import dev.jcr.parasite.collect.VmaCollector;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.remote.ProcessMemory;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/// Moves page contents between the page store and a process, chunk by chunk on two threads.
public final class PageFiller {
  private static final int THREADS = 2;
  private static final int PROCESS_SPACE = 0;
  private static final int PROT_READ = 1;
  private static final int PROT_READ_WRITE = 3;
  private static final int MAP_SHARED = 1;
  private static final int MAP_NORESERVE = 0x4000;

  /// IOV_MAX.
  private static final int MOST_RANGES = 1024;

  private final PageStore store;
  private final ProcessMemory memory;

  public PageFiller(PageStore store, ProcessMemory memory) {
    this.store = store;
    this.memory = memory;
  }

  /// The second buffer is as long as the first.
  @FunctionalInterface
  private interface ChunkWork {
    void run(Piece piece, ByteBuffer buffer, ByteBuffer second) throws CheckpointException;
  }

  /// Stored pages of the address space that are not in `done`.
  public List<Piece> missing(Ranges done) {
    return store.pieces(PROCESS_SPACE, Ranges.of(store.effective()).minus(done));
  }

  /// Pages that the newest image holds itself and that lie in `ranges`.
  public List<Piece> newest(Ranges ranges) {
    return store.newestPieces(PROCESS_SPACE, ranges);
  }

  /// Writes stored pages of the address space. Shadow stacks are written by the calling thread,
  /// which must be the tracer: no other may write what protection forbids.
  public void fill(List<Piece> wanted, List<Vma> vmas) throws CheckpointException {
    Map<Boolean, List<Piece>> pieces =
        partition(wanted, vmas, vma -> vma.getVmFlagsList().contains(VmaCollector.SHADOW_STACK));
    forEachChunk(
        pieces.getOrDefault(false, List.of()),
        THREADS,
        (piece, buffer, _) -> {
          content(piece, buffer);
          transfer(piece, MemorySegment.ofBuffer(buffer.clear()), false);
        });
    List<Piece> forced = pieces.getOrDefault(true, List.of());
    ByteBuffer buffer = ByteBuffer.allocateDirect(longest(forced));
    for (Piece piece : forced) {
      content(piece, buffer);
      MemorySegment data = MemorySegment.ofBuffer(buffer.clear());
      long offset = 0;
      for (PageStore.Slice slice : piece.slices()) {
        long length = (long) slice.pages() * store.pageSize();
        memory.writeForced(slice.start(), data.asSlice(offset, length));
        offset += length;
      }
    }
  }

  /// Writes stored pages of ordinary memory and reads them back at once, while their chunk is at
  /// hand. A piece must not cover another: which holds for those of one image.
  public void fillProven(List<Piece> wanted) throws CheckpointException {
    forEachChunk(
        wanted,
        THREADS,
        (piece, buffer, second) -> {
          content(piece, buffer);
          transfer(piece, MemorySegment.ofBuffer(buffer.clear()), false);
          transfer(piece, MemorySegment.ofBuffer(second.clear()), true);
          compare(piece, buffer, second);
        });
  }

  private void compare(Piece piece, ByteBuffer wanted, ByteBuffer found)
      throws CheckpointException {
    int length = bytes(piece);
    if (wanted.clear().limit(length).mismatch(found.clear().limit(length)) >= 0) {
      throw different(piece.slices().getFirst().start());
    }
  }

  private static int longest(List<Piece> pieces) {
    return pieces.stream()
        .mapToInt(piece -> piece.reader().contentLength(piece.chunk().chunk()))
        .max()
        .orElse(0);
  }

  /// By whether they touch a mapping that is `special`.
  private Map<Boolean, List<Piece>> partition(
      List<Piece> pieces, List<Vma> vmas, Predicate<Vma> special) {
    NavigableMap<Long, Long> found = new TreeMap<>();
    vmas.stream().filter(special).forEach(vma -> found.put(vma.getStart(), vma.getEnd()));
    return pieces.stream().collect(Collectors.partitioningBy(piece -> touches(piece, found)));
  }

  /// @param mappings ends by starts; they do not overlap
  private boolean touches(Piece piece, NavigableMap<Long, Long> mappings) {
    for (PageStore.Slice slice : piece.slices()) {
      long end = slice.start() + (long) slice.pages() * store.pageSize();
      Map.Entry<Long, Long> last = mappings.lowerEntry(end);
      if (last != null && slice.start() < last.getValue()) {
        return true;
      }
    }
    return false;
  }

  /// Reads the pages of a chunk, those of its slices at the front.
  private void content(Piece piece, ByteBuffer buffer) throws CheckpointException {
    buffer.clear();
    piece.reader().read(piece.chunk().chunk(), buffer);
    pack(piece, buffer);
  }

  /// Zero pages over file mappings, where a page that is not written shows the file's bytes. Over
  /// fresh anonymous memory there is nothing to do.
  ///
  /// @param verify read back and compare instead of writing
  public void zeros(List<Vma> vmas, Pagemap pagemap, boolean verify) throws CheckpointException {
    List<PageRun> runs =
        pagemap.getSpacesList().stream()
            .filter(space -> space.getId() == PROCESS_SPACE)
            .flatMap(space -> space.getRunsList().stream())
            .filter(run -> run.getKind() == PageKind.PAGE_ZERO)
            .toList();
    if (runs.isEmpty()) {
      return;
    }
    MemorySegment zeros = MemorySegment.ofBuffer(ByteBuffer.allocateDirect(PageWriter.CHUNK_BYTES));
    MemorySegment found = MemorySegment.ofBuffer(ByteBuffer.allocateDirect(PageWriter.CHUNK_BYTES));
    for (Vma vma : vmas) {
      if (vma.getKind() != VmaKind.VMA_PRIVATE_FILE) {
        continue;
      }
      for (PageRun run : runs) {
        long at = Math.max(run.getStart(), vma.getStart());
        long end = Math.min(run.getStart() + run.getPages() * store.pageSize(), vma.getEnd());
        while (at < end) {
          long length = Math.min(end - at, PageWriter.CHUNK_BYTES);
          if (verify) {
            memory.read(at, found.asSlice(0, length));
            if (found.asSlice(0, length).mismatch(zeros.asSlice(0, length)) >= 0) {
              throw different(at);
            }
          } else {
            memory.write(at, zeros.asSlice(0, length));
          }
          at += length;
        }
      }
    }
  }

  private static CheckpointException different(long address) {
    return new CheckpointException(
        Outcome.FAILED,
        "cannot prove the restored process: pages from 0x%x on differ from the image"
            .formatted(address));
  }

  /// Writes the stored pages of a shared object into its file. The last page may reach beyond the
  /// end; the file does not grow.
  public void fillObject(SharedObject object, Fd fd) throws CheckpointException {
    if ((object.getCreateFlags() & Fcntl.MFD_HUGETLB) != 0) {
      fillHuge(object, fd);
      return;
    }
    forEachPart(
        object,
        (start, content) -> {
          long inside = Math.min(content.byteSize(), object.getSize() - start);
          try {
            if (inside > 0) {
              fd.writeFully(content.asSlice(0, inside), start);
            }
          } catch (SyscallException e) {
            throw cannotFill(object, e);
          }
        });
  }

  /// One run of stored pages at its offset in a shared object.
  @FunctionalInterface
  private interface PartWork {
    void run(long start, MemorySegment content) throws CheckpointException;
  }

  private void forEachPart(SharedObject object, PartWork work) throws CheckpointException {
    forEachChunk(
        store.pieces(object.getId()),
        THREADS,
        (piece, buffer, _) -> {
          content(piece, buffer);
          MemorySegment data = MemorySegment.ofBuffer(buffer.clear());
          long offset = 0;
          for (PageStore.Slice run : piece.slices()) {
            long length = (long) run.pages() * store.pageSize();
            work.run(run.start(), data.asSlice(offset, length));
            offset += length;
          }
        });
  }

  private static CheckpointException cannotFill(SharedObject object, SyscallException e) {
    return new CheckpointException(
        Outcome.FAILED,
        "cannot fill shared object %d: %s".formatted(object.getId(), e.getMessage()),
        e);
  }

  /// A file of huge pages takes no write(2), only a mapping does.
  private void fillHuge(SharedObject object, Fd fd) throws CheckpointException {
    if (object.getSize() == 0) {
      return;
    }
    try (ProcessMemory own = ProcessMemory.open((int) ProcessHandle.current().pid())) {
      long address =
          Kernel.call(
              "map shared object %d (it needs free huge TLB pages, vm.nr_hugepages)"
                  .formatted(object.getId()),
              Syscall.MMAP,
              0,
              object.getSize(),
              PROT_READ_WRITE,
              MAP_SHARED | MAP_NORESERVE,
              fd.number(),
              0);
      try {
        forEachPart(object, (start, content) -> own.write(address + start, content));
      } finally {
        Kernel.raw(Syscall.MUNMAP, address, object.getSize());
      }
    } catch (SyscallException e) {
      throw cannotFill(object, e);
    }
  }

  /// Reads pages back and compares them, or their checksums, with the image's. Those of mappings
  /// without PROT_READ are read by the calling thread, which must be the tracer: a kernel with
  /// CONFIG_PROC_MEM_FORCE_PTRACE (Debian's 7.x) gives any other EIO.
  public void verify(List<Piece> all, List<Vma> vmas) throws CheckpointException {
    Map<Boolean, List<Piece>> pieces =
        partition(all, vmas, vma -> (vma.getProtection() & PROT_READ) == 0);
    verify(pieces.getOrDefault(false, List.of()), THREADS);
    verify(pieces.getOrDefault(true, List.of()), 1);
  }

  private void verify(List<Piece> pieces, int threads) throws CheckpointException {
    forEachChunk(
        pieces,
        threads,
        (piece, buffer, second) -> {
          int chunk = piece.chunk().chunk();
          transfer(piece, MemorySegment.ofBuffer(buffer.clear()), true);
          if (piece.isWhole()) {
            CRC32C crc = new CRC32C();
            crc.update(buffer.clear().limit(piece.reader().contentLength(chunk)));
            if ((int) crc.getValue() != piece.reader().contentCrc(chunk)) {
              throw different(piece.slices().getFirst().start());
            }
            return;
          }
          // The checksum covers pages that a newer image replaced, too.
          content(piece, second);
          compare(piece, second, buffer);
        });
  }

  private int bytes(Piece piece) {
    return piece.slices().stream().mapToInt(PageStore.Slice::pages).sum() * store.pageSize();
  }

  /// Moves the slices of a chunk together, to the front.
  private void pack(Piece piece, ByteBuffer buffer) {
    if (piece.isWhole()) {
      return;
    }
    int to = 0;
    for (PageStore.Slice slice : piece.slices()) {
      int length = slice.pages() * store.pageSize();
      buffer.put(to, buffer, slice.first() * store.pageSize(), length);
      to += length;
    }
  }

  private void transfer(Piece piece, MemorySegment data, boolean read) throws CheckpointException {
    List<PageStore.Slice> runs = piece.slices();
    long[] addresses = new long[Math.min(runs.size(), MOST_RANGES)];
    long[] lengths = new long[addresses.length];
    long offset = 0;
    int at = 0;
    while (at < runs.size()) {
      int count = Math.min(addresses.length, runs.size() - at);
      long bytes = 0;
      for (int i = 0; i < count; i++) {
        addresses[i] = runs.get(at + i).start();
        lengths[i] = (long) runs.get(at + i).pages() * store.pageSize();
        bytes += lengths[i];
      }
      MemorySegment part = data.asSlice(offset, bytes);
      if (!read) {
        memory.writeRanges(addresses, lengths, count, part);
      } else if (!memory.readRanges(addresses, lengths, count, part)) {
        long position = 0;
        for (int i = 0; i < count; i++) {
          memory.read(addresses[i], part.asSlice(position, lengths[i]));
          position += lengths[i];
        }
      }
      offset += bytes;
      at += count;
    }
  }

  /// @param threads at most so many, the calling one among them
  private static void forEachChunk(List<Piece> chunks, int threads, ChunkWork work)
      throws CheckpointException {
    if (chunks.isEmpty()) {
      return;
    }
    AtomicInteger next = new AtomicInteger();
    AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();
    int size = longest(chunks);
    Runnable body =
        () -> {
          try {
            ByteBuffer buffer = ByteBuffer.allocateDirect(size);
            ByteBuffer second = ByteBuffer.allocateDirect(size);
            for (int i = next.getAndIncrement();
                i < chunks.size() && failure.get() == null;
                i = next.getAndIncrement()) {
              work.run(chunks.get(i), buffer, second);
            }
          } catch (CheckpointException | RuntimeException | Error e) {
            failure.compareAndSet(null, e);
          }
        };
    Thread[] others = new Thread[chunks.size() < 4 ? 0 : threads - 1];
    for (int i = 0; i < others.length; i++) {
      others[i] = Thread.ofPlatform().daemon().name("jcr-fill-" + i).start(body);
    }
    body.run();
    for (Thread other : others) {
      joinFully(other);
    }
    switch (failure.get()) {
      case null -> {}
      case CheckpointException e ->
          throw new CheckpointException(e.outcome(), String.valueOf(e.getMessage()), e);
      case Throwable e -> throw new IllegalStateException(e);
    }
  }

  private static void joinFully(Thread thread) {
    boolean interrupted = false;
    while (thread.isAlive()) {
      try {
        thread.join();
      } catch (InterruptedException _) {
        interrupted = true;
      }
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }
}
