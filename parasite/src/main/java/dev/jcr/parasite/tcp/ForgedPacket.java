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

/// A TCP packet as the peer would have sent it, given to this host by a raw socket: the only way to
/// make a socket know that its peer has closed, or has seen its own end close.
final class ForgedPacket {
  private static final int FLAG_FIN = 1;
  private static final int FLAG_ACK = 0x10;
  private static final int TCP_HEADER = 20;
  private static final int IP_HEADER = 20;
  private static final int IP6_HEADER = 40;
  private static final int HOPS = 64;
  private static final int WINDOW = 0xffff;

  private ForgedPacket() {}

  static void toSelf(Endpoints ends, int sequence, int acknowledged, boolean fin)
      throws SyscallException {
    byte[] packet = packet(ends, sequence, acknowledged, fin);
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
          "close a connection's other end",
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
    int header = ends.v4() ? IP_HEADER : IP6_HEADER;
    ByteBuffer packet = ByteBuffer.allocate(header + TCP_HEADER);
    if (ends.v4()) {
      packet.put((byte) 0x45).put((byte) 0).putShort((short) (header + TCP_HEADER));
      packet.putInt(0).put((byte) HOPS).put((byte) Sockets.IPPROTO_TCP);
      packet.putShort((short) 0); // the kernel fills in the header's sum
    } else {
      packet.putInt(0x60000000).putShort((short) TCP_HEADER);
      packet.put((byte) Sockets.IPPROTO_TCP).put((byte) HOPS);
    }
    packet.put(ends.remote()).put(ends.local());
    packet.putShort((short) ends.remotePort()).putShort((short) ends.localPort());
    packet.putInt(sequence).putInt(acknowledged);
    packet.put((byte) ((TCP_HEADER / 4) << 4)).put((byte) (FLAG_ACK | (fin ? FLAG_FIN : 0)));
    packet.putShort((short) WINDOW).putInt(0);
    int sum = Sockets.IPPROTO_TCP + TCP_HEADER;
    for (int at = header - 2 * ends.local().length; at < packet.capacity(); at += 2) {
      sum += packet.getShort(at) & 0xffff;
    }
    sum = (sum & 0xffff) + (sum >>> 16);
    sum = (sum & 0xffff) + (sum >>> 16);
    packet.putShort(header + 16, (short) ~sum);
    return packet.array();
  }
}
