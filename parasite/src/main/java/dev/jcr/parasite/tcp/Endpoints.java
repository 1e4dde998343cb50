package dev.jcr.parasite.tcp;

import java.util.Arrays;

/// The two ends of a connection as they are in packets.
///
/// @param v4 IPv4 packets, also where the socket is an IPv6 one (v4-mapped addresses)
/// @param local address, 4 or 16 bytes
/// @param localPort in host order
/// @param remote address, 4 or 16 bytes
/// @param remotePort in host order
@SuppressWarnings("ArrayRecordComponent") // never compared
public record Endpoints(boolean v4, byte[] local, int localPort, byte[] remote, int remotePort) {
  private static final int INET6_SIZE = 28;
  private static final int INET_SIZE = 16;

  /// Bytes of an IPv6 address before the IPv4 one that is mapped in it.
  private static final byte[] MAPPED = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1, -1};

  /// Of two struct sockaddr_in or sockaddr_in6 as getsockname(2) and getpeername(2) give them.
  public static Endpoints of(byte[] local, byte[] remote) {
    byte[] own = address(local);
    byte[] peer = address(remote);
    return new Endpoints(own.length == 4, own, port(local), peer, port(remote));
  }

  private static byte[] address(byte[] sockaddr) {
    if (sockaddr.length < INET6_SIZE) {
      if (sockaddr.length < INET_SIZE) {
        throw new IllegalArgumentException("a socket address of " + sockaddr.length + " bytes");
      }
      return Arrays.copyOfRange(sockaddr, 4, 8);
    }
    byte[] address = Arrays.copyOfRange(sockaddr, 8, 24);
    return Arrays.equals(address, 0, 12, MAPPED, 0, 12)
        ? Arrays.copyOfRange(address, 12, 16)
        : address;
  }

  /// Port of a struct sockaddr_in or sockaddr_in6.
  public static int port(byte[] sockaddr) {
    return (sockaddr[2] & 0xff) << 8 | (sockaddr[3] & 0xff);
  }
}
