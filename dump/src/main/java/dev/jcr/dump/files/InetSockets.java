package dev.jcr.dump.files;

import com.google.protobuf.ByteString;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.v1.Datagram;
import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.InetSocket;
import dev.jcr.image.v1.SocketOption;
import dev.jcr.image.v1.SocketOptions;
import dev.jcr.image.v1.TcpConnection;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Sockets;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.procfs.Anchor;
import dev.jcr.parasite.tcp.ConnectionReader;
import dev.jcr.parasite.tcp.TcpKeys;
import dev.jcr.parasite.tcp.TcpTable;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/// TCP and UDP.
final class InetSockets {
  /// struct tcp_info, linux/tcp.h: state u8 at 0; unacked and sacked, which are the length of the
  /// accept queue and the backlog of a listener, u32 at 24 and 28.
  private static final int TCP_INFO_SIZE = 104;

  private static final int TCP_INFO_UNACKED = 24;
  private static final int TCP_INFO_SACKED = 28;
  private static final int POLLIN = 1;
  private static final int POLLRDHUP = 0x2000;
  private static final int NAME = 16;
  private static final int SHUT_BOTH = 3;
  private static final int DATAGRAM_MAX = 1 << 16;
  private static final int SOCKADDR_MAX = 28;

  private static final int CONNECTED_STATES =
      1 << Sockets.TCP_ESTABLISHED
          | 1 << Sockets.TCP_SYN_SENT
          | 1 << Sockets.TCP_FIN_WAIT1
          | 1 << Sockets.TCP_FIN_WAIT2
          | 1 << Sockets.TCP_CLOSE_WAIT
          | 1 << Sockets.TCP_LAST_ACK
          | 1 << Sockets.TCP_CLOSING;

  private InetSockets() {}

  static void describe(Scene scene, OpenFile file, int family, Description.Builder description)
      throws IOException, Refusal {
    int fd = file.duplicate().number();
    int type = FdCalls.socketInt(fd, Sockets.SOL_SOCKET, Sockets.SO_TYPE, 0);
    int protocol = FdCalls.socketInt(fd, Sockets.SOL_SOCKET, Sockets.SO_PROTOCOL, 0);
    boolean tcp = type == Sockets.SOCK_STREAM && protocol == Sockets.IPPROTO_TCP;
    boolean udp = type == Sockets.SOCK_DGRAM && protocol == Sockets.IPPROTO_UDP;
    boolean raw = type == Sockets.SOCK_RAW;
    boolean ping =
        type == Sockets.SOCK_DGRAM
            && (protocol == Sockets.IPPROTO_ICMP || protocol == Sockets.IPPROTO_ICMPV6);
    if (!tcp && !udp && !raw && !ping) {
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
          (tcp ? "a TCP" : udp ? "a UDP" : "a raw")
              + " socket that "
              + holder.get()
              + " has open too",
          "close it there or here");
      return;
    }
    InetSocket.Builder socket =
        InetSocket.newBuilder()
            .setFamily(family)
            .setType(type)
            .setProtocol(protocol)
            .setOptions(SocketOptionList.inet(fd, family, protocol, tcp && isConnected(fd)));
    byte[] local = FdCalls.socketName(fd);
    // That of a raw socket is its protocol.
    if (raw ? !isAny(local) : port(local) != 0) {
      socket.setLocal(ByteString.copyFrom(local));
    }
    if (family == Sockets.AF_INET6) {
      socket.setV6Only(FdCalls.socketInt(fd, Sockets.IPPROTO_IPV6, Sockets.IPV6_V6ONLY, 0) != 0);
    }
    if (tcp) {
      if (!tcp(scene, file, description, fd, socket)) {
        return;
      }
    } else if (udp) {
      Memberships.add(scene.proc(), fd, family, socket.getOptionsBuilder());
      udp(scene, fd, socket);
      multicastInterface(scene, file, socket.getOptionsBuilder());
    } else {
      if (!scene.running() && (FdCalls.poll(fd, POLLIN) & POLLIN) != 0) {
        throw new Refusal("a raw socket with unread packets", "read them, or retry");
      }
      FdCalls.peerName(fd).ifPresent(peer -> socket.setRemote(ByteString.copyFrom(peer)));
    }
    description.setInetSocket(socket);
  }

  /// getsockopt(2) gives the address that IP_MULTICAST_IF was set to, but not an index. Whoever has
  /// set how packets to groups are sent may have set that too.
  private static void multicastInterface(
      Scene scene, OpenFile file, SocketOptions.Builder options) {
    boolean sends = false;
    for (SocketOption option : options.getValuesList()) {
      if (option.getLevel() == Sockets.IPPROTO_IP) {
        int value = option.getValue().isEmpty() ? 0 : option.getValue().byteAt(0);
        switch (option.getName()) {
          case Sockets.IP_MULTICAST_IF -> {
            if (!option.getValue().equals(ByteString.copyFrom(new byte[4]))) {
              return;
            }
          }
          case Sockets.IP_MULTICAST_TTL, Sockets.IP_MULTICAST_LOOP -> sends |= value != 1;
          default -> {}
        }
      }
    }
    if (sends) {
      scene.lose(
          file,
          "if the interface for its packets to groups was set by index (IP_MULTICAST_IF), the"
              + " restored process uses the one of the route");
    }
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
    if (TcpKeys.hasAuthentication(fd) || scene.signsTcp(file.stat().inode())) {
      throw new Refusal(
          "a TCP socket that signs its packets (TCP_MD5SIG or TCP_AO) is not restorable",
          "close it");
    }
    if (!ulp.isEmpty()) {
      throw new Refusal(
          "a TCP socket with " + ulp + " in the kernel is not restorable", "close it");
    }
    if (state == Sockets.TCP_LISTEN) {
      if (!scene.running()) {
        inFlight(scene, file, info.getInt(TCP_INFO_UNACKED));
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
    return connection(scene, file, description, fd, state, socket);
  }

  /// Connections that only the kernel knows. Nothing but accept(2) leads to them, and what it has
  /// taken cannot be put back where the process goes on.
  private static void inFlight(Scene scene, OpenFile file, int waiting)
      throws IOException, Refusal {
    byte[] listener = FdCalls.socketName(file.duplicate().number());
    int coming = 0;
    for (byte[] local : scene.halfOpen()) {
      if (takes(listener, local)) {
        coming++;
      }
    }
    if (waiting == 0 && coming == 0) {
      return;
    }
    List<String> parts = new ArrayList<>();
    if (waiting > 0) {
      parts.add(waiting + " not yet accepted");
    }
    if (coming > 0) {
      parts.add(coming + " being made");
    }
    String what = String.join(", ", parts);
    if (!scene.policy().skipInFlight()) {
      throw new Refusal(
          "a TCP socket with connections: " + what,
          "accept them, retry, or dump with --skip-in-flight to lose them");
    }
    scene.lose(file, "its connections: " + what + "; their other ends get a reset, or try again");
  }

  /// Whether a connection with this local address can be one of the listener: the same port, and
  /// its address or none.
  private static boolean takes(byte[] listener, byte[] local) {
    if (port(listener) != port(local)) {
      return false;
    }
    // An IPv4 address, be it mapped into IPv6, at the end of the address.
    int from = listener.length < 24 ? 4 : 8;
    int size = listener.length < 24 || local.length < 24 ? 4 : 16;
    int own = from + (listener.length < 24 ? 4 : 16) - size;
    int other = local.length < 24 ? 4 : 24 - size;
    return isAny(listener) || Arrays.equals(listener, own, own + size, local, other, other + size);
  }

  /// Sockets that have, or are making, a TCP connection.
  static List<OpenFile> connected(List<OpenFile> files) {
    List<OpenFile> connected = new ArrayList<>();
    for (OpenFile file : files) {
      if (file.link().startsWith("socket:[")) {
        int fd = file.duplicate().number();
        int protocol = FdCalls.socketInt(fd, Sockets.SOL_SOCKET, Sockets.SO_PROTOCOL, 0);
        int family = FdCalls.socketInt(fd, Sockets.SOL_SOCKET, Sockets.SO_DOMAIN, 0);
        boolean inet = family == Sockets.AF_INET || family == Sockets.AF_INET6;
        if (inet && protocol == Sockets.IPPROTO_TCP && isConnected(fd)) {
          connected.add(file);
        }
      }
    }
    return connected;
  }

  private static boolean isConnected(int fd) {
    int state = ConnectionReader.state(fd);
    return state != 0 && state != Sockets.TCP_LISTEN && state != Sockets.TCP_CLOSE;
  }

  /// struct sockaddr of the other end.
  static Optional<byte[]> peer(Anchor process, OpenFile file, int state) throws IOException {
    int fd = file.duplicate().number();
    if (state != Sockets.TCP_SYN_SENT) {
      return FdCalls.peerName(fd);
    }
    int family = FdCalls.socketInt(fd, Sockets.SOL_SOCKET, Sockets.SO_DOMAIN, 0);
    return TcpTable.remote(process.proc(), family, file.stat().inode());
  }

  private static boolean connection(
      Scene scene,
      OpenFile file,
      Description.Builder description,
      int fd,
      int state,
      InetSocket.Builder socket)
      throws IOException, Refusal {
    Optional<byte[]> peer = peer(scene.anchor(), file, state);
    String what =
        "a connected TCP socket" + peer.map(name -> " (to " + text(name) + ")").orElse("");
    return switch (scene.policy().tcp()) {
      case REFUSE -> {
        Kinds.inheritOrRefuse(
            scene,
            file,
            description,
            what,
            "dump with --tcp-established to keep the connection, or with --tcp-close to cut it");
        yield false;
      }
      case CLOSE -> {
        // Reads find the end of the file, writes EPIPE: what a program sees of a peer that has
        // gone.
        scene.lose(file, what + " is closed");
        socket.clearLocal().setShutdown(SHUT_BOTH);
        yield true;
      }
      case KEEP -> {
        if ((CONNECTED_STATES >>> state & 1) == 0) {
          throw new Refusal(
              what + " in TCP state " + state + " is not restorable", "retry in a moment");
        }
        if (peer.isEmpty()) {
          throw new Refusal("a TCP connection that is about to end", "retry");
        }
        if (scene.running()) {
          Optional<String> unable = ConnectionReader.unable();
          if (unable.isPresent()) {
            throw new Refusal(
                what + " cannot be read: " + unable.get(), "run jcr with CAP_NET_ADMIN");
          }
          socket
              .setRemote(ByteString.copyFrom(peer.get()))
              .setConnection(TcpConnection.newBuilder().setState(state));
        } else {
          keep(scene, file, fd, state, peer.get(), socket);
        }
        yield true;
      }
    };
  }

  private static void keep(
      Scene scene, OpenFile file, int fd, int state, byte[] peer, InetSocket.Builder socket)
      throws IOException, Refusal {
    try {
      socket.setConnection(scene.connections().read(file));
    } catch (CheckpointException e) {
      throw new Refusal(String.valueOf(e.getMessage()), "close it, or retry");
    }
    socket.setRemote(ByteString.copyFrom(peer));
    boolean ended =
        state == Sockets.TCP_CLOSE_WAIT
            || state == Sockets.TCP_LAST_ACK
            || state == Sockets.TCP_CLOSING;
    if (!ended && (FdCalls.poll(fd, POLLRDHUP) & POLLRDHUP) != 0) {
      // shutdown(SHUT_RD), which TCP does not tell the peer.
      socket.setShutdown(1);
    }
  }

  private static void udp(Scene scene, int fd, InetSocket.Builder socket)
      throws IOException, Refusal {
    // Not SO_ERROR to tell an error from a datagram: asking that would clear it.
    int events = scene.running() ? 0 : FdCalls.poll(fd, POLLIN | POLLRDHUP);
    if ((events & POLLIN) != 0 && (events & POLLRDHUP) == 0) {
      queue(fd, socket);
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

  /// Copies what waits to be read, leaving it there, as [UnixSockets] does.
  private static void queue(int fd, InetSocket.Builder socket) throws SyscallException, Refusal {
    int peekOffset = FdCalls.socketInt(fd, Sockets.SOL_SOCKET, Sockets.SO_PEEK_OFF, -1);
    FdCalls.setSocketInt(fd, Sockets.SOL_SOCKET, Sockets.SO_PEEK_OFF, 0);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment buffer = arena.allocate(DATAGRAM_MAX, 8);
      MemorySegment address = arena.allocate(SOCKADDR_MAX, 8);
      MemorySegment length = arena.allocate(ValueLayout.JAVA_INT);
      while (true) {
        length.set(ValueLayout.JAVA_INT, 0, SOCKADDR_MAX);
        long count =
            Kernel.raw(
                Syscall.RECVFROM,
                fd,
                buffer.address(),
                DATAGRAM_MAX,
                Sockets.MSG_PEEK | Sockets.MSG_DONTWAIT,
                address.address(),
                length.address());
        if (count == -Errno.EAGAIN) {
          return;
        }
        if (Kernel.isError(count)) {
          throw new Refusal(
              "a UDP socket whose queue cannot be read: " + Errno.describe((int) -count), "retry");
        }
        socket.addDatagrams(
            Datagram.newBuilder()
                .setSource(
                    ByteString.copyFrom(
                        address
                            .asSlice(0, length.get(ValueLayout.JAVA_INT, 0))
                            .toArray(ValueLayout.JAVA_BYTE)))
                .setContent(
                    ByteString.copyFrom(buffer.asSlice(0, count).toArray(ValueLayout.JAVA_BYTE))));
      }
    } finally {
      FdCalls.setSocketInt(fd, Sockets.SOL_SOCKET, Sockets.SO_PEEK_OFF, peekOffset);
    }
  }

  private static boolean isAny(byte[] address) {
    boolean v4 = address.length < 24;
    for (int i = v4 ? 4 : 8; i < (v4 ? 8 : 24); i++) {
      if (address[i] != 0) {
        return false;
      }
    }
    return true;
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
