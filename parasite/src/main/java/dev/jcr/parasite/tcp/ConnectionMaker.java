package dev.jcr.parasite.tcp;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import com.google.protobuf.ByteString;
import dev.jcr.image.v1.TcpConnection;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.OpenFlags;
import dev.jcr.parasite.linux.Sockets;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.locks.LockSupport;

/// Puts a connection into a new socket, tcp(7) and `net/ipv4/tcp.c`. Between [#make] and [#start]
/// the socket is in repair mode: nothing leaves it, and closing it is noticed by nobody.
public final class ConnectionMaker {
  private static final int PIECE = 64 * 1024;
  private static final int ROOM = 64 * 1024;
  private static final long PATIENCE_NANOS = 2_000_000_000L;
  private static final long PAUSE_NANOS = 1_000_000;

  private ConnectionMaker() {}

  /// Binds, connects, and fills the queues, all without a packet. Options that programs set must be
  /// set before.
  ///
  /// @param fd a new TCP socket, jcr's descriptor of it
  /// @param local struct sockaddr
  /// @param remote struct sockaddr
  public static void make(int fd, byte[] local, byte[] remote, TcpConnection connection)
      throws SyscallException {
    set(fd, "enter repair mode", Sockets.TCP_REPAIR, 1);
    address("bind a connection", Syscall.BIND, fd, local);
    int state = connection.getState();
    int in = connection.getReceiveSequence() - (TcpStates.receivedFin(state) ? 1 : 0);
    int out = connection.getSendSequence() - (TcpStates.sentFin(state) ? 1 : 0);
    sequence(fd, Sockets.TCP_RECV_QUEUE, in - connection.getReceiveQueue().size());
    boolean connecting = state == Sockets.TCP_SYN_SENT;
    // The SYN counts.
    int first = out - connection.getSendQueue().size() - (connecting ? 1 : 0);
    sequence(fd, Sockets.TCP_SEND_QUEUE, first);
    if (connecting) {
      return;
    }
    address("connect", Syscall.CONNECT, fd, remote);
    options(fd, connection);
    room(fd, connection);
    set(fd, "choose the receive queue", Sockets.TCP_REPAIR_QUEUE, Sockets.TCP_RECV_QUEUE);
    send(fd, connection.getReceiveQueue());
    set(fd, "choose the send queue", Sockets.TCP_REPAIR_QUEUE, Sockets.TCP_SEND_QUEUE);
    // In repair mode whatever is written counts as sent.
    send(fd, sent(connection));
    window(fd, connection);
    segmentSize(fd, Endpoints.of(local, remote).v4());
  }

  private static ByteString sent(TcpConnection connection) {
    ByteString queue = connection.getSendQueue();
    return queue.substring(0, queue.size() - connection.getUnsent());
  }

  /// Lets the connection go on; its packets must not be locked out any more.
  ///
  /// @param reuse SO_REUSEADDR, which leaving repair mode resets
  public static void start(int fd, byte[] local, byte[] remote, TcpConnection connection, int reuse)
      throws SyscallException {
    int state = connection.getState();
    if (state == Sockets.TCP_SYN_SENT) {
      set(fd, "leave repair mode", Sockets.TCP_REPAIR, 0);
      connect(fd, remote);
    } else {
      boolean unsent = connection.getUnsent() > 0;
      boolean closed = TcpStates.sentFin(state);
      boolean peerClosedFirst = state == Sockets.TCP_LAST_ACK;
      int in = connection.getReceiveSequence() - (TcpStates.receivedFin(state) ? 1 : 0);
      int out = connection.getSendSequence() - (closed ? 1 : 0);
      int acknowledged = out - connection.getSendQueue().size();
      Endpoints ends = Endpoints.of(local, remote);
      if (closed && !unsent && !peerClosedFirst) {
        // The send queue is chosen: the FIN counts as sent.
        shutdown(fd);
      }
      if (TcpStates.receivedFin(state)) {
        // There is no call that puts a FIN into the receive queue; it comes as a packet.
        ForgedPacket.toSelf(ends, in, acknowledged, true);
      }
      if (closed && !unsent && peerClosedFirst) {
        shutdown(fd);
      }
      if (state == Sockets.TCP_FIN_WAIT2) {
        ForgedPacket.toSelf(ends, in, out + 1, false);
      }
      // With a packet that makes the peer tell its window.
      set(fd, "leave repair mode", Sockets.TCP_REPAIR, 0);
      if (unsent) {
        ByteString queue = connection.getSendQueue();
        send(fd, queue.substring(queue.size() - connection.getUnsent()));
        if (closed) {
          shutdown(fd);
        }
      }
    }
    FdCalls.setSocketInt(fd, Sockets.SOL_SOCKET, Sockets.SO_REUSEADDR, reuse);
  }

  private static void shutdown(int fd) throws SyscallException {
    Kernel.call("shut a connection down", Syscall.SHUTDOWN, fd, Sockets.SHUT_WR);
  }

  /// Without waiting for the answer.
  private static void connect(int fd, byte[] remote) throws SyscallException {
    long flags = FdCalls.fcntl(fd, Fcntl.F_GETFL, 0);
    FdCalls.fcntl(fd, Fcntl.F_SETFL, flags | OpenFlags.O_NONBLOCK);
    try {
      address("connect", Syscall.CONNECT, fd, remote);
    } catch (SyscallException e) {
      if (e.errno() != Errno.EINPROGRESS) {
        throw e;
      }
    } finally {
      FdCalls.fcntl(fd, Fcntl.F_SETFL, flags);
    }
  }

  private static void set(int fd, String what, int name, int value) throws SyscallException {
    long result = FdCalls.setSocketInt(fd, Sockets.IPPROTO_TCP, name, value);
    if (Kernel.isError(result)) {
      throw new SyscallException(what + " of a connection", Syscall.SETSOCKOPT, (int) -result);
    }
  }

  private static void sequence(int fd, int queue, int value) throws SyscallException {
    set(fd, "choose a queue", Sockets.TCP_REPAIR_QUEUE, queue);
    set(fd, "set a sequence number", Sockets.TCP_QUEUE_SEQ, value);
  }

  private static void address(String what, Syscall call, int fd, byte[] sockaddr)
      throws SyscallException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment bytes = arena.allocateFrom(JAVA_BYTE, sockaddr);
      Kernel.call(what, call, fd, bytes.address(), sockaddr.length);
    }
  }

  /// TCP_REPAIR_OPTIONS: struct tcp_repair_opt { u32 code; u32 value; }[].
  private static void options(int fd, TcpConnection connection) throws SyscallException {
    int agreed = connection.getAgreed();
    List<Integer> words = new ArrayList<>();
    if ((agreed & Sockets.TCPI_OPT_WSCALE) != 0) {
      words.add(Sockets.TCPOPT_WINDOW);
      words.add(connection.getSendScale() | connection.getReceiveScale() << 16);
    }
    if ((agreed & Sockets.TCPI_OPT_SACK) != 0) {
      words.add(Sockets.TCPOPT_SACK_PERMITTED);
      words.add(0);
    }
    if ((agreed & Sockets.TCPI_OPT_TIMESTAMPS) != 0) {
      words.add(Sockets.TCPOPT_TIMESTAMP);
      words.add(0);
    }
    words.add(Sockets.TCPOPT_MAXSEG);
    words.add(connection.getMaximumSegment());
    set(fd, "set what was agreed", Sockets.TCP_REPAIR_OPTIONS, words);
    if ((agreed & Sockets.TCPI_OPT_TIMESTAMPS) != 0) {
      set(fd, "set the timestamp", Sockets.TCP_TIMESTAMP, connection.getTimestamp());
    }
  }

  /// A connection made in repair mode keeps the segment size of an unknown peer (536 bytes) until
  /// something makes the kernel compare it with what was agreed; setting no IP options is such.
  private static void segmentSize(int fd, boolean v4) throws SyscallException {
    long result =
        v4
            ? FdCalls.setSocketOption(fd, Sockets.IPPROTO_IP, Sockets.IP_OPTIONS, new byte[0])
            : FdCalls.setSocketOption(
                fd, Sockets.IPPROTO_IPV6, Sockets.IPV6_2292PKTOPTIONS, new byte[0]);
    if (Kernel.isError(result)) {
      throw new SyscallException(
          "set the segment size of a connection", Syscall.SETSOCKOPT, (int) -result);
    }
  }

  private static void window(int fd, TcpConnection connection) throws SyscallException {
    int fin = TcpStates.receivedFin(connection.getState()) ? 1 : 0;
    set(
        fd,
        "set the windows",
        Sockets.TCP_REPAIR_WINDOW,
        List.of(
            connection.getWindowUpdateSequence() - fin,
            connection.getSendWindow(),
            connection.getLargestSendWindow(),
            connection.getReceiveWindow() + fin,
            connection.getReceiveWindowStart() - fin));
  }

  private static void set(int fd, String what, int name, List<Integer> words)
      throws SyscallException {
    try (Arena arena = Arena.ofConfined()) {
      byte[] bytes =
          arena
              .allocateFrom(JAVA_INT, words.stream().mapToInt(Integer::intValue).toArray())
              .toArray(JAVA_BYTE);
      long result = FdCalls.setSocketOption(fd, Sockets.IPPROTO_TCP, name, bytes);
      if (Kernel.isError(result)) {
        throw new SyscallException(what + " of a connection", Syscall.SETSOCKOPT, (int) -result);
      }
    }
  }

  /// Room for all at once, whatever pieces it came in; the caller puts the sizes back.
  private static void room(int fd, TcpConnection connection) {
    int most = Math.max(connection.getReceiveQueue().size(), connection.getSendQueue().size());
    if (most > 0) {
      int size = most > 1 << 28 ? 1 << 29 : 2 * most + ROOM;
      FdCalls.setSocketInt(fd, Sockets.SOL_SOCKET, Sockets.SO_RCVBUFFORCE, size);
      FdCalls.setSocketInt(fd, Sockets.SOL_SOCKET, Sockets.SO_SNDBUFFORCE, size);
    }
  }

  private static void send(int fd, ByteString data) throws SyscallException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment piece = arena.allocate(PIECE);
      int done = 0;
      long deadline = System.nanoTime() + PATIENCE_NANOS;
      while (done < data.size()) {
        int length = Math.min(PIECE, data.size() - done);
        MemorySegment.copy(
            data.substring(done, done + length).toByteArray(), 0, piece, JAVA_BYTE, 0, length);
        long sent =
            Kernel.raw(
                Syscall.SENDTO,
                fd,
                piece.address(),
                length,
                Sockets.MSG_DONTWAIT | Sockets.MSG_NOSIGNAL,
                0,
                0);
        if (sent == -Errno.EAGAIN && System.nanoTime() < deadline) {
          // There is room, see above: the kernel is short of memory for sockets at this moment.
          LockSupport.parkNanos(PAUSE_NANOS);
        } else if (Kernel.isError(sent)) {
          throw new SyscallException(
              "fill a queue of " + data.size() + " bytes", Syscall.SENDTO, (int) -sent);
        } else {
          done += (int) sent;
        }
      }
    }
  }
}
