package dev.jcr.dump.files;

import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.NetlinkSocket;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.Sockets;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Optional;

/// Netlink sockets with nothing in their queue.
final class NetlinkSockets {
  private static final int POLLIN = 1;

  /// struct sockaddr_nl: port u32 at 4, groups u32 at 8.
  private static final int PORT = 4;

  private static final int GROUPS = 8;
  private static final int SOCKADDR_SIZE = 12;

  /// Bytes of a set of more groups than an address can name.
  private static final int MOST_GROUPS = 64;

  private NetlinkSockets() {}

  static void describe(Scene scene, OpenFile file, Description.Builder description)
      throws IOException, Refusal {
    int fd = file.duplicate().number();
    Optional<String> holder = scene.outside().holder(file);
    if (holder.isPresent()) {
      throw new Refusal(
          "a netlink socket that " + holder.get() + " has open too", "close it there or here");
    }
    if (!scene.running() && (FdCalls.poll(fd, POLLIN) & POLLIN) != 0) {
      throw new Refusal("a netlink socket with unread messages", "read them, or retry");
    }
    byte[] groups =
        FdCalls.socketOption(fd, Sockets.SOL_NETLINK, Sockets.NETLINK_LIST_MEMBERSHIPS, MOST_GROUPS)
            .orElse(new byte[0]);
    for (int i = 4; i < groups.length; i++) {
      if (groups[i] != 0) {
        throw new Refusal("a netlink socket in a group beyond 32", "leave the group");
      }
    }
    ByteBuffer own = address(FdCalls.socketName(fd));
    ByteBuffer peer = address(FdCalls.peerName(fd).orElse(new byte[0]));
    if (peer.getInt(GROUPS) != 0) {
      throw new Refusal("a netlink socket connected to a group", "close it");
    }
    description.setNetlinkSocket(
        NetlinkSocket.newBuilder()
            .setType(FdCalls.socketInt(fd, Sockets.SOL_SOCKET, Sockets.SO_TYPE, 0))
            .setProtocol(FdCalls.socketInt(fd, Sockets.SOL_SOCKET, Sockets.SO_PROTOCOL, 0))
            .setPort(own.getInt(PORT))
            .setGroups(own.getInt(GROUPS))
            .setPeerPort(peer.getInt(PORT))
            .setOptions(SocketOptionList.netlink(fd)));
  }

  private static ByteBuffer address(byte[] sockaddr) {
    ByteBuffer buffer = ByteBuffer.allocate(SOCKADDR_SIZE).order(ByteOrder.nativeOrder());
    buffer.put(sockaddr, 0, Math.min(SOCKADDR_SIZE, sockaddr.length));
    return buffer;
  }
}
