package dev.jcr.dump.files;

import com.google.protobuf.ByteString;
import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.UnixSocket;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.FileName;
import dev.jcr.parasite.linux.FileStat;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Sockets;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.linux.UnixDiag;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/// Unix sockets: pairs inside the process with their queues, listeners, and datagram sockets.
final class UnixSockets {
  private static final int MESSAGE_MAX = 1 << 20;
  private static final int CREDENTIALS_SPACE = 32;
  private static final int POLLIN = 1;

  private UnixSockets() {}

  static void describe(Scene scene, OpenFile file, Description.Builder description)
      throws IOException, Refusal {
    int fd = file.duplicate().number();
    Optional<UnixDiag> found = scene.unixDiag(file.stat().inode());
    if (found.isEmpty()) {
      throw new Refusal("a unix socket of another network namespace is not restorable", "close it");
    }
    UnixDiag diag = found.get();
    Optional<String> holder = scene.outside().holder(file);
    if (holder.isPresent()) {
      Kinds.inheritOrRefuse(
          scene,
          file,
          description,
          "a unix socket that " + holder.get() + " has open too",
          "close it there or here");
      return;
    }
    UnixSocket.Builder socket =
        UnixSocket.newBuilder()
            .setType(diag.type())
            .setSocketId(file.id())
            .setShutdown(diag.shutdown())
            .setOptions(SocketOptionList.unix(fd));
    byte[] name = name(diag);
    if (name.length > 0) {
      socket.setAddress(ByteString.copyFrom(name));
      address(scene, diag, name, socket);
    }
    if (diag.state() == Sockets.TCP_LISTEN) {
      waiting(scene, diag, socket);
      socket.setListening(true).setBacklog(diag.sendQueue());
    } else if (diag.peer() == 0 && waitsFor(scene, diag)) {
      if (diag.sendQueue() > 0) {
        throw new Refusal(
            "a unix connection that is not accepted yet, with data in it", "accept it, or retry");
      }
    } else if (diag.peer() != 0) {
      if (!peer(scene, file, description, diag, fd, name, socket)) {
        return;
      }
    } else if (diag.state() == Sockets.TCP_ESTABLISHED
        // A bound datagram socket is in this state when another has connected to it.
        && (diag.type() != Sockets.SOCK_DGRAM || name.length == 0)) {
      socket.setPeerClosed(true).setAccepted(hasListener(scene, diag));
    }
    if (!scene.running() && !socket.getListening()) {
      queue(diag, fd, socket);
    }
    description.setUnixSocket(socket);
  }

  /// The bound name, without the zero byte that ends a path.
  private static byte[] name(UnixDiag diag) {
    String name = diag.name();
    boolean path = !name.isEmpty() && name.charAt(0) != 0;
    int end = path ? name.indexOf(0) : -1;
    return (end < 0 ? name : name.substring(0, end)).getBytes(StandardCharsets.ISO_8859_1);
  }

  /// Connections that a listener has not accepted yet: those of the process itself are made again.
  private static void waiting(Scene scene, UnixDiag listener, UnixSocket.Builder socket)
      throws Refusal {
    if (!listener.waiting().isEmpty() && socket.getUnlinked()) {
      throw new Refusal(
          "a unix socket whose file is gone, with connections not yet accepted",
          "accept them, or retry");
    }
    for (long inode : listener.waiting()) {
      OpenFile client =
          socket(scene, inode)
              .orElseThrow(() ->
                  new Refusal(
                      "a unix socket with connections of other processes not yet accepted",
                      "accept them, or retry"));
      socket.addWaitingIds(client.id());
    }
  }

  /// Of an own listener.
  private static boolean waitsFor(Scene scene, UnixDiag client) throws IOException {
    for (UnixDiag other : listeners(scene)) {
      if (other.waiting().contains(client.inode())) {
        return true;
      }
    }
    return false;
  }

  /// Whether the process listens by the same name: this one was accepted there.
  private static boolean hasListener(Scene scene, UnixDiag diag) throws IOException {
    for (UnixDiag other : listeners(scene)) {
      if (!diag.name().isEmpty()
          && other.type() == diag.type()
          && other.name().equals(diag.name())) {
        return true;
      }
    }
    return false;
  }

  private static List<UnixDiag> listeners(Scene scene) throws IOException {
    List<UnixDiag> listeners = new ArrayList<>();
    for (OpenFile file : scene.table().files()) {
      if (file.link().startsWith("socket:[")) {
        scene
            .unixDiag(file.stat().inode())
            .filter(diag -> diag.state() == Sockets.TCP_LISTEN)
            .ifPresent(listeners::add);
      }
    }
    return listeners;
  }

  private static Optional<OpenFile> socket(Scene scene, long inode) {
    return scene.table().withInode(inode).stream()
        .filter(other -> other.link().equals("socket:[" + inode + "]"))
        .findFirst();
  }

  /// Of two connected sockets, whether this is the one that accept(2) made: it has the listener's
  /// name.
  private static boolean isAccepted(Scene scene, UnixDiag diag, byte[] name, byte[] peerName)
      throws IOException, Refusal {
    if (diag.type() == Sockets.SOCK_DGRAM || name.length == 0) {
      return false;
    }
    if (peerName.length == 0 || hasListener(scene, diag)) {
      return true;
    }
    Optional<UnixDiag> peer = scene.unixDiag(diag.peer());
    if (peer.isPresent() && hasListener(scene, peer.get())) {
      return false;
    }
    throw new Refusal(
        "a unix connection with a name at both ends, made by way of a listening socket that is"
            + " closed",
        "keep the listening socket open, or close the connection");
  }

  /// False when the description has been made an inherited one.
  private static boolean peer(
      Scene scene,
      OpenFile file,
      Description.Builder description,
      UnixDiag diag,
      int fd,
      byte[] name,
      UnixSocket.Builder socket)
      throws IOException, Refusal {
    Optional<OpenFile> inside = socket(scene, diag.peer());
    byte[] peerName = sunPath(FdCalls.peerName(fd).orElse(new byte[0]));
    if (inside.isPresent()) {
      boolean pair =
          scene.unixDiag(diag.peer()).map(peer -> peer.peer() == diag.inode()).orElse(false);
      socket.setAccepted(isAccepted(scene, diag, name, peerName));
      if (!pair && peerName.length == 0) {
        throw new Refusal("a unix datagram socket connected to one without a name", "close it");
      }
      if (pair) {
        socket.setPeerId(inside.get().id());
      } else {
        socket.setPeerAddress(ByteString.copyFrom(peerName));
      }
      return true;
    }
    if (diag.type() == Sockets.SOCK_DGRAM && peerName.length > 0) {
      socket.setPeerAddress(ByteString.copyFrom(peerName));
      return true;
    }
    Kinds.inheritOrRefuse(
        scene,
        file,
        description,
        "a unix socket connected to another process" + text(peerName),
        "close the connection");
    return false;
  }

  private static String text(byte[] name) {
    return name.length == 0
        ? ""
        : " by " + new String(name, StandardCharsets.UTF_8).replace('\0', '@');
  }

  /// sun_path of a sockaddr_un, without the zero byte that ends a path.
  private static byte[] sunPath(byte[] address) {
    if (address.length <= 2) {
      return new byte[0];
    }
    int end = address.length;
    if (address[2] != 0) {
      int at = 2;
      while (at < end && address[at] != 0) {
        at++;
      }
      end = at;
    }
    return Arrays.copyOfRange(address, 2, end);
  }

  private static void address(Scene scene, UnixDiag diag, byte[] name, UnixSocket.Builder socket)
      throws IOException, Refusal {
    if (name[0] == 0) {
      return;
    }
    String path = FileName.text(name);
    if (!scene.proc().link("root").equals("/")) {
      throw new Refusal(
          "a unix socket bound to " + path + " in a changed root directory", "close it");
    }
    String seen = path.startsWith("/") ? path : scene.proc().link("cwd") + "/" + path;
    Optional<FileStat> stat = FileStat.find(seen);
    boolean own =
        stat.isPresent()
            && stat.get().is(Fcntl.S_IFSOCK)
            // sock_diag gives 32 bits of the inode.
            && (int) stat.get().inode() == (int) diag.fileInode();
    if (own) {
      socket
          .setMode(PlainFiles.permissions(stat.get()))
          .setUid(stat.get().uid())
          .setGid(stat.get().gid());
    } else if (path.startsWith("/")) {
      socket.setUnlinked(true);
    } else {
      throw new Refusal(
          "a unix socket bound to the relative path "
              + path
              + ", which does not lead to it from "
              + "the working directory",
          "bind it by its full path");
    }
  }

  /// Copies what waits to be read, leaving it there. MSG_PEEK shows the first message of a queue
  /// only, unless SO_PEEK_OFF is on; that option is put back afterwards. The kernel shows an empty
  /// datagram that somebody has peeked at before to nobody again (`__skb_try_recv_from_queue`).
  private static void queue(UnixDiag diag, int fd, UnixSocket.Builder socket)
      throws SyscallException, Refusal {
    int waiting = FdCalls.ioctlInt(fd, Fcntl.FIONREAD).orElse(0);
    boolean stream = diag.type() == Sockets.SOCK_STREAM;
    if (stream ? waiting == 0 : (FdCalls.poll(fd, POLLIN) & POLLIN) == 0) {
      return;
    }
    int peekOffset = FdCalls.socketInt(fd, Sockets.SOL_SOCKET, Sockets.SO_PEEK_OFF, -1);
    boolean credentials = FdCalls.socketInt(fd, Sockets.SOL_SOCKET, Sockets.SO_PASSCRED, 0) != 0;
    List<ByteString> messages = new ArrayList<>();
    // A stream shows all of its queue at once, so its options are left alone.
    boolean step = !stream || peekOffset >= 0;
    if (step) {
      FdCalls.setSocketInt(fd, Sockets.SOL_SOCKET, Sockets.SO_PEEK_OFF, 0);
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment buffer = arena.allocate(stream ? waiting : MESSAGE_MAX);
      long total = 0;
      while (true) {
        long count = peek(arena, fd, buffer, credentials);
        if (count == -Errno.EAGAIN) {
          break;
        }
        if (Kernel.isError(count)) {
          throw new SyscallException("look into a socket's queue", Syscall.RECVMSG, (int) -count);
        }
        // Past the last message of a seqpacket that its peer has shut down there are only these.
        boolean end = count == 0 && !stream && (diag.shutdown() & 1) != 0;
        if (end) {
          break;
        }
        total += count;
        messages.add(ByteString.copyFrom(buffer.asSlice(0, count).asByteBuffer()));
        if (stream && (count == 0 || total >= waiting)) {
          break;
        }
      }
      if (stream && total != waiting) {
        throw new Refusal("a unix socket whose queue cannot be copied", "retry");
      }
    } finally {
      if (step) {
        FdCalls.setSocketInt(fd, Sockets.SOL_SOCKET, Sockets.SO_PEEK_OFF, peekOffset);
      }
    }
    boolean pair = socket.getPeerId() != 0 || socket.getPeerClosed();
    if (!messages.isEmpty() && !pair) {
      throw new Refusal(
          "a unix datagram socket with unread messages from elsewhere", "read them, or retry");
    }
    socket.addAllReceiveQueue(messages);
  }

  private static long peek(Arena arena, int fd, MemorySegment buffer, boolean credentials)
      throws Refusal {
    // struct msghdr: name, namelen, iov, iovlen, control, controllen, flags
    MemorySegment iov = arena.allocate(16, 8);
    iov.set(ValueLayout.JAVA_LONG, 0, buffer.address());
    iov.set(ValueLayout.JAVA_LONG, 8, buffer.byteSize());
    MemorySegment control = arena.allocate(CREDENTIALS_SPACE, 8);
    MemorySegment header = arena.allocate(56, 8);
    header.set(ValueLayout.JAVA_LONG, 16, iov.address());
    header.set(ValueLayout.JAVA_LONG, 24, 1);
    if (credentials) {
      // Room for credentials only: descriptors never get into jcr, MSG_CTRUNC tells of them.
      header.set(ValueLayout.JAVA_LONG, 32, control.address());
      header.set(ValueLayout.JAVA_LONG, 40, CREDENTIALS_SPACE);
    }
    long count =
        Kernel.raw(Syscall.RECVMSG, fd, header.address(), Sockets.MSG_PEEK | Sockets.MSG_DONTWAIT);
    if (!Kernel.isError(count)) {
      int flags = header.get(ValueLayout.JAVA_INT, 48);
      if ((flags & Sockets.MSG_CTRUNC) != 0) {
        throw new Refusal("a unix socket with descriptors in its queue", "receive them, or retry");
      }
      if ((flags & Sockets.MSG_TRUNC) != 0) {
        throw new Refusal("a unix socket with a message over 1 MiB in its queue", "receive it");
      }
    }
    return count;
  }
}
