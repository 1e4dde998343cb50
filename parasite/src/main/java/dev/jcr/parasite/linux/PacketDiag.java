package dev.jcr.parasite.linux;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// One packet socket as the netlink family sock_diag(7) describes it, `<linux/packet_diag.h>`: what
/// getsockopt(2) does not tell.
///
/// @param running it gets packets: it has a protocol, and its interface is up
/// @param copyThreshold PACKET_COPY_THRESH
/// @param memberships newest first
/// @param receiveRing it has a PACKET_RX_RING
/// @param sendRing it has a PACKET_TX_RING
/// @param fanout it is in a group, be it of number 0
public record PacketDiag(
    boolean running,
    int copyThreshold,
    List<Membership> memberships,
    boolean receiveRing,
    boolean sendRing,
    boolean fanout) {

  /// What it has asked an interface for.
  ///
  /// @param index of the interface
  /// @param type PACKET_MR_MULTICAST 0, PACKET_MR_PROMISC 1, PACKET_MR_ALLMULTI 2,
  ///   PACKET_MR_UNICAST 3
  /// @param count how many times
  @SuppressWarnings("ArrayRecordComponent") // carried, not compared
  public record Membership(int index, int type, byte[] address, int count) {}

  private static final int HEADER = DiagSocket.HEADER;

  /// struct packet_diag_req: what to show u32 at 8.
  private static final int REQUEST = 20;

  private static final int SHOW = 8;

  /// struct packet_diag_msg: inode u32 at 4.
  private static final int INODE = 4;

  private static final int MESSAGE = HEADER + 16;

  /// struct packet_diag_info: threshold u32 at 12, flags u32 at 20.
  private static final int COPY_THRESHOLD = 12;

  private static final int FLAGS = 20;

  /// struct packet_diag_mclist: index u32 at 0, count u32 at 4, type u16 at 8, length u16 at 10,
  /// address at 12.
  private static final int MEMBERSHIP = 44;

  private static final int COUNT = 4;
  private static final int TYPE = 8;
  private static final int LENGTH = 10;
  private static final int ADDRESS = 12;

  /// NLA_TYPE_MASK.
  private static final int ATTRIBUTE = 0x3fff;

  public PacketDiag {
    memberships = List.copyOf(memberships);
  }

  /// All packet sockets of the caller's network namespace, by the lower 32 bits of their inodes;
  /// none on a kernel without CONFIG_PACKET_DIAG.
  public static Map<Integer, PacketDiag> all() throws SyscallException {
    Map<Integer, PacketDiag> all = new HashMap<>();
    try (DiagSocket diag = new DiagSocket("packet sockets")) {
      MemorySegment request = diag.request(REQUEST);
      request.set(ValueLayout.JAVA_BYTE, HEADER, (byte) Sockets.AF_PACKET);
      request.set(
          ValueLayout.JAVA_INT,
          HEADER + SHOW,
          Sockets.PACKET_SHOW_INFO
              | Sockets.PACKET_SHOW_MCLIST
              | Sockets.PACKET_SHOW_RING_CFG
              | Sockets.PACKET_SHOW_FANOUT);
      diag.dump(
          request,
          message -> {
            if (message.byteSize() >= MESSAGE) {
              all.put(message.get(ValueLayout.JAVA_INT, HEADER + INODE), parse(message));
            }
          });
    }
    return all;
  }

  private static PacketDiag parse(MemorySegment message) {
    boolean running = false;
    int copyThreshold = 0;
    List<Membership> memberships = List.of();
    boolean receiveRing = false;
    boolean sendRing = false;
    boolean fanout = false;
    long at = MESSAGE;
    while (at + 4 <= message.byteSize()) {
      int length = Short.toUnsignedInt(message.get(ValueLayout.JAVA_SHORT, at));
      if (length < 4 || at + length > message.byteSize()) {
        break;
      }
      MemorySegment value = message.asSlice(at + 4, length - 4L);
      switch (message.get(ValueLayout.JAVA_SHORT, at + 2) & ATTRIBUTE) {
        case Sockets.PACKET_DIAG_INFO -> {
          copyThreshold = value.get(ValueLayout.JAVA_INT, COPY_THRESHOLD);
          running = (value.get(ValueLayout.JAVA_INT, FLAGS) & Sockets.PDI_RUNNING) != 0;
        }
        case Sockets.PACKET_DIAG_MCLIST -> memberships = memberships(value);
        case Sockets.PACKET_DIAG_RX_RING -> receiveRing = true;
        case Sockets.PACKET_DIAG_TX_RING -> sendRing = true;
        case Sockets.PACKET_DIAG_FANOUT -> fanout = true;
        default -> {}
      }
      at += (length + 3L) & ~3L;
    }
    return new PacketDiag(running, copyThreshold, memberships, receiveRing, sendRing, fanout);
  }

  private static List<Membership> memberships(MemorySegment list) {
    List<Membership> memberships = new ArrayList<>();
    for (long at = 0; at + MEMBERSHIP <= list.byteSize(); at += MEMBERSHIP) {
      int length = Short.toUnsignedInt(list.get(ValueLayout.JAVA_SHORT, at + LENGTH));
      memberships.add(
          new Membership(
              list.get(ValueLayout.JAVA_INT, at),
              Short.toUnsignedInt(list.get(ValueLayout.JAVA_SHORT, at + TYPE)),
              list.asSlice(at + ADDRESS, Math.min(length, MEMBERSHIP - ADDRESS))
                  .toArray(ValueLayout.JAVA_BYTE),
              list.get(ValueLayout.JAVA_INT, at + COUNT)));
    }
    return memberships;
  }
}
