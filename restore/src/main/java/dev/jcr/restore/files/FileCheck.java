package dev.jcr.restore.files;

import com.google.protobuf.ByteString;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.CheckpointException.Problem;
import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.Descriptor;
import dev.jcr.image.v1.FanotifyMark;
import dev.jcr.image.v1.FileIdentity;
import dev.jcr.image.v1.Files;
import dev.jcr.image.v1.InetSocket;
import dev.jcr.image.v1.InotifyWatch;
import dev.jcr.image.v1.NetworkInterface;
import dev.jcr.image.v1.PacketSocket;
import dev.jcr.image.v1.Pidfd;
import dev.jcr.image.v1.SharedObject;
import dev.jcr.image.v1.SocketOption;
import dev.jcr.image.v1.UnixSocket;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.FileStat;
import dev.jcr.parasite.linux.Interfaces;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.OpenFlags;
import dev.jcr.parasite.linux.Sockets;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.procfs.Proc;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;

/// What of the descriptor column this host cannot give, found before any process is created and
/// without changing anything.
public final class FileCheck {
  private final Files files;
  private final ChangedFiles changed;
  private final Map<Integer, Integer> lowestFd = new HashMap<>();
  private final List<Problem> problems = new ArrayList<>();

  /// Paths at which the restore will make a file.
  private final Set<String> embedded;

  private FileCheck(Files files, ChangedFiles changed) {
    this.files = files;
    this.changed = changed;
    this.embedded =
        files.getObjectsList().stream()
            .filter(object -> object.getKind() == SharedObject.Kind.KIND_EMBEDDED_FILE)
            .map(SharedObject::getName)
            .collect(Collectors.toSet());
    for (Descriptor descriptor : files.getDescriptorsList()) {
      lowestFd.merge(descriptor.getDescriptionId(), descriptor.getFd(), Math::min);
    }
  }

  /// All problems; those of kind "file" mean that the image does not fit this host's files, those
  /// of kind "address" that something else is in the way.
  public static List<Problem> problems(Files files, ChangedFiles changed) {
    FileCheck check = new FileCheck(files, changed);
    for (Description description : files.getDescriptionsList()) {
      check.check(description);
    }
    for (SharedObject object : files.getObjectsList()) {
      check.object(object);
    }
    return List.copyOf(check.problems);
  }

  /// Throws when there are problems: outcome `IMAGE` for missing or changed files, else `FAILED`.
  public static void require(Files files, ChangedFiles changed) throws CheckpointException {
    List<Problem> problems = problems(files, changed);
    if (!problems.isEmpty()) {
      boolean file = problems.stream().anyMatch(problem -> problem.kind().equals("file"));
      throw new CheckpointException(
          file ? Outcome.IMAGE : Outcome.FAILED,
          "cannot restore descriptors: "
              + problems.stream().map(Problem::toString).collect(Collectors.joining("; ")),
          problems,
          null);
    }
  }

  private void check(Description description) {
    int fd = lowestFd.getOrDefault(description.getId(), -1);
    try {
      switch (description.getKindCase()) {
        case REGULAR -> {
          String path = description.getRegular().getFile().getPath();
          if (description.getRegular().getObjectId() == 0 && !embedded.contains(path)) {
            regular(fd, description.getRegular().getFile(), description.getFlags());
          }
        }
        case DIRECTORY -> type(fd, description.getDirectory().getFile());
        case PATH_ONLY -> type(fd, description.getPathOnly().getFile());
        case DEVICE ->
            type(
                fd,
                FileIdentity.newBuilder()
                    .setPath(description.getDevice().getPath())
                    .setMode(Fcntl.S_IFCHR)
                    .build());
        case PIPE -> {
          if (!description.getPipe().getPath().isEmpty()) {
            type(
                fd,
                FileIdentity.newBuilder()
                    .setPath(description.getPipe().getPath())
                    .setMode(Fcntl.S_IFIFO)
                    .build());
          }
        }
        case PIDFD -> pidfd(fd, description.getPidfd());
        case UNIX_SOCKET -> unix(fd, description.getUnixSocket());
        case INET_SOCKET -> inet(fd, description.getInetSocket());
        case PACKET_SOCKET -> packet(fd, description.getPacketSocket());
        case TERMINAL -> terminal(fd, description);
        case INOTIFY -> {
          for (InotifyWatch watch : description.getInotify().getWatchesList()) {
            type(fd, FileIdentity.newBuilder().setPath(watch.getPath()).build());
          }
        }
        case FANOTIFY -> {
          for (FanotifyMark mark : description.getFanotify().getMarksList()) {
            type(fd, FileIdentity.newBuilder().setPath(mark.getPath()).build());
          }
        }
        case EVENTFD,
            TIMERFD,
            SIGNALFD,
            EPOLL,
            MEMFD,
            INHERITED,
            MESSAGE_QUEUE,
            NETLINK_SOCKET,
            KIND_NOT_SET -> {}
      }
    } catch (SyscallException e) {
      add("file", fd, String.valueOf(e.getMessage()), "");
    }
  }

  private void add(String kind, int fd, String reason, String remedy) {
    problems.add(new Problem(kind, "fd " + fd, reason, remedy));
  }

  private Optional<FileStat> type(int fd, FileIdentity file) throws SyscallException {
    String path = file.getPath();
    int wanted = file.getMode() & Fcntl.S_IFMT;
    Optional<FileStat> found =
        wanted == Fcntl.S_IFLNK ? Optional.of(FileStat.ofLink(path)) : FileStat.find(path);
    if (found.isEmpty()) {
      // A process's own entries in /proc exist when it does.
      if (!path.startsWith("/proc/")) {
        add(
            "file",
            fd,
            "cannot open " + path + ": " + Errno.describe(Errno.ENOENT),
            "restore the file and try again");
      }
      return Optional.empty();
    }
    if (wanted != 0 && found.get().type() != wanted) {
      add(
          "file",
          fd,
          path + " is of another type than when the process had it open",
          "put the original back");
      return Optional.empty();
    }
    return found;
  }

  private void regular(int fd, FileIdentity file, int flags) throws SyscallException {
    Optional<FileStat> found = type(fd, file);
    boolean unidentified = file.getMtimeSeconds() == 0 && file.getMtimeNanos() == 0;
    if (found.isEmpty() || unidentified) {
      return;
    }
    FileStat now = found.get();
    if (!isAccepted(now, file, flags, changed)) {
      String how =
          now.size() == file.getSize()
              ? "was modified"
              : "had " + file.getSize() + " bytes and has " + now.size();
      add(
          "file",
          fd,
          file.getPath() + " has changed since the dump: it " + how,
          "put the file back as it was, or say what to do with --if-changed");
    }
  }

  /// Whether an open file is as it was, or has changed in a way that is accepted.
  ///
  /// @param flags those of F_GETFL
  public static boolean isAccepted(
      FileStat now, FileIdentity file, int flags, ChangedFiles changed) {
    boolean same =
        now.size() == file.getSize()
            && now.mtimeSeconds() == file.getMtimeSeconds()
            && now.mtimeNanos() == file.getMtimeNanos();
    boolean longer = Long.compareUnsigned(now.size(), file.getSize()) >= 0;
    boolean appender =
        (flags & OpenFlags.O_APPEND) != 0
            && (flags & OpenFlags.O_ACCMODE) == OpenFlags.O_WRONLY
            && longer;
    return same
        || switch (changed.of(file.getPath())) {
          case SAME -> appender;
          case APPEND, TRUNCATE -> longer;
          case ANY -> true;
        };
  }

  /// The very process that it was of: a pid may belong to another one by now.
  private void pidfd(int fd, Pidfd pidfd) {
    if (pidfd.getStartTime() == 0) {
      return;
    }
    boolean same;
    try {
      same = Proc.of(pidfd.getPid()).stat().startTime() == pidfd.getStartTime();
    } catch (IOException _) {
      same = false;
    }
    if (!same) {
      add(
          "address",
          fd,
          "it was a pidfd of process " + pidfd.getPid() + ", which has ended since",
          "restore only while that process runs");
    }
  }

  private void object(SharedObject object) {
    boolean embedded = object.getKind() == SharedObject.Kind.KIND_EMBEDDED_FILE;
    if (object.getKind() != SharedObject.Kind.KIND_UNLINKED_FILE && !embedded) {
      return;
    }
    String path = object.getName();
    String label = (embedded ? "embedded" : "unlinked") + " file " + path;
    int slash = path.lastIndexOf('/');
    String directory = slash <= 0 ? "/" : path.substring(0, slash);
    try {
      Optional<FileStat> found = FileStat.find(directory);
      if (found.isEmpty() || !found.get().is(Fcntl.S_IFDIR)) {
        problems.add(
            new Problem(
                "file",
                label,
                "its directory " + directory + " does not exist",
                "create the directory"));
      }
    } catch (SyscallException e) {
      problems.add(new Problem("file", label, String.valueOf(e.getMessage()), ""));
    }
  }

  private void terminal(int fd, Description description) {
    boolean own =
        files.getTerminalsList().stream()
            .anyMatch(terminal ->
                terminal.getOwned()
                    && terminal.getDevice() == description.getTerminal().getDevice());
    boolean standard = fd >= 0 && fd <= 2;
    if (!own && !standard && Terminals.ofRestorer().isEmpty()) {
      add(
          "address",
          fd,
          "it was the terminal " + description.getTerminal().getPath() + ", and jcr has none",
          "restore from a terminal");
    }
  }

  private void unix(int fd, UnixSocket socket) throws SyscallException {
    ByteString peer = socket.getPeerAddress();
    if (!peer.isEmpty() && !socket.getPeerClosed() && !isOwn(peer)) {
      byte[] address = SocketMaker.sockaddr(peer);
      String text = Addresses.unix(peer);
      if ((text.startsWith("/") || text.startsWith("@")) && !answers(socket.getType(), address)) {
        add(
            "address",
            fd,
            "nobody has the unix address " + text + " that it is connected to",
            "start the program that had it, or restore with --ext-unix-sk");
      }
    }
    ByteString name = socket.getAddress();
    if (name.isEmpty() || (socket.getAccepted() && isListening(name))) {
      return;
    }
    byte[] address = SocketMaker.sockaddr(name);
    String text = Addresses.unix(name);
    if (name.byteAt(0) == 0) {
      long result = tryBind(Sockets.AF_UNIX, socket.getType(), 0, address, List.of());
      if (result == -Errno.EADDRINUSE) {
        add("address", fd, "unix address " + text + " is in use", "stop the program that uses it");
      }
      return;
    }
    if (!text.startsWith("/")) {
      return;
    }
    Optional<FileStat> found = FileStat.find(text);
    if (found.isEmpty()) {
      int slash = text.lastIndexOf('/');
      if (FileStat.find(slash <= 0 ? "/" : text.substring(0, slash)).isEmpty()) {
        add(
            "file",
            fd,
            "the directory of socket " + text + " does not exist",
            "create the directory");
      }
      return;
    }
    if (!found.get().is(Fcntl.S_IFSOCK)) {
      add("address", fd, text + " is no socket now", "move that file away");
    } else if (answers(socket.getType(), address)) {
      add("address", fd, "unix address " + text + " is in use", "stop the program that uses it");
    }
  }

  /// Whether the process has it itself.
  private boolean isOwn(ByteString name) {
    return files.getDescriptionsList().stream()
        .anyMatch(description -> description.getUnixSocket().getAddress().equals(name));
  }

  private boolean isListening(ByteString name) {
    return files.getDescriptionsList().stream()
        .map(Description::getUnixSocket)
        .anyMatch(socket -> socket.getListening() && socket.getAddress().equals(name));
  }

  /// Whether somebody holds the other end of a socket file: connecting to one that nobody has bound
  /// fails with ECONNREFUSED. The connection is dropped at once.
  private static boolean answers(int type, byte[] address) throws SyscallException {
    try (Fd socket = socket(Sockets.AF_UNIX, type, 0);
        Arena arena = Arena.ofConfined()) {
      MemorySegment bytes = arena.allocateFrom(ValueLayout.JAVA_BYTE, address);
      long result = Kernel.raw(Syscall.CONNECT, socket.number(), bytes.address(), address.length);
      return result == 0 || result == -Errno.EAGAIN;
    }
  }

  private void inet(int fd, InetSocket socket) throws SyscallException {
    if (socket.getLocal().isEmpty()) {
      return;
    }
    byte[] local = socket.getLocal().toByteArray();
    if (socket.hasConnection()) {
      // The port may be a listener's too: only whether this host has the address.
      local[2] = 0;
      local[3] = 0;
    }
    long result =
        tryBind(
            socket.getFamily(),
            socket.getType(),
            socket.getProtocol(),
            local,
            socket.getOptions().getValuesList());
    if (Kernel.isError(result)) {
      add(
          "address",
          fd,
          "cannot bind to "
              + Addresses.protocol(socket)
              + " "
              + Addresses.inet(socket.getLocal())
              + ": "
              + Errno.describe((int) -result),
          result == -Errno.EADDRINUSE
              ? "stop the program that uses it"
              : "give this host the address");
    }
  }

  private void packet(int fd, PacketSocket packet) throws SyscallException {
    long result =
        Kernel.raw(Syscall.SOCKET, Sockets.AF_PACKET, packet.getType() | Sockets.SOCK_CLOEXEC, 0);
    if (Kernel.isError(result)) {
      add(
          "address",
          fd,
          "cannot make a packet socket: " + Errno.describe((int) -result),
          result == -Errno.EPERM
              ? "run jcr with CAP_NET_RAW"
              : "restore on a kernel with packet sockets");
      return;
    }
    try (Fd socket = new Fd((int) result)) {
      Set<String> missing = new TreeSet<>();
      for (NetworkInterface each : PacketMaker.interfaces(packet)) {
        if (Interfaces.index(socket.number(), each.getName()).isEmpty()) {
          missing.add(each.getName());
        }
      }
      for (String name : missing) {
        add(
            "address",
            fd,
            "it was a packet socket of interface " + name + ", which is not there",
            "give an interface that name");
      }
    }
  }

  /// Binds a socket of jcr's own and closes it.
  private static long tryBind(
      int family, int type, int protocol, byte[] address, List<SocketOption> options)
      throws SyscallException {
    try (Fd socket = socket(family, type, protocol);
        Arena arena = Arena.ofConfined()) {
      for (SocketOption option : options) {
        boolean matters =
            (option.getLevel() == Sockets.SOL_SOCKET
                    && (option.getName() == Sockets.SO_REUSEADDR
                        || option.getName() == Sockets.SO_REUSEPORT))
                || (option.getLevel() == Sockets.IPPROTO_IPV6
                    && option.getName() == Sockets.IPV6_V6ONLY)
                || (option.getLevel() == Sockets.IPPROTO_IP
                    && option.getName() == Sockets.IP_FREEBIND);
        if (matters) {
          FdCalls.setSocketOption(
              socket.number(),
              option.getLevel(),
              option.getName(),
              option.getValue().toByteArray());
        }
      }
      MemorySegment bytes = arena.allocateFrom(ValueLayout.JAVA_BYTE, address);
      return Kernel.raw(Syscall.BIND, socket.number(), bytes.address(), address.length);
    }
  }

  private static Fd socket(int family, int type, int protocol) throws SyscallException {
    return new Fd(
        (int)
            Kernel.call(
                "make a socket",
                Syscall.SOCKET,
                family,
                type | Sockets.SOCK_CLOEXEC | Sockets.SOCK_NONBLOCK,
                protocol));
  }
}
