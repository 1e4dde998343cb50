package dev.jcr.dump.files;

import com.google.protobuf.ByteString;
import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.NetworkInterface;
import dev.jcr.image.v1.PacketFanout;
import dev.jcr.image.v1.PacketMembership;
import dev.jcr.image.v1.PacketSocket;
import dev.jcr.image.v1.SocketOption;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.Interfaces;
import dev.jcr.parasite.linux.PacketDiag;
import dev.jcr.parasite.linux.Sockets;
import dev.jcr.parasite.linux.SyscallException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Optional;

/// Packet sockets, packet(7), with their options and memberships. What waits in one cannot be put
/// into another, and the kernel does not tell at which frame of a ring it is.
final class PacketSockets {
  private static final int POLLIN = 1;
  private static final int POLLERR = 8;

  /// struct sockaddr_ll: protocol u16 in network order at 2, interface s32 at 4.
  private static final int PROTOCOL = 2;

  private static final int INTERFACE = 4;
  private static final int SOCKADDR_SIZE = 20;

  /// As many as an image may have of one membership.
  private static final int MOST_JOINS = 1024;

  private PacketSockets() {}

  static void describe(Scene scene, OpenFile file, Description.Builder description)
      throws IOException, Refusal {
    int fd = file.duplicate().number();
    int type = FdCalls.socketInt(fd, Sockets.SOL_SOCKET, Sockets.SO_TYPE, 0);
    if (type == Sockets.SOCK_PACKET) {
      throw new Refusal("a packet socket of the old kind (SOCK_PACKET)", "close it");
    }
    Optional<String> holder = scene.outside().holder(file);
    if (holder.isPresent()) {
      throw new Refusal(
          "a packet socket that " + holder.get() + " has open too", "close it there or here");
    }
    PacketDiag diag =
        scene
            .packetDiag(file.stat().inode())
            .orElseThrow(() ->
                new Refusal(
                    "a packet socket of which this kernel does not tell the memberships"
                        + " (PACKET_DIAG)",
                    "load the module af_packet_diag, or close it"));
    if (diag.receiveRing() || diag.sendRing()) {
      throw new Refusal(
          "a packet socket with a ring (%s) is not restorable"
              .formatted(diag.receiveRing() ? "PACKET_RX_RING" : "PACKET_TX_RING"),
          "let the program use recv and send, or end the capture");
    }
    if (!scene.running()) {
      waiting(scene, file, fd);
    }
    PacketSocket.Builder socket = PacketSocket.newBuilder().setType(type);
    ByteBuffer address = ByteBuffer.allocate(SOCKADDR_SIZE);
    byte[] name = FdCalls.socketName(fd);
    address.put(name, 0, Math.min(SOCKADDR_SIZE, name.length));
    socket.setProtocol(Short.toUnsignedInt(address.getShort(PROTOCOL)));
    int index = address.order(ByteOrder.nativeOrder()).getInt(INTERFACE);
    if (index != 0) {
      socket.setInterface(named(fd, index)).setDown(socket.getProtocol() != 0 && !diag.running());
    }
    for (PacketDiag.Membership membership : diag.memberships().reversed()) {
      if (membership.count() > MOST_JOINS) {
        throw new Refusal(
            "a packet socket with %d times the same membership".formatted(membership.count()),
            "drop it as often as it was added");
      }
      socket.addMemberships(
          PacketMembership.newBuilder()
              .setInterface(named(fd, membership.index()))
              .setType(membership.type())
              .setAddress(ByteString.copyFrom(membership.address()))
              .setCount(membership.count()));
    }
    if (diag.fanout()) {
      fanout(scene, file, fd, socket);
    }
    socket.setOptions(SocketOptionList.packet(fd, diag.copyThreshold()));
    told(scene, file, socket);
    description.setPacketSocket(socket);
  }

  private static void waiting(Scene scene, OpenFile file, int fd) throws SyscallException, Refusal {
    int events = FdCalls.poll(fd, POLLIN);
    if ((events & POLLERR) != 0) {
      // Asking which one it is would clear it.
      throw new Refusal(
          "a packet socket with an error that the process does not know yet (an interface that went"
              + " down, a time stamp)",
          "let it read the error, or retry");
    }
    if ((events & POLLIN) != 0) {
      if (!scene.policy().skipInFlight()) {
        throw new Refusal(
            "a packet socket with unread packets",
            "retry, or dump with --skip-in-flight to lose them");
      }
      scene.lose(file, "the packets that wait in it");
    }
  }

  private static NetworkInterface named(int fd, int index) throws SyscallException, Refusal {
    return NetworkInterface.newBuilder()
        .setIndex(index)
        .setName(
            Interfaces.name(fd, index)
                .orElseThrow(
                    () -> new Refusal("a packet socket of an interface that is gone", "close it")))
        .build();
  }

  private static void fanout(Scene scene, OpenFile file, int fd, PacketSocket.Builder socket)
      throws Refusal {
    int value = FdCalls.socketInt(fd, Sockets.SOL_PACKET, Sockets.PACKET_FANOUT, 0);
    int kind = value >>> 16 & 0xff;
    if (kind == Sockets.PACKET_FANOUT_CBPF || kind == Sockets.PACKET_FANOUT_EBPF) {
      throw new Refusal(
          "a packet socket whose group is divided by a program (PACKET_FANOUT_CBPF, _EBPF), which"
              + " no call tells",
          "close it");
    }
    socket.setFanout(
        PacketFanout.newBuilder().setGroup(value & 0xffff).setType(kind).setFlags(value >>> 24));
    scene.lose(
        file,
        "its place among the members of fanout group %d, and how many these may be, if not 256"
            .formatted(value & 0xffff));
  }

  /// What begins anew, since reading it would have changed it.
  private static void told(Scene scene, OpenFile file, PacketSocket.Builder socket) {
    if (socket.getProtocol() != 0) {
      scene.lose(file, "its counters (PACKET_STATISTICS), which begin at 0 again");
    }
    for (SocketOption option : socket.getOptions().getValuesList()) {
      if (option.getLevel() == Sockets.SOL_SOCKET
          && option.getName() == Sockets.SO_TIMESTAMPING
          && (option.getValue().byteAt(0) & Sockets.SOF_TIMESTAMPING_OPT_ID) != 0) {
        scene.lose(file, "the numbers of its time stamps, which begin at 0 again");
      }
    }
  }
}
