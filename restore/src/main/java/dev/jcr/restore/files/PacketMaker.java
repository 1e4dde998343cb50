package dev.jcr.restore.files;

import com.google.protobuf.ByteString;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.v1.NetworkInterface;
import dev.jcr.image.v1.PacketFanout;
import dev.jcr.image.v1.PacketMembership;
import dev.jcr.image.v1.PacketSocket;
import dev.jcr.image.v1.SocketOptions;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.Interfaces;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Sockets;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/// Packet sockets of the new process. One without a protocol gets nothing, so it is made like that,
/// and bound when it has its filter and the queues of other sockets are filled; but before it is
/// decided that the process runs here, since that may fail.
final class PacketMaker implements AutoCloseable {
  private static final int SOCKADDR_SIZE = 20;

  /// struct packet_mreq: interface s32, type u16, length of the address u16, address of 8 bytes; a
  /// longer one is read as well.
  private static final int MEMBERSHIP_HEADER = 8;

  private static final int SHORT_ADDRESS = 8;

  /// `ret #0`: takes nothing. For as long as a socket would get all that its group shares.
  private static final SocketOptions NOTHING =
      SocketOptions.newBuilder()
          .setFilter(ByteString.copyFrom(new byte[] {6, 0, 0, 0, 0, 0, 0, 0}))
          .build();

  private final Inside inside;
  private final Map<Integer, Fd> unbound = new HashMap<>();
  private final Set<String> notes = new LinkedHashSet<>();

  PacketMaker(Inside inside) {
    this.inside = inside;
  }

  /// All that a socket needs.
  static List<NetworkInterface> interfaces(PacketSocket socket) {
    List<NetworkInterface> interfaces = new ArrayList<>();
    if (socket.hasInterface()) {
      interfaces.add(socket.getInterface());
    }
    for (PacketMembership membership : socket.getMembershipsList()) {
      interfaces.add(membership.getInterface());
    }
    return interfaces;
  }

  void make(int id, PacketSocket socket, int flags) throws CheckpointException {
    int fd =
        inside.hold(
            id,
            inside.require(
                "make a packet socket",
                Syscall.SOCKET,
                Sockets.AF_PACKET,
                socket.getType() | Sockets.SOCK_CLOEXEC,
                0));
    Fd local = inside.local(fd);
    unbound.put(id, local);
    SocketSettings.options(local, socket.getOptions());
    for (PacketMembership membership : socket.getMembershipsList()) {
      join(local, membership);
    }
    SocketSettings.flags(local, flags);
  }

  private void join(Fd local, PacketMembership membership) throws CheckpointException {
    int length = membership.getAddress().size();
    ByteBuffer request =
        ByteBuffer.allocate(MEMBERSHIP_HEADER + Math.max(SHORT_ADDRESS, length))
            .order(ByteOrder.nativeOrder());
    request
        .putInt(index(local, membership.getInterface()))
        .putShort((short) membership.getType())
        .putShort((short) length)
        .put(membership.getAddress().toByteArray());
    for (int i = 0; i < membership.getCount(); i++) {
      set(
          "add a membership of type %d of interface %s"
              .formatted(membership.getType(), membership.getInterface().getName()),
          local,
          Sockets.PACKET_ADD_MEMBERSHIP,
          request.array());
    }
  }

  void start(int id, PacketSocket socket) throws CheckpointException {
    try (Fd local = unbound.remove(id)) {
      if (local == null) {
        throw new IllegalStateException("no packet socket " + id);
      }
      SocketSettings.filter(local, socket.hasFanout() ? NOTHING : socket.getOptions());
      bind(local, socket);
      if (socket.hasFanout()) {
        enter(local, socket.getFanout());
        FdCalls.setSocketInt(local.number(), Sockets.SOL_SOCKET, Sockets.SO_DETACH_FILTER, 0);
        SocketSettings.filter(local, socket.getOptions());
      }
    }
  }

  private void bind(Fd local, PacketSocket socket) throws CheckpointException {
    if (socket.getProtocol() == 0 && !socket.hasInterface()) {
      return;
    }
    int index = socket.hasInterface() ? index(local, socket.getInterface()) : 0;
    try (Arena arena = Arena.ofConfined()) {
      // struct sockaddr_ll: family u16, protocol u16 in network order, interface s32.
      MemorySegment address = arena.allocate(SOCKADDR_SIZE, 4);
      address.set(ValueLayout.JAVA_SHORT, 0, (short) Sockets.AF_PACKET);
      address.set(
          ValueLayout.JAVA_SHORT.withOrder(ByteOrder.BIG_ENDIAN), 2, (short) socket.getProtocol());
      address.set(ValueLayout.JAVA_INT, 4, index);
      long result = Kernel.raw(Syscall.BIND, local.number(), address.address(), SOCKADDR_SIZE);
      if (Kernel.isError(result)) {
        throw Inside.failure("bind a packet socket" + Addresses.packet(socket), result);
      }
    }
    if (socket.getDown()) {
      // That the interface is down it knows.
      FdCalls.socketInt(local.number(), Sockets.SOL_SOCKET, Sockets.SO_ERROR, 0);
    }
  }

  private static void enter(Fd local, PacketFanout fanout) throws CheckpointException {
    int value = fanout.getGroup() | fanout.getType() << 16 | fanout.getFlags() << 24;
    set(
        "enter fanout group " + fanout.getGroup(),
        local,
        Sockets.PACKET_FANOUT,
        ByteBuffer.allocate(4).order(ByteOrder.nativeOrder()).putInt(value).array());
  }

  private static void set(String what, Fd local, int option, byte[] value)
      throws CheckpointException {
    long result = FdCalls.setSocketOption(local.number(), Sockets.SOL_PACKET, option, value);
    if (Kernel.isError(result)) {
      throw Inside.failure(what, result);
    }
  }

  /// The number that the interface of this name has here.
  private int index(Fd local, NetworkInterface wanted) throws CheckpointException {
    try {
      int index =
          Interfaces.index(local.number(), wanted.getName())
              .orElseThrow(() ->
                  new CheckpointException(
                      Outcome.FAILED,
                      "cannot make a packet socket of interface "
                          + wanted.getName()
                          + ": it is not there; give an interface that name"));
      if (index != wanted.getIndex()) {
        notes.add(
            "packet socket: interface %s has number %d, it had %d; a program that remembers the number sends to another one"
                .formatted(wanted.getName(), index, wanted.getIndex()));
      }
      return index;
    } catch (SyscallException e) {
      throw Inside.failure(e);
    }
  }

  /// What the user should know.
  List<String> notes() {
    return List.copyOf(notes);
  }

  @Override
  public void close() {
    unbound.values().forEach(Fd::close);
  }
}
