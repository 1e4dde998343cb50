package dev.jcr.image.codec;

import static dev.jcr.image.codec.Rules.between;
import static dev.jcr.image.codec.Rules.each;
import static dev.jcr.image.codec.Rules.that;
import static dev.jcr.image.codec.Rules.upTo;

import dev.jcr.image.codec.Rules.Ascending;
import dev.jcr.image.codec.Rules.Invalid;
import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.EpollTarget;
import dev.jcr.image.v1.FanotifyMark;
import dev.jcr.image.v1.Files;
import dev.jcr.image.v1.InetSocket;
import dev.jcr.image.v1.NetworkInterface;
import dev.jcr.image.v1.PacketFanout;
import dev.jcr.image.v1.PacketSocket;
import dev.jcr.image.v1.PipeEnd;
import dev.jcr.image.v1.SharedObject;
import dev.jcr.image.v1.SocketOptions;
import dev.jcr.image.v1.TcpConnection;
import dev.jcr.image.v1.Terminal;
import dev.jcr.image.v1.UnixSocket;
import dev.jcr.image.v1.Vma;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/// Rules for descriptors, descriptions and shared objects, and for references to them.
final class FileRules {
  /// Largest fs.nr_open can be: 2^30 on 64-bit machines. FAN_CLASS_CONTENT and
  /// FAN_CLASS_PRE_CONTENT of `<linux/fanotify.h>`.
  private static final int FAN_CLASSES = 0xc;

  /// FAN_MARK_IGNORED_SURV_MODIFY, FAN_MARK_EVICTABLE and FAN_MARK_IGNORE.
  private static final int FAN_MARK_FLAGS = 0x640;

  private static final int MAX_FD = 1 << 30;

  /// F_SEAL_SEAL to F_SEAL_EXEC.
  private static final int SEALS = 0x3f;

  private static final int MFD_HUGETLB = 4;

  /// The logarithm of a huge page's size, above MFD_HUGE_SHIFT and MAP_HUGE_SHIFT.
  private static final int HUGE_SIZES = 63 << 26;

  /// ESTABLISHED, SYN_SENT, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, CLOSING.
  private static final int TCP_STATES =
      1 << 1 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 9 | 1 << 11;

  /// PACKET_FANOUT_FLAG_ROLLOVER, _IGNORE_OUTGOING and _DEFRAG.
  private static final int FANOUT_FLAGS = 0xd0;

  private static final int MAX_JOINS = 1024;

  private static final Pattern LOCK = Pattern.compile("(jcr-[0-9]{1,10}-[0-9a-f]{16})?");

  private static final int PATH_MAX = 4096;
  private static final int S_IFMT = 0xf000;
  private static final int S_IFREG = 0x8000;

  private final Files files;
  private final Set<String> used = new HashSet<>();
  private final Set<String> embedded = new HashSet<>();
  private final Map<Integer, SharedObject> objects = new HashMap<>();
  private final Set<Integer> descriptions = new HashSet<>();

  FileRules(Files files, List<Vma> vmas) {
    this.files = files;
    vmas.stream().filter(Vma::hasFile).forEach(vma -> used.add(vma.getFile().getPath()));
    for (Description description : files.getDescriptionsList()) {
      if (description.hasRegular() && description.getRegular().getObjectId() == 0) {
        used.add(description.getRegular().getFile().getPath());
      }
    }
    files.getObjectsList().forEach(object -> objects.put(object.getId(), object));
    files.getDescriptionsList().forEach(each -> descriptions.add(each.getId()));
  }

  /// The object of this id.
  @Nullable SharedObject object(int id) {
    return objects.get(id);
  }

  void check() throws Invalid {
    Ascending fds = new Ascending(0);
    each(
        "descriptors",
        files.getDescriptorsList(),
        descriptor -> {
          fds.next("fd", descriptor.getFd());
          that(descriptor.getFd() < MAX_FD, "fd is beyond 2^30");
          that(
              descriptions.contains(descriptor.getDescriptionId()),
              "description_id is of no description");
        });
    Ascending ids = new Ascending(1);
    each(
        "descriptions",
        files.getDescriptionsList(),
        description -> {
          ids.next("id", description.getId());
          description(description);
        });
    Ascending objectIds = new Ascending(1);
    each(
        "objects",
        files.getObjectsList(),
        object -> {
          objectIds.next("id", object.getId());
          object(object);
        });
    each("terminals", files.getTerminalsList(), FileRules::terminal);
    // A table of that name is deleted by a restore: none but those that a dump makes.
    that(
        LOCK.matcher(files.getConnectionLock()).matches(),
        "connection_lock is not jcr-PID-16 hexadecimal digits");
  }

  private void description(Description description) throws Invalid {
    that(description.getPosition() >= 0, "position is beyond 63 bits");
    that(upTo(description.getOwner().getType(), 2), "owner.type is beyond 2");
    that(upTo(description.getOwner().getSignal(), Rules.SIGNALS), "owner.signal is beyond 64");
    switch (description.getKindCase()) {
      case REGULAR -> {
        int id = description.getRegular().getObjectId();
        that(id != 0 || description.getRegular().hasFile(), "regular.file is missing");
        that(id == 0 || objects.containsKey(id), "regular.object_id is of no object");
      }
      case DIRECTORY -> that(description.getDirectory().hasFile(), "directory.file is missing");
      case PATH_ONLY -> that(description.getPathOnly().hasFile(), "path_only.file is missing");
      case DEVICE ->
          that(description.getDevice().getPath().startsWith("/"), "device.path is not absolute");
      case PIPE -> Rules.in("pipe", description.getPipe(), FileRules::pipe);
      case EVENTFD -> that(description.getEventfd().getCount() != -1, "eventfd.count is 2^64 - 1");
      case TIMERFD -> {
        that(upTo(description.getTimerfd().getClock(), 16), "timerfd.clock is beyond 16");
        that(
            description.getTimerfd().getInterval() >= 0
                && description.getTimerfd().getRemaining() >= 0,
            "timerfd.remaining is beyond 63 bits");
      }
      case SIGNALFD, INHERITED -> {}
      case EPOLL -> each("epoll.targets", description.getEpoll().getTargetsList(), this::target);
      case MEMFD -> {
        SharedObject object = objects.get(description.getMemfd().getObjectId());
        that(
            object != null
                && (object.getKind() == SharedObject.Kind.KIND_MEMFD
                    || object.getKind() == SharedObject.Kind.KIND_SECRET),
            "memfd.object_id is of no memfd");
      }
      case UNIX_SOCKET -> Rules.in("unix_socket", description.getUnixSocket(), this::unix);
      case INET_SOCKET -> Rules.in("inet_socket", description.getInetSocket(), FileRules::inet);
      case TERMINAL ->
          that(
              description.getTerminal().getPath().startsWith("/"), "terminal.path is not absolute");
      case INOTIFY -> {
        Ascending watches = new Ascending(1);
        each(
            "inotify.watches",
            description.getInotify().getWatchesList(),
            watch -> {
              watches.next("number", watch.getNumber());
              that(watch.getPath().startsWith("/"), "path is not absolute");
            });
      }
      case FANOTIFY -> {
        that(
            (description.getFanotify().getFlags() & FAN_CLASSES) == 0,
            "fanotify.flags are not of a group that only notifies");
        each(
            "fanotify.marks",
            description.getFanotify().getMarksList(),
            mark -> {
              that(
                  mark.getKind() != FanotifyMark.Kind.KIND_UNSPECIFIED
                      && mark.getKind() != FanotifyMark.Kind.UNRECOGNIZED,
                  "kind is missing");
              that(mark.getPath().startsWith("/"), "path is not absolute");
              that((mark.getFlags() & ~FAN_MARK_FLAGS) == 0, "flags has unknown bits");
            });
      }
      case PIDFD -> that(Rules.isPid(description.getPidfd().getPid()), "pidfd.pid is no pid");
      case MESSAGE_QUEUE ->
          that(
              description.getMessageQueue().getName().lastIndexOf('/') == 0,
              "message_queue.name is not / and a name");
      case NETLINK_SOCKET -> {
        that(
            upTo(description.getNetlinkSocket().getProtocol(), 31),
            "netlink_socket.protocol is beyond 31");
        Rules.in(
            "netlink_socket",
            description.getNetlinkSocket(),
            socket -> options(socket.getOptions()));
      }
      case PACKET_SOCKET ->
          Rules.in("packet_socket", description.getPacketSocket(), FileRules::packet);
      case KIND_NOT_SET -> throw new Invalid("kind is missing");
    }
  }

  private static void pipe(PipeEnd pipe) throws Invalid {
    that(pipe.getPipeId() != 0, "pipe_id is missing");
    that(pipe.getCapacity() >= 0, "capacity is beyond 2 GiB");
    that(pipe.getContent().size() <= pipe.getCapacity(), "content is more than the capacity");
    that(pipe.getPath().isEmpty() || pipe.getPath().startsWith("/"), "path is not absolute");
  }

  private void target(EpollTarget target) throws Invalid {
    that(between(target.getFd(), 0, MAX_FD - 1), "fd is beyond 2^30");
    that(
        target.getDescriptionId() == 0 || descriptions.contains(target.getDescriptionId()),
        "description_id is of no description");
  }

  private void unix(UnixSocket socket) throws Invalid {
    that(
        socket.getType() == 1 || socket.getType() == 2 || socket.getType() == 5,
        "type is not 1, 2 or 5");
    // sizeof(sun_path).
    that(socket.getAddress().size() <= 108, "address is longer than 108 bytes");
    that(socket.getPeerAddress().size() <= 108, "peer_address is longer than 108 bytes");
    if (!socket.getPeerAddress().isEmpty()) {
      that(
          !socket.getListening() && !socket.getAccepted() && socket.getPeerId() == 0,
          "peer_address of a socket that listens, was accepted, or has a peer");
      that(
          socket.getType() == 2 || socket.getPeerClosed(),
          "peer_address of a connection that is not lost");
      that(
          !socket.getPeerClosed() || socket.getReceiveQueueCount() == 0,
          "peer_address with a receive_queue");
    }
    that(upTo(socket.getShutdown(), 3), "shutdown is beyond 3");
    that(!socket.getAccepted() || !socket.getAddress().isEmpty(), "accepted without an address");
    Rules.eachIs("waiting_ids", socket.getWaitingIdsList(), descriptions::contains);
    Ascending messages = new Ascending(0);
    each(
        "attachments",
        socket.getAttachmentsList(),
        attachment -> {
          messages.next("message", attachment.getMessage());
          that(
              attachment.getMessage() < socket.getReceiveQueueCount(),
              "message is none of receive_queue");
          // SCM_MAX_FD.
          that(attachment.getDescriptionIdsCount() <= 253, "description_ids are more than 253");
          Rules.eachIs(
              "description_ids", attachment.getDescriptionIdsList(), descriptions::contains);
          that(attachment.getPid() == 0 || Rules.isPid(attachment.getPid()), "pid is no pid");
        });
    options(socket.getOptions());
  }

  private static void inet(InetSocket socket) throws Invalid {
    that(socket.getFamily() == 2 || socket.getFamily() == 10, "family is not 2 or 10");
    that(upTo(socket.getProtocol(), 1 << 16), "protocol is beyond 16 bits");
    // sizeof(struct sockaddr_storage).
    that(
        socket.getLocal().size() <= 128 && socket.getRemote().size() <= 128,
        "local or remote is longer than 128 bytes");
    options(socket.getOptions());
    each(
        "datagrams",
        socket.getDatagramsList(),
        datagram ->
            that(
                datagram.getSource().size() >= 16 && datagram.getSource().size() <= 28,
                "source is no internet address"));
    if (socket.hasConnection()) {
      that(socket.getType() == 1, "connection of a socket that is no stream");
      that(!socket.getListening(), "connection of a listening socket");
      that(
          !socket.getLocal().isEmpty() && !socket.getRemote().isEmpty(),
          "local or remote is missing");
      Rules.in("connection", socket.getConnection(), FileRules::connection);
    }
  }

  private static void connection(TcpConnection connection) throws Invalid {
    that(
        upTo(connection.getState(), 31) && (TCP_STATES >>> connection.getState() & 1) != 0,
        "state is none that has a connection");
    that(
        upTo(connection.getUnsent(), connection.getSendQueue().size()),
        "unsent is more than send_queue");
    that(
        upTo(connection.getSendScale(), 14) && upTo(connection.getReceiveScale(), 14),
        "scale is beyond 14");
  }

  private static void packet(PacketSocket socket) throws Invalid {
    that(socket.getType() == 2 || socket.getType() == 3, "type is not 2 or 3");
    that(upTo(socket.getProtocol(), 0xffff), "protocol is beyond 16 bits");
    if (socket.hasInterface()) {
      Rules.in("interface", socket.getInterface(), FileRules::networkInterface);
    }
    that(!socket.getDown() || socket.hasInterface(), "down without an interface");
    each(
        "memberships",
        socket.getMembershipsList(),
        membership -> {
          Rules.in("interface", membership.getInterface(), FileRules::networkInterface);
          that(upTo(membership.getType(), 3), "type is beyond 3");
          // MAX_ADDR_LEN.
          that(membership.getAddress().size() <= 32, "address is longer than 32 bytes");
          that(between(membership.getCount(), 1, MAX_JOINS), "count is not 1 to 1024");
        });
    if (socket.hasFanout()) {
      PacketFanout fanout = socket.getFanout();
      that(socket.getProtocol() != 0, "fanout without a protocol");
      that(upTo(fanout.getGroup(), 0xffff), "fanout.group is beyond 16 bits");
      that(upTo(fanout.getType(), 5), "fanout.type is beyond 5");
      that((fanout.getFlags() & ~FANOUT_FLAGS) == 0, "fanout.flags has unknown bits");
    }
    options(socket.getOptions());
  }

  private static void networkInterface(NetworkInterface network) throws Invalid {
    that(network.getIndex() > 0, "index is none");
    String name = network.getName();
    // IFNAMSIZ, and what dev_valid_name refuses.
    that(
        !name.isEmpty()
            && name.length() < 16
            && !name.equals(".")
            && !name.equals("..")
            && name.chars().noneMatch(c -> c == 0 || c == '/' || c == ':'),
        "name is none of an interface");
  }

  private static void options(SocketOptions options) throws Invalid {
    each(
        "options.values",
        options.getValuesList(),
        option -> that(option.getValue().size() <= 4096, "value is longer than 4096 bytes"));
    int filter = options.getFilter().size();
    // BPF_MAXINSNS.
    that(filter % 8 == 0 && filter <= 8 * 4096, "options.filter is not made of instructions");
  }

  private void object(SharedObject object) throws Invalid {
    that(object.getKind() != SharedObject.Kind.KIND_UNSPECIFIED, "kind is missing");
    that(object.getSize() >= 0, "size is beyond 63 bits");
    that((object.getSeals() & ~SEALS) == 0, "seals has unknown bits");
    that(
        object.getKind() != SharedObject.Kind.KIND_ANONYMOUS
            || (object.getCreateFlags() & ~(MFD_HUGETLB | HUGE_SIZES)) == 0,
        "create_flags of anonymous memory are not those of huge pages");
    that(
        object.getKind() != SharedObject.Kind.KIND_SECRET
            || (object.getCreateFlags() == 0 && object.getSeals() == 0),
        "create_flags or seals of secret memory are there");
    that(upTo(object.getMode(), 0xffff), "mode has unknown bits");
    that(upTo(object.getMtimeNanos(), 999_999_999), "mtime_nanos is beyond a second");
    if (object.getKind() == SharedObject.Kind.KIND_EMBEDDED_FILE) {
      embedded(object);
    }
  }

  /// A restore makes a file of it: only one that the process has open or mapped, and only there.
  private void embedded(SharedObject object) throws Invalid {
    String path = object.getName();
    that(
        path.length() < PATH_MAX && isPlain(path), "name is not an absolute path without . and ..");
    that((object.getMode() & S_IFMT) == S_IFREG, "mode is not that of a regular file");
    that(!object.getRemoved(), "removed is not for files");
    that(embedded.add(path), "name is that of another object");
    that(used.contains(path), "name is of no file that is open or mapped");
  }

  private static boolean isPlain(String path) {
    String[] names = path.split("/", -1);
    for (int i = 1; i < names.length; i++) {
      if (names[i].isEmpty() || names[i].equals(".") || names[i].equals("..")) {
        return false;
      }
    }
    return names.length > 1 && names[0].isEmpty();
  }

  private static void terminal(Terminal terminal) throws Invalid {
    int termios = terminal.getTermios().size();
    that(termios == 0 || termios == 44, "termios is not 44 bytes");
    int window = terminal.getWindowSize().size();
    that(window == 0 || window == 8, "window_size is not 8 bytes");
  }
}
