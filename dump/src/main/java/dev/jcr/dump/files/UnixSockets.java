package dev.jcr.dump.files;

import com.google.protobuf.ByteString;
import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.UnixSocket;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.FileName;
import dev.jcr.parasite.linux.FileStat;
import dev.jcr.parasite.linux.Sockets;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.linux.UnixDiag;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// Unix sockets: pairs inside the process with their queues, listeners, and datagram sockets.
final class UnixSockets {

  private static final int SHUT_BOTH = 3;

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
      waiting(scene, file, diag, socket);
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
    } else if (isWaiting(diag)) {
      if (!ExternalUnix.describe(scene, file, description, diag, peerName(fd), socket)) {
        return;
      }
    } else if (diag.state() == Sockets.TCP_ESTABLISHED
        // A bound datagram socket is in this state when another has connected to it.
        && (diag.type() != Sockets.SOCK_DGRAM || FdCalls.peerName(fd).isPresent())) {
      socket.setPeerClosed(true).setAccepted(hasListener(scene, diag));
    }
    if (!scene.running() && !socket.getListening()) {
      queue(scene, file, socket);
      if (socket.getPeerClosed() && (diag.peer() != 0 || isWaiting(diag))) {
        ExternalUnix.leave(scene, file, peerName(fd), socket);
      }
    }
    description.setUnixSocket(socket);
  }

  /// Whether a listener outside has not accepted its connection: the socket that will be its peer
  /// has no inode yet, and has not been closed either, which would have shut this one down.
  private static boolean isWaiting(UnixDiag diag) {
    return diag.type() != Sockets.SOCK_DGRAM
        && diag.state() == Sockets.TCP_ESTABLISHED
        && diag.peer() == 0
        && diag.shutdown() != SHUT_BOTH;
  }

  /// The bound name, without the zero byte that ends a path.
  private static byte[] name(UnixDiag diag) {
    String name = diag.name();
    boolean path = !name.isEmpty() && name.charAt(0) != 0;
    int end = path ? name.indexOf(0) : -1;
    return (end < 0 ? name : name.substring(0, end)).getBytes(StandardCharsets.ISO_8859_1);
  }

  /// Connections that a listener has not accepted yet: those of the process itself are made again.
  private static void waiting(
      Scene scene, OpenFile file, UnixDiag listener, UnixSocket.Builder socket) throws Refusal {
    int lost = 0;
    for (long inode : listener.waiting()) {
      Optional<OpenFile> client = socket(scene, inode);
      if (client.isPresent()) {
        socket.addWaitingIds(client.get().id());
      } else if (scene.policy().skipInFlight()) {
        lost++;
      } else {
        throw new Refusal(
            "a unix socket with connections of other processes not yet accepted",
            "accept them, retry, or dump with --skip-in-flight to lose them");
      }
    }
    if (socket.getWaitingIdsCount() > 0 && socket.getUnlinked()) {
      throw new Refusal(
          "a unix socket whose file is gone, with connections not yet accepted",
          "accept them, or retry");
    }
    if (lost > 0) {
      scene.lose(
          file,
          "its connections from other processes: %d not yet accepted; they are reset"
              .formatted(lost));
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
    byte[] peerName = peerName(fd);
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
    boolean named = diag.type() == Sockets.SOCK_DGRAM && peerName.length > 0;
    if (!named && scene.running() && scene.table().hasPassing()) {
      // Its other end may be on its way to the process itself.
      return true;
    }
    socket.setAccepted(hasListener(scene, diag));
    return ExternalUnix.describe(scene, file, description, diag, peerName, socket);
  }

  /// sun_path bytes of the other end.
  private static byte[] peerName(int fd) throws SyscallException {
    return ExternalUnix.sunPath(FdCalls.peerName(fd).orElse(new byte[0]));
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

  private static void queue(Scene scene, OpenFile file, UnixSocket.Builder socket)
      throws SyscallException, Refusal {
    Optional<UnixQueue> known = scene.table().queue(file);
    UnixQueue queue = known.isPresent() ? known.get() : UnixQueue.of(file);
    boolean pair = socket.getPeerId() != 0 || socket.getPeerClosed();
    if (!queue.isEmpty() && !pair) {
      throw new Refusal(
          "a unix datagram socket with unread messages from elsewhere", "read them, or retry");
    }
    queue.describe(socket);
  }
}
