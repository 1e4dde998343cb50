package dev.jcr.restore.files;

import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.Descriptor;
import dev.jcr.image.v1.EpollTarget;
import dev.jcr.image.v1.FileIdentity;
import dev.jcr.image.v1.FileLock;
import dev.jcr.image.v1.Files;
import dev.jcr.image.v1.InetSocket;
import dev.jcr.image.v1.Owner;
import dev.jcr.image.v1.PipeEnd;
import dev.jcr.image.v1.RegularFile;
import dev.jcr.image.v1.SharedObject;
import dev.jcr.image.v1.Terminal;
import dev.jcr.image.v1.UnixSocket;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.OpenFlags;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/// From the message `Files` to steps. Pure: no process, no question to the host.
///
/// @param objects before anything is mapped
/// @param seals when the objects have their contents, before they are mapped
/// @param descriptors when the memory is complete
/// @param last when all threads exist
/// @param timers just before the process runs
public record FilePlan(
    List<FileStep> objects,
    List<FileStep> seals,
    List<FileStep> descriptors,
    List<FileStep> last,
    List<FileStep> timers) {

  private static final int STANDARD_ERROR = 2;

  public FilePlan {
    objects = List.copyOf(objects);
    seals = List.copyOf(seals);
    descriptors = List.copyOf(descriptors);
    last = List.copyOf(last);
    timers = List.copyOf(timers);
  }

  /// All steps in order.
  public List<FileStep> all() {
    List<FileStep> all = new ArrayList<>(objects);
    all.addAll(seals);
    all.addAll(descriptors);
    all.addAll(last);
    all.addAll(timers);
    return all;
  }

  public static FilePlan of(Files files) {
    return of(files, ChangedFiles.NONE);
  }

  /// The same with files that may have changed.
  ///
  /// @param changed which files are cut to the size they had
  public static FilePlan of(Files files, ChangedFiles changed) {
    return new Planner(files, changed).plan();
  }

  /// The first number above all that the image uses, be it only as a name in an epoll.
  public static int firstFree(Files files) {
    int highest = STANDARD_ERROR;
    for (Descriptor descriptor : files.getDescriptorsList()) {
      highest = Math.max(highest, descriptor.getFd());
    }
    for (Description description : files.getDescriptionsList()) {
      for (EpollTarget target : description.getEpoll().getTargetsList()) {
        highest = Math.max(highest, target.getFd());
      }
    }
    return highest + 1;
  }

  private static final class Planner {
    private final Files files;
    private final ChangedFiles changed;
    private final Map<Integer, Integer> lowestFd = new HashMap<>();
    private final Map<Integer, Integer> byFd = new HashMap<>();
    private final Map<Integer, Terminal> owned = new HashMap<>();
    private final Map<Integer, Terminal> terminals = new HashMap<>();
    private final List<FileStep> make = new ArrayList<>();
    private final List<FileStep> connections = new ArrayList<>();
    private final List<FileStep> queues = new ArrayList<>();
    private final List<FileStep> watches = new ArrayList<>();
    private final List<FileStep> last = new ArrayList<>();
    private final List<FileStep> timers = new ArrayList<>();

    Planner(Files files, ChangedFiles changed) {
      this.files = files;
      this.changed = changed;
      for (Descriptor descriptor : files.getDescriptorsList()) {
        lowestFd.merge(descriptor.getDescriptionId(), descriptor.getFd(), Math::min);
        byFd.put(descriptor.getFd(), descriptor.getDescriptionId());
      }
      for (Terminal terminal : files.getTerminalsList()) {
        terminals.put(terminal.getDevice(), terminal);
        if (terminal.getOwned()) {
          owned.put(terminal.getDevice(), terminal);
        }
      }
    }

    FilePlan plan() {
      if (!files.getConnectionLock().isEmpty()) {
        timers.add(new FileStep.UnlockConnections(files.getConnectionLock()));
      }
      List<FileStep> objects = new ArrayList<>();
      List<FileStep> seals = new ArrayList<>();
      List<FileStep> lateSeals = new ArrayList<>();
      for (SharedObject object : files.getObjectsList()) {
        objects.add(new FileStep.CreateObject(object));
        int wanted = object.getSeals();
        if (object.getKind() == SharedObject.Kind.KIND_MEMFD && wanted != 0) {
          // A memfd sealed against writing has no writable mapping, so it can be sealed before;
          // any other seal might have been set with one.
          boolean before = (wanted & Fcntl.F_SEAL_WRITE) != 0;
          (before ? seals : lateSeals).add(new FileStep.SealObject(object.getId(), wanted));
        }
      }
      inherited();
      for (Description description : files.getDescriptionsList()) {
        if (!isInherited(description)) {
          alone(description);
        }
      }
      make.addAll(connections);
      pipes();
      socketpairs();
      terminals();
      make.addAll(queues);
      install();
      epollTargets();
      settings();
      List<FileStep> descriptors = new ArrayList<>(make);
      descriptors.addAll(lateSeals);
      for (SharedObject object : files.getObjectsList()) {
        if (object.getKind() != SharedObject.Kind.KIND_SYSV) {
          descriptors.add(new FileStep.StampObject(object));
        } else if (object.getRemoved()) {
          descriptors.add(new FileStep.RemoveSegment(object));
        }
      }
      descriptors.add(new FileStep.CloseTemporary());
      locks();
      last.addAll(watches);
      return new FilePlan(objects, seals, descriptors, last, timers);
    }

    /// The restored process takes jcr's standard descriptors for those that came from outside.
    private boolean isInherited(Description description) {
      boolean outside =
          description.hasInherited()
              || (description.hasTerminal()
                  && !owned.containsKey(description.getTerminal().getDevice())
                  && !description.getTerminal().getMaster());
      return outside && fd(description) <= STANDARD_ERROR;
    }

    private int fd(Description description) {
      return lowestFd.getOrDefault(description.getId(), Integer.MAX_VALUE);
    }

    private void inherited() {
      for (Description description : files.getDescriptionsList()) {
        if (isInherited(description)) {
          make.add(new FileStep.Inherit(description.getId(), fd(description)));
        }
      }
    }

    private void alone(Description description) {
      int id = description.getId();
      int flags = description.getFlags();
      long position = description.getPosition();
      switch (description.getKindCase()) {
        case REGULAR -> {
          RegularFile regular = description.getRegular();
          FileIdentity file = regular.getFile();
          if (regular.getObjectId() == 0
              && changed.of(file.getPath()) == ChangedFiles.Policy.TRUNCATE) {
            make.add(new FileStep.CutFile(file.getPath(), file.getSize()));
          }
          make.add(
              regular.getObjectId() != 0
                  ? new FileStep.OpenObject(id, regular.getObjectId(), flags, position)
                  : new FileStep.OpenRegular(id, regular.getFile(), flags, position));
        }
        case MEMFD ->
            make.add(
                new FileStep.OpenObject(id, description.getMemfd().getObjectId(), flags, position));
        case DIRECTORY ->
            make.add(
                new FileStep.OpenDirectory(
                    id, description.getDirectory().getFile(), flags, position));
        case PATH_ONLY ->
            make.add(new FileStep.OpenPath(id, description.getPathOnly().getFile(), flags));
        case DEVICE -> make.add(new FileStep.OpenDevice(id, description.getDevice(), flags));
        case EVENTFD -> make.add(new FileStep.MakeEventfd(id, description.getEventfd(), flags));
        case TIMERFD -> {
          make.add(new FileStep.MakeTimerfd(id, description.getTimerfd(), flags));
          timers.add(new FileStep.ArmTimerfd(fd(description), description.getTimerfd()));
        }
        case SIGNALFD -> make.add(new FileStep.MakeSignalfd(id, description.getSignalfd(), flags));
        case EPOLL -> make.add(new FileStep.MakeEpoll(id));
        case INET_SOCKET -> {
          InetSocket socket = description.getInetSocket();
          if (socket.hasConnection()) {
            connections.add(new FileStep.MakeConnection(id, socket, flags));
            timers.add(new FileStep.StartConnection(id, socket));
          } else {
            make.add(new FileStep.MakeInetSocket(id, socket, flags));
          }
        }
        case UNIX_SOCKET -> {
          UnixSocket socket = description.getUnixSocket();
          boolean named = !socket.getPeerAddress().isEmpty();
          if (socket.getPeerId() == 0 && !socket.getPeerClosed()) {
            make.add(new FileStep.MakeUnixSocket(id, socket, flags));
            if (named) {
              // The other may be one of the image.
              connections.add(new FileStep.ConnectUnixSocket(id, socket.getPeerAddress(), false));
            }
          } else if (named) {
            connections.add(new FileStep.ConnectAgain(end(description), socket));
          }
        }
        case TERMINAL -> {
          if (!description.getTerminal().getMaster()
              && !owned.containsKey(description.getTerminal().getDevice())) {
            make.add(new FileStep.OpenTerminal(id, description.getTerminal().getPath(), flags));
          }
        }
        case NETLINK_SOCKET ->
            make.add(new FileStep.MakeNetlinkSocket(id, description.getNetlinkSocket(), flags));
        case PACKET_SOCKET -> {
          make.add(new FileStep.MakePacketSocket(id, description.getPacketSocket(), flags));
          last.add(new FileStep.StartPacketSocket(id, description.getPacketSocket()));
        }
        case INOTIFY -> {
          make.add(new FileStep.MakeInotify(id, flags));
          watches.add(new FileStep.AddWatches(fd(description), description.getInotify()));
        }
        case FANOTIFY -> {
          make.add(new FileStep.MakeFanotify(id, description.getFanotify(), flags));
          watches.add(new FileStep.AddMarks(fd(description), description.getFanotify()));
        }
        case PIDFD -> make.add(new FileStep.MakePidfd(id, description.getPidfd().getPid(), flags));
        case MESSAGE_QUEUE ->
            make.add(
                new FileStep.OpenMessageQueue(id, description.getMessageQueue().getName(), flags));
        // Made with their other ends.
        case PIPE -> {}
        // Only standard ones are recorded as such.
        case INHERITED, KIND_NOT_SET -> {}
      }
    }

    private void pipes() {
      Map<Integer, List<Description>> byPipe = new LinkedHashMap<>();
      for (Description description : files.getDescriptionsList()) {
        if (description.hasPipe()) {
          byPipe
              .computeIfAbsent(description.getPipe().getPipeId(), key -> new ArrayList<>())
              .add(description);
        }
      }
      for (List<Description> ends : byPipe.values()) {
        PipeEnd pipe = ends.getFirst().getPipe();
        for (Description end : ends) {
          if (!end.getPipe().getContent().isEmpty() || end.getPipe().getPacketsCount() > 0) {
            pipe = end.getPipe();
          }
        }
        make.add(new FileStep.MakePipe(pipe, ends.stream().map(Planner::end).toList()));
      }
    }

    private static FileStep.End end(Description description) {
      return new FileStep.End(description.getId(), description.getFlags());
    }

    private void socketpairs() {
      Map<Integer, Description> bySocket = new LinkedHashMap<>();
      for (Description description : files.getDescriptionsList()) {
        if (description.hasUnixSocket()) {
          bySocket.put(description.getUnixSocket().getSocketId(), description);
        }
      }
      Set<Integer> done = new HashSet<>();
      for (Description description : bySocket.values()) {
        UnixSocket socket = description.getUnixSocket();
        Description peer = bySocket.get(socket.getPeerId());
        if (!done.add(socket.getSocketId())) {
          continue;
        }
        if (socket.getPeerClosed() && !socket.getPeerAddress().isEmpty()) {
          continue;
        }
        if (socket.getPeerClosed()) {
          UnixSocket gone = UnixSocket.newBuilder().setType(socket.getType()).build();
          pair(end(description), socket, Optional.empty(), gone);
        } else if (socket.getPeerId() != 0 && peer != null) {
          done.add(socket.getPeerId());
          Optional<FileStep.End> other = Optional.of(end(peer));
          if (peer.getUnixSocket().getAccepted()) {
            pair(end(peer), peer.getUnixSocket(), Optional.of(end(description)), socket);
          } else {
            pair(end(description), socket, other, peer.getUnixSocket());
          }
        }
      }
      // Behind those that were accepted.
      for (Description description : bySocket.values()) {
        for (int id : description.getUnixSocket().getWaitingIdsList()) {
          make.add(
              new FileStep.ConnectUnixSocket(id, description.getUnixSocket().getAddress(), true));
        }
      }
    }

    private void pair(
        FileStep.End first, UnixSocket a, Optional<FileStep.End> second, UnixSocket b) {
      make.add(
          a.getAccepted()
              ? new FileStep.MakeUnixConnection(first, a, second, b, listener(a))
              : new FileStep.MakeSocketpair(first, a, second, b));
      queues.add(new FileStep.FillUnixQueues(first, a, second, b));
    }

    /// The listening socket by which one was accepted; 0 when it, or its name, is gone.
    private int listener(UnixSocket accepted) {
      for (Description description : files.getDescriptionsList()) {
        UnixSocket socket = description.getUnixSocket();
        if (socket.getListening()
            && !socket.getUnlinked()
            && socket.getType() == accepted.getType()
            && socket.getAddress().equals(accepted.getAddress())) {
          return description.getId();
        }
      }
      return 0;
    }

    private void terminals() {
      List<Terminal> ascending = new ArrayList<>(owned.values());
      // The kernel gives the lowest free number.
      ascending.sort(Comparator.comparing(Terminal::getIndex, Integer::compareUnsigned));
      for (Terminal terminal : ascending) {
        List<FileStep.End> masters = new ArrayList<>();
        List<FileStep.End> slaves = new ArrayList<>();
        String path = "/dev/ptmx";
        for (Description description : files.getDescriptionsList()) {
          if (description.hasTerminal()
              && description.getTerminal().getDevice() == terminal.getDevice()) {
            boolean master = description.getTerminal().getMaster();
            (master ? masters : slaves).add(end(description));
            path = master ? description.getTerminal().getPath() : path;
          }
        }
        make.add(new FileStep.MakeTerminal(terminal, path, masters, slaves));
      }
    }

    private void install() {
      Map<Integer, Description> byId = new HashMap<>();
      files.getDescriptionsList().forEach(each -> byId.put(each.getId(), each));
      for (int fd = 0; fd <= STANDARD_ERROR; fd++) {
        if (!byFd.containsKey(fd)) {
          make.add(new FileStep.CloseDescriptor(fd));
        }
      }
      for (Descriptor descriptor : files.getDescriptorsList()) {
        Description description = byId.get(descriptor.getDescriptionId());
        if (description != null
            && isInherited(description)
            && descriptor.getFd() <= STANDARD_ERROR) {
          String name =
              description.hasInherited()
                  ? description.getInherited().getName()
                  : description.getTerminal().getPath();
          make.add(
              new FileStep.KeepDescriptor(descriptor.getFd(), descriptor.getCloseOnExec(), name));
        } else {
          make.add(
              new FileStep.InstallDescriptor(
                  descriptor.getFd(), descriptor.getDescriptionId(), descriptor.getCloseOnExec()));
        }
      }
    }

    private void epollTargets() {
      for (Description description : files.getDescriptionsList()) {
        // Those that have fired first: they are made to fire again while nothing else can.
        List<EpollTarget> targets = new ArrayList<>(description.getEpoll().getTargetsList());
        targets.sort(Comparator.comparing(target -> !Epolls.isSpent(target)));
        for (EpollTarget target : targets) {
          make.add(
              new FileStep.AddEpollTarget(
                  description.getId(), target, byFd.getOrDefault(target.getFd(), 0)));
        }
      }
    }

    private void settings() {
      for (Description description : files.getDescriptionsList()) {
        if (isInherited(description) || !lowestFd.containsKey(description.getId())) {
          continue;
        }
        boolean path = (description.getFlags() & OpenFlags.O_PATH) != 0;
        boolean async = (description.getFlags() & OpenFlags.O_ASYNC) != 0;
        if (!path && (description.hasOwner() || async)) {
          Optional<Owner> owner =
              description.hasOwner() ? Optional.of(description.getOwner()) : Optional.empty();
          last.add(new FileStep.SetFlags(fd(description), description.getFlags(), owner));
        }
        if (description.hasTerminal()) {
          Terminal own = owned.get(description.getTerminal().getDevice());
          if (own != null && own.getControlling() && !description.getTerminal().getMaster()) {
            last.add(new FileStep.TakeTerminal(fd(description)));
          }
        }
      }
      for (Description description : files.getDescriptionsList()) {
        if (isInherited(description) && description.hasTerminal()) {
          Terminal terminal = terminals.get(description.getTerminal().getDevice());
          if (terminal != null && terminal.getForeground()) {
            last.add(new FileStep.SetTerminal(fd(description), terminal));
            break;
          }
        }
      }
    }

    private void locks() {
      for (Description description : files.getDescriptionsList()) {
        for (FileLock lock : description.getRegular().getLocksList()) {
          last.add(new FileStep.TakeLock(fd(description), lock));
        }
      }
    }
  }
}
