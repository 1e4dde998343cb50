package dev.jcr.parasite.tcp;

import dev.jcr.parasite.linux.DiagSocket;
import dev.jcr.parasite.linux.Sockets;
import dev.jcr.parasite.linux.SyscallException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;

/// TCP connections that are being made (SYN_RECV): a listening socket has answered, and either the
/// last packet of the handshake is missing, or it does not look at it until data comes
/// (TCP_DEFER_ACCEPT). No socket call shows them, only sock_diag(7).
public final class HalfOpen {
  private static final int HEADER = DiagSocket.HEADER;

  /// struct inet_diag_req_v2; struct inet_diag_msg begins with u8 family, state, timer,
  /// retransmits, u16 source and destination port, u32 source and destination address four times
  /// each.
  private static final int REQUEST = 56;

  private static final int PORT = HEADER + 4;
  private static final int ADDRESS = HEADER + 8;
  private static final int MESSAGE = HEADER + 72;

  /// TCP_SYN_RECV, and TCP_NEW_SYN_RECV of the kernel's own.
  private static final int STATES = 1 << 3 | 1 << 12;

  private HalfOpen() {}

  /// struct sockaddr_in or sockaddr_in6 of this host's end of each, in jcr's network namespace.
  public static List<byte[]> locals() throws SyscallException {
    List<byte[]> locals = new ArrayList<>();
    for (int family : new int[] {Sockets.AF_INET, Sockets.AF_INET6}) {
      try (DiagSocket diag = new DiagSocket("TCP connections")) {
        MemorySegment request = diag.request(REQUEST);
        request.set(ValueLayout.JAVA_BYTE, HEADER, (byte) family);
        request.set(ValueLayout.JAVA_BYTE, HEADER + 1, (byte) Sockets.IPPROTO_TCP);
        request.set(ValueLayout.JAVA_INT, HEADER + 4, STATES);
        diag.dump(
            request,
            message -> {
              if (message.byteSize() >= MESSAGE) {
                locals.add(local(message));
              }
            });
      }
    }
    return locals;
  }

  private static byte[] local(MemorySegment message) {
    boolean v4 = message.get(ValueLayout.JAVA_BYTE, HEADER) == Sockets.AF_INET;
    byte[] sockaddr = new byte[v4 ? 16 : 28];
    sockaddr[0] = (byte) (v4 ? Sockets.AF_INET : Sockets.AF_INET6);
    MemorySegment.copy(message, ValueLayout.JAVA_BYTE, PORT, sockaddr, 2, 2);
    MemorySegment.copy(message, ValueLayout.JAVA_BYTE, ADDRESS, sockaddr, v4 ? 4 : 8, v4 ? 4 : 16);
    return sockaddr;
  }
}
