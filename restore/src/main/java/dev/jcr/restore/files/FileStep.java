package dev.jcr.restore.files;

import com.google.protobuf.ByteString;
import dev.jcr.image.v1.Attachment;
import dev.jcr.image.v1.CharacterDevice;
import dev.jcr.image.v1.EpollTarget;
import dev.jcr.image.v1.EventFd;
import dev.jcr.image.v1.Fanotify;
import dev.jcr.image.v1.FileIdentity;
import dev.jcr.image.v1.FileLock;
import dev.jcr.image.v1.InetSocket;
import dev.jcr.image.v1.Inotify;
import dev.jcr.image.v1.NetlinkSocket;
import dev.jcr.image.v1.Owner;
import dev.jcr.image.v1.PacketSocket;
import dev.jcr.image.v1.PipeEnd;
import dev.jcr.image.v1.SharedObject;
import dev.jcr.image.v1.SignalFd;
import dev.jcr.image.v1.Terminal;
import dev.jcr.image.v1.TimerFd;
import dev.jcr.image.v1.UnixSocket;
import java.util.List;
import java.util.Optional;

/// One step towards a descriptor table. Steps are values: a plan can be printed and tested without
/// a process; [FileExecutor] executes them.
///
/// `id` is that of an open file description of the image. Until [InstallDescriptor] it is held
/// under a number above all that the image uses.
public sealed interface FileStep {
  /// One line for people.
  String describe();

  /// A description to be made of a pipe, terminal or socket that several share.
  record End(int id, int flags) {}

  /// Memory or an unlinked file, empty but of its size.
  record CreateObject(SharedObject object) implements FileStep {
    @Override
    public String describe() {
      return switch (object.getKind()) {
        case KIND_MEMFD -> "create memfd '" + object.getName() + "'" + size();
        case KIND_UNLINKED_FILE, KIND_FILE_COPY, KIND_EMBEDDED_FILE ->
            "create unlinked file " + object.getName() + size();
        case KIND_SECRET -> "create secret memory" + size();
        case KIND_SYSV -> "create System V segment " + object.getSegment() + size();
        case KIND_ANONYMOUS, KIND_UNSPECIFIED, UNRECOGNIZED ->
            "create shared memory " + object.getId() + size();
      };
    }

    private String size() {
      return " of " + object.getSize() + " bytes";
    }
  }

  /// Seals of a memfd; those that forbid writing before it is mapped, others when all is mapped.
  record SealObject(int objectId, int seals) implements FileStep {
    @Override
    public String describe() {
      return "seal object " + objectId + " with 0x" + Integer.toHexString(seals);
    }
  }

  /// The time of the last change that the object had, when nobody writes to it any more.
  record StampObject(SharedObject object) implements FileStep {
    @Override
    public String describe() {
      return "set the time of object " + object.getId();
    }
  }

  /// Takes away what was written behind the end that a file had.
  record CutFile(String path, long size) implements FileStep {
    @Override
    public String describe() {
      return "cut " + path + " to " + size + " bytes";
    }
  }

  record OpenRegular(int id, FileIdentity file, int flags, long position) implements FileStep {
    @Override
    public String describe() {
      return "open " + file.getPath() + " at offset " + position;
    }
  }

  record OpenObject(int id, int objectId, int flags, long position) implements FileStep {
    @Override
    public String describe() {
      return "open object " + objectId + " at offset " + position;
    }
  }

  record OpenDirectory(int id, FileIdentity file, int flags, long position) implements FileStep {
    @Override
    public String describe() {
      return "open directory " + file.getPath();
    }
  }

  record OpenPath(int id, FileIdentity file, int flags) implements FileStep {
    @Override
    public String describe() {
      return "open path " + file.getPath();
    }
  }

  record OpenDevice(int id, CharacterDevice device, int flags) implements FileStep {
    @Override
    public String describe() {
      return "open " + device.getPath();
    }
  }

  /// A pipe or FIFO with all its ends.
  ///
  /// @param pipe the end that carries content, or any
  record MakePipe(PipeEnd pipe, List<End> ends) implements FileStep {
    public MakePipe {
      ends = List.copyOf(ends);
    }

    @Override
    public String describe() {
      int bytes = pipe.getContent().size();
      for (var packet : pipe.getPacketsList()) {
        bytes += packet.size();
      }
      String what = pipe.getPath().isEmpty() ? "make a pipe" : "open FIFO " + pipe.getPath();
      return what + " with " + ends.size() + " ends, " + bytes + " bytes in it";
    }
  }

  record MakeEventfd(int id, EventFd eventfd, int flags) implements FileStep {
    @Override
    public String describe() {
      return "make an eventfd at " + Long.toUnsignedString(eventfd.getCount());
    }
  }

  record MakeTimerfd(int id, TimerFd timer, int flags) implements FileStep {
    @Override
    public String describe() {
      return "make a timerfd of clock " + timer.getClock();
    }
  }

  /// Sets a timerfd going: at the very end, since it runs from here.
  record ArmTimerfd(int fd, TimerFd timer) implements FileStep {
    @Override
    public String describe() {
      return "arm the timer of fd " + fd;
    }
  }

  record MakeSignalfd(int id, SignalFd signalfd, int flags) implements FileStep {
    @Override
    public String describe() {
      return "make a signalfd of 0x" + Long.toHexString(signalfd.getMask());
    }
  }

  record MakeEpoll(int id) implements FileStep {
    @Override
    public String describe() {
      return "make an epoll";
    }
  }

  /// Two connected unix sockets; the second is closed again where the peer was closed.
  record MakeSocketpair(End first, UnixSocket a, Optional<End> second, UnixSocket b)
      implements FileStep {
    @Override
    public String describe() {
      return "make a socketpair";
    }
  }

  /// A connection by way of a listening socket: one of the image, or where that is gone (0) one for
  /// the moment.
  record MakeUnixConnection(
      End server, UnixSocket a, Optional<End> client, UnixSocket b, int listenerId)
      implements FileStep {
    @Override
    public String describe() {
      return "accept a unix connection at " + Addresses.unix(a.getAddress());
    }
  }

  /// What waits to be read in two connected sockets, their ends that are shut down, and their
  /// flags: when all descriptions are there, since messages may have some with them.
  record FillUnixQueues(End first, UnixSocket a, Optional<End> second, UnixSocket b)
      implements FileStep {
    @Override
    public String describe() {
      int descriptors = 0;
      for (UnixSocket socket : List.of(a, b)) {
        for (Attachment attachment : socket.getAttachmentsList()) {
          descriptors += attachment.getDescriptionIdsCount();
        }
      }
      return "put %d messages with %d descriptors into unix sockets"
          .formatted(a.getReceiveQueueCount() + b.getReceiveQueueCount(), descriptors);
    }
  }

  /// A connection that stays in the listener's backlog, or that of a datagram socket.
  ///
  /// @param address sun_path bytes
  record ConnectUnixSocket(int id, ByteString address, boolean waits) implements FileStep {
    @Override
    public String describe() {
      return "connect to " + Addresses.unix(address) + (waits ? ", to be accepted" : "");
    }
  }

  /// A lost connection to another process.
  record ConnectAgain(End end, UnixSocket socket) implements FileStep {
    @Override
    public String describe() {
      return "connect to " + Addresses.unix(socket.getPeerAddress()) + " again, if it is there";
    }
  }

  record MakeUnixSocket(int id, UnixSocket socket, int flags) implements FileStep {
    @Override
    public String describe() {
      String name = Addresses.unix(socket.getAddress());
      return "make a unix socket"
          + (name.isEmpty() ? "" : " at " + name)
          + (socket.getListening() ? ", listening" : "");
    }
  }

  record MakeInetSocket(int id, InetSocket socket, int flags) implements FileStep {
    @Override
    public String describe() {
      return "make a "
          + Addresses.protocol(socket)
          + " socket"
          + (socket.getLocal().isEmpty() ? "" : " at " + Addresses.inet(socket.getLocal()))
          + (socket.getListening() ? ", listening" : "");
    }
  }

  /// A TCP connection, that does nothing yet: after the listening sockets, whose ports they share.
  record MakeConnection(int id, InetSocket socket, int flags) implements FileStep {
    @Override
    public String describe() {
      return "make a TCP connection from %s to %s, %d bytes received, %d to send"
          .formatted(
              Addresses.inet(socket.getLocal()),
              Addresses.inet(socket.getRemote()),
              socket.getConnection().getReceiveQueue().size(),
              socket.getConnection().getSendQueue().size());
    }
  }

  /// Lets packets of the connections through again.
  record UnlockConnections(String lock) implements FileStep {
    @Override
    public String describe() {
      return "unlock the connections of " + lock;
    }
  }

  record StartConnection(int id, InetSocket socket) implements FileStep {
    @Override
    public String describe() {
      return "start the TCP connection to " + Addresses.inet(socket.getRemote());
    }
  }

  record MakeNetlinkSocket(int id, NetlinkSocket socket, int flags) implements FileStep {
    @Override
    public String describe() {
      return "make a netlink socket of protocol " + socket.getProtocol();
    }
  }

  /// A packet socket that gets nothing yet, not even what jcr sends for other sockets.
  record MakePacketSocket(int id, PacketSocket socket, int flags) implements FileStep {
    @Override
    public String describe() {
      return "make a packet socket" + Addresses.packet(socket);
    }
  }

  /// Filtered, bound, and in its group: from here on it gets packets.
  record StartPacketSocket(int id, PacketSocket socket) implements FileStep {
    @Override
    public String describe() {
      return "bind a packet socket" + Addresses.packet(socket);
    }
  }

  record MakeInotify(int id, int flags) implements FileStep {
    @Override
    public String describe() {
      return "make an inotify instance";
    }
  }

  /// When all files are open: opening them would be an event.
  record AddWatches(int fd, Inotify inotify) implements FileStep {
    @Override
    public String describe() {
      return "fd " + fd + ": watch " + inotify.getWatchesCount() + " files";
    }
  }

  record MakeFanotify(int id, Fanotify fanotify, int flags) implements FileStep {
    @Override
    public String describe() {
      return "make a fanotify group";
    }
  }

  /// When all files are open: opening them would be an event.
  record AddMarks(int fd, Fanotify fanotify) implements FileStep {
    @Override
    public String describe() {
      return "fd " + fd + ": mark " + fanotify.getMarksCount() + " files";
    }
  }

  record MakePidfd(int id, int pid, int flags) implements FileStep {
    @Override
    public String describe() {
      return "make a pidfd of process " + pid;
    }
  }

  record OpenMessageQueue(int id, String name, int flags) implements FileStep {
    @Override
    public String describe() {
      return "open message queue " + name;
    }
  }

  /// A System V segment that goes with its last attachment, when all are there.
  record RemoveSegment(SharedObject object) implements FileStep {
    @Override
    public String describe() {
      return "mark System V segment " + object.getSegment() + " for removal";
    }
  }

  /// A pseudo-terminal of the process's own.
  record MakeTerminal(Terminal terminal, String path, List<End> masters, List<End> slaves)
      implements FileStep {
    public MakeTerminal {
      masters = List.copyOf(masters);
      slaves = List.copyOf(slaves);
    }

    @Override
    public String describe() {
      return "make pseudo-terminal /dev/pts/" + terminal.getIndex();
    }
  }

  /// A terminal that was somebody else's: that of whoever restores.
  record OpenTerminal(int id, String path, int flags) implements FileStep {
    @Override
    public String describe() {
      return "open the restorer's terminal for " + path;
    }
  }

  /// Settings of the restorer's terminal, where the process had it in the foreground.
  record SetTerminal(int fd, Terminal terminal) implements FileStep {
    @Override
    public String describe() {
      return "set the restorer's terminal as fd " + fd + " had it";
    }
  }

  /// A description that is one of jcr's own standard ones, for numbers beyond these.
  record Inherit(int id, int fd) implements FileStep {
    @Override
    public String describe() {
      return "take jcr's fd " + fd;
    }
  }

  /// jcr's own standard descriptor stays.
  record KeepDescriptor(int fd, boolean closeOnExec, String instead) implements FileStep {
    @Override
    public String describe() {
      return "fd " + fd + ": that of jcr (was " + instead + ")";
    }
  }

  record InstallDescriptor(int fd, int id, boolean closeOnExec) implements FileStep {
    @Override
    public String describe() {
      return "fd " + fd + ": description " + id + (closeOnExec ? ", close on exec" : "");
    }
  }

  /// Standard descriptors that the image does not have.
  record CloseDescriptor(int fd) implements FileStep {
    @Override
    public String describe() {
      return "fd " + fd + ": closed";
    }
  }

  /// Registers a file with an epoll.
  ///
  /// @param occupant description that has the number it was registered under; 0 for none
  record AddEpollTarget(int epollId, EpollTarget target, int occupant) implements FileStep {
    @Override
    public String describe() {
      return "epoll " + epollId + ": watch fd " + target.getFd();
    }
  }

  /// Status flags that open(2) and its like do not set, F_SETOWN and F_SETSIG.
  record SetFlags(int fd, int flags, Optional<Owner> owner) implements FileStep {
    @Override
    public String describe() {
      return "fd "
          + fd
          + ": flags 0x"
          + Integer.toHexString(flags)
          + owner.map(value -> ", owner " + value.getPid()).orElse("");
    }
  }

  /// All numbers above those of the image.
  record CloseTemporary() implements FileStep {
    @Override
    public String describe() {
      return "close temporary descriptors";
    }
  }

  /// After [CloseTemporary], because closing any descriptor of a file drops its POSIX locks.
  record TakeLock(int fd, FileLock lock) implements FileStep {
    @Override
    public String describe() {
      return "fd " + fd + ": lock the file for " + (lock.getWrite() ? "writing" : "reading");
    }
  }

  /// Makes a pseudo-terminal of the process's own its controlling one.
  record TakeTerminal(int fd) implements FileStep {
    @Override
    public String describe() {
      return "fd " + fd + ": becomes the controlling terminal";
    }
  }
}
