package dev.jcr.parasite.tcp;

import dev.jcr.parasite.linux.DiagSocket;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.Sockets;
import dev.jcr.parasite.linux.SyscallException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HashSet;
import java.util.Set;

/// Which TCP sockets sign their packets: TCP_MD5SIG (RFC 2385), which only sock_diag(7) tells, and
/// TCP_AO (RFC 5925).
public final class TcpKeys {
  private static final int HEADER = DiagSocket.HEADER;

  /// struct inet_diag_req_v2 and struct inet_diag_msg, `<linux/inet_diag.h>`; its inode.
  private static final int REQUEST = 56;

  private static final int MESSAGE = HEADER + 72;
  private static final int INODE = HEADER + 68;
  private static final int INET_DIAG_MD5SIG = 18;

  /// Of `<linux/tcp.h>`; struct tcp_ao_info_opt.
  private static final int TCP_AO_INFO = 40;

  private static final int AO_INFO_SIZE = 56;

  private TcpKeys() {}

  /// Whether a socket has keys of TCP-AO.
  public static boolean hasAuthentication(int fd) {
    return FdCalls.socketOption(fd, Sockets.IPPROTO_TCP, TCP_AO_INFO, AO_INFO_SIZE).isPresent();
  }

  /// Inodes of the sockets of jcr's network namespace that have MD5 keys. Without CAP_NET_ADMIN the
  /// kernel shows none.
  public static Set<Long> signing() throws SyscallException {
    Set<Long> inodes = new HashSet<>();
    for (int family : new int[] {Sockets.AF_INET, Sockets.AF_INET6}) {
      try (DiagSocket diag = new DiagSocket("TCP sockets")) {
        MemorySegment request = diag.request(REQUEST);
        request.set(ValueLayout.JAVA_BYTE, HEADER, (byte) family);
        request.set(ValueLayout.JAVA_BYTE, HEADER + 1, (byte) Sockets.IPPROTO_TCP);
        // 1 << INET_DIAG_INFO - 1: without it the kernel leaves the keys out.
        request.set(ValueLayout.JAVA_BYTE, HEADER + 2, (byte) 2);
        // All states.
        request.set(ValueLayout.JAVA_INT, HEADER + 4, -1);
        diag.dump(
            request,
            message -> {
              if (message.byteSize() >= MESSAGE && isSigning(message)) {
                inodes.add(Integer.toUnsignedLong(message.get(ValueLayout.JAVA_INT, INODE)));
              }
            });
      }
    }
    return inodes;
  }

  private static boolean isSigning(MemorySegment message) {
    long at = MESSAGE;
    while (at + 4 <= message.byteSize()) {
      int size = Short.toUnsignedInt(message.get(ValueLayout.JAVA_SHORT, at));
      if (Short.toUnsignedInt(message.get(ValueLayout.JAVA_SHORT, at + 2)) == INET_DIAG_MD5SIG) {
        return true;
      }
      if (size < 4) {
        return false;
      }
      at += (size + 3L) & ~3L;
    }
    return false;
  }
}
