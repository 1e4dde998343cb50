package dev.jcr.parasite.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

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

  @Override
  public void close() {
    netlink.close();
    arena.close();
  }
}
