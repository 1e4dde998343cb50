package dev.jcr.parasite.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Optional;

/// Network interfaces by name and number, in the network namespace of a socket; netdevice(7).
public final class Interfaces {
  private static final int SIOCGIFNAME = 0x8910;
  private static final int SIOCGIFINDEX = 0x8933;

  /// struct ifreq: name of 16 bytes with its end, index s32.
  private static final int IFREQ = 40;

  private static final int NAME = 16;

  private Interfaces() {}

  /// Empty when no interface has this number.
  public static Optional<String> name(int socket, int index) throws SyscallException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment request = arena.allocate(IFREQ, 8);
      request.set(ValueLayout.JAVA_INT, NAME, index);
      if (!ask("ask the name of interface " + index, socket, SIOCGIFNAME, request)) {
        return Optional.empty();
      }
      int length = 0;
      while (length < NAME && request.get(ValueLayout.JAVA_BYTE, length) != 0) {
        length++;
      }
      return Optional.of(FileName.text(request.asSlice(0, length).toArray(ValueLayout.JAVA_BYTE)));
    }
  }

  /// Empty when no interface has this name.
  public static Optional<Integer> index(int socket, String name) throws SyscallException {
    byte[] bytes = FileName.bytes(name);
    if (bytes.length >= NAME) {
      return Optional.empty();
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment request = arena.allocate(IFREQ, 8);
      MemorySegment.copy(bytes, 0, request, ValueLayout.JAVA_BYTE, 0, bytes.length);
      return ask("ask the number of interface " + name, socket, SIOCGIFINDEX, request)
          ? Optional.of(request.get(ValueLayout.JAVA_INT, NAME))
          : Optional.empty();
    }
  }

  private static boolean ask(String what, int socket, int question, MemorySegment request)
      throws SyscallException {
    long result = Kernel.raw(Syscall.IOCTL, socket, question, request.address());
    if (result == -Errno.ENODEV || result == -Errno.ENXIO) {
      return false;
    }
    if (Kernel.isError(result)) {
      throw new SyscallException(what, Syscall.IOCTL, (int) -result);
    }
    return true;
  }
}
