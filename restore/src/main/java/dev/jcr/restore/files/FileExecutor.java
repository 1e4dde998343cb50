package dev.jcr.restore.files;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.v1.EventFd;
import dev.jcr.image.v1.FanotifyMark;
import dev.jcr.image.v1.FileIdentity;
import dev.jcr.image.v1.FileLock;
import dev.jcr.image.v1.Files;
import dev.jcr.image.v1.Inotify;
import dev.jcr.image.v1.InotifyWatch;
import dev.jcr.image.v1.Owner;
import dev.jcr.image.v1.SharedObject;
import dev.jcr.image.v1.Terminal;
import dev.jcr.image.v1.TimerFd;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FileStat;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.OpenFlags;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.remote.RemoteCalls;
import dev.jcr.parasite.remote.RemoteClock;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// Executes the steps of a [FilePlan] inside a new process.
///
/// The process starts with the stub's descriptors: jcr's 0, 1, 2 and whatever else jcr leaked. All
/// others are closed first. Everything is made under numbers above those of the image, then put
/// where it belongs, then the upper numbers are closed.
public final class FileExecutor implements AutoCloseable {
  private static final int RLIMIT_NOFILE = 7;
  private static final int STANDARD_ERROR = 2;
  private static final int LOCK_SHARED = 1;
  private static final int LOCK_EXCLUSIVE = 2;
  private static final int LOCK_NOW = 4;
  private static final int CLOCK_REALTIME = 0;
  private static final int CLOCK_BOOTTIME = 7;
  private static final int CLOCK_REALTIME_ALARM = 8;
  private static final int CLOCK_BOOTTIME_ALARM = 9;
  private static final long SECOND = 1_000_000_000L;

  /// `<linux/fanotify.h>`.
  private static final int FAN_MARK_ADD = 0x1;

  private static final int FAN_MARK_MOUNT = 0x10;
  private static final int FAN_MARK_IGNORED_MASK = 0x20;
  private static final int FAN_MARK_IGNORED_SURV_MODIFY = 0x40;
  private static final int FAN_MARK_FILESYSTEM = 0x100;
  private static final int FAN_MARK_EVICTABLE = 0x200;
  private static final int FAN_MARK_IGNORE = 0x400;

  /// In every watch, and not shown: what one that shows nothing was made with.
  private static final int IN_UNMOUNT = 0x2000;

  /// `_IOW('I', 0, __s32)` of `<linux/inotify.h>`, with CONFIG_CHECKPOINT_RESTORE.
  static final int INOTIFY_IOC_SETNEXTWD = 0x40044900;

  private final Inside inside;
  private final Objects objects;
  private final Pipes pipes;
  private final SocketMaker sockets;
  private final PacketMaker packets;
  private final Terminals terminals;
  private final Epolls epolls;
  private final boolean foreground;

  /// @param workingDirectory of the process, from which relative socket names are bound
  /// @param foreground the process takes over jcr's terminal, not only its descriptors
  public FileExecutor(RemoteCalls calls, Files files, String workingDirectory, boolean foreground)
      throws CheckpointException {
    this.inside = new Inside(calls, FilePlan.firstFree(files));
    this.objects = new Objects(inside);
    this.pipes = new Pipes(inside);
    this.sockets = new SocketMaker(inside, workingDirectory);
    this.packets = new PacketMaker(inside);
    this.terminals = new Terminals(inside);
    this.epolls = new Epolls(inside);
    this.foreground = foreground;
    raiseLimit(files);
    inside.require(
        "close inherited descriptors", Syscall.CLOSE_RANGE, STANDARD_ERROR + 1, 0xffffffffL, 0);
  }

  /// Room for the numbers in use while descriptors are made; the real limits come later.
  private void raiseLimit(Files files) throws CheckpointException {
    int highest = 0;
    for (Terminal terminal : files.getTerminalsList()) {
      highest = terminal.getOwned() ? Math.max(highest, terminal.getIndex()) : highest;
    }
    long needed =
        inside.first()
            + files.getDescriptionsCount()
            + 2L * files.getObjectsCount()
            // Pseudo-terminals below it, until it comes.
            + highest
            + 320;
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment limit = arena.allocate(16, 8);
      long result = Kernel.raw(Syscall.PRLIMIT64, inside.pid(), RLIMIT_NOFILE, 0, limit.address());
      if (Kernel.isError(result)) {
        throw Inside.failure("read the limit of open files", result);
      }
      long soft = limit.get(ValueLayout.JAVA_LONG, 0);
      long hard = limit.get(ValueLayout.JAVA_LONG, 8);
      if (Long.compareUnsigned(soft, needed) >= 0) {
        return;
      }
      limit.set(ValueLayout.JAVA_LONG, 0, needed);
      limit.set(ValueLayout.JAVA_LONG, 8, Long.compareUnsigned(hard, needed) < 0 ? needed : hard);
      result = Kernel.raw(Syscall.PRLIMIT64, inside.pid(), RLIMIT_NOFILE, limit.address(), 0);
      if (Kernel.isError(result)) {
        throw Inside.failure("raise the limit of open files to " + needed + " (ulimit -n)", result);
      }
    }
  }

  /// What could not be made as it was, without harm.
  public List<String> notes() {
    List<String> notes = new ArrayList<>(epolls.notes());
    notes.addAll(sockets.notes());
    notes.addAll(packets.notes());
    return notes;
  }

  public void run(List<FileStep> steps) throws CheckpointException {
    for (FileStep step : steps) {
      execute(step);
    }
  }

  /// Descriptor inside the process of an object, for mmap(2); usable until
  /// [FileStep.CloseTemporary].
  public int remoteObjectFd(int objectId) throws CheckpointException {
    return objects.fd(objectId);
  }

  /// Whether an object is to get the image's content: not one that other processes use too.
  public boolean isFresh(int objectId) {
    return objects.isFresh(objectId);
  }

  /// Who writes the content of an object.
  @FunctionalInterface
  public interface Content {
    void write(Fd fd) throws CheckpointException;
  }

  /// Fills secret memory with what `content` writes into the descriptor that it is given.
  public void fillSecret(SharedObject object, Content content) throws CheckpointException {
    objects.fillSecret(object, content);
  }

  /// jcr's own descriptor of an object, for its contents; the caller closes it.
  public Fd objectFd(int objectId) throws CheckpointException {
    return inside.local(objects.fd(objectId));
  }

  public void execute(FileStep step) throws CheckpointException {
    switch (step) {
      case FileStep.CreateObject(var object) -> objects.create(object);
      case FileStep.SealObject(int objectId, int seals) -> objects.seal(objectId, seals);
      case FileStep.StampObject(var object) -> objects.stamp(object);
      case FileStep.CutFile(var path, long size) -> cut(path, size);
      case FileStep.OpenRegular(int id, var file, int flags, long position) ->
          open(id, file, flags, position);
      case FileStep.OpenObject(int id, int objectId, int flags, long position) -> {
        int fd = inside.hold(id, objects.open(objectId, flags));
        seek(fd, position, "object " + objectId);
      }
      case FileStep.OpenDirectory(int id, var file, int flags, long position) ->
          open(id, file, flags, position);
      case FileStep.OpenPath(int id, var file, int flags) -> open(id, file, flags, 0);
      case FileStep.OpenDevice(int id, var device, int flags) ->
          inside.hold(id, inside.open(device.getPath(), openable(flags)));
      case FileStep.MakePipe(var pipe, var ends) -> pipes.make(pipe, ends);
      case FileStep.MakeEventfd(int id, var eventfd, int flags) -> eventfd(id, eventfd, flags);
      case FileStep.MakeTimerfd(int id, var timer, int flags) ->
          inside.hold(
              id,
              inside.require(
                  "make a timerfd of clock " + timer.getClock(),
                  Syscall.TIMERFD_CREATE,
                  timer.getClock(),
                  nonBlock(flags)));
      case FileStep.ArmTimerfd(int fd, var timer) -> arm(fd, timer);
      case FileStep.MakeSignalfd(int id, var signalfd, int flags) -> {
        inside.putLongs(signalfd.getMask());
        inside.hold(
            id,
            inside.require(
                "make a signalfd", Syscall.SIGNALFD4, -1, inside.scratch(), 8, nonBlock(flags)));
      }
      case FileStep.MakeEpoll(int id) ->
          inside.hold(
              id, inside.require("make an epoll", Syscall.EPOLL_CREATE1, Fcntl.EPOLL_CLOEXEC));
      case FileStep.MakeSocketpair(var first, var a, var second, var b) ->
          sockets.pair(first, a, second, b);
      case FileStep.MakeUnixConnection(var server, var a, var client, var b, int listenerId) ->
          sockets.accepted(server, a, client, b, listenerId);
      case FileStep.FillUnixQueues(var first, var a, var second, var b) ->
          sockets.complete(first, a, second, b);
      case FileStep.ConnectUnixSocket(int id, var address, _) ->
          sockets.connect(inside.of(id), address);
      case FileStep.ConnectAgain(var end, var socket) -> sockets.again(end, socket);
      case FileStep.MakeUnixSocket(int id, var socket, int flags) ->
          sockets.unix(id, socket, flags);
      case FileStep.MakeInetSocket(int id, var socket, int flags) ->
          sockets.inet(id, socket, flags);
      case FileStep.MakeConnection(int id, var socket, int flags) ->
          sockets.connection(id, socket, flags);
      case FileStep.UnlockConnections(var lock) -> SocketMaker.unlock(lock);
      case FileStep.StartConnection(int id, var socket) -> sockets.start(id, socket);
      case FileStep.MakeNetlinkSocket(int id, var socket, int flags) ->
          sockets.netlink(id, socket, flags);
      case FileStep.MakePacketSocket(int id, var socket, int flags) ->
          packets.make(id, socket, flags);
      case FileStep.StartPacketSocket(int id, var socket) -> packets.start(id, socket);
      case FileStep.MakeInotify(int id, int flags) ->
          inside.hold(
              id,
              inside.require("make an inotify instance", Syscall.INOTIFY_INIT1, nonBlock(flags)));
      case FileStep.AddWatches(int fd, var inotify) -> watch(fd, inotify);
      case FileStep.MakeFanotify(int id, var fanotify, int flags) -> {
        int fd =
            inside.require(
                "make a fanotify group (needs CAP_SYS_ADMIN)",
                Syscall.FANOTIFY_INIT,
                Integer.toUnsignedLong(fanotify.getFlags()),
                Integer.toUnsignedLong(fanotify.getEventFlags()));
        // It may have been changed since it was made.
        inside.require(
            "set the flags of a fanotify group", Syscall.FCNTL, fd, Fcntl.F_SETFL, flags);
        inside.hold(id, fd);
      }
      case FileStep.AddMarks(int fd, var fanotify) -> {
        for (FanotifyMark mark : fanotify.getMarksList()) {
          mark(fd, mark);
        }
      }
      case FileStep.MakePidfd(int id, int pid, int flags) ->
          inside.hold(
              id,
              inside.require(
                  "make a pidfd of process " + pid,
                  Syscall.PIDFD_OPEN,
                  pid,
                  // PIDFD_NONBLOCK and PIDFD_THREAD.
                  flags & (OpenFlags.O_NONBLOCK | OpenFlags.O_EXCL)));
      case FileStep.OpenMessageQueue(int id, var name, int flags) -> messageQueue(id, name, flags);
      case FileStep.RemoveSegment(var object) -> Objects.remove(object);
      case FileStep.MakeTerminal(var terminal, var path, var masters, var slaves) ->
          terminals.pair(terminal, path, masters, slaves);
      case FileStep.OpenTerminal(int id, var path, int flags) ->
          terminals.openOutside(id, path, flags);
      case FileStep.SetTerminal(int fd, var terminal) -> {
        if (foreground) {
          terminals.adopt(fd, terminal);
        }
      }
      case FileStep.Inherit(int id, int fd) -> inherit(id, fd);
      case FileStep.KeepDescriptor(int fd, boolean closeOnExec, _) -> keep(fd, closeOnExec);
      case FileStep.InstallDescriptor(int fd, int id, boolean closeOnExec) ->
          inside.require(
              "install fd " + fd, Syscall.DUP3, inside.of(id), fd, closeOnExec ? Fd.O_CLOEXEC : 0);
      case FileStep.CloseDescriptor(int fd) -> inside.close(fd);
      case FileStep.AddEpollTarget(int epollId, var target, int occupant) ->
          epolls.add(epollId, target, occupant);
      case FileStep.SetFlags(int fd, int flags, var owner) -> setFlags(fd, flags, owner);
      case FileStep.CloseTemporary _ ->
          inside.require(
              "close temporary descriptors", Syscall.CLOSE_RANGE, inside.first(), 0xffffffffL, 0);
      case FileStep.TakeLock(int fd, var lock) -> lock(fd, lock);
      case FileStep.TakeTerminal(int fd) ->
          inside.require("take the controlling terminal", Syscall.IOCTL, fd, Fcntl.TIOCSCTTY, 0);
    }
  }

  private static void cut(String path, long size) throws CheckpointException {
    try (Fd file = Fd.open(path, Fd.O_WRONLY, 0)) {
      // A virtual file has no size of its own.
      if (size > 0 || FileStat.of(file.number()).size() > 0) {
        Kernel.call("cut " + path, Syscall.FTRUNCATE, file.number(), size);
      }
    } catch (SyscallException e) {
      throw Inside.failure(e);
    }
  }

  private static int openable(int flags) {
    return (flags & ~OpenFlags.O_ASYNC) | OpenFlags.O_NOCTTY | Fd.O_CLOEXEC;
  }

  private static int nonBlock(int flags) {
    return (flags & OpenFlags.O_NONBLOCK) | Fd.O_CLOEXEC;
  }

  private void open(int id, FileIdentity file, int flags, long position)
      throws CheckpointException {
    boolean path = (flags & OpenFlags.O_PATH) != 0;
    int usable = path ? flags | Fd.O_CLOEXEC : openable(flags);
    int fd = inside.hold(id, inside.open(file.getPath(), usable));
    if (!path) {
      seek(fd, position, file.getPath());
    }
  }

  private void seek(int fd, long position, String what) throws CheckpointException {
    if (position != 0) {
      inside
          .calls()
          .require(
              "go to offset " + position + " of " + what,
              Syscall.LSEEK,
              fd,
              position,
              Fcntl.SEEK_SET);
    }
  }

  private void eventfd(int id, EventFd eventfd, int flags) throws CheckpointException {
    int fd =
        inside.hold(
            id,
            inside.require(
                "make an eventfd",
                Syscall.EVENTFD2,
                0,
                nonBlock(flags) | (eventfd.getSemaphore() ? Fcntl.EFD_SEMAPHORE : 0)));
    if (eventfd.getCount() != 0) {
      inside.putLongs(eventfd.getCount());
      inside.require("set an eventfd", Syscall.WRITE, fd, inside.scratch(), 8);
    }
  }

  private void arm(int fd, TimerFd timer) throws CheckpointException {
    long first = timer.getRemaining();
    int how = 0;
    boolean absolute = (timer.getSettimeFlags() & Fcntl.TFD_TIMER_ABSTIME) != 0;
    if (first == 0 && timer.getTicks() > 0 && timer.getInterval() > 0) {
      // Expired, and only a read sets it going again: let it expire at once.
      first = 1;
    } else if (first > 0 && absolute) {
      how = timer.getSettimeFlags();
      boolean wallClock =
          timer.getClock() == CLOCK_REALTIME || timer.getClock() == CLOCK_REALTIME_ALARM;
      // A time of day stays what it was; other clocks may be another boot's, so what was left
      // counts from now.
      first = wallClock ? timer.getExpires() : now(timer.getClock()) + first;
    }
    if (first != 0 || timer.getInterval() != 0) {
      inside.putLongs(
          timer.getInterval() / SECOND,
          timer.getInterval() % SECOND,
          first / SECOND,
          first % SECOND);
      inside.require("set a timerfd", Syscall.TIMERFD_SETTIME, fd, how, inside.scratch(), 0);
    }
    if (timer.getTicks() > 0) {
      inside.putLongs(timer.getTicks());
      inside.require(
          "set the expirations of a timerfd",
          Syscall.IOCTL,
          fd,
          Fcntl.TFD_IOC_SET_TICKS,
          inside.scratch());
    }
  }

  /// As the process reads it.
  private long now(int clock) throws CheckpointException {
    return RemoteClock.nanos(
        inside.calls(), clock == CLOCK_BOOTTIME_ALARM ? CLOCK_BOOTTIME : clock);
  }

  private void inherit(int id, int fd) throws CheckpointException {
    openIfClosed(fd);
    inside.hold(
        id,
        inside.require(
            "duplicate fd " + fd, Syscall.FCNTL, fd, Fcntl.F_DUPFD_CLOEXEC, inside.first()));
  }

  private void keep(int fd, boolean closeOnExec) throws CheckpointException {
    openIfClosed(fd);
    inside.require(
        "set fd " + fd, Syscall.FCNTL, fd, Fcntl.F_SETFD, closeOnExec ? Fcntl.FD_CLOEXEC : 0);
  }

  /// jcr may have been started without it.
  private void openIfClosed(int fd) throws CheckpointException {
    if (inside.calls().call(Syscall.FCNTL, fd, Fcntl.F_GETFL, 0) == -Errno.EBADF) {
      int opened = inside.open("/dev/null", OpenFlags.O_RDWR);
      if (opened != fd) {
        inside.require("install fd " + fd, Syscall.DUP3, opened, fd, 0);
        inside.close(opened);
      }
    }
  }

  private void watch(int fd, Inotify inotify) throws CheckpointException {
    if (inotify.getEventsLost()) {
      try (Fd own = inside.local(fd)) {
        EventOverflow.cause(own);
      } catch (SyscallException e) {
        throw Inside.failure(e);
      }
    }
    for (InotifyWatch watch : inotify.getWatchesList()) {
      inside.require(
          "choose the number of a watch",
          Syscall.IOCTL,
          fd,
          INOTIFY_IOC_SETNEXTWD,
          watch.getNumber());
      inside.putString(watch.getPath());
      int got =
          inside.require(
              "watch " + watch.getPath(),
              Syscall.INOTIFY_ADD_WATCH,
              fd,
              inside.scratch(),
              watch.getMask() == 0 ? IN_UNMOUNT : Integer.toUnsignedLong(watch.getMask()));
      if (got != watch.getNumber()) {
        throw new CheckpointException(
            Outcome.FAILED,
            "cannot watch %s as %d: the kernel gave %d"
                .formatted(watch.getPath(), watch.getNumber(), got));
      }
    }
  }

  /// fanotify_mark(2): one call for what is reported, one for what is ignored.
  private void mark(int fd, FanotifyMark mark) throws CheckpointException {
    int kind =
        switch (mark.getKind()) {
          case KIND_MOUNT -> FAN_MARK_MOUNT;
          case KIND_FILESYSTEM -> FAN_MARK_FILESYSTEM;
          case KIND_INODE, KIND_UNSPECIFIED, UNRECOGNIZED -> 0;
        };
    int flags = FAN_MARK_ADD | kind | (mark.getFlags() & FAN_MARK_EVICTABLE);
    if (mark.getMask() != 0) {
      mark(fd, mark.getPath(), flags, mark.getMask());
    }
    if (mark.getIgnored() != 0) {
      boolean ignore = (mark.getFlags() & FAN_MARK_IGNORE) != 0;
      int ignored =
          (ignore ? FAN_MARK_IGNORE : FAN_MARK_IGNORED_MASK)
              | (mark.getFlags() & FAN_MARK_IGNORED_SURV_MODIFY);
      mark(fd, mark.getPath(), flags | ignored, mark.getIgnored());
    }
  }

  private void mark(int fd, String path, int flags, long mask) throws CheckpointException {
    inside.putString(path);
    inside.require(
        "mark " + path, Syscall.FANOTIFY_MARK, fd, flags, mask, Fd.AT_FDCWD, inside.scratch());
  }

  /// mq_open(2) takes the name without the slash.
  private void messageQueue(int id, String name, int flags) throws CheckpointException {
    inside.putString(name.substring(1));
    long fd = inside.calls().call(Syscall.MQ_OPEN, inside.scratch(), openable(flags), 0, 0);
    if (Kernel.isError(fd)) {
      throw Inside.cannotOpen("message queue " + name, (int) -fd);
    }
    inside.hold(id, (int) fd);
  }

  private void setFlags(int fd, int flags, Optional<Owner> owner) throws CheckpointException {
    if (owner.isPresent()) {
      if (owner.get().getPid() != 0) {
        inside.putInts(owner.get().getType(), owner.get().getPid());
        inside.require(
            "set the owner of fd " + fd, Syscall.FCNTL, fd, Fcntl.F_SETOWN_EX, inside.scratch());
      }
      if (owner.get().getSignal() != 0) {
        inside.require(
            "set the signal of fd " + fd,
            Syscall.FCNTL,
            fd,
            Fcntl.F_SETSIG,
            owner.get().getSignal());
      }
    }
    if ((flags & OpenFlags.O_ASYNC) != 0) {
      inside.require("set the flags of fd " + fd, Syscall.FCNTL, fd, Fcntl.F_SETFL, flags);
    }
  }

  private void lock(int fd, FileLock lock) throws CheckpointException {
    String what = "lock the file of fd " + fd;
    long result;
    if (lock.getKind() == FileLock.Kind.KIND_LEASE) {
      result = inside.calls().call(Syscall.FCNTL, fd, Fcntl.F_SETLEASE, lock.getWrite() ? 1 : 0);
    } else if (lock.getKind() == FileLock.Kind.KIND_FLOCK) {
      int how = (lock.getWrite() ? LOCK_EXCLUSIVE : LOCK_SHARED) | LOCK_NOW;
      result = inside.calls().call(Syscall.FLOCK, fd, how);
    } else {
      long length = lock.getLast() == -1 ? 0 : lock.getLast() - lock.getStart() + 1;
      // struct flock: s16 type, s16 whence, pad, s64 start, s64 len, s32 pid
      inside.putLongs(lock.getWrite() ? 1 : 0, lock.getStart(), length, 0);
      boolean description = lock.getKind() == FileLock.Kind.KIND_DESCRIPTION;
      result =
          inside
              .calls()
              .call(
                  Syscall.FCNTL,
                  fd,
                  description ? Fcntl.F_OFD_SETLK : Fcntl.F_SETLK,
                  inside.scratch());
    }
    if (result == -Errno.EAGAIN || result == -Errno.EACCES) {
      throw new CheckpointException(
          Outcome.FAILED,
          "cannot "
              + what
              + ": "
              + Errno.describe(Errno.EAGAIN)
              + "; another process has locked it since");
    }
    if (Kernel.isError(result)) {
      throw Inside.failure(what, result);
    }
  }

  @Override
  public void close() {
    sockets.close();
    packets.close();
    inside.close();
  }
}
