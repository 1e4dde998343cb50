package dev.jcr.parasite.linux;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// One unix socket as the netlink family sock_diag(7) describes it.
///
/// @param type SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET
/// @param state TCP_ESTABLISHED, TCP_LISTEN or TCP_CLOSE
/// @param name sun_path bytes; a leading zero byte is an abstract name; empty when unbound
/// @param fileInode inode of the socket file, 0 for none
/// @param peer inode of the connected socket, 0 for none
/// @param waiting inodes of connections not yet accepted (0 for those without a socket)
/// @param receiveQueue bytes waiting; for a listener, connections waiting
/// @param sendQueue bytes sent and not read; for a listener, its backlog
/// @param shutdown 1 receive, 2 send
public record UnixDiag(
    int type,
    int state,
    long inode,
    String name,
    long fileInode,
    long peer,
    List<Long> waiting,
    int receiveQueue,
    int sendQueue,
    int shutdown) {

  private static final int HEADER = DiagSocket.HEADER;
  private static final int REQUEST = 24;
  private static final int MESSAGE = HEADER + 16;

  /// Asks in jcr's own network namespace; empty when no unix socket there has this inode.
  public static Optional<UnixDiag> of(long inode) throws SyscallException {
    try (DiagSocket diag = new DiagSocket("a unix socket")) {
      // struct unix_diag_req
      MemorySegment request = diag.request(REQUEST);
      request.set(ValueLayout.JAVA_BYTE, HEADER, (byte) Sockets.AF_UNIX);
      request.set(ValueLayout.JAVA_INT, HEADER + 4, -1);
      request.set(ValueLayout.JAVA_INT, HEADER + 8, (int) inode);
      request.set(
          ValueLayout.JAVA_INT,
          HEADER + 12,
          Sockets.UDIAG_SHOW_NAME
              | Sockets.UDIAG_SHOW_VFS
              | Sockets.UDIAG_SHOW_PEER
              | Sockets.UDIAG_SHOW_ICONS
              | Sockets.UDIAG_SHOW_RQLEN);
      // cookie: any
      request.set(ValueLayout.JAVA_LONG, HEADER + 16, -1);
      diag.ask(request, 0);
      MemorySegment answer = diag.answer();
      int type = Short.toUnsignedInt(answer.get(ValueLayout.JAVA_SHORT, 4));
      if (type == Sockets.NLMSG_ERROR) {
        int error = -answer.get(ValueLayout.JAVA_INT, HEADER);
        if (error == Errno.ENOENT) {
          return Optional.empty();
        }
        throw new SyscallException("ask about a unix socket", Syscall.RECVFROM, error);
      }
      return Optional.of(parse(answer));
    }
  }

  private static UnixDiag parse(MemorySegment message) {
    int type = message.get(ValueLayout.JAVA_BYTE, HEADER + 1);
    int state = message.get(ValueLayout.JAVA_BYTE, HEADER + 2);
    long inode = Integer.toUnsignedLong(message.get(ValueLayout.JAVA_INT, HEADER + 4));
    String name = "";
    long file = 0;
    long peer = 0;
    List<Long> waiting = List.of();
    int receiveQueue = 0;
    int sendQueue = 0;
    int shutdown = 0;
    long end = Math.min(message.get(ValueLayout.JAVA_INT, 0), message.byteSize());
    long at = MESSAGE;
    while (at + 4 <= end) {
      int length = Short.toUnsignedInt(message.get(ValueLayout.JAVA_SHORT, at));
      if (length < 4 || at + length > end) {
        break;
      }
      MemorySegment value = message.asSlice(at + 4, length - 4L);
      switch (Short.toUnsignedInt(message.get(ValueLayout.JAVA_SHORT, at + 2))) {
        case Sockets.UNIX_DIAG_NAME ->
            name = new String(value.toArray(ValueLayout.JAVA_BYTE), StandardCharsets.ISO_8859_1);
        case Sockets.UNIX_DIAG_VFS ->
            file = Integer.toUnsignedLong(value.get(ValueLayout.JAVA_INT, 0));
        case Sockets.UNIX_DIAG_PEER ->
            peer = Integer.toUnsignedLong(value.get(ValueLayout.JAVA_INT, 0));
        case Sockets.UNIX_DIAG_ICONS -> {
          List<Long> inodes = new ArrayList<>();
          for (long i = 0; i + 4 <= value.byteSize(); i += 4) {
            inodes.add(Integer.toUnsignedLong(value.get(ValueLayout.JAVA_INT, i)));
          }
          waiting = List.copyOf(inodes);
        }
        case Sockets.UNIX_DIAG_RQLEN -> {
          receiveQueue = value.get(ValueLayout.JAVA_INT, 0);
          sendQueue = value.get(ValueLayout.JAVA_INT, 4);
        }
        case Sockets.UNIX_DIAG_SHUTDOWN -> shutdown = value.get(ValueLayout.JAVA_BYTE, 0);
        default -> {}
      }
      at += (length + 3L) & ~3L;
    }
    return new UnixDiag(
        type, state, inode, name, file, peer, waiting, receiveQueue, sendQueue, shutdown);
  }
}
