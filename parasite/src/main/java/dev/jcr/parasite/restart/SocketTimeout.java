package dev.jcr.parasite.restart;

import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.Sockets;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.procfs.Anchor;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Optional;
import java.util.OptionalLong;

/// SO_RCVTIMEO or SO_SNDTIMEO of a socket of another process (socket(7)), through a duplicate of
/// its descriptor: the kernel reads it once, when a call on the socket begins (sock_rcvtimeo).
final class SocketTimeout implements AutoCloseable {
  private static final int TIMEVAL_SIZE = 16;
  private static final long SECOND = 1_000_000_000L;
  private static final long MICRO = 1000;

  private final Fd socket;
  private final int option;

  private SocketTimeout(Fd socket, int option) {
    this.socket = socket;
    this.option = option;
  }

  /// The receive or send timeout of descriptor `fd` of a process; empty when that is open no more
  /// or may not be looked at.
  static Optional<SocketTimeout> of(Anchor process, long fd, boolean receive) {
    if (fd < 0 || fd > Integer.MAX_VALUE) {
      return Optional.empty();
    }
    int option = receive ? Sockets.SO_RCVTIMEO : Sockets.SO_SNDTIMEO;
    try (Fd pidFd = process.pidFd()) {
      return Fd.duplicateOf(pidFd, (int) fd).map(socket -> new SocketTimeout(socket, option));
    } catch (SyscallException _) {
      return Optional.empty();
    }
  }

  /// Nanoseconds; empty when there is none, and for what is no socket.
  OptionalLong nanos() {
    Optional<byte[]> value = timeval();
    if (value.isEmpty() || value.get().length < TIMEVAL_SIZE) {
      return OptionalLong.empty();
    }
    ByteBuffer time = ByteBuffer.wrap(value.get()).order(ByteOrder.LITTLE_ENDIAN);
    long seconds = time.getLong(0);
    long micros = time.getLong(8);
    boolean none = seconds == 0 && micros == 0;
    return none || seconds < 0 || seconds > Long.MAX_VALUE / SECOND - 1
        ? OptionalLong.empty()
        : OptionalLong.of(seconds * SECOND + micros * MICRO);
  }

  /// The option's own bytes, to be put back.
  Optional<byte[]> timeval() {
    return FdCalls.socketOption(socket.number(), Sockets.SOL_SOCKET, option, TIMEVAL_SIZE);
  }

  void set(byte[] timeval) {
    FdCalls.setSocketOption(socket.number(), Sockets.SOL_SOCKET, option, timeval);
  }

  /// Sets nanoseconds, rounded up to microseconds: never early.
  void set(long nanos) {
    long up = nanos + MICRO - 1;
    set(
        ByteBuffer.allocate(TIMEVAL_SIZE)
            .order(ByteOrder.LITTLE_ENDIAN)
            .putLong(up / SECOND)
            .putLong(up % SECOND / MICRO)
            .array());
  }

  @Override
  public void close() {
    socket.close();
  }
}
