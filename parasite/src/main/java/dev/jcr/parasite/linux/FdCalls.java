package dev.jcr.parasite.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Optional;

/// Questions about open descriptors of jcr's own, and changes to them. A descriptor that duplicates
/// one of another process ([Fd#duplicateOf]) shares its open file description, so a change is the
/// other's change too.
public final class FdCalls {
  private static final int SOCKADDR_MAX = 128;

  /// `<linux/sockios.h>`.
  private static final int SIOCGSKNS = 0x894c;

  private FdCalls() {}

  /// fcntl(2) with a number as argument; result or negated errno.
  public static long fcntl(int fd, int command, long argument) {
    return Kernel.raw(Syscall.FCNTL, fd, command, argument);
  }

  /// `F_GETOWN_EX`: type and pid; pid 0 for none. Empty where descriptors have no owner (O_PATH).
  public static Optional<int[]> owner(int fd) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment owner = arena.allocate(8, 4);
      long result = Kernel.raw(Syscall.FCNTL, fd, Fcntl.F_GETOWN_EX, owner.address());
      return Kernel.isError(result)
          ? Optional.empty()
          : Optional.of(owner.toArray(ValueLayout.JAVA_INT));
    }
  }

  /// ioctl(2) that fills `size` bytes; empty when it fails.
  public static Optional<byte[]> ioctl(int fd, int request, int size) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment buffer = arena.allocate(size, 8);
      long result = Kernel.raw(Syscall.IOCTL, fd, request & 0xffffffffL, buffer.address());
      return Kernel.isError(result)
          ? Optional.empty()
          : Optional.of(buffer.toArray(ValueLayout.JAVA_BYTE));
    }
  }

  /// ioctl(2) that fills an int; empty when it fails.
  public static Optional<Integer> ioctlInt(int fd, int request) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment buffer = arena.allocate(8, 8);
      long result = Kernel.raw(Syscall.IOCTL, fd, request & 0xffffffffL, buffer.address());
      return Kernel.isError(result)
          ? Optional.empty()
          : Optional.of(buffer.get(ValueLayout.JAVA_INT, 0));
    }
  }

  /// ioctl(2) that takes bytes; result or negated errno.
  public static long ioctlSet(int fd, int request, byte[] value) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment buffer = arena.allocate(Math.max(8, value.length), 8);
      MemorySegment.copy(value, 0, buffer, ValueLayout.JAVA_BYTE, 0, value.length);
      return Kernel.raw(Syscall.IOCTL, fd, request & 0xffffffffL, buffer.address());
    }
  }

  /// ppoll(2) of one descriptor without waiting: the events, 0 for none.
  public static int poll(int fd, int events) throws SyscallException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment pollfd = arena.allocate(8, 4);
      pollfd.set(ValueLayout.JAVA_INT, 0, fd);
      pollfd.set(ValueLayout.JAVA_SHORT, 4, (short) events);
      MemorySegment zero = arena.allocate(16, 8);
      Kernel.call("poll fd " + fd, Syscall.PPOLL, pollfd.address(), 1, zero.address(), 0, 8);
      return Short.toUnsignedInt(pollfd.get(ValueLayout.JAVA_SHORT, 6));
    }
  }

  /// getsockopt(2) of up to `size` bytes; empty when the socket has no such option.
  public static Optional<byte[]> socketOption(int fd, int level, int name, int size) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment value = arena.allocate(Math.max(8, size), 8);
      MemorySegment length = arena.allocateFrom(ValueLayout.JAVA_INT, size);
      long result =
          Kernel.raw(Syscall.GETSOCKOPT, fd, level, name, value.address(), length.address());
      if (Kernel.isError(result)) {
        return Optional.empty();
      }
      int filled = Math.min(length.get(ValueLayout.JAVA_INT, 0), size);
      return Optional.of(value.asSlice(0, filled).toArray(ValueLayout.JAVA_BYTE));
    }
  }

  /// getsockopt(2) of an int, `absent` when the socket has no such option.
  public static int socketInt(int fd, int level, int name, int absent) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment value = arena.allocate(8, 8);
      MemorySegment length = arena.allocateFrom(ValueLayout.JAVA_INT, 4);
      long result =
          Kernel.raw(Syscall.GETSOCKOPT, fd, level, name, value.address(), length.address());
      return Kernel.isError(result) ? absent : value.get(ValueLayout.JAVA_INT, 0);
    }
  }

  /// setsockopt(2); 0 or a negated errno.
  public static long setSocketOption(int fd, int level, int name, byte[] value) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment bytes = arena.allocate(Math.max(8, value.length), 8);
      MemorySegment.copy(value, 0, bytes, ValueLayout.JAVA_BYTE, 0, value.length);
      return Kernel.raw(Syscall.SETSOCKOPT, fd, level, name, bytes.address(), value.length);
    }
  }

  /// setsockopt(2) of an int; 0 or a negated errno.
  public static long setSocketInt(int fd, int level, int name, int value) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment bytes = arena.allocateFrom(ValueLayout.JAVA_INT, value);
      return Kernel.raw(Syscall.SETSOCKOPT, fd, level, name, bytes.address(), 4);
    }
  }

  /// getsockname(2): the sockaddr, of the length that the kernel gives.
  public static byte[] socketName(int fd) throws SyscallException {
    return name(fd, Syscall.GETSOCKNAME).orElse(new byte[0]);
  }

  /// getpeername(2); empty when not connected.
  public static Optional<byte[]> peerName(int fd) throws SyscallException {
    return name(fd, Syscall.GETPEERNAME);
  }

  private static Optional<byte[]> name(int fd, Syscall call) throws SyscallException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment address = arena.allocate(SOCKADDR_MAX, 8);
      MemorySegment length = arena.allocateFrom(ValueLayout.JAVA_INT, SOCKADDR_MAX);
      long result = Kernel.raw(call, fd, address.address(), length.address());
      if (result == -Errno.ENOTCONN) {
        return Optional.empty();
      }
      if (Kernel.isError(result)) {
        throw new SyscallException("ask the name of socket fd " + fd, call, (int) -result);
      }
      int filled = Math.min(length.get(ValueLayout.JAVA_INT, 0), SOCKADDR_MAX);
      return Optional.of(address.asSlice(0, filled).toArray(ValueLayout.JAVA_BYTE));
    }
  }

  /// fstatfs(2): the magic number of the file system, `linux/magic.h`.
  public static long fileSystem(int fd) throws SyscallException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment statfs = arena.allocate(128, 8);
      Kernel.call("ask the file system of fd " + fd, Syscall.FSTATFS, fd, statfs.address());
      return statfs.get(ValueLayout.JAVA_LONG, 0);
    }
  }

  /// SIOCGSKNS: the network namespace of a socket; empty where the kernel does not say (it needs
  /// CAP_NET_ADMIN in there).
  public static Optional<Fd> networkNamespace(int socket) {
    long result = Kernel.raw(Syscall.IOCTL, socket, SIOCGSKNS, 0);
    return Kernel.isError(result) ? Optional.empty() : Optional.of(new Fd((int) result));
  }

  /// kcmp(2) `KCMP_FILE`: 0 when both descriptors share one open file description, else -1 or 1 by
  /// an order that lasts as long as they are open.
  public static int compareFiles(int pid, int fd, int otherPid, int otherFd)
      throws SyscallException {
    return order(
        Kernel.call(
            "compare fd " + fd + " and fd " + otherFd,
            Syscall.KCMP,
            pid,
            otherPid,
            Fcntl.KCMP_FILE,
            fd,
            otherFd));
  }

  /// kcmp(2) `KCMP_EPOLL_TFD`: whether `fd` is the file that an epoll watches under the number
  /// `watched`, being the `index`th of that number. False as well when it watches no such.
  public static boolean epollWatches(int pid, int fd, int epoll, int watched, int index) {
    try (Arena arena = Arena.ofConfined()) {
      // struct kcmp_epoll_slot: u32 efd, tfd, toff
      MemorySegment slot = arena.allocateFrom(ValueLayout.JAVA_INT, epoll, watched, index);
      return Kernel.raw(Syscall.KCMP, pid, pid, Fcntl.KCMP_EPOLL_TFD, fd, slot.address()) == 0;
    }
  }

  private static int order(long result) {
    return result == 0 ? 0 : result == 1 ? -1 : 1;
  }
}
