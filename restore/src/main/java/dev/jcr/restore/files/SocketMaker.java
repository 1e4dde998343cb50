package dev.jcr.restore.files;

import com.google.protobuf.ByteString;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.v1.Datagram;
import dev.jcr.image.v1.InetSocket;
import dev.jcr.image.v1.NetlinkSocket;
import dev.jcr.image.v1.UnixSocket;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.FileStat;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Sockets;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.tcp.ConnectionLock;
import dev.jcr.parasite.tcp.ConnectionMaker;
import dev.jcr.parasite.tcp.ForgedPacket;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// Sockets of the new process. They are created, bound and connected inside it, because the kernel
/// records who does; options are set by jcr, which may have the capabilities they need.
final class SocketMaker implements AutoCloseable {
  private static final int NEW_SOCKET = Sockets.SOCK_CLOEXEC;
  private static final int SUN_PATH = 2;

  /// sizeof(sun_path).
  private static final int PATH_MAX = 108;

  private static final int POLLIN = 1;

  private final Inside inside;
  private final String workingDirectory;

  /// Ends to be closed when what they sent is in the queue of the other, by the other's id.
  private final Map<Integer, Integer> closedEnds = new HashMap<>();

  private final List<String> notes = new ArrayList<>();

  /// jcr's descriptors of connections that are not started yet.
  private final Map<Integer, Fd> connections = new HashMap<>();

  SocketMaker(Inside inside, String workingDirectory) {
    this.inside = inside;
    this.workingDirectory = workingDirectory;
  }

  void pair(FileStep.End first, UnixSocket a, Optional<FileStep.End> second, UnixSocket b)
      throws CheckpointException {
    inside.require(
        "make a socketpair",
        Syscall.SOCKETPAIR,
        Sockets.AF_UNIX,
        a.getType() | NEW_SOCKET,
        0,
        inside.scratch());
    int[] fds = inside.ints(2);
    int fdA = inside.hold(first.id(), fds[0]);
    int fdB = second.isPresent() ? inside.hold(second.get().id(), fds[1]) : inside.lift(fds[1]);
    try (Fd localA = inside.local(fdA);
        Fd localB = inside.local(fdB)) {
      SocketSettings.options(localA, a.getOptions());
      SocketSettings.options(localB, b.getOptions());
      name(fdA, a);
      if (second.isPresent()) {
        name(fdB, b);
      }
    }
    if (second.isEmpty()) {
      closedEnds.put(first.id(), fdB);
    }
  }

  /// Connects to a listening socket, of the image or (0) made for this, and accepts.
  void accepted(
      FileStep.End server,
      UnixSocket a,
      Optional<FileStep.End> client,
      UnixSocket b,
      int listenerId)
      throws CheckpointException {
    int listener = listenerId == 0 ? listen(a) : inside.of(listenerId);
    int made = make(b.getType());
    int fdB = client.isPresent() ? inside.hold(client.get().id(), made) : inside.lift(made);
    if (client.isPresent()) {
      name(fdB, b);
    }
    connect(fdB, a.getAddress());
    int fdA = inside.hold(server.id(), accept(listener));
    if (listenerId == 0) {
      inside.close(listener);
      if (a.getUnlinked() && a.getAddress().byteAt(0) != 0) {
        inside.putString(Addresses.unix(a.getAddress()));
        inside.require(
            "remove " + Addresses.unix(a.getAddress()),
            Syscall.UNLINKAT,
            Fd.AT_FDCWD,
            inside.scratch(),
            0);
      }
    }
    try (Fd localA = inside.local(fdA);
        Fd localB = inside.local(fdB)) {
      SocketSettings.options(localA, a.getOptions());
      SocketSettings.options(localB, b.getOptions());
    }
    if (client.isEmpty()) {
      closedEnds.put(server.id(), fdB);
    }
  }

  /// Accepts the connection that the process has made itself. Whoever else knows the name may have
  /// connected before: that one is closed, as by a server that has ended.
  private int accept(int listener) throws CheckpointException {
    while (true) {
      int fd =
          inside.require("accept a unix connection", Syscall.ACCEPT4, listener, 0, 0, NEW_SOCKET);
      try (Fd local = inside.local(fd)) {
        // struct ucred: pid, uid, gid.
        int pid = FdCalls.socketInt(local.number(), Sockets.SOL_SOCKET, Sockets.SO_PEERCRED, 0);
        if (pid == inside.pid()) {
          return fd;
        }
      }
      inside.close(fd);
    }
  }

  /// A listening socket by the name of one that it is to accept.
  private int listen(UnixSocket accepted) throws CheckpointException {
    int fd = inside.lift(make(accepted.getType()));
    UnixSocket.Builder socket = accepted.toBuilder();
    if (accepted.getUnlinked()) {
      // Whoever makes it may connect.
      socket.setUnlinked(false).setMode(0700).setUid(-1).setGid(-1);
    }
    name(fd, socket.build());
    inside.require("listen on a unix socket", Syscall.LISTEN, fd, 1);
    return fd;
  }

  private int make(int type) throws CheckpointException {
    return inside.require(
        "make a unix socket", Syscall.SOCKET, Sockets.AF_UNIX, type | NEW_SOCKET, 0);
  }

  /// To a socket with this name.
  void connect(int fd, ByteString name) throws CheckpointException {
    long result = tryConnect(fd, name);
    if (Kernel.isError(result)) {
      throw Inside.failure("connect to " + Addresses.unix(name), result);
    }
  }

  /// Zero, or a negated errno.
  private long tryConnect(int fd, ByteString name) throws CheckpointException {
    if (name.byteAt(0) != 0 && name.byteAt(0) != '/') {
      enterWorkingDirectory();
    }
    byte[] address = sockaddr(name);
    inside.put(address);
    return inside.calls().call(Syscall.CONNECT, fd, inside.scratch(), address.length);
  }

  private void enterWorkingDirectory() throws CheckpointException {
    inside.putString(workingDirectory);
    inside.require("change the directory to " + workingDirectory, Syscall.CHDIR, inside.scratch());
  }

  /// Queues, filters and flags of two connected sockets; without a second one, its end is closed.
  void complete(FileStep.End first, UnixSocket a, Optional<FileStep.End> second, UnixSocket b)
      throws CheckpointException {
    int fdA = inside.of(first.id());
    Integer closed = closedEnds.remove(first.id());
    int fdB = second.isPresent() ? inside.of(second.get().id()) : closed == null ? -1 : closed;
    UnixFiller filler = new UnixFiller(inside);
    try (Fd localA = inside.local(fdA);
        Fd localB = inside.local(fdB)) {
      filler.fill(fdB, localB, localA, a);
      filler.fill(fdA, localA, localB, b);
      // What filling has changed.
      SocketSettings.options(localA, a.getOptions());
      SocketSettings.options(localB, b.getOptions());
      SocketSettings.filter(localA, a.getOptions());
      SocketSettings.filter(localB, b.getOptions());
      if (second.isPresent()) {
        SocketSettings.shutdown(localA, a.getShutdown());
        SocketSettings.shutdown(localB, b.getShutdown());
        SocketSettings.flags(localB, second.get().flags());
      }
      SocketSettings.flags(localA, first.flags());
    }
    if (second.isEmpty()) {
      inside.close(fdB);
    }
  }

  void unix(int id, UnixSocket socket, int flags) throws CheckpointException {
    int fd = inside.hold(id, make(socket.getType()));
    try (Fd local = inside.local(fd)) {
      SocketSettings.options(local, socket.getOptions());
      name(fd, socket);
      if (socket.getListening()) {
        inside.require("listen on a unix socket", Syscall.LISTEN, fd, socket.getBacklog());
      }
      SocketSettings.filter(local, socket.getOptions());
      SocketSettings.shutdown(local, socket.getShutdown());
      SocketSettings.flags(local, flags);
    }
  }

  /// A connection that was lost: a new one to the same name, or one that the other end has closed.
  void again(FileStep.End end, UnixSocket socket) throws CheckpointException {
    int made = make(socket.getType() | Sockets.SOCK_NONBLOCK);
    name(made, socket);
    long result = tryConnect(made, socket.getPeerAddress());
    if (Kernel.isError(result)) {
      inside.close(made);
      notes.add(
          "unix socket to %s: %s; it is restored as one whose other end is closed"
              .formatted(Addresses.unix(socket.getPeerAddress()), Errno.describe((int) -result)));
      UnixSocket none = UnixSocket.newBuilder().setType(socket.getType()).build();
      pair(end, socket, Optional.empty(), none);
      complete(end, socket, Optional.empty(), none);
      return;
    }
    int fd = inside.hold(end.id(), made);
    try (Fd local = inside.local(fd)) {
      FdCalls.fcntl(local.number(), Fcntl.F_SETFL, 0);
      SocketSettings.options(local, socket.getOptions());
      SocketSettings.filter(local, socket.getOptions());
      SocketSettings.shutdown(local, socket.getShutdown());
      SocketSettings.flags(local, end.flags());
    }
  }

  /// What the user should know.
  List<String> notes() {
    return List.copyOf(notes);
  }

  /// Binds to the recorded name. The socket file that the dumped process left behind is replaced.
  private void name(int fd, UnixSocket socket) throws CheckpointException {
    ByteString name = socket.getAddress();
    if (name.isEmpty()) {
      return;
    }
    boolean path = name.byteAt(0) != 0;
    String text = Addresses.unix(name);
    if (path) {
      if (!text.startsWith("/")) {
        enterWorkingDirectory();
      }
      removeStale(text);
    }
    byte[] address = sockaddr(name);
    inside.put(address);
    inside.require("bind to " + text, Syscall.BIND, fd, inside.scratch(), address.length);
    if (path) {
      inside.putString(text);
      if (socket.getUnlinked()) {
        inside.require("remove " + text, Syscall.UNLINKAT, Fd.AT_FDCWD, inside.scratch(), 0);
      } else {
        inside.require(
            "set the owner of " + text,
            Syscall.FCHOWNAT,
            Fd.AT_FDCWD,
            inside.scratch(),
            socket.getUid(),
            socket.getGid(),
            0);
        inside.require(
            "set the permissions of " + text,
            Syscall.FCHMODAT,
            Fd.AT_FDCWD,
            inside.scratch(),
            socket.getMode());
      }
    }
  }

  private void removeStale(String path) throws CheckpointException {
    try {
      Optional<FileStat> found =
          FileStat.find(path.startsWith("/") ? path : "/proc/" + inside.pid() + "/cwd/" + path);
      if (found.isPresent()) {
        if (!found.get().is(Fcntl.S_IFSOCK)) {
          throw new CheckpointException(
              Outcome.FAILED, "cannot bind to " + path + ": a file that is no socket is there");
        }
        inside.putString(path);
        inside.require("remove " + path, Syscall.UNLINKAT, Fd.AT_FDCWD, inside.scratch(), 0);
      }
    } catch (SyscallException e) {
      throw Inside.failure(e);
    }
  }

  /// struct sockaddr_un of exactly the length that the name needs.
  static byte[] sockaddr(ByteString name) {
    // A path that fills sun_path has no zero byte.
    boolean ends = name.byteAt(0) != 0 && name.size() < PATH_MAX;
    byte[] address = new byte[SUN_PATH + name.size() + (ends ? 1 : 0)];
    address[0] = Sockets.AF_UNIX;
    name.copyTo(address, SUN_PATH);
    return address;
  }

  void inet(int id, InetSocket socket, int flags) throws CheckpointException {
    int fd =
        inside.hold(
            id,
            inside.require(
                "make a " + Addresses.protocol(socket) + " socket",
                Syscall.SOCKET,
                socket.getFamily(),
                socket.getType() | NEW_SOCKET,
                socket.getProtocol()));
    try (Fd local = inside.local(fd)) {
      SocketSettings.options(local, socket.getOptions());
      if (!socket.getLocal().isEmpty()) {
        String where = Addresses.inet(socket.getLocal());
        inside.put(socket.getLocal().toByteArray());
        long result =
            inside.calls().call(Syscall.BIND, fd, inside.scratch(), socket.getLocal().size());
        if (Kernel.isError(result)) {
          throw new CheckpointException(
              result == -Errno.EACCES ? Outcome.PERMISSION : Outcome.FAILED,
              "cannot bind to "
                  + Addresses.protocol(socket)
                  + " "
                  + where
                  + ": "
                  + Errno.describe((int) -result)
                  + (result == -Errno.EADDRINUSE ? "; stop the program that uses it" : ""));
        }
      }
      if (!socket.getRemote().isEmpty()) {
        inside.put(socket.getRemote().toByteArray());
        inside.require(
            "connect to " + Addresses.inet(socket.getRemote()),
            Syscall.CONNECT,
            fd,
            inside.scratch(),
            socket.getRemote().size());
      }
      if (socket.getListening()) {
        inside.require(
            "listen on " + Addresses.inet(socket.getLocal()),
            Syscall.LISTEN,
            fd,
            socket.getBacklog());
      }
      fill(local, socket);
      SocketSettings.filter(local, socket.getOptions());
      SocketSettings.shutdown(local, socket.getShutdown());
      SocketSettings.flags(local, flags);
    }
  }

  void netlink(int id, NetlinkSocket socket, int flags) throws CheckpointException {
    int fd =
        inside.hold(
            id,
            inside.require(
                "make a netlink socket",
                Syscall.SOCKET,
                Sockets.AF_NETLINK,
                socket.getType() | NEW_SOCKET,
                socket.getProtocol()));
    try (Fd local = inside.local(fd)) {
      SocketSettings.options(local, socket.getOptions());
      if (socket.getPort() != 0) {
        address("bind a netlink socket", Syscall.BIND, fd, socket.getPort(), socket.getGroups());
      }
      if (socket.getPeerPort() != 0) {
        address("connect a netlink socket", Syscall.CONNECT, fd, socket.getPeerPort(), 0);
      }
      SocketSettings.filter(local, socket.getOptions());
      SocketSettings.flags(local, flags);
    }
  }

  /// struct sockaddr_nl.
  private void address(String what, Syscall call, int fd, int port, int groups)
      throws CheckpointException {
    inside.putInts(Sockets.AF_NETLINK, port, groups);
    inside.require(what, call, fd, inside.scratch(), 12);
  }

  /// Puts datagrams into the queue of a UDP socket, each from its sender.
  private static void fill(Fd local, InetSocket socket) throws CheckpointException {
    try {
      for (Datagram datagram : socket.getDatagramsList()) {
        ForgedPacket.datagram(
            FdCalls.socketName(local.number()),
            datagram.getSource().toByteArray(),
            datagram.getContent().toByteArray());
      }
      if (socket.getDatagramsCount() > 0 && (FdCalls.poll(local.number(), POLLIN) & POLLIN) == 0) {
        throw new CheckpointException(
            Outcome.FAILED,
            "cannot put "
                + socket.getDatagramsCount()
                + " datagrams into the queue of UDP "
                + Addresses.inet(socket.getLocal())
                + ": they did not arrive");
      }
    } catch (SyscallException e) {
      throw Inside.failure(e);
    }
  }

  /// A connection as it was, until [#start] in repair mode: nobody notices if this goes wrong.
  void connection(int id, InetSocket socket, int flags) throws CheckpointException {
    int fd =
        inside.hold(
            id,
            inside.require(
                "make a " + Addresses.protocol(socket) + " socket",
                Syscall.SOCKET,
                socket.getFamily(),
                socket.getType() | NEW_SOCKET,
                socket.getProtocol()));
    Fd local = inside.local(fd);
    connections.put(id, local);
    SocketSettings.options(local, socket.getOptions());
    try {
      ConnectionMaker.make(
          local.number(),
          socket.getLocal().toByteArray(),
          socket.getRemote().toByteArray(),
          socket.getConnection());
    } catch (SyscallException e) {
      throw failure(socket, e);
    }
    SocketSettings.buffers(local, socket.getOptions());
    SocketSettings.filter(local, socket.getOptions());
    SocketSettings.flags(local, flags);
  }

  private static CheckpointException failure(InetSocket socket, SyscallException e) {
    boolean taken = e.errno() == Errno.EADDRNOTAVAIL || e.errno() == Errno.EADDRINUSE;
    boolean denied = e.errno() == Errno.EPERM || e.errno() == Errno.EACCES;
    return new CheckpointException(
        denied ? Outcome.PERMISSION : Outcome.FAILED,
        "cannot restore the connection from %s to %s: %s%s"
            .formatted(
                Addresses.inet(socket.getLocal()),
                Addresses.inet(socket.getRemote()),
                e.getMessage(),
                taken
                    ? "; this host must have the address, and no such connection"
                    : denied ? "; needs CAP_NET_ADMIN" : ""),
        e);
  }

  /// Lets packets through: those held back by the dump's lock, and by those of earlier dumps of
  /// this process, on whose host it lives again now.
  ///
  /// @param lock jcr-PID-RANDOM
  static void unlock(String lock) throws CheckpointException {
    try {
      ConnectionLock.release(lock);
      ConnectionLock.releaseOf(Integer.parseInt(lock.split("-", 3)[1]));
    } catch (SyscallException e) {
      throw Inside.failure(e);
    }
  }

  void start(int id, InetSocket socket) throws CheckpointException {
    try (Fd local = connections.remove(id)) {
      if (local == null) {
        throw new IllegalStateException("no connection " + id);
      }
      ConnectionMaker.start(
          local.number(),
          socket.getLocal().toByteArray(),
          socket.getRemote().toByteArray(),
          socket.getConnection(),
          SocketSettings.value(socket.getOptions(), Sockets.SO_REUSEADDR));
      SocketSettings.shutdown(local, socket.getShutdown());
    } catch (SyscallException e) {
      throw failure(socket, e);
    }
  }

  @Override
  public void close() {
    connections.values().forEach(Fd::close);
  }
}
