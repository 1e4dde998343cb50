package dev.jcr.parasite.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.function.Consumer;

/// A netlink socket of the family sock_diag(7), in jcr's own network namespace, and one question
/// asked on it.
public final class DiagSocket implements AutoCloseable {
  /// struct nlmsghdr: u32 length, u16 type, u16 flags, u32 sequence, u32 port.
  public static final int HEADER = 16;

  private static final int BUFFER = 64 * 1024;

  private final String what;
  private final Fd netlink;
  private final Arena arena = Arena.ofConfined();
  private final MemorySegment buffer = arena.allocate(BUFFER, 8);

  /// Opens it.
  ///
  /// @param what the object, for messages
  public DiagSocket(String what) throws SyscallException {
    this.what = what;
    this.netlink =
        new Fd(
            (int)
                Kernel.call(
                    "open a sock_diag socket",
                    Syscall.SOCKET,
                    Sockets.AF_NETLINK,
                    Sockets.SOCK_RAW | Sockets.SOCK_CLOEXEC,
                    Sockets.NETLINK_SOCK_DIAG));
  }

  /// Zeros for a request, behind room for its header; its first byte is the address family.
  public MemorySegment request(int bytes) {
    return arena.allocate(HEADER + (long) bytes, 8);
  }

  /// Sends a request.
  ///
  /// @param flags NLM_F_DUMP, or 0 for one socket
  public void ask(MemorySegment request, int flags) throws SyscallException {
    request.set(ValueLayout.JAVA_INT, 0, (int) request.byteSize());
    request.set(ValueLayout.JAVA_SHORT, 4, (short) Sockets.SOCK_DIAG_BY_FAMILY);
    request.set(ValueLayout.JAVA_SHORT, 6, (short) (Sockets.NLM_F_REQUEST | flags));
    Kernel.call(
        "ask about " + what,
        Syscall.SENDTO,
        netlink.number(),
        request.address(),
        request.byteSize());
  }

  /// What the kernel sent next: one or more messages. Good until the next answer.
  public MemorySegment answer() throws SyscallException {
    long length =
        Kernel.call(
            "read about " + what, Syscall.RECVFROM, netlink.number(), buffer.address(), BUFFER);
    return buffer.asSlice(0, Math.min(length, BUFFER));
  }

  /// Sends a request for all there are, and hands each message over, with its header; it is good
  /// until the next one.
  public void dump(MemorySegment request, Consumer<MemorySegment> message) throws SyscallException {
    ask(request, Sockets.NLM_F_DUMP);
    while (each(answer(), message)) {
      // The rest comes in more answers.
    }
  }

  /// False at the last one.
  private static boolean each(MemorySegment answer, Consumer<MemorySegment> message) {
    long at = 0;
    while (at + HEADER <= answer.byteSize()) {
      int size = answer.get(ValueLayout.JAVA_INT, at);
      int type = Short.toUnsignedInt(answer.get(ValueLayout.JAVA_SHORT, at + 4));
      if (type == Sockets.NLMSG_DONE || type == Sockets.NLMSG_ERROR || size < HEADER) {
        return false;
      }
      message.accept(answer.asSlice(at, Math.min(size, answer.byteSize() - at)));
      at += (size + 3L) & ~3L;
    }
    return true;
  }

  @Override
  public void close() {
    netlink.close();
    arena.close();
  }
}
