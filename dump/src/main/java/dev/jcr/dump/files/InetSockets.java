package dev.jcr.dump.files;

import com.google.protobuf.ByteString;
import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.InetSocket;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.Sockets;
import java.io.IOException;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Optional;

/// TCP that listens or is not connected, and UDP.
final class InetSockets {
  /// struct tcp_info, linux/tcp.h: state u8 at 0; unacked and sacked, which are the length of the
  /// accept queue and the backlog of a listener, u32 at 24 and 28.
  private static final int TCP_INFO_SIZE = 104;

  private static final int TCP_INFO_UNACKED = 24;
  private static final int TCP_INFO_SACKED = 28;
  private static final int POLLIN = 1;
  private static final int POLLRDHUP = 0x2000;
  private static final int NAME = 16;

  private InetSockets() {}

  static void describe(Scene scene, OpenFile file, int family, Description.Builder description)
      throws IOException, Refusal {
    int fd = file.duplicate().number();
    int type = FdCalls.socketInt(fd, Sockets.SOL_SOCKET, Sockets.SO_TYPE, 0);
    int protocol = FdCalls.socketInt(fd, Sockets.SOL_SOCKET, Sockets.SO_PROTOCOL, 0);
    boolean tcp = type == Sockets.SOCK_STREAM && protocol == Sockets.IPPROTO_TCP;
    boolean udp = type == Sockets.SOCK_DGRAM && protocol == Sockets.IPPROTO_UDP;
    if (!tcp && !udp) {
      throw new Refusal(
          "an internet socket of type "
              + type
              + ", protocol "
              + protocol
              + " is not restorable yet",
          "close it");
    }
    Optional<String> holder = scene.outside().holder(file);
    if (holder.isPresent()) {
      Kinds.inheritOrRefuse(
          scene,
          file,
          description,
          (tcp ? "a TCP" : "a UDP") + " socket that " + holder.get() + " has open too",
          "close it there or here");
      return;
    }
    InetSocket.Builder socket =
        InetSocket.newBuilder()
            .setFamily(family)
            .setType(type)
            .setProtocol(protocol)
            .setOptions(SocketOptionList.inet(fd, family, protocol));
    byte[] local = FdCalls.socketName(fd);
    if (port(local) != 0) {
      socket.setLocal(ByteString.copyFrom(local));
    }
    if (family == Sockets.AF_INET6) {
      socket.setV6Only(FdCalls.socketInt(fd, Sockets.IPPROTO_IPV6, Sockets.IPV6_V6ONLY, 0) != 0);
    }
    if (UnixSockets.filterLength(fd) > 0) {
      throw new Refusal("a socket with a packet filter is not restorable yet", "detach the filter");
    }
    if (tcp) {
      if (!tcp(scene, file, description, fd, socket)) {
        return;
      }
    } else {
      udp(scene, fd, socket);
    }
    description.setInetSocket(socket);
  }

  /// False when the description has been made an inherited one.
  private static boolean tcp(
      Scene scene,
      OpenFile file,
      Description.Builder description,
      int fd,
      InetSocket.Builder socket)
      throws IOException, Refusal {
    byte[] bytes =
        FdCalls.socketOption(fd, Sockets.IPPROTO_TCP, Sockets.TCP_INFO, TCP_INFO_SIZE)
            .orElse(new byte[TCP_INFO_SIZE]);
    ByteBuffer info = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    int state = bytes[0];
    String ulp =
        FdCalls.socketOption(fd, Sockets.IPPROTO_TCP, Sockets.TCP_ULP, NAME)
            .map(value -> new String(value, StandardCharsets.US_ASCII).replace("\0", ""))
            .orElse("");
    if (!ulp.isEmpty()) {
      throw new Refusal(
          "a TCP socket with " + ulp + " in the kernel is not restorable", "close it");
    }
    if (state == Sockets.TCP_LISTEN) {
      int waiting = info.getInt(TCP_INFO_UNACKED);
      if (waiting > 0 && !scene.running()) {
        throw new Refusal(
            "a TCP socket with " + waiting + " connections not yet accepted",
            "accept them, or retry");
      }
      socket.setListening(true).setBacklog(info.getInt(TCP_INFO_SACKED));
      return true;
    }
    if (state == Sockets.TCP_CLOSE) {
      if (FdCalls.ioctlInt(fd, Fcntl.FIONREAD).orElse(0) > 0) {
        throw new Refusal("a closed TCP connection with unread data", "read it, or close it");
      }
      int events = FdCalls.poll(fd, POLLIN | POLLRDHUP);
      if ((events & POLLRDHUP) != 0) {
        socket.setShutdown(1);
      }
      return true;
    }
    Kinds.inheritOrRefuse(
        scene,
        file,
        description,
        "a connected TCP socket"
            + FdCalls.peerName(fd).map(peer -> " (to " + text(peer) + ")").orElse("")
            + " is not restorable yet",
        "close the connection");
    return false;
  }

  private static void udp(Scene scene, int fd, InetSocket.Builder socket)
      throws IOException, Refusal {
    // Not SO_ERROR to tell an error from a datagram: asking that would clear it.
    int events = scene.running() ? 0 : FdCalls.poll(fd, POLLIN | POLLRDHUP);
    if ((events & POLLIN) != 0 && (events & POLLRDHUP) == 0) {
      throw new Refusal("a UDP socket with unread datagrams", "read them, or retry");
    }
    if (FdCalls.socketInt(fd, Sockets.IPPROTO_UDP, Sockets.UDP_ENCAP, 0) != 0) {
      throw new Refusal(
          "a UDP socket with encapsulation (UDP_ENCAP) is not restorable", "close it");
    }
    Optional<byte[]> peer = FdCalls.peerName(fd);
    if (peer.isPresent()) {
      socket.setRemote(ByteString.copyFrom(peer.get()));
    }
  }

  /// Port of a sockaddr_in or sockaddr_in6, in network order at 2.
  private static int port(byte[] address) {
    return address.length < 4 ? 0 : (address[2] & 0xff) << 8 | (address[3] & 0xff);
  }

  /// "127.0.0.1:80" or "[::1]:80".
  static String text(byte[] address) {
    try {
      boolean v4 = address.length < 24;
      byte[] host = Arrays.copyOfRange(address, v4 ? 4 : 8, v4 ? 8 : 24);
      String name = InetAddress.getByAddress(host).getHostAddress();
      return (v4 ? name : "[" + name + "]") + ":" + port(address);
    } catch (UnknownHostException e) {
      return "?";
    }
  }
}
