package dev.jcr.parasite.tcp;

import dev.jcr.parasite.procfs.Proc;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Optional;

/// `/proc/PID/net/tcp` and `tcp6`: the one place that names the peer of a connection that is still
/// being made, which getpeername(2) does not.
public final class TcpTable {
  private static final int REMOTE = 2;
  private static final int INODE = 9;
  private static final int ADDRESS_DIGITS = 8;
  private static final int AF_INET6 = 10;

  private TcpTable() {}

  /// struct sockaddr of the peer.
  ///
  /// @param family AF_INET or AF_INET6
  /// @param inode of the socket
  public static Optional<byte[]> remote(Proc proc, int family, long inode) throws IOException {
    return remote(proc.text(family == AF_INET6 ? "net/tcp6" : "net/tcp"), family, inode);
  }

  static Optional<byte[]> remote(String table, int family, long inode) {
    String wanted = Long.toString(inode);
    return table
        .lines()
        .map(line -> line.strip().split("\\s+", -1))
        .filter(fields -> fields.length > INODE && fields[INODE].equals(wanted))
        .map(fields -> sockaddr(fields[REMOTE], family))
        .findFirst();
  }

  /// Words of the address as this host reads them, in hexadecimal; the port as a number.
  private static byte[] sockaddr(String text, int family) {
    int colon = text.indexOf(':');
    boolean six = family == AF_INET6;
    ByteBuffer sockaddr = ByteBuffer.allocate(six ? 28 : 16).order(ByteOrder.nativeOrder());
    sockaddr.putShort((short) family).putShort((short) 0);
    int port = Integer.parseInt(text.substring(colon + 1), 16);
    sockaddr.put(2, (byte) (port >> 8)).put(3, (byte) port);
    if (six) {
      sockaddr.putInt(0); // flow
    }
    for (int at = 0; at + ADDRESS_DIGITS <= colon; at += ADDRESS_DIGITS) {
      sockaddr.putInt(Integer.parseUnsignedInt(text.substring(at, at + ADDRESS_DIGITS), 16));
    }
    return sockaddr.array();
  }
}
