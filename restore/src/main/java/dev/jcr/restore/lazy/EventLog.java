package dev.jcr.restore.lazy;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.Userfault;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.function.Consumer;
import java.util.function.IntConsumer;
import org.jspecify.annotations.Nullable;

/// What the process did to its memory while it was not whole, in memory that the keeper shares. The
/// kernel writes messages straight into it, so that none is lost with a server that is killed:
/// which pages are missing follows from the image and this log alone.
///
/// ```
/// 0     8     magic
/// 8     4     number of the userfaultfd in the keeper
/// 12    4     pid of who waits to be the next server
/// 16    4     1: the process was stopped because of a damaged page
/// 64    192   for PageKeeperProgram
/// 4096        batches: 32 bytes with 0xff and, at 4, the userfaultfd's number in the keeper; then
///             messages of 32 bytes (userfaultfd(2)), at most 16
/// ```
final class EventLog implements AutoCloseable {
  /// Sparse: it takes as much memory as there are events.
  static final long SIZE = 1L << 28;

  static final String NAME = "jcr-lazy-pages";
  static final int MOST_MESSAGES = 16;
  private static final long MAGIC = 0x0a79_7a61_6c72_636aL;
  private static final int USERFAULT = 8;
  private static final int WAITING = 12;
  private static final int STOPPED = 16;
  private static final long FIRST = 4096;
  private static final byte BATCH = (byte) 0xff;

  private final FileChannel channel;
  private final MemorySegment memory;
  private @Nullable FileLock lock;

  /// Where the next batch begins.
  private long at = FIRST;

  private EventLog(FileChannel channel) throws IOException {
    this.channel = channel;
    this.memory = channel.map(FileChannel.MapMode.READ_WRITE, 0, SIZE, Arena.ofAuto());
  }

  /// A new log in an empty memfd of jcr's own.
  static EventLog create(Fd memfd) throws IOException {
    EventLog log = open(Path.of("/proc/self/fd/" + memfd.number()));
    log.memory.set(JAVA_LONG, 0, MAGIC);
    return log;
  }

  /// The log at a path in the keeper's /proc/PID/fd.
  static EventLog open(Path path) throws IOException {
    FileChannel channel = FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE);
    EventLog log = null;
    try {
      log = new EventLog(channel);
      return log;
    } finally {
      if (log == null) {
        channel.close();
      }
    }
  }

  boolean isWhole() {
    return memory.get(JAVA_LONG, 0) == MAGIC;
  }

  /// Becomes the server, when the one before is gone. Closing any other descriptor of the same file
  /// would give the lock up again (fcntl(2)), so there must be none.
  void lock() throws IOException {
    lock = channel.lock();
  }

  MemorySegment memory() {
    return memory;
  }

  int userfault() {
    return memory.get(JAVA_INT, USERFAULT);
  }

  void userfault(int number) {
    memory.set(JAVA_INT, USERFAULT, number);
  }

  /// Pid of who waits to be the next server, or 0.
  int waiting() {
    return (int) JAVA_INT.varHandle().getVolatile(memory, (long) WAITING);
  }

  void waiting(long pid) {
    JAVA_INT.varHandle().setVolatile(memory, (long) WAITING, (int) pid);
  }

  boolean stopped() {
    return memory.get(JAVA_INT, STOPPED) != 0;
  }

  void stopped(boolean value) {
    memory.set(JAVA_INT, STOPPED, value ? 1 : 0);
  }

  /// Goes through all events from the first on; the next batch is written behind them.
  void replay(IntConsumer source, Consumer<MemorySegment> event) {
    at = FIRST;
    while (at < SIZE - FIRST && memory.get(JAVA_BYTE, at) == BATCH) {
      source.accept(memory.get(JAVA_INT, at + 4));
      int count = messages();
      for (int i = 0; i < count; i++) {
        event.accept(message(i));
      }
      if (!advance(count)) {
        return;
      }
    }
  }

  /// Prepares a batch: nothing was read yet.
  void begin(int source) {
    if (at >= SIZE - FIRST) {
      throw new IllegalStateException("more events than the log holds");
    }
    memory.asSlice(at + Userfault.MESSAGE, (long) MOST_MESSAGES * Userfault.MESSAGE).fill((byte) 0);
    memory.set(JAVA_INT, at + 4, source);
    memory.set(JAVA_BYTE, at, BATCH);
  }

  /// Offset of the messages of the batch that is being read.
  long place() {
    return at + Userfault.MESSAGE;
  }

  int messages() {
    int count = 0;
    while (count < MOST_MESSAGES && isMessage(message(count))) {
      count++;
    }
    return count;
  }

  /// The next batch follows at once.
  private static boolean isMessage(MemorySegment message) {
    byte first = message.get(JAVA_BYTE, 0);
    return first != 0 && first != BATCH;
  }

  MemorySegment message(int index) {
    return memory.asSlice(place() + (long) index * Userfault.MESSAGE, Userfault.MESSAGE);
  }

  /// The batch was taken in. Faults alone are not kept: false when the place is used again.
  boolean advance(int count) {
    for (int i = 0; i < count; i++) {
      if (Byte.toUnsignedInt(message(i).get(JAVA_BYTE, 0)) != Userfault.EVENT_FAULT) {
        at = place() + (long) count * Userfault.MESSAGE;
        return true;
      }
    }
    return false;
  }

  @Override
  public void close() {
    try {
      if (lock != null) {
        lock.release();
      }
      channel.close();
    } catch (IOException _) {
      // The lock is gone with the channel.
    }
  }
}
