package dev.jcr.restore.lazy;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.pages.PageStore.Slice;
import dev.jcr.image.pages.Ranges;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.PageScan;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.linux.Userfault;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.restore.lazy.PendingPages.Missing;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/// Gives a running process its missing pages: those that a thread waits for at once, all others in
/// the background. When the last is there, nothing of it is left in the process.
///
/// **Never wrong bytes.** A page is given only as the messages that were read so far say, and no
/// message is read meanwhile (`state`): while one is unread that concerns memory that changes, the
/// kernel refuses pages (EAGAIN). Whether a page is still missing follows from the image and the
/// log ([EventLog]), so another server can go on at any moment ([#resume]). A page whose checksum
/// is wrong is not given: the process is stopped, and waits.
///
/// Two threads: one reads messages and serves faults, one prefetches.
public final class LazyServer implements AutoCloseable {
  private static final int SIGSTOP = 19;
  private static final int SIGCONT = 18;

  /// Pages given in one step, so that a fault waits no longer than for these.
  private static final int STEP = 32;

  /// Blocks whose faults may follow each other.
  private static final int BUFFERS = 8;

  private static final long IDLE_NANOS = 10_000_000L;
  private static final long PATIENCE_NANOS = 500_000_000L;

  private final int pid;
  private final Fd process;
  private final PageBlocks source;
  private final PageKeeper keeper;
  private final Map<Integer, Space> spaces = new LinkedHashMap<>();
  private final ReentrantLock state = new ReentrantLock(true);
  private final Fd wake;
  private final CountDownLatch ended = new CountDownLatch(1);
  private final Deque<Block> loaded = new ArrayDeque<>();

  /// Of the fault thread alone.
  private final Deque<Fault> waiting = new ArrayDeque<>();

  private final long begin = System.nanoTime();
  private final List<Thread> threads = new ArrayList<>();
  private volatile boolean stopping;

  /// Bytes a second.
  private volatile long rate;

  private boolean gone;
  private volatile @Nullable CheckpointException failure;
  private boolean closed;

  private long bytes;
  private long faults;
  private long zeroFaults;
  private long demanded;
  private long prefetched;
  private long discarded;
  private long forks;
  private boolean hadChildren;
  private long lastGiven = begin;
  private final Latencies latencies = new Latencies();

  /// An address space: of the process, or of a child that it forked since.
  private static final class Space {
    private final int number;
    private final Userfault userfault;
    private final PendingPages pending;

    Space(int number, Userfault userfault, PendingPages pending) {
      this.number = number;
      this.userfault = userfault;
      this.pending = pending;
    }
  }

  private record Fault(Space space, long address, long since) {}

  private LazyServer(int pid, PageBlocks source, PageKeeper keeper) throws IOException {
    this.pid = pid;
    this.source = source;
    this.keeper = keeper;
    this.process = Fd.ofProcess(pid);
    this.wake = new Fd((int) Kernel.call("make an eventfd", Syscall.EVENTFD2, 0, Fd.O_CLOEXEC));
  }

  /// Registers memory of a process that does not run yet, and begins to serve it.
  ///
  /// @param userfault of that process, taken over
  /// @param source taken over
  /// @param digest of the image
  ///
  ///   It fetches nothing ahead until [#prefetch].
  public static LazyServer start(
      int pid, Userfault userfault, LazyRanges ranges, PageBlocks source, String digest)
      throws CheckpointException, IOException {
    ranges
        .mappings()
        .forEach((start, end) -> {
          long result = userfault.registerMissing(start, end);
          if (result != 0) {
            throw new CheckpointException(
                Outcome.FAILED,
                "cannot serve the pages of mapping 0x%x-0x%x: %s; restore without --lazy-pages"
                    .formatted(start, end, Errno.describe((int) -result)));
          }
        });
    requireMissing(pid, ranges);
    PageKeeper keeper = PageKeeper.start(userfault, pid, digest);
    LazyServer server = new LazyServer(pid, source, keeper);
    int number = keeper.log().userfault();
    server.spaces.put(number, new Space(number, userfault, PendingPages.of(ranges.pages())));
    server.run();
    return server;
  }

  /// What the user should know of it.
  public Optional<String> note() {
    return keeper.note();
  }

  /// What is there already is never asked for. The kernel fills gaps with zeros where it makes huge
  /// pages; from here on it does not.
  private static void requireMissing(int pid, LazyRanges ranges)
      throws CheckpointException, IOException {
    Ranges there = new Ranges();
    try (PageScan scan = PageScan.open(pid)) {
      for (int i = 0; i < ranges.mappings().size(); i++) {
        scan.scan(
            ranges.mappings().start(i),
            ranges.mappings().end(i),
            0,
            0,
            PageScan.PRESENT | PageScan.SWAPPED,
            there::add);
      }
    }
    Ranges wrong = there.and(ranges.pages());
    if (wrong.size() > 0) {
      throw new CheckpointException(
          Outcome.FAILED,
          "cannot serve the pages of process %d: page 0x%x is there before it was given; restore without --lazy-pages"
              .formatted(pid, wrong.start(0)));
    }
  }

  /// Goes on for a server that ended; waits for one that is there.
  ///
  /// @param ranges of the image, as they were for [#start]
  /// @param digest of the image
  /// @param source taken over, unless nothing is returned or thrown
  /// @return empty when all pages of the process are there
  public static Optional<LazyServer> resume(
      int pid, LazyRanges ranges, String digest, PageBlocks source) throws CheckpointException {
    if (!Proc.of(pid).exists()) {
      throw new CheckpointException(
          Outcome.TARGET_LOST, "cannot give process " + pid + " its pages: it is gone");
    }
    try {
      Optional<PageKeeper> found = PageKeeper.find(pid, digest);
      if (found.isEmpty()) {
        return Optional.empty();
      }
      PageKeeper keeper = found.get();
      LazyServer server = new LazyServer(pid, source, keeper);
      server.replay(ranges);
      server.run();
      for (Space space : server.spaces.values()) {
        // Whoever waited for a server that is gone asks again.
        space.userfault.wakeAll();
      }
      if (keeper.log().stopped()) {
        keeper.log().stopped(false);
        server.signal(SIGCONT);
      }
      return Optional.of(server);
    } catch (IOException e) {
      throw new CheckpointException(
          Outcome.FAILED,
          "cannot take over the missing pages of process " + pid + ": " + e.getMessage(),
          e);
    }
  }

  private void replay(LazyRanges ranges) throws SyscallException {
    Map<Integer, PendingPages> pages = new LinkedHashMap<>();
    pages.put(keeper.log().userfault(), PendingPages.of(ranges.pages()));
    int[] number = {0};
    keeper
        .log()
        .replay(
            source -> number[0] = source,
            message -> {
              PendingPages own = pages.get(number[0]);
              if (own == null) {
                return;
              }
              if (Byte.toUnsignedInt(message.get(JAVA_BYTE, 0)) == Userfault.EVENT_FORK) {
                hadChildren = true;
                pages.put(message.get(JAVA_INT, 8), own.copy());
              } else {
                apply(own, message);
              }
            });
    for (Map.Entry<Integer, PendingPages> each : pages.entrySet()) {
      int fd = each.getKey();
      keeper
          .duplicate(fd)
          .ifPresent(own -> spaces.put(fd, new Space(fd, new Userfault(own), each.getValue())));
    }
  }

  private static void apply(PendingPages pages, MemorySegment message) {
    long first = message.get(JAVA_LONG, 8);
    long second = message.get(JAVA_LONG, 16);
    switch (Byte.toUnsignedInt(message.get(JAVA_BYTE, 0))) {
      case Userfault.EVENT_REMAP -> pages.move(first, second, message.get(JAVA_LONG, 24));
      case Userfault.EVENT_REMOVE, Userfault.EVENT_UNMAP -> pages.remove(first, second);
      default -> {}
    }
  }

  private void run() {
    bytes = spaces.values().stream().mapToLong(space -> space.pending.bytes()).sum();
    threads.add(
        Thread.ofPlatform().daemon().name("jcr-faults").unstarted(() -> guard(this::serve)));
    threads.add(
        Thread.ofPlatform().daemon().name("jcr-prefetch").unstarted(() -> guard(this::prefetch)));
    threads.forEach(Thread::start);
  }

  @FunctionalInterface
  private interface Work {
    void run() throws CheckpointException, SyscallException;
  }

  private void guard(Work work) {
    try {
      work.run();
    } catch (CheckpointException e) {
      fail(e);
    } catch (SyscallException | RuntimeException | Error e) {
      fail(new CheckpointException(Outcome.TARGET_DOUBTFUL, String.valueOf(e), e));
    }
  }

  /// The process must not run on as if nothing were missing: it is stopped, and the keeper stays.
  private void fail(CheckpointException cause) {
    state.lock();
    try {
      if (failure == null && !closed) {
        keeper.log().stopped(true);
        failure =
            new CheckpointException(
                Outcome.TARGET_DOUBTFUL,
                "cannot give process %d a page of its memory, so it is stopped and waits: %s; %s"
                    .formatted(pid, cause.getMessage(), source.remedy(pid)),
                cause);
        signal(SIGSTOP);
      }
    } finally {
      state.unlock();
    }
    leave();
  }

  private void signal(int number) {
    Kernel.raw(Syscall.PIDFD_SEND_SIGNAL, process.number(), number, 0, 0);
  }

  private void leave() {
    stopping = true;
    PageKeeper.ring(wake);
    ended.countDown();
  }

  private void serve() throws CheckpointException, SyscallException {
    Deque<Rest> rests = new ArrayDeque<>();
    while (!stopping) {
      List<Space> all;
      state.lock();
      try {
        all = List.copyOf(spaces.values());
      } finally {
        state.unlock();
      }
      int[] fds = new int[all.size() + (gone ? 1 : 2)];
      for (int i = 0; i < all.size(); i++) {
        fds[i] = all.get(i).userfault.fd().number();
      }
      fds[all.size()] = wake.number();
      if (!gone) {
        fds[all.size() + 1] = process.number();
      }
      boolean[] ready =
          PageKeeper.poll(fds, rests.isEmpty() && waiting.isEmpty() ? PATIENCE_NANOS : 0);
      if (stopping) {
        return;
      }
      if (ready[all.size()]) {
        PageKeeper.drain(wake);
      }
      if (!gone && ready[all.size() + 1]) {
        // Children may be left. Theirs comes as fast as it can, to find out.
        gone = true;
        prefetch(Long.MAX_VALUE);
      }
      for (int i = 0; i < all.size(); i++) {
        if (ready[i]) {
          waiting.addAll(read(all.get(i)));
        }
      }
      while (!waiting.isEmpty()) {
        give(waiting.removeFirst()).ifPresent(rests::add);
      }
      if (!rests.isEmpty()) {
        Rest rest = rests.getFirst();
        // A buffer that was used again holds another block.
        if (rest.block.loads() != rest.loads || !step(rest, true)) {
          rests.removeFirst();
        }
      }
    }
  }

  /// What of a block is still to be given to one address space.
  private static final class Rest {
    private final Space space;
    private final Block block;
    private final List<Slice> slices;
    private final int loads;
    private final long shift;
    private int slice;
    private long offset;

    Rest(Space space, Block block, long shift) {
      this.space = space;
      this.block = block;
      this.slices = block.slices();
      this.loads = block.loads();
      this.shift = shift;
    }
  }

  /// Reads and applies messages of one address space; returns its faults.
  private List<Fault> read(Space space) throws SyscallException {
    List<Fault> found = new ArrayList<>();
    state.lock();
    try {
      if (closed || spaces.get(space.number) != space) {
        return found;
      }
      EventLog log = keeper.log();
      log.begin(space.number);
      // A child may outlive the process: until the message is known not to be a fork(2), the keeper
      // does not end with it.
      keeper.endsWithProcess(false);
      keeper.read(space.number, space.userfault.fd());
      long now = System.nanoTime();
      int count = log.messages();
      for (int i = 0; i < count; i++) {
        MemorySegment message = log.message(i);
        switch (Byte.toUnsignedInt(message.get(JAVA_BYTE, 0))) {
          case Userfault.EVENT_FAULT -> {
            faults++;
            found.add(
                new Fault(space, message.get(JAVA_LONG, 16) & -(long) source.pageSize(), now));
          }
          case Userfault.EVENT_FORK -> {
            int number = message.get(JAVA_INT, 8);
            forks++;
            hadChildren = true;
            Optional<Fd> own = keeper.duplicate(number);
            own.ifPresent(fd ->
                spaces.put(number, new Space(number, new Userfault(fd), space.pending.copy())));
          }
          default -> {
            long before = space.pending.bytes();
            apply(space.pending, message);
            discarded += (before - space.pending.bytes()) / source.pageSize();
          }
        }
      }
      log.advance(count);
      if (!hadChildren) {
        keeper.endsWithProcess(true);
      }
      finish();
    } finally {
      state.unlock();
    }
    return found;
  }

  /// Gives the page of a fault; then there may be a rest of its block.
  private Optional<Rest> give(Fault fault) throws CheckpointException, SyscallException {
    Space space = fault.space;
    int pageSize = source.pageSize();
    @Nullable Block block = null;
    long origin = 0;
    while (!stopping) {
      state.lock();
      try {
        if (spaces.get(space.number) != space) {
          return Optional.empty();
        }
        Optional<Missing> missing = space.pending.within(fault.address, fault.address + pageSize);
        if (missing.isEmpty()) {
          long result = space.userfault.zero(fault.address, pageSize);
          if (result == -Errno.EEXIST) {
            space.userfault.wake(fault.address, pageSize);
          }
          if (result != -Errno.EAGAIN) {
            if (result > 0) {
              zeroFaults++;
              measure(fault);
            }
            settle(space, fault.address, pageSize, result);
            return Optional.empty();
          }
        } else if (block != null && origin == missing.get().origin() && block.holds(origin)) {
          long result = space.userfault.copy(fault.address, block.address(origin), pageSize);
          if (result == -Errno.EEXIST) {
            space.userfault.wake(fault.address, pageSize);
          }
          if (result != -Errno.EAGAIN) {
            if (result > 0) {
              demanded++;
              measure(fault);
            }
            settle(space, fault.address, pageSize, result);
            return Optional.of(new Rest(space, block, missing.get().shift()));
          }
        } else {
          origin = missing.get().origin();
          block = null;
        }
      } finally {
        state.unlock();
      }
      if (block == null && origin != 0) {
        block = load(origin);
      } else {
        // EAGAIN: there is a message.
        waiting.addAll(read(space));
      }
    }
    return Optional.empty();
  }

  /// Of the fault thread alone: the block of a page, read if it is not one of the last few.
  private Block load(long origin) throws CheckpointException {
    for (Block each : loaded) {
      if (each.holds(origin)) {
        return each;
      }
    }
    Block block = loaded.size() < BUFFERS ? new Block(source, true) : loaded.removeFirst();
    loaded.addLast(block);
    block.load(origin);
    return block;
  }

  /// What a page or more that were given, or could not be, mean for what is missing.
  private void settle(Space space, long address, long length, long result)
      throws CheckpointException {
    if (result > 0) {
      space.pending.remove(address, address + result);
    } else if (result == -Errno.EEXIST || result == -Errno.ENOENT) {
      // There, from a server before; or not memory that comes on demand any more.
      space.pending.remove(address, address + Math.min(length, source.pageSize()));
    } else if (result == -Errno.ESRCH) {
      space.pending.clear();
    } else {
      throw new CheckpointException(
          Outcome.FAILED, "page 0x%x: %s".formatted(address, Errno.describe((int) -result)));
    }
    finish();
  }

  private void measure(Fault fault) {
    long now = System.nanoTime();
    lastGiven = now;
    latencies.add(now - fault.since);
  }

  /// Gives a few pages of a block; false when there are no more.
  private boolean step(Rest rest, boolean demand) throws CheckpointException, SyscallException {
    int pageSize = source.pageSize();
    boolean again = false;
    state.lock();
    try {
      if (closed || spaces.get(rest.space.number) != rest.space) {
        return false;
      }
      while (rest.slice < rest.slices.size()) {
        Slice slice = rest.slices.get(rest.slice);
        long size = (long) slice.pages() * pageSize;
        long start = slice.start() - rest.shift;
        Optional<Missing> next = rest.space.pending.within(start + rest.offset, start + size);
        if (next.isEmpty()) {
          rest.slice++;
          rest.offset = 0;
          continue;
        }
        Missing missing = next.get();
        if (missing.shift() != rest.shift) {
          rest.offset = missing.end() - start;
          continue;
        }
        long length = Math.min(missing.end() - missing.start(), (long) STEP * pageSize);
        long from = rest.block.address(missing.origin());
        long result = rest.space.userfault.copy(missing.start(), from, length);
        if (result == -Errno.ENOENT && length > pageSize) {
          // Part of it may be another mapping.
          length = pageSize;
          result = rest.space.userfault.copy(missing.start(), from, length);
        }
        if (result == -Errno.EAGAIN) {
          again = true;
          break;
        }
        if (result > 0) {
          lastGiven = System.nanoTime();
          if (demand) {
            demanded += result / pageSize;
          } else {
            prefetched += result / pageSize;
          }
        }
        settle(rest.space, missing.start(), length, result);
        return true;
      }
    } finally {
      state.unlock();
    }
    if (again) {
      if (demand) {
        waiting.addAll(read(rest.space));
      } else {
        LockSupport.parkNanos(50_000);
      }
    }
    return again;
  }

  /// Changes how fast pages come before anybody asks.
  ///
  /// @param bytesPerSecond 0 for not at all, Long.MAX_VALUE for no limit
  public void prefetch(long bytesPerSecond) {
    rate = bytesPerSecond;
  }

  private void prefetch() throws CheckpointException, SyscallException {
    Block block = new Block(source, false);
    while (!stopping) {
      if (rate == 0) {
        LockSupport.parkNanos(IDLE_NANOS);
        continue;
      }
      long began = System.nanoTime();
      Missing next = null;
      List<Space> all;
      state.lock();
      try {
        finish();
        all = List.copyOf(spaces.values());
        if (!all.isEmpty()) {
          next = all.getFirst().pending.first().orElseThrow();
        }
      } finally {
        state.unlock();
      }
      if (next == null) {
        return;
      }
      block.load(next.origin());
      for (Space space : all) {
        Rest rest = new Rest(space, block, space == all.getFirst() ? next.shift() : 0);
        while (!stopping && step(rest, false)) {
          // A few pages at a time.
        }
      }
      long nanos = (long) (block.bytes() * 1e9 / rate);
      long end = began + nanos;
      for (long left = nanos;
          !stopping && rate != Long.MAX_VALUE && left > 0;
          left = end - System.nanoTime()) {
        LockSupport.parkNanos(Math.min(left, IDLE_NANOS));
      }
    }
  }

  /// Lets go of address spaces in which nothing is missing. When it was the last, all is done.
  private void finish() {
    if (closed) {
      return;
    }
    for (Space space : List.copyOf(spaces.values())) {
      if (space.pending.isEmpty()) {
        spaces.remove(space.number);
        space.userfault.close();
        if (!spaces.isEmpty()) {
          closeKept(space.number);
        }
      }
    }
    if (spaces.isEmpty()) {
      closed = true;
      keeper.end();
      leave();
    }
  }

  private void closeKept(int number) {
    try {
      keeper.call(Syscall.CLOSE, number);
    } catch (SyscallException _) {
      // It is closed with the keeper.
    }
  }

  /// Whether the process can still need this server.
  public boolean isServing() {
    return ended.getCount() > 0;
  }

  /// What went wrong; the process is stopped then.
  public Optional<CheckpointException> failure() {
    return Optional.ofNullable(failure);
  }

  /// Waits until all pages are there, or the process is gone.
  public LazyReport await() throws CheckpointException {
    boolean interrupted = false;
    while (true) {
      try {
        ended.await();
        break;
      } catch (InterruptedException _) {
        interrupted = true;
      }
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
    CheckpointException cause = failure;
    close();
    if (cause != null) {
      throw new CheckpointException(cause.outcome(), String.valueOf(cause.getMessage()), cause);
    }
    return report();
  }

  /// Whether another jcr waits to go on in the place of this one ([#close]).
  public boolean hasSuccessor() {
    int successor = keeper.log().waiting();
    return isServing() && successor != 0 && ProcessHandle.of(successor).isPresent();
  }

  /// So far.
  public LazyReport report() {
    state.lock();
    try {
      return new LazyReport(
          bytes,
          faults,
          zeroFaults,
          demanded,
          prefetched,
          discarded,
          forks,
          latencies.quantile(500),
          latencies.quantile(990),
          latencies.quantile(1000),
          (lastGiven - begin) / 1000);
    } finally {
      state.unlock();
    }
  }

  /// Stops serving. If pages are missing, the process waits for the next server.
  @Override
  public void close() {
    leave();
    for (Thread thread : threads) {
      boolean interrupted = false;
      while (thread.isAlive() && !thread.equals(Thread.currentThread())) {
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
    state.lock();
    try {
      if (!closed) {
        closed = true;
        spaces.values().forEach(space -> space.userfault.close());
        spaces.clear();
        keeper.close();
      }
    } finally {
      state.unlock();
    }
    source.close();
    process.close();
    wake.close();
  }
}
