package dev.jcr.parasite.tcp;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Sockets;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/// A packet as the peer would have sent it, given to this host by a raw socket: the only way to
/// make a TCP socket know that its peer has closed, or has seen its own end close, and to put a
/// datagram of another host into a queue.
public final class ForgedPacket {
  private static final int FLAG_FIN = 1;
  private static final int FLAG_ACK = 0x10;
  private static final int TCP_HEADER = 20;
  private static final int IP_HEADER = 20;
  private static final int IP6_HEADER = 40;
  private static final int UDP_HEADER = 8;
  private static final int TCP_SUM = 16;
  private static final int UDP_SUM = 6;
  private static final int HOPS = 64;
  private static final int WINDOW = 0xffff;

  private ForgedPacket() {}

  static void toSelf(Endpoints ends, int sequence, int acknowledged, boolean fin)
      throws SyscallException {
    send(ends, packet(ends, sequence, acknowledged, fin));
  }

  /// A UDP datagram from `source` to a socket bound to `local` (both struct sockaddr), which may be
  /// bound to all addresses.
  public static void datagram(byte[] local, byte[] source, byte[] content) throws SyscallException {
    Endpoints ends = Endpoints.of(local, source);
    boolean any = true;
    for (byte part : ends.local()) {
      any &= part == 0;
    }
    if (any || ends.local().length != ends.remote().length) {
      byte[] loopback = new byte[ends.remote().length];
      if (loopback.length == 4) {
        loopback[0] = 127;
      }
      loopback[loopback.length - 1] = 1;
      ends =
          new Endpoints(
              loopback.length == 4, loopback, ends.localPort(), ends.remote(), ends.remotePort());
    }
    send(ends, udp(ends, content));
  }

  private static void send(Endpoints ends, byte[] packet) throws SyscallException {
    int family = ends.v4() ? Sockets.AF_INET : Sockets.AF_INET6;
    // IPPROTO_RAW: the packet has its own IP header, raw(7). The port is not looked at, and must be
    // 0 for IPv6.
    ByteBuffer to = ByteBuffer.allocate(ends.v4() ? 16 : 28).order(ByteOrder.nativeOrder());
    to.putShort(0, (short) family);
    to.put(ends.v4() ? 4 : 8, ends.local());
    try (Fd raw =
            new Fd(
                (int)
                    Kernel.call(
                        "open a raw socket",
                        Syscall.SOCKET,
                        family,
                        Sockets.SOCK_RAW | Sockets.SOCK_CLOEXEC,
                        Sockets.IPPROTO_RAW));
        Arena arena = Arena.ofConfined()) {
      MemorySegment bytes = arena.allocateFrom(JAVA_BYTE, packet);
      MemorySegment address = arena.allocateFrom(JAVA_BYTE, to.array());
      Kernel.call(
          "forge a packet from another host",
          Syscall.SENDTO,
          raw.number(),
          bytes.address(),
          packet.length,
          0,
          address.address(),
          to.capacity());
    }
  }

  /// IP and TCP header, RFC 791, 8200 and 9293.
  static byte[] packet(Endpoints ends, int sequence, int acknowledged, boolean fin) {
    ByteBuffer packet = header(ends, Sockets.IPPROTO_TCP, TCP_HEADER);
    packet.putInt(sequence).putInt(acknowledged);
    packet.put((byte) ((TCP_HEADER / 4) << 4)).put((byte) (FLAG_ACK | (fin ? FLAG_FIN : 0)));
    packet.putShort((short) WINDOW).putInt(0);
    return summed(ends, packet, Sockets.IPPROTO_TCP, TCP_SUM);
  }

  /// RFC 768.
  static byte[] udp(Endpoints ends, byte[] content) {
    int length = UDP_HEADER + content.length;
    ByteBuffer packet = header(ends, Sockets.IPPROTO_UDP, length);
    packet.putShort((short) length).putShort((short) 0).put(content);
    return summed(ends, packet, Sockets.IPPROTO_UDP, UDP_SUM);
  }

  /// The IP header and the ports, from the other end to this one.
  private static ByteBuffer header(Endpoints ends, int protocol, int length) {
    int header = ends.v4() ? IP_HEADER : IP6_HEADER;
    ByteBuffer packet = ByteBuffer.allocate(header + length);
    if (ends.v4()) {
      packet.put((byte) 0x45).put((byte) 0).putShort((short) (header + length));
      packet.putInt(0).put((byte) HOPS).put((byte) protocol);
      packet.putShort((short) 0); // the kernel fills in the header's sum
    } else {
      packet.putInt(0x60000000).putShort((short) length);
      packet.put((byte) protocol).put((byte) HOPS);
    }
    packet.put(ends.remote()).put(ends.local());
    return packet.putShort((short) ends.remotePort()).putShort((short) ends.localPort());
  }

  /// With the sum over a pseudo-header and all behind the IP header, at `at` of the latter.
  private static byte[] summed(Endpoints ends, ByteBuffer packet, int protocol, int at) {
    int header = ends.v4() ? IP_HEADER : IP6_HEADER;
    long sum = (long) protocol + packet.capacity() - header;
    for (int i = header - 2 * ends.local().length; i < packet.capacity(); i += 2) {
      int high = packet.get(i) & 0xff;
      int low = i + 1 < packet.capacity() ? packet.get(i + 1) & 0xff : 0;
      sum += high << 8 | low;
    }
    while (sum > 0xffff) {
      sum = (sum & 0xffff) + (sum >>> 16);
    }
    // In UDP 0 says that there is none.
    packet.putShort(header + at, (short) (sum == 0xffff ? 0xffff : ~sum));
    byte[] bytes = new byte[packet.capacity()];
    packet.get(0, bytes);
    return bytes;
  }
}
