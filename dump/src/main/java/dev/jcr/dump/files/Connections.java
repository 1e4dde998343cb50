package dev.jcr.dump.files;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.v1.TcpConnection;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Sockets;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.procfs.Anchor;
import dev.jcr.parasite.tcp.ConnectionLock;
import dev.jcr.parasite.tcp.ConnectionReader;
import dev.jcr.parasite.tcp.Endpoints;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// The established TCP connections of one dump: locked, read, and at its end either let go on or
/// ended without a packet. Confined to the tracer thread.
final class Connections implements AutoCloseable {
  private static final int SOCKADDR_IN_SIZE = 16;

  /// Of kernels without nf_tables, or without its part for both versions of IP.
  private static final Set<Integer> UNABLE =
      Set.of(Errno.EPROTONOSUPPORT, Errno.EOPNOTSUPP, Errno.ENOENT, Errno.EINVAL);

  private final Anchor process;
  private final ConnectionReader reader;
  private final String name;
  private final List<Fd> sockets = new ArrayList<>();
  private @Nullable ConnectionLock lock;
  private boolean lockable = true;

  private Connections(Anchor process, ConnectionReader reader, String name) {
    this.process = process;
    this.reader = reader;
    this.name = name;
  }

  /// Before the freeze: starts what reads, and does all of it once with a connection of jcr's own,
  /// so that everything is loaded.
  static Connections prepare(Anchor process) throws CheckpointException, IOException {
    warmUp();
    String name =
        ConnectionLock.prefix(process.pid()) + "%016x".formatted(new SecureRandom().nextLong());
    return new Connections(process, ConnectionReader.start(process), name);
  }

  /// Failures do not matter: the real one will meet them, or not.
  private static void warmUp() {
    Anchor self = Anchor.ofLiving((int) ProcessHandle.current().pid());
    try (Fd listener = socket();
        Fd client = socket();
        Arena arena = Arena.ofConfined();
        Connections connections =
            new Connections(
                self, ConnectionReader.start(self), "jcr-%d-warm-up".formatted(self.pid()))) {
      byte[] loopback = new byte[SOCKADDR_IN_SIZE];
      loopback[0] = Sockets.AF_INET;
      loopback[4] = 127;
      loopback[7] = 1;
      MemorySegment address = arena.allocateFrom(ValueLayout.JAVA_BYTE, loopback);
      Kernel.call("bind", Syscall.BIND, listener.number(), address.address(), loopback.length);
      Kernel.call("listen", Syscall.LISTEN, listener.number(), 1);
      byte[] bound = FdCalls.socketName(listener.number());
      MemorySegment to = arena.allocateFrom(ValueLayout.JAVA_BYTE, bound);
      Kernel.call("connect", Syscall.CONNECT, client.number(), to.address(), bound.length);
      connections.take(List.of(Endpoints.of(FdCalls.socketName(client.number()), bound)));
      connections.reader.read(client.number(), client.number());
    } catch (CheckpointException | IOException _) {
      // For example without the right to lock.
    }
  }

  private static Fd socket() throws SyscallException {
    return new Fd(
        (int)
            Kernel.call(
                "make a socket",
                Syscall.SOCKET,
                Sockets.AF_INET,
                Sockets.SOCK_STREAM | Sockets.SOCK_CLOEXEC,
                0));
  }

  /// Locks the connections of these files. Returns the name of the lock that [#end] leaves behind;
  /// empty where there is none because the kernel has no means for it.
  Optional<String> lock(List<OpenFile> files) throws CheckpointException {
    try {
      List<Endpoints> ends = new ArrayList<>();
      for (OpenFile file : files) {
        int fd = file.duplicate().number();
        Fd copy =
            new Fd(
                (int)
                    Kernel.call(
                        "duplicate fd " + file.fd(), Syscall.FCNTL, fd, Fcntl.F_DUPFD_CLOEXEC, 0));
        sockets.add(copy);
        Optional<byte[]> peer = InetSockets.peer(process, file, ConnectionReader.state(fd));
        if (peer.isPresent()) {
          ends.add(Endpoints.of(FdCalls.socketName(fd), peer.get()));
        }
      }
      take(ends);
      return lockable ? Optional.of(name) : Optional.empty();
    } catch (IOException e) {
      int errno = e instanceof SyscallException failed ? failed.errno() : 0;
      throw new CheckpointException(
          errno == Errno.EPERM ? Outcome.PERMISSION : Outcome.FAILED,
          e.getMessage() + (errno == Errno.EPERM ? "; needs CAP_NET_ADMIN" : ""),
          e);
    }
  }

  private void take(List<Endpoints> ends) throws SyscallException {
    try {
      lock = ConnectionLock.take(name, ends);
    } catch (SyscallException e) {
      if (!UNABLE.contains(e.errno())) {
        throw e;
      }
      lockable = false;
    }
  }

  TcpConnection read(OpenFile file) throws CheckpointException {
    return reader.read(file.fd(), file.duplicate().number());
  }

  /// The process is about to be killed: its connections end without the peers' knowing.
  void end() throws CheckpointException {
    try {
      if (lock != null) {
        lock.keep();
      }
      for (Fd socket : sockets) {
        ConnectionReader.silence(socket.number());
      }
    } catch (SyscallException e) {
      throw new CheckpointException(Outcome.FAILED, String.valueOf(e.getMessage()), e);
    }
  }

  /// The process goes on, and its connections with it.
  void unlock() {
    if (lock != null) {
      lock.close();
      lock = null;
    }
    sockets.forEach(Fd::close);
    sockets.clear();
  }

  @Override
  public void close() {
    unlock();
    reader.close();
  }
}
