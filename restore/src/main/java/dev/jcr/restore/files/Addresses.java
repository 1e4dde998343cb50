package dev.jcr.restore.files;

import com.google.protobuf.ByteString;
import dev.jcr.image.v1.InetSocket;
import dev.jcr.image.v1.PacketSocket;
import dev.jcr.parasite.linux.FileName;
import dev.jcr.parasite.linux.Sockets;
import java.net.InetAddress;
import java.net.UnknownHostException;

/// Socket addresses as text for people.
final class Addresses {
  private static final int INET_SIZE = 16;

  private Addresses() {}

  /// A path, or `@name` for an abstract one.
  static String unix(ByteString name) {
    return FileName.text(name.toByteArray()).replace('\0', '@');
  }

  /// "127.0.0.1:80" or "[::1]:80".
  static String inet(ByteString sockaddr) {
    byte[] bytes = sockaddr.toByteArray();
    boolean v4 = bytes.length <= INET_SIZE;
    int from = v4 ? 4 : 8;
    if (bytes.length < from + (v4 ? 4 : 16)) {
      return "?";
    }
    try {
      String host =
          InetAddress.getByAddress(sockaddr.substring(from, from + (v4 ? 4 : 16)).toByteArray())
              .getHostAddress();
      return (v4 ? host : "[" + host + "]") + ":" + port(bytes);
    } catch (UnknownHostException e) {
      return "?";
    }
  }

  private static int port(byte[] sockaddr) {
    return (sockaddr[2] & 0xff) << 8 | (sockaddr[3] & 0xff);
  }

  /// " of protocol 0x88cc at eth0", without what it has not.
  static String packet(PacketSocket socket) {
    String protocol =
        socket.getProtocol() == 0
            ? ""
            : " of protocol 0x" + Integer.toHexString(socket.getProtocol());
    return protocol + (socket.hasInterface() ? " at " + socket.getInterface().getName() : "");
  }

  static String protocol(InetSocket socket) {
    String name = socket.getType() == Sockets.SOCK_STREAM ? "TCP" : "UDP";
    return socket.getFamily() == Sockets.AF_INET6 ? name + "6" : name;
  }
}
