package dev.jcr.restore.lazy;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.linux.Userfault;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.stub.PageKeeperProgram;
import dev.jcr.restore.process.Cgroups;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;

/// The process that holds the userfaultfd beside the server. While it is there, a process whose
/// server was killed waits in its next fault; without it the kernel would give it zeros.
///
/// It reads the messages, too, by order of the server: what fork(2) of the process gives, a
/// userfaultfd for the child, then belongs to the keeper from the first instant.
///
/// It leaves the control groups of jcr, so that it is not ended together with the server when all
/// of a service is killed. It needs no supervision: it ends with the process.
final class PageKeeper implements AutoCloseable {
  private static final int MFD_CLOEXEC = 1;
  private static final int EFD_CLOEXEC = 0x80000;
  private static final int POLLIN = 1;
  private static final int SIGKILL = 9;
  private static final int WALL = 0x40000000;
  private static final long NOT_DONE = Long.MIN_VALUE;
  private static final long SETTLE_NANOS = 10_000_000_000L;

  private final int pid;
  private final Fd process;
  private final Fd doorbell;
  private final Fd answer;
  private final EventLog log;
  private List<String> groups = List.of();
  private boolean lost;

  private PageKeeper(int pid, Fd process, Fd doorbell, Fd answer, EventLog log) {
    this.pid = pid;
    this.process = process;
    this.doorbell = doorbell;
    this.answer = answer;
    this.log = log;
  }

  int pid() {
    return pid;
  }

  EventLog log() {
    return log;
  }

  Optional<String> note() {
    return groups.isEmpty()
        ? Optional.empty()
        : Optional.of(
            "control group %s: what holds the missing pages could not leave it; do not kill all of it at once while pages are missing"
                .formatted(String.join(", ", groups)));
  }

  private static Fd event() throws SyscallException {
    return new Fd((int) Kernel.call("make an eventfd", Syscall.EVENTFD2, 0, EFD_CLOEXEC));
  }

  /// Starts one.
  ///
  /// @param digest of the image, so that nobody goes on with another one
  @SuppressWarnings("MustBeClosedChecker")
  static PageKeeper start(Userfault userfault, int target, String digest)
      throws IOException, CheckpointException {
    Fd doorbell = event();
    Fd answer = event();
    EventLog log;
    PageKeeperProgram.Started started;
    try (Arena arena = Arena.ofConfined();
        Fd watched = Fd.ofProcess(target);
        Fd memfd =
            new Fd(
                (int)
                    Kernel.call(
                        "make the log of a lazy restore",
                        Syscall.MEMFD_CREATE,
                        arena.allocateFrom(EventLog.NAME).address(),
                        MFD_CLOEXEC))) {
      Kernel.call(
          "make the log of a lazy restore", Syscall.FTRUNCATE, memfd.number(), EventLog.SIZE);
      log = EventLog.create(memfd);
      started =
          PageKeeperProgram.start(
              userfault.fd(),
              memfd,
              EventLog.SIZE,
              watched,
              doorbell,
              answer,
              words(target, digest));
      log.userfault(started.kept());
    }
    log.lock();
    PageKeeper keeper =
        new PageKeeper(started.pid(), Fd.ofProcess(started.pid()), doorbell, answer, log);
    // Its first answer: it has closed what it inherited, and serves.
    if (Kernel.isError(keeper.call(Syscall.GETPID))) {
      throw new CheckpointException(
          Outcome.FAILED, "cannot start the keeper of the missing pages: it ended at once");
    }
    keeper.groups = Cgroups.leave(started.pid(), target);
    return keeper;
  }

  private static List<String> words(int target, String digest) throws IOException {
    return List.of(
        Integer.toString(target), Long.toString(Proc.of(target).stat().startTime()), digest);
  }

  /// The keeper of a process; empty when there is none: all its pages are there.
  static Optional<PageKeeper> find(int target, String digest)
      throws IOException, CheckpointException {
    String own = PageKeeperProgram.NAME + "\0" + String.join("\0", words(target, ""));
    for (String name : Proc.at("/proc").list(".")) {
      if (!name.matches("[0-9]+")) {
        continue;
      }
      Proc proc = Proc.at("/proc/" + name);
      try {
        String line = new String(proc.bytes("cmdline"), StandardCharsets.ISO_8859_1);
        if (!line.startsWith(own)
            || proc.status().uids()[0] != Proc.at("/proc/self").status().uids()[0]) {
          continue;
        }
        if (!line.equals(own + digest + "\0")) {
          throw new CheckpointException(
              Outcome.USAGE,
              "cannot give process "
                  + target
                  + " its pages: it was restored from another image; give the folder of that one");
        }
      } catch (IOException _) {
        continue;
      }
      return Optional.of(take(Integer.parseInt(name)));
    }
    return Optional.empty();
  }

  private static PageKeeper take(int pid) throws IOException, CheckpointException {
    Proc proc = Proc.of(pid);
    for (int fd : proc.fds()) {
      if (proc.link("fd/" + fd).startsWith("/memfd:" + EventLog.NAME)) {
        EventLog log = EventLog.open(Path.of(proc.path("fd/" + fd)));
        log.waiting(ProcessHandle.current().pid());
        log.lock();
        log.waiting(0);
        Fd process = Fd.ofProcess(pid);
        Optional<Fd> doorbell =
            Fd.duplicateOf(process, log.memory().get(JAVA_INT, PageKeeperProgram.DOORBELL));
        Optional<Fd> answer =
            Fd.duplicateOf(process, log.memory().get(JAVA_INT, PageKeeperProgram.ANSWER));
        if (log.isWhole() && doorbell.isPresent() && answer.isPresent()) {
          PageKeeper keeper = new PageKeeper(pid, process, doorbell.get(), answer.get(), log);
          keeper.settle();
          return keeper;
        }
        log.close();
      }
    }
    throw new CheckpointException(
        Outcome.TARGET_LOST, "cannot take over the keeper of the missing pages: it ended");
  }

  /// Waits for what the server before had ordered.
  private void settle() throws SyscallException {
    long deadline = System.nanoTime() + SETTLE_NANOS;
    while (ready(doorbell, 0)
        || (result() == NOT_DONE && System.nanoTime() < deadline - SETTLE_NANOS + 1_000_000_000L)) {
      if (System.nanoTime() > deadline) {
        break;
      }
      LockSupport.parkNanos(1_000_000);
    }
    if (ready(answer, 0)) {
      drain(answer);
    }
  }

  private long result() {
    return (long) JAVA_LONG.varHandle().getVolatile(log.memory(), (long) PageKeeperProgram.RESULT);
  }

  private static boolean ready(Fd fd, long nanos) throws SyscallException {
    return poll(new int[] {fd.number()}, nanos)[0];
  }

  /// ppoll(2) for input: which have it.
  static boolean[] poll(int[] fds, long nanos) throws SyscallException {
    boolean[] ready = new boolean[fds.length];
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment polled = arena.allocate(8L * fds.length, 8);
      for (int i = 0; i < fds.length; i++) {
        polled.set(JAVA_INT, 8L * i, fds[i]);
        polled.set(JAVA_SHORT, 8L * i + 4, (short) POLLIN);
      }
      MemorySegment time = arena.allocate(16, 8);
      time.set(JAVA_LONG, 0, nanos / 1_000_000_000);
      time.set(JAVA_LONG, 8, nanos % 1_000_000_000);
      long result = Kernel.raw(Syscall.PPOLL, polled.address(), fds.length, time.address(), 0, 8);
      if (Kernel.isError(result) && result != -Errno.EINTR) {
        throw new SyscallException("wait for input", Syscall.PPOLL, (int) -result);
      }
      for (int i = 0; i < fds.length; i++) {
        ready[i] = result > 0 && polled.get(JAVA_SHORT, 8L * i + 6) != 0;
      }
    }
    return ready;
  }

  static void ring(Fd event) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment one = arena.allocateFrom(JAVA_LONG, 1);
      Kernel.raw(Syscall.WRITE, event.number(), one.address(), 8);
    }
  }

  static void drain(Fd event) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment count = arena.allocate(JAVA_LONG);
      Kernel.raw(Syscall.READ, event.number(), count.address(), 8);
    }
  }

  /// Makes a call in the keeper: its result or negated errno; ESRCH when the keeper is gone. One at
  /// a time.
  long call(Syscall syscall, long... arguments) throws SyscallException {
    if (lost) {
      return -Errno.ESRCH;
    }
    MemorySegment memory = log.memory();
    memory.set(JAVA_LONG, PageKeeperProgram.CALL, syscall.number(Kernel.HOST));
    for (int i = 0; i < 6; i++) {
      memory.set(
          JAVA_LONG, PageKeeperProgram.CALL + 8 + 8L * i, i < arguments.length ? arguments[i] : 0);
    }
    JAVA_LONG.varHandle().setVolatile(memory, (long) PageKeeperProgram.RESULT, NOT_DONE);
    ring(doorbell);
    int[] fds = {answer.number(), process.number()};
    while (true) {
      boolean[] ready = poll(fds, SETTLE_NANOS);
      if (ready[0]) {
        drain(answer);
        return result();
      }
      if (ready[1]) {
        lost = true;
        return -Errno.ESRCH;
      }
    }
  }

  /// The read(2) of userfaultfd messages into the log: bytes or negated errno.
  long read(int fd, Fd own) throws SyscallException {
    long length = (long) EventLog.MOST_MESSAGES * Userfault.MESSAGE;
    if (!lost) {
      long result = call(Syscall.READ, fd, PageKeeperProgram.SHARED + log.place(), length);
      if (!lost) {
        return result;
      }
    }
    return Kernel.raw(Syscall.READ, own.number(), log.memory().address() + log.place(), length);
  }

  /// Whether somebody ended it: nothing is lost by that unless jcr ends as well.
  boolean isLost() {
    return lost;
  }

  /// Own descriptor of one of the keeper's.
  Optional<Fd> duplicate(int fd) throws SyscallException {
    return lost ? Optional.of(new Fd(fd)) : Fd.duplicateOf(process, fd);
  }

  /// Whether it ends when the process ends: not while there may be a child.
  void endsWithProcess(boolean value) {
    int offset = PageKeeperProgram.WATCHED;
    int fd = log.memory().get(JAVA_INT, offset);
    log.memory().set(JAVA_INT, offset, value ? Math.abs(fd) : -Math.abs(fd));
  }

  /// Ends it: nothing holds the userfaultfds any more.
  void end() {
    Kernel.raw(Syscall.PIDFD_SEND_SIGNAL, process.number(), SIGKILL, 0, 0);
    // Where this very jcr started it; else ECHILD.
    Kernel.raw(Syscall.WAIT4, pid, 0, WALL, 0);
    close();
  }

  /// Leaves it to the next server.
  @Override
  public void close() {
    log.close();
    process.close();
    doorbell.close();
    answer.close();
  }
}
