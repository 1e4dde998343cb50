package dev.jcr.restore.files;

import com.google.protobuf.ByteString;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.v1.SocketOption;
import dev.jcr.image.v1.SocketOptions;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.OpenFlags;
import dev.jcr.parasite.linux.Sockets;
import dev.jcr.parasite.linux.Syscall;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.Optional;

/// What sockets of all families have: options, filters, flags. Set by jcr on its own descriptor of
/// the socket, since it may have the capabilities that they need.
final class SocketSettings {
  private static final int RECEIVING = 1;
  private static final int SENDING = 2;

  private SocketSettings() {}

  /// The classic filter, when the queue is full of what came before it.
  static void filter(Fd local, SocketOptions options) throws CheckpointException {
    byte[] program = options.getFilter().toByteArray();
    if (program.length > 0) {
      try (Arena arena = Arena.ofConfined()) {
        MemorySegment code = arena.allocate(program.length, 8);
        MemorySegment.copy(program, 0, code, ValueLayout.JAVA_BYTE, 0, program.length);
        // struct sock_fprog: u16 length, pointer.
        MemorySegment fprog = arena.allocate(16, 8);
        fprog.set(ValueLayout.JAVA_SHORT, 0, (short) (program.length / 8));
        fprog.set(ValueLayout.JAVA_LONG, 8, code.address());
        long result =
            FdCalls.setSocketOption(
                local.number(),
                Sockets.SOL_SOCKET,
                Sockets.SO_ATTACH_FILTER,
                fprog.toArray(ValueLayout.JAVA_BYTE));
        if (Kernel.isError(result)) {
          throw Inside.failure("attach a socket filter", result);
        }
      }
      if (options.getFilterLocked()) {
        FdCalls.setSocketInt(local.number(), Sockets.SOL_SOCKET, Sockets.SO_LOCK_FILTER, 1);
      }
    }
  }

  static void flags(Fd local, int flags) throws CheckpointException {
    int settable = flags & OpenFlags.O_NONBLOCK;
    if (settable != 0) {
      long result = FdCalls.fcntl(local.number(), Fcntl.F_SETFL, settable);
      if (Kernel.isError(result)) {
        throw Inside.failure("set the flags of a socket", result);
      }
    }
  }

  /// On a TCP socket without connection this fails and takes effect (`inet_shutdown`).
  static void shutdown(Fd local, int how) {
    if ((how & RECEIVING) != 0) {
      Kernel.raw(Syscall.SHUTDOWN, local.number(), Sockets.SHUT_RD);
    }
    if ((how & SENDING) != 0) {
      Kernel.raw(Syscall.SHUTDOWN, local.number(), Sockets.SHUT_WR);
    }
  }

  /// Sets the options that a new socket has otherwise.
  static void options(Fd local, SocketOptions options) throws CheckpointException {
    for (SocketOption option : options.getValuesList()) {
      boolean later =
          option.getLevel() == Sockets.SOL_SOCKET
              && switch (option.getName()) {
                case Sockets.SO_SNDBUF,
                    Sockets.SO_RCVBUF,
                    Sockets.SO_BUF_LOCK,
                    Sockets.SO_PRIORITY ->
                    true;
                default -> false;
              };
      if (!later) {
        option(local, option);
      }
    }
    for (SocketOption option : options.getValuesList()) {
      // IP_TOS sets it as well.
      if (option.getLevel() == Sockets.SOL_SOCKET && option.getName() == Sockets.SO_PRIORITY) {
        option(local, option);
      }
    }
    buffers(local, options);
  }

  private static void option(Fd local, SocketOption option) throws CheckpointException {
    byte[] wanted = option.getValue().toByteArray();
    Optional<byte[]> has =
        FdCalls.socketOption(
            local.number(), option.getLevel(), option.getName(), Math.max(16, wanted.length));
    if (has.isPresent() && Arrays.equals(has.get(), wanted)) {
      return;
    }
    long result =
        FdCalls.setSocketOption(local.number(), option.getLevel(), option.getName(), wanted);
    if (Kernel.isError(result)) {
      throw Inside.failure(
          "set socket option " + option.getLevel() + "/" + option.getName(), result);
    }
  }

  /// Sizes that the program chose; the kernel doubles what is set. Others follow the kernel's own
  /// rules.
  static void buffers(Fd local, SocketOptions options) throws CheckpointException {
    int locks = value(options, Sockets.SO_BUF_LOCK);
    int fd = local.number();
    int send = value(options, Sockets.SO_SNDBUF);
    int receive = value(options, Sockets.SO_RCVBUF);
    size(fd, Sockets.SO_SNDBUF, Sockets.SO_SNDBUFFORCE, send);
    size(fd, Sockets.SO_RCVBUF, Sockets.SO_RCVBUFFORCE, receive);
    long result = FdCalls.setSocketInt(fd, Sockets.SOL_SOCKET, Sockets.SO_BUF_LOCK, locks);
    if (Kernel.isError(result)) {
      throw Inside.failure("set which socket buffers are fixed", result);
    }
  }

  private static void size(int fd, int option, int force, int wanted) throws CheckpointException {
    if (wanted == 0 || FdCalls.socketInt(fd, Sockets.SOL_SOCKET, option, 0) == wanted) {
      return;
    }
    long result = FdCalls.setSocketInt(fd, Sockets.SOL_SOCKET, force, wanted / 2);
    if (result == -Errno.EPERM) {
      result = FdCalls.setSocketInt(fd, Sockets.SOL_SOCKET, option, wanted / 2);
    }
    if (Kernel.isError(result)) {
      throw Inside.failure("set the size of a socket buffer to " + wanted, result);
    }
  }

  static int value(SocketOptions options, int name) {
    for (SocketOption option : options.getValuesList()) {
      if (option.getLevel() == Sockets.SOL_SOCKET
          && option.getName() == name
          && option.getValue().size() >= 4) {
        ByteString value = option.getValue();
        return (value.byteAt(0) & 0xff)
            | (value.byteAt(1) & 0xff) << 8
            | (value.byteAt(2) & 0xff) << 16
            | (value.byteAt(3) & 0xff) << 24;
      }
    }
    return 0;
  }
}
