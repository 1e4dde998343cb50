package dev.jcr.dump.files;

import com.google.protobuf.ByteString;
import dev.jcr.image.v1.SocketOption;
import dev.jcr.image.v1.SocketOptions;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Sockets;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.procfs.Proc;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.HexFormat;

/// The multicast groups that a socket has joined. No call lists them, but each group of each
/// interface can be asked for (MCAST_MSFILTER, `<linux/in.h>`). They are kept as the options that
/// join them again.
final class Memberships {
  private static final int MCAST_EXCLUDE = 0;

  /// struct group_filter without sources: interface u32 at 0, sockaddr_storage at 8, mode u32 at
  /// 136, number of sources u32 at 140.
  private static final int FILTER_SIZE = 144;

  private static final int GROUP = 8;
  private static final int MODE = 136;
  private static final int SOURCES = 140;

  private Memberships() {}

  static void add(Proc proc, int fd, int family, SocketOptions.Builder options)
      throws IOException, Refusal {
    int index = 0;
    for (String line : proc.text("net/igmp").lines().skip(1).toList()) {
      String[] words = line.strip().split("\\s+", -1);
      if (!line.startsWith("\t")) {
        // 1       lo        :     1      V3
        index = Integer.parseInt(words[0]);
        continue;
      }
      //                              010000E0     1 0:00000000               0
      ByteBuffer group = ByteBuffer.allocate(4).order(ByteOrder.nativeOrder());
      group.putInt(Integer.parseUnsignedInt(words[0], 16));
      ByteBuffer address = ByteBuffer.allocate(8).order(ByteOrder.nativeOrder());
      address.putShort((short) Sockets.AF_INET).putShort((short) 0).put(group.flip());
      if (joined(fd, Sockets.IPPROTO_IP, index, address)) {
        // struct ip_mreqn: group, address, interface.
        ByteBuffer request = ByteBuffer.allocate(12).order(ByteOrder.nativeOrder());
        request.put(group.rewind()).putInt(0).putInt(index);
        join(Sockets.IPPROTO_IP, Sockets.IP_ADD_MEMBERSHIP, request, options);
      }
    }
    if (family != Sockets.AF_INET6 || !Proc.at(proc.path("net/igmp6")).exists()) {
      return;
    }
    for (String line : proc.text("net/igmp6").lines().toList()) {
      // 1    lo              ff020000000000000000000000000001     1 0000000C 0
      String[] words = line.strip().split("\\s+", -1);
      byte[] group = HexFormat.of().parseHex(words[2]);
      int link = Integer.parseInt(words[0]);
      ByteBuffer address = ByteBuffer.allocate(28).order(ByteOrder.nativeOrder());
      address.putShort((short) Sockets.AF_INET6).put(8, group);
      if (joined(fd, Sockets.IPPROTO_IPV6, link, address)) {
        // struct ipv6_mreq: group, interface.
        ByteBuffer request = ByteBuffer.allocate(20).order(ByteOrder.nativeOrder());
        request.put(group).putInt(link);
        join(Sockets.IPPROTO_IPV6, Sockets.IPV6_JOIN_GROUP, request, options);
      }
    }
  }

  private static boolean joined(int fd, int level, int index, ByteBuffer address) throws Refusal {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment filter = arena.allocate(FILTER_SIZE, 8);
      filter.set(ValueLayout.JAVA_INT, 0, index);
      for (int i = 0; i < address.capacity(); i++) {
        filter.set(ValueLayout.JAVA_BYTE, GROUP + i, address.get(i));
      }
      MemorySegment length = arena.allocateFrom(ValueLayout.JAVA_INT, FILTER_SIZE);
      long result =
          Kernel.raw(
              Syscall.GETSOCKOPT,
              fd,
              level,
              Sockets.MCAST_MSFILTER,
              filter.address(),
              length.address());
      if (Kernel.isError(result)) {
        return false;
      }
      if (filter.get(ValueLayout.JAVA_INT, MODE) != MCAST_EXCLUDE
          || filter.get(ValueLayout.JAVA_INT, SOURCES) != 0) {
        throw new Refusal(
            "a socket in a multicast group with chosen sources is not restorable",
            "leave the group");
      }
      return true;
    }
  }

  private static void join(int level, int name, ByteBuffer request, SocketOptions.Builder options) {
    options.addValues(
        SocketOption.newBuilder()
            .setLevel(level)
            .setName(name)
            .setValue(ByteString.copyFrom(request.rewind())));
  }
}
