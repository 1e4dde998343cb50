package dev.jcr.dump.files;

import com.google.protobuf.ByteString;
import dev.jcr.image.v1.SocketOption;
import dev.jcr.image.v1.SocketOptions;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Sockets;
import dev.jcr.parasite.linux.Syscall;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// The options that are read from a socket and set again. Those that a family does not have are
/// passed over.
final class SocketOptionList {
  private record Option(int level, int name, int size) {}

  private static final int INT = 4;
  private static final int TIMEVAL = 16;
  private static final int NAME = 16;
  private static final int ICMP6_FILTER_SIZE = 32;

  private static final List<Option> ANY =
      options(
          Sockets.SOL_SOCKET,
          INT,
          Sockets.SO_REUSEADDR,
          Sockets.SO_DONTROUTE,
          Sockets.SO_BROADCAST,
          Sockets.SO_SNDBUF,
          Sockets.SO_RCVBUF,
          Sockets.SO_KEEPALIVE,
          Sockets.SO_OOBINLINE,
          Sockets.SO_NO_CHECK,
          Sockets.SO_PRIORITY,
          Sockets.SO_REUSEPORT,
          Sockets.SO_PASSCRED,
          Sockets.SO_PASSPIDFD,
          Sockets.SO_PASSRIGHTS,
          Sockets.SO_RCVLOWAT,
          Sockets.SO_TIMESTAMP,
          Sockets.SO_PASSSEC,
          Sockets.SO_TIMESTAMPNS,
          Sockets.SO_MARK,
          Sockets.SO_RXQ_OVFL,
          Sockets.SO_PEEK_OFF,
          Sockets.SO_NOFCS,
          Sockets.SO_BUSY_POLL,
          Sockets.SO_ZEROCOPY,
          Sockets.SO_BUF_LOCK);
  private static final List<Option> ANY_LONGER =
      List.of(
          new Option(Sockets.SOL_SOCKET, Sockets.SO_LINGER, 8),
          new Option(Sockets.SOL_SOCKET, Sockets.SO_RCVTIMEO, TIMEVAL),
          new Option(Sockets.SOL_SOCKET, Sockets.SO_SNDTIMEO, TIMEVAL),
          new Option(Sockets.SOL_SOCKET, Sockets.SO_MAX_PACING_RATE, 8),
          new Option(Sockets.SOL_SOCKET, Sockets.SO_BINDTODEVICE, NAME));
  private static final List<Option> IP =
      options(
          Sockets.IPPROTO_IP,
          INT,
          Sockets.IP_TOS,
          Sockets.IP_TTL,
          Sockets.IP_PKTINFO,
          Sockets.IP_MTU_DISCOVER,
          Sockets.IP_RECVERR,
          Sockets.IP_RECVTTL,
          Sockets.IP_RECVTOS,
          Sockets.IP_FREEBIND,
          Sockets.IP_TRANSPARENT,
          Sockets.IP_BIND_ADDRESS_NO_PORT,
          Sockets.IP_MULTICAST_TTL,
          Sockets.IP_MULTICAST_LOOP);
  private static final List<Option> IPV6 =
      options(
          Sockets.IPPROTO_IPV6,
          INT,
          Sockets.IPV6_V6ONLY,
          Sockets.IPV6_UNICAST_HOPS,
          Sockets.IPV6_MULTICAST_HOPS,
          Sockets.IPV6_MULTICAST_LOOP,
          Sockets.IPV6_MTU_DISCOVER,
          Sockets.IPV6_RECVERR,
          Sockets.IPV6_RECVPKTINFO,
          Sockets.IPV6_TCLASS,
          Sockets.IPV6_FREEBIND);
  private static final List<Option> TCP =
      options(
          Sockets.IPPROTO_TCP,
          INT,
          Sockets.TCP_NODELAY,
          Sockets.TCP_MAXSEG,
          Sockets.TCP_CORK,
          Sockets.TCP_KEEPIDLE,
          Sockets.TCP_KEEPINTVL,
          Sockets.TCP_KEEPCNT,
          Sockets.TCP_SYNCNT,
          Sockets.TCP_LINGER2,
          Sockets.TCP_DEFER_ACCEPT,
          Sockets.TCP_WINDOW_CLAMP,
          Sockets.TCP_USER_TIMEOUT,
          Sockets.TCP_FASTOPEN,
          Sockets.TCP_NOTSENT_LOWAT,
          Sockets.TCP_SAVE_SYN);
  private static final List<Option> TCP_LONGER =
      List.of(new Option(Sockets.IPPROTO_TCP, Sockets.TCP_CONGESTION, NAME));
  private static final List<Option> UDP =
      options(Sockets.IPPROTO_UDP, INT, Sockets.UDP_CORK, Sockets.UDP_SEGMENT, Sockets.UDP_GRO);

  private static final List<Option> MULTICAST =
      List.of(
          new Option(Sockets.IPPROTO_IP, Sockets.IP_MULTICAST_IF, INT),
          new Option(Sockets.IPPROTO_IPV6, Sockets.IPV6_MULTICAST_IF, INT));
  private static final List<Option> RAW =
      List.of(
          new Option(Sockets.IPPROTO_IP, Sockets.IP_HDRINCL, INT),
          // ICMP_FILTER and ICMP6_FILTER.
          new Option(Sockets.IPPROTO_RAW, 1, INT),
          new Option(Sockets.IPPROTO_ICMPV6, 1, ICMP6_FILTER_SIZE));
  private static final List<Option> NETLINK =
      options(
          Sockets.SOL_NETLINK,
          INT,
          Sockets.NETLINK_PKTINFO,
          Sockets.NETLINK_BROADCAST_ERROR,
          Sockets.NETLINK_NO_ENOBUFS,
          Sockets.NETLINK_CAP_ACK,
          Sockets.NETLINK_EXT_ACK,
          Sockets.NETLINK_GET_STRICT_CHK);
  private static final List<Option> PACKET =
      options(
          Sockets.SOL_PACKET,
          INT,
          Sockets.PACKET_AUXDATA,
          Sockets.PACKET_ORIGDEV,
          Sockets.PACKET_VERSION,
          Sockets.PACKET_RESERVE,
          Sockets.PACKET_LOSS,
          // The size sets it too.
          Sockets.PACKET_VNET_HDR,
          Sockets.PACKET_VNET_HDR_SZ,
          Sockets.PACKET_TIMESTAMP,
          Sockets.PACKET_TX_HAS_OFF,
          Sockets.PACKET_QDISC_BYPASS,
          Sockets.PACKET_IGNORE_OUTGOING);
  private static final List<Option> PACKET_TIMES =
      List.of(
          // struct so_timestamping; only its flags before Linux 5.13.
          new Option(Sockets.SOL_SOCKET, Sockets.SO_TIMESTAMPING, 8),
          new Option(Sockets.SOL_SOCKET, Sockets.SO_TXTIME, 8),
          new Option(Sockets.SOL_SOCKET, Sockets.SO_RCVMARK, INT),
          new Option(Sockets.SOL_SOCKET, Sockets.SO_RCVPRIORITY, INT));

  private SocketOptionList() {}

  /// The classic filter: SO_GET_FILTER counts instructions, with no room as with room for all.
  private static SocketOptions.Builder filter(int fd) throws Refusal {
    SocketOptions.Builder values = SocketOptions.newBuilder();
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment length = arena.allocateFrom(ValueLayout.JAVA_INT, 0);
      long result =
          Kernel.raw(
              Syscall.GETSOCKOPT,
              fd,
              Sockets.SOL_SOCKET,
              Sockets.SO_GET_FILTER,
              0,
              length.address());
      if (result == -Errno.EACCES) {
        throw new Refusal("a socket with an eBPF filter is not restorable", "detach the filter");
      }
      int count = Kernel.isError(result) ? 0 : length.get(ValueLayout.JAVA_INT, 0);
      if (count > 0) {
        MemorySegment program = arena.allocate(8L * count, 8);
        length.set(ValueLayout.JAVA_INT, 0, count);
        Kernel.raw(
            Syscall.GETSOCKOPT,
            fd,
            Sockets.SOL_SOCKET,
            Sockets.SO_GET_FILTER,
            program.address(),
            length.address());
        values
            .setFilter(ByteString.copyFrom(program.toArray(ValueLayout.JAVA_BYTE)))
            .setFilterLocked(
                FdCalls.socketInt(fd, Sockets.SOL_SOCKET, Sockets.SO_LOCK_FILTER, 0) != 0);
      }
    }
    return values;
  }

  static SocketOptions netlink(int fd) throws Refusal {
    SocketOptions.Builder values = filter(fd);
    add(fd, ANY, values);
    add(fd, ANY_LONGER, values);
    add(fd, NETLINK, values);
    return values.build();
  }

  private static List<Option> options(int level, int size, int... names) {
    List<Option> options = new ArrayList<>();
    for (int name : names) {
      options.add(new Option(level, name, size));
    }
    return List.copyOf(options);
  }

  /// @param copyThreshold PACKET_COPY_THRESH, which getsockopt(2) does not give
  static SocketOptions packet(int fd, int copyThreshold) throws Refusal {
    SocketOptions.Builder values = filter(fd);
    add(fd, ANY, values);
    add(fd, ANY_LONGER, values);
    add(fd, PACKET_TIMES, values);
    add(fd, PACKET, values);
    if (copyThreshold != 0) {
      ByteBuffer value = ByteBuffer.allocate(INT).order(ByteOrder.nativeOrder());
      values.addValues(
          SocketOption.newBuilder()
              .setLevel(Sockets.SOL_PACKET)
              .setName(Sockets.PACKET_COPY_THRESH)
              .setValue(ByteString.copyFrom(value.putInt(0, copyThreshold))));
    }
    return values.build();
  }

  static SocketOptions unix(int fd) throws Refusal {
    SocketOptions.Builder values = filter(fd);
    add(fd, ANY, values);
    add(fd, ANY_LONGER, values);
    return values.build();
  }

  /// @param connected a TCP socket with a connection, which then has some options of its own
  static SocketOptions inet(int fd, int family, int protocol, boolean connected) throws Refusal {
    SocketOptions.Builder values = filter(fd);
    add(fd, ANY, values);
    add(fd, ANY_LONGER, values);
    add(fd, IP, values);
    if (family == Sockets.AF_INET6) {
      add(fd, IPV6, values);
    }
    if (protocol == Sockets.IPPROTO_TCP) {
      add(fd, TCP, values);
      add(fd, TCP_LONGER, values);
    } else if (protocol == Sockets.IPPROTO_UDP) {
      add(fd, UDP, values);
      add(fd, MULTICAST, values);
    } else {
      add(fd, RAW, values);
    }
    if (connected) {
      List<SocketOption> chosen =
          values.getValuesList().stream().filter(option -> !isFound(option)).toList();
      values.clearValues().addAllValues(chosen);
    }
    return values.build();
  }

  /// What a connection finds out by itself, the hops of the first packet among it, and what only a
  /// listening socket has.
  private static boolean isFound(SocketOption option) {
    return switch (option.getLevel()) {
      case Sockets.IPPROTO_TCP ->
          switch (option.getName()) {
            case Sockets.TCP_MAXSEG,
                Sockets.TCP_WINDOW_CLAMP,
                Sockets.TCP_DEFER_ACCEPT,
                Sockets.TCP_FASTOPEN ->
                true;
            default -> false;
          };
      case Sockets.IPPROTO_IP -> option.getName() == Sockets.IP_MULTICAST_TTL;
      case Sockets.IPPROTO_IPV6 -> option.getName() == Sockets.IPV6_MULTICAST_HOPS;
      default -> false;
    };
  }

  private static void add(int fd, List<Option> options, SocketOptions.Builder values) {
    for (Option option : options) {
      Optional<byte[]> value =
          FdCalls.socketOption(fd, option.level(), option.name(), option.size());
      if (value.isPresent()) {
        values.addValues(
            SocketOption.newBuilder()
                .setLevel(option.level())
                .setName(option.name())
                .setValue(ByteString.copyFrom(value.get())));
      }
    }
  }
}
