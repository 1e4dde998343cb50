package dev.jcr.parasite.linux;

import java.io.ByteArrayOutputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;

/// What waits inside a pseudo-terminal, in both directions.
///
/// The kernel shows it to nobody without giving it away, so [#copy] takes it out and puts the same
/// back at once, and whoever reads the terminal must be stopped meanwhile. Bytes are put in through
/// the line discipline with everything switched off that would change them or act upon them.
///
/// @param lines input that can be read, in canonical mode: each ends as it was ended, and one
///   without a delimiter was ended by the end-of-file character
/// @param rest other input: a line not yet ended, or everything in raw mode
/// @param output what the master has not read
@SuppressWarnings("ArrayRecordComponent") // carried, not compared
public record PtyQueue(List<byte[]> lines, byte[] rest, byte[] output) {
  private static final int ICANON = 2;
  private static final int OPOST = 1;
  private static final int IXON = 0x400;
  private static final int ECHO = 8;
  private static final int IEXTEN = 0x8000;
  private static final int INPUT_FLAGS = 0;
  private static final int OUTPUT_FLAGS = 4;
  private static final int LOCAL_FLAGS = 12;
  private static final int CHARACTERS = 17;
  private static final int CHARACTER_COUNT = 19;
  private static final int VEOF = 4;
  private static final int VMIN = 6;
  private static final int VSTART = 8;
  private static final int VSTOP = 9;
  private static final int VEOL = 11;
  private static final int VEOL2 = 16;
  private static final byte END_OF_FILE = 4;
  private static final int LINE_MAX = 4096;

  /// Less than the kernel's echo buffer.
  private static final int PIECE = 256;

  private static final long PATIENCE_NANOS = 5_000_000_000L;
  private static final int POLLIN = 1;
  private static final int POLLOUT = 4;

  public PtyQueue {
    lines = List.copyOf(lines);
  }

  public boolean isEmpty() {
    return lines.isEmpty() && rest.length == 0 && output.length == 0;
  }

  /// Looks at the queues of a pair, of which jcr has both ends. Fails with EAGAIN, nothing changed,
  /// when output is stopped (^S), because then nothing could be put back.
  public static PtyQueue copy(int master, int slave) throws SyscallException {
    byte[] termios = termios(slave);
    boolean packet = FdCalls.ioctlInt(master, Fcntl.TIOCGPKT).orElse(0) != 0;
    if ((FdCalls.poll(slave, POLLOUT) & POLLOUT) == 0) {
      throw new SyscallException("look into a stopped terminal", Syscall.POLL, Errno.EAGAIN);
    }
    List<byte[]> lines = new ArrayList<>();
    byte[] rest = {};
    byte[] output = {};
    try {
      if (packet) {
        FdCalls.ioctlSet(master, Fcntl.TIOCPKT, new byte[4]);
      }
      boolean canonical = (flags(termios, LOCAL_FLAGS) & ICANON) != 0;
      if (canonical) {
        while ((FdCalls.poll(slave, POLLIN) & POLLIN) != 0) {
          lines.add(read(slave, LINE_MAX));
        }
        byte[] raw = termios.clone();
        setFlags(raw, LOCAL_FLAGS, flags(termios, LOCAL_FLAGS) & ~ICANON);
        set(slave, raw);
      }
      rest = readAll(slave);
      output = readAll(master);
    } finally {
      put(master, slave, termios, packet, new PtyQueue(lines, rest, output));
    }
    return new PtyQueue(lines, rest, output);
  }

  /// Fills the queues of a pair that has its settings already.
  public void putInto(int master, int slave) throws SyscallException {
    boolean packet = FdCalls.ioctlInt(master, Fcntl.TIOCGPKT).orElse(0) != 0;
    put(master, slave, termios(slave), packet, this);
  }

  private static void put(int master, int slave, byte[] termios, boolean packet, PtyQueue queue)
      throws SyscallException {
    if (!queue.isEmpty()) {
      if (packet) {
        FdCalls.ioctlSet(master, Fcntl.TIOCPKT, new byte[4]);
      }
      set(slave, quiet(termios));
      for (byte[] line : queue.lines) {
        type(master, line);
        if (!delimited(line, termios)) {
          // Not echoed; whether it is seen now or by the terminal's own modes is the same.
          write(master, new byte[] {endOfFile(termios)}, 0, 1);
        }
      }
      type(master, queue.rest);
      write(slave, queue.output, 0, queue.output.length);
    }
    set(slave, termios);
    if (packet) {
      FdCalls.ioctlSet(master, Fcntl.TIOCPKT, new byte[] {1, 0, 0, 0});
    }
  }

  /// Modes in which the line discipline takes bytes as they are, and echoes each as itself.
  private static byte[] quiet(byte[] termios) {
    byte[] quiet = termios.clone();
    int local = flags(termios, LOCAL_FLAGS);
    setFlags(quiet, INPUT_FLAGS, flags(termios, INPUT_FLAGS) & IXON);
    setFlags(quiet, LOCAL_FLAGS, (local & (ICANON | IEXTEN)) | ECHO);
    setFlags(quiet, OUTPUT_FLAGS, flags(termios, OUTPUT_FLAGS) & ~OPOST);
    for (int i = 0; i < CHARACTER_COUNT; i++) {
      if (i != VEOL && i != VEOL2 && i != VSTART && i != VSTOP) {
        quiet[CHARACTERS + i] = 0;
      }
    }
    if ((local & ICANON) != 0) {
      quiet[CHARACTERS + VEOF] = endOfFile(termios);
    } else {
      quiet[CHARACTERS + VMIN] = 1;
    }
    return quiet;
  }

  private static byte endOfFile(byte[] termios) {
    byte own = termios[CHARACTERS + VEOF];
    return own == 0 ? END_OF_FILE : own;
  }

  /// Writes input and waits until it has come through the line discipline, which a kernel thread
  /// works some time later: then its echo, read here, is complete.
  private static void type(int master, byte[] bytes) throws SyscallException {
    for (int at = 0; at < bytes.length; at += PIECE) {
      int length = Math.min(PIECE, bytes.length - at);
      write(master, bytes, at, length);
      long deadline = System.nanoTime() + PATIENCE_NANOS;
      int echoed = 0;
      while (echoed < length) {
        settle(master);
        int waiting = FdCalls.ioctlInt(master, Fcntl.FIONREAD).orElse(0);
        if (waiting > 0) {
          echoed += read(master, Math.min(waiting, length - echoed)).length;
        } else if (System.nanoTime() > deadline) {
          throw new SyscallException("put input back into a terminal", Syscall.WRITE, Errno.EIO);
        } else {
          LockSupport.parkNanos(20_000);
        }
      }
    }
  }

  private static boolean delimited(byte[] line, byte[] termios) {
    if (line.length == 0) {
      return false;
    }
    byte last = line[line.length - 1];
    return last == '\n'
        || (last != 0
            && (last == termios[CHARACTERS + VEOL] || last == termios[CHARACTERS + VEOL2]));
  }

  /// Polling a terminal that has nothing to read makes the kernel carry what was written through
  /// the line discipline (`tty_buffer_flush_work` in n_tty_poll).
  private static void settle(int fd) throws SyscallException {
    FdCalls.poll(fd, POLLIN);
  }

  private static byte[] readAll(int fd) throws SyscallException {
    ByteArrayOutputStream all = new ByteArrayOutputStream();
    while (true) {
      settle(fd);
      int waiting = FdCalls.ioctlInt(fd, Fcntl.FIONREAD).orElse(0);
      if (waiting <= 0) {
        return all.toByteArray();
      }
      all.writeBytes(read(fd, waiting));
    }
  }

  private static byte[] read(int fd, int size) throws SyscallException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment buffer = arena.allocate(size);
      long count = Kernel.call("read a terminal", Syscall.READ, fd, buffer.address(), size);
      return buffer.asSlice(0, count).toArray(ValueLayout.JAVA_BYTE);
    }
  }

  private static void write(int fd, byte[] bytes, int from, int length) throws SyscallException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment buffer = arena.allocate(Math.max(1, length));
      MemorySegment.copy(bytes, from, buffer, ValueLayout.JAVA_BYTE, 0, length);
      long done = 0;
      while (done < length) {
        done +=
            Kernel.call(
                "write into a terminal", Syscall.WRITE, fd, buffer.address() + done, length - done);
      }
    }
  }

  private static byte[] termios(int fd) throws SyscallException {
    Optional<byte[]> termios = FdCalls.ioctl(fd, Fcntl.TCGETS2, Fcntl.SIZEOF_TERMIOS2);
    if (termios.isEmpty()) {
      throw new SyscallException("read the modes of a terminal", Syscall.IOCTL, Errno.EIO);
    }
    return termios.get();
  }

  private static void set(int fd, byte[] termios) throws SyscallException {
    long result = FdCalls.ioctlSet(fd, Fcntl.TCSETS2, termios);
    if (Kernel.isError(result)) {
      throw new SyscallException("set the modes of a terminal", Syscall.IOCTL, (int) -result);
    }
  }

  private static int flags(byte[] termios, int offset) {
    return ByteBuffer.wrap(termios).order(ByteOrder.LITTLE_ENDIAN).getInt(offset);
  }

  private static void setFlags(byte[] termios, int offset, int value) {
    ByteBuffer.wrap(termios).order(ByteOrder.LITTLE_ENDIAN).putInt(offset, value);
  }
}
