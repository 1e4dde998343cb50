package dev.jcr.restore;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.codec.ImageReader;
import dev.jcr.image.pages.PageStore.Piece;
import dev.jcr.image.pages.Ranges;
import dev.jcr.image.registers.Xsave;
import dev.jcr.image.v1.FileIdentity;
import dev.jcr.image.v1.GuardRange;
import dev.jcr.image.v1.Host;
import dev.jcr.image.v1.Identity;
import dev.jcr.image.v1.IntervalTimer;
import dev.jcr.image.v1.PendingSignal;
import dev.jcr.image.v1.PosixTimer;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.ResourceLimit;
import dev.jcr.image.v1.SharedObject;
import dev.jcr.image.v1.SignalAction;
import dev.jcr.image.v1.TagRun;
import dev.jcr.image.v1.Thread;
import dev.jcr.image.v1.Timers;
import dev.jcr.image.v1.Vma;
import dev.jcr.image.v1.Zombie;
import dev.jcr.parasite.arch.Machine;
import dev.jcr.parasite.collect.GuardPages;
import dev.jcr.parasite.collect.VmaCollector;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FileName;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.PageScan;
import dev.jcr.parasite.linux.Prctl;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.linux.Userfault;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.procfs.Smaps;
import dev.jcr.parasite.ptrace.Ptrace;
import dev.jcr.parasite.ptrace.Tracee;
import dev.jcr.parasite.ptrace.WaitStatus;
import dev.jcr.parasite.remote.AmxState;
import dev.jcr.parasite.remote.Batch;
import dev.jcr.parasite.remote.MemoryTags;
import dev.jcr.parasite.remote.OwnedProcess;
import dev.jcr.parasite.remote.ProcessMemory;
import dev.jcr.parasite.restart.SleepResumer;
import dev.jcr.parasite.stub.StubProgram;
import dev.jcr.restore.RestoredProcess.Timing;
import dev.jcr.restore.files.FileCopies;
import dev.jcr.restore.files.FileExecutor;
import dev.jcr.restore.lazy.ImageBlocks;
import dev.jcr.restore.lazy.LazyRanges;
import dev.jcr.restore.lazy.LazyServer;
import dev.jcr.restore.memory.AddressSpace;
import dev.jcr.restore.memory.PageFiller;
import dev.jcr.restore.threads.RegisterLoader;
import dev.jcr.restore.threads.ThreadBuilder;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/// Executes a plan on the tracer thread. Until [#thaw] the new process is killed by the kernel if
/// jcr dies, and by [#close] if a step fails.
final class RestoreSession implements AutoCloseable {
  private static final int SIGKILL = 9;
  private static final int SIGSTOP = 19;
  private static final int SIGCHLD = 17;
  private static final int ZOMBIE_SCRATCH = 4096;
  private static final int ANY_OBJECT = 1;
  private static final long ALL_BLOCKED = -1L;

  /// CLONE_PARENT: jcr, not the stub, becomes the parent, and can wait for the process. A detached
  /// one is the stub's child and goes to init when the stub ends: were it jcr's, jcr's end would
  /// make a stopped group an orphaned one, which the kernel hangs up.
  private static final long CLONE_PARENT = 0x8000;

  private static final long CLONE_VM = 0x100;

  /// CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM.
  private static final long CLONE_THREAD_FLAGS = 0x100 | 0x200 | 0x400 | 0x800 | 0x10000 | 0x40000;

  private static final long ID_NANOS = 200_000_000L;
  private static final int CLONE_ARGS_SIZE = 88;
  private static final long OPTIONS =
      Ptrace.O_EXITKILL | Ptrace.O_TRACESYSGOOD | Ptrace.O_TRACECLONE | Ptrace.O_TRACEFORK;

  private final ImageReader image;
  private final ProcessState state;
  private final Machine machine = Machine.of(Kernel.HOST);
  private final Host host;
  private final boolean foreground;
  private final Staging.@Nullable Handed staged;
  private final LazyRanges lazy;
  private final List<Timing> timings = new ArrayList<>();
  private final FileCopies copies = new FileCopies();
  private final List<Tracee> born = new ArrayList<>();
  private final List<String> notes = new ArrayList<>();
  private final Map<Integer, OwnedProcess> threads = new LinkedHashMap<>();
  private int stubPid;
  private long bootstrap;
  private int bootstrapSize;
  private @Nullable OwnedProcess process;
  private @Nullable ThreadBuilder threadBuilder;
  private @Nullable AddressSpace space;
  private @Nullable FileExecutor files;
  private @Nullable Userfault userfault;
  private @Nullable LazyServer server;
  private boolean done;

  /// @param state the image's, with what is to be other
  /// @param foreground the process takes over jcr's terminal
  /// @param staged pages that are in place already; only for a detached process
  /// @param lazy what comes on demand
  RestoreSession(
      ImageReader image,
      ProcessState state,
      Host host,
      boolean foreground,
      Staging.@Nullable Handed staged,
      LazyRanges lazy) {
    this.staged = staged;
    this.lazy = lazy;
    this.stubPid = staged == null ? 0 : staged.stubPid();
    this.image = image;
    this.state = state;
    this.host = host;
    this.foreground = foreground;
  }

  int pid() {
    return state.getIdentity().getPid();
  }

  /// Who serves the pages that come on demand; it has taken the image over.
  Optional<LazyServer> server() {
    return Optional.ofNullable(server);
  }

  List<Timing> timings() {
    return List.copyOf(timings);
  }

  List<String> notes() {
    return List.copyOf(notes);
  }

  private OwnedProcess process() {
    if (process == null) {
      throw new IllegalStateException("no process yet");
    }
    return process;
  }

  private FileExecutor files() {
    if (files == null) {
      throw new IllegalStateException("no descriptors yet");
    }
    return files;
  }

  private AddressSpace space() {
    if (space == null) {
      throw new IllegalStateException("no address space yet");
    }
    return space;
  }

  void run(List<RestoreStep> steps) throws CheckpointException {
    for (RestoreStep step : steps) {
      long start = System.nanoTime();
      try {
        execute(step);
      } catch (IOException e) {
        throw new CheckpointException(
            Outcome.FAILED, "cannot " + step.describe() + ": " + e.getMessage(), e);
      }
      String name = step.getClass().getSimpleName();
      long took = (System.nanoTime() - start) / 1000;
      if (!timings.isEmpty() && timings.getLast().step().equals(name)) {
        took += timings.removeLast().microseconds();
      }
      timings.add(new Timing(name, took));
    }
  }

  private void execute(RestoreStep step) throws CheckpointException, IOException {
    switch (step) {
      case RestoreStep.CreateProcess(long base, int pid) -> create(base, pid);
      case RestoreStep.JoinSession(int pid, int session, int group) ->
          joinSession(pid, session, group);
      case RestoreStep.EmptyAddressSpace(long address, int size) -> {
        bootstrap = address;
        bootstrapSize = size;
        space().empty(address, size);
      }
      case RestoreStep.MakeZombies(var zombies) -> makeZombies(zombies);
      case RestoreStep.PlaceVdso(var vmas, long temporary) -> space().placeVdso(vmas, temporary);
      case RestoreStep.StartDescriptors(var all) ->
          files =
              new FileExecutor(
                  process(), all, state.getIdentity().getWorkingDirectory(), foreground);
      case RestoreStep.Descriptors(var one) -> files().execute(one);
      case RestoreStep.FillObjects(var objects) -> {
        for (SharedObject object : objects) {
          if (!files().isFresh(object.getId())) {
            notes.add(
                "System V segment %d: others use it, so its content is theirs"
                    .formatted(object.getSegment()));
            continue;
          }
          try (Fd fd = files().objectFd(object.getId())) {
            new PageFiller(image.pages(), process().memory()).fillObject(object, fd);
          }
        }
      }
      case RestoreStep.RecreateFiles(var all) ->
          copies.make(
              all,
              (object, fd) ->
                  new PageFiller(image.pages(), process().memory()).fillObject(object, fd));
      case RestoreStep.MapVma(var vma, boolean writable) -> {
        Optional<SharedObject> segment = segment(vma);
        if (segment.isPresent()) {
          space().attach(vma, segment.get().getSegment());
        } else {
          space().map(vma, writable);
        }
      }
      case RestoreStep.FillPages _ -> {
        space().closeFile();
        PageFiller filler = new PageFiller(image.pages(), process().memory());
        filler.fill(missing(filler), state.getMemory().getVmasList());
        filler.zeros(state.getMemory().getVmasList(), image.pagemap(), false);
      }
      case RestoreStep.FinishVma(var vma, boolean protect) -> space().finish(vma, protect);
      case RestoreStep.SetLayout(var memory, var executable) -> space().layout(memory, executable);
      case RestoreStep.CreateThread(int tid) -> createThread(tid);
      case RestoreStep.SetActions(var signals) -> setActions(signals.getActionsList());
      case RestoreStep.SetIdentity(var identity) -> {
        setIdentity(identity);
        notes.addAll(Cgroups.join(process().tid(), identity.getCgroupsList()));
      }
      case RestoreStep.ConfigureThread(var thread) -> {
        if (Xsave.uses(thread.getRegisters().getX8664(), AmxState.TILEDATA)) {
          AmxState.use(inside(thread.getTid()));
        }
        ThreadBuilder builder = threadBuilder();
        builder.configure(thread, inside(thread.getTid()));
        builder.seccomp(thread, inside(thread.getTid()), OPTIONS);
        builder.credentials(thread, inside(thread.getTid()));
      }
      case RestoreStep.SetDumpable(int dumpable) -> {
        // 2 (root only) cannot be set; a change of credentials gives it where it was.
        if (dumpable <= 1) {
          process().require("set dumpable", Syscall.PRCTL, Prctl.SET_DUMPABLE, dumpable);
        }
      }
      case RestoreStep.QueueSignals(var signals, var all) -> {
        queue(process(), signals.getPendingList(), false);
        for (Thread thread : all) {
          queue(inside(thread.getTid()), thread.getPendingList(), true);
        }
      }
      case RestoreStep.StopProcess _ -> {
        // SIGTSTP and its like do not stop an orphaned group, or one that handles or blocks them.
        Kernel.raw(Syscall.KILL, process().tid(), SIGSTOP);
        for (OwnedProcess thread : threads.values()) {
          thread.toGroupStop();
        }
      }
      case RestoreStep.SetTimers(var timers) -> setTimers(timers);
      case RestoreStep.LoadRegisters(var all) -> loadRegisters(all);
      case RestoreStep.ProvePages _ -> {
        PageFiller filler = new PageFiller(image.pages(), process().memory());
        filler.verify(missing(filler), state.getMemory().getVmasList());
        filler.zeros(state.getMemory().getVmasList(), image.pagemap(), true);
      }
      case RestoreStep.RegisterRseq(var all) -> {
        ThreadBuilder builder = threadBuilder();
        for (Thread thread : all) {
          builder.registerRseq(thread, inside(thread.getTid()));
        }
      }
      case RestoreStep.OpenUserfault _ -> userfault = openUserfault();
      case RestoreStep.ServePages(var ranges) -> {
        if (userfault == null) {
          throw new IllegalStateException("no userfaultfd yet");
        }
        server =
            LazyServer.start(
                process().tid(), userfault, ranges, new ImageBlocks(image), image.digest());
        userfault = null;
      }
      case RestoreStep.TagMemory(var runs) -> tagMemory(runs);
      case RestoreStep.ProveMappings _ -> proveMappings();
    }
  }

  /// userfaultfd(2) belongs to the memory of its caller. Not UFFD_USER_MODE_ONLY: the kernel
  /// touches missing pages as well, as in read(2).
  private Userfault openUserfault() throws CheckpointException, IOException {
    long result = process().call(Syscall.USERFAULTFD, Fd.O_CLOEXEC | Userfault.NONBLOCK);
    if (Kernel.isError(result)) {
      throw new CheckpointException(
          result == -Errno.EPERM ? Outcome.PERMISSION : Outcome.FAILED,
          ("cannot make a userfaultfd: %s; pages on demand need CAP_SYS_PTRACE, restore without"
                  + " --lazy-pages")
              .formatted(Errno.describe((int) -result)));
    }
    try (Fd pidFd = Fd.ofProcess(process().tid())) {
      Userfault made = new Userfault(Fd.duplicateOf(pidFd, (int) result).orElseThrow());
      process().require("close a userfaultfd", Syscall.CLOSE, result);
      try {
        made.servePages();
      } catch (SyscallException e) {
        made.close();
        throw new CheckpointException(
            e.errno() == Errno.EPERM ? Outcome.PERMISSION : Outcome.UNSUPPORTED,
            e.getMessage() + "; restore without --lazy-pages",
            e);
      }
      return made;
    }
  }

  /// The System V segment that a mapping attaches.
  private Optional<SharedObject> segment(Vma vma) {
    return vma.getObjectId() == 0
        ? Optional.empty()
        : state.getFiles().getObjectsList().stream()
            .filter(object ->
                object.getId() == vma.getObjectId()
                    && object.getKind() == SharedObject.Kind.KIND_SYSV)
            .findFirst();
  }

  private ThreadBuilder threadBuilder() throws IOException {
    if (threadBuilder == null) {
      threadBuilder = new ThreadBuilder(Proc.of(process().tid()).status());
    }
    return threadBuilder;
  }

  private OwnedProcess inside(int tid) {
    OwnedProcess thread = threads.get(tid);
    if (thread == null) {
      throw new IllegalStateException("no thread " + tid);
    }
    return thread;
  }

  private void create(long stubBase, int pid) throws CheckpointException, IOException {
    if (staged != null) {
      // Its address space, and with it the staged pages, becomes the process's.
      create(staged.process(), CLONE_VM, pid);
    } else {
      stubPid = foreground ? startFromLastingThread(stubBase) : StubProgram.start(stubBase);
      Tracee stub = seizeStub(stubPid);
      try (ProcessMemory stubMemory = ProcessMemory.open(stubPid)) {
        OwnedProcess inStub =
            new OwnedProcess(
                machine,
                stub,
                stubMemory,
                stub.general(machine.words()),
                StubProgram.syscallAddress(stubBase));
        create(inStub, foreground ? CLONE_PARENT : 0, pid);
      }
    }
    killStub();
  }

  /// A started stub, stopped.
  static Tracee seizeStub(int pid) throws CheckpointException {
    Tracee stub =
        Tracee.seize(pid, OPTIONS)
            .orElseThrow(() ->
                new CheckpointException(
                    Outcome.FAILED, "cannot start the stub program: it ended at once"));
    stub.interrupt();
    awaitEventStop(stub);
    return stub;
  }

  private void create(OwnedProcess inStub, long flags, int pid) throws CheckpointException {
    long stack = machine.sp(inStub.base()) - 4096;
    long child = cloneWithTid(inStub, stack, flags, pid);
    if (child == -Errno.EEXIST) {
      throw pidInUse(pid, pid);
    }
    requireClone("create process " + pid, child);
    Tracee tracee = Tracee.attached(pid);
    born.addFirst(tracee);
    awaitEventStop(tracee);
    ProcessMemory memory = ProcessMemory.open(pid);
    OwnedProcess created =
        new OwnedProcess(
            machine, tracee, memory, tracee.general(machine.words()), inStub.syscallAt());
    process = created;
    threads.put(pid, created);
    // Nothing may be delivered before the thaw.
    tracee.setSignalMask(ALL_BLOCKED);
    space = new AddressSpace(created, object -> files().remoteObjectFd(object), kept());
  }

  private Ranges kept() {
    return staged == null ? new Ranges() : staged.kept();
  }

  /// Stored pages that are not in place yet.
  private List<Piece> missing(PageFiller filler) {
    return filler.missing(staged == null ? lazy.pages() : staged.pages());
  }

  /// The parent of a task is a thread: its end would send the parent-death signal. This one lasts
  /// as long as jcr.
  private static int startFromLastingThread(long stubBase) throws CheckpointException, IOException {
    FutureTask<Integer> start = new FutureTask<>(() -> StubProgram.start(stubBase));
    java.lang.Thread.ofPlatform()
        .daemon()
        .name("jcr-parent")
        .start(() -> {
          start.run();
          while (true) {
            LockSupport.park();
          }
        });
    try {
      return start.get();
    } catch (ExecutionException e) {
      if (e.getCause() instanceof IOException failure) {
        throw failure;
      }
      throw new IllegalStateException(e.getCause());
    } catch (InterruptedException e) {
      throw new CheckpointException(
          Outcome.FAILED, "cannot start the stub program: interrupted", e);
    }
  }

  /// clone3(2) with set_tid; the arguments lie at `scratch`.
  private long cloneWithTid(OwnedProcess in, long scratch, long flags, int tid)
      throws CheckpointException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment arguments = arena.allocate(CLONE_ARGS_SIZE + 8, 8);
      arguments.set(JAVA_LONG, 0, flags);
      // A child of jcr or a thread takes its exit signal from the caller.
      arguments.set(JAVA_LONG, 32, flags == 0 || flags == CLONE_VM ? SIGCHLD : 0);
      arguments.set(JAVA_LONG, 64, scratch + CLONE_ARGS_SIZE);
      arguments.set(JAVA_LONG, 72, 1);
      arguments.set(JAVA_INT, CLONE_ARGS_SIZE, tid);
      in.write(scratch, arguments);
    }
    long deadline = System.nanoTime() + ID_NANOS;
    while (true) {
      long result = in.call(Syscall.CLONE3, scratch, CLONE_ARGS_SIZE);
      // The kernel gives an id back a little after its last user is gone from /proc (release_task).
      if (result != -Errno.EEXIST || Proc.of(tid).exists() || System.nanoTime() > deadline) {
        return result;
      }
      LockSupport.parkNanos(200_000);
    }
  }

  private static void requireClone(String what, long result) throws CheckpointException {
    if (result == -Errno.EPERM) {
      throw new CheckpointException(
          Outcome.PERMISSION,
          "cannot "
              + what
              + ": EPERM (operation not permitted); choosing a pid needs"
              + " CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN");
    }
    if (Kernel.isError(result)) {
      throw new CheckpointException(
          Outcome.FAILED, "cannot " + what + ": " + Errno.describe((int) -result));
    }
  }

  static CheckpointException pidInUse(int pid, int wanted) {
    String by = "";
    try {
      Proc proc = Proc.of(wanted);
      var status = proc.status();
      by =
          " by process "
              + status.tgid()
              + " ("
              + status.name()
              + (status.state() == 'Z' ? ", a zombie of " + status.ppid() : "")
              + ")";
    } catch (IOException _) {
      // Gone again, or the id of a group or session.
    }
    return new CheckpointException(
        Outcome.FAILED,
        "cannot create "
            + (pid == wanted ? "process " : "thread ")
            + wanted
            + ": EEXIST (the id is in use"
            + by
            + "); end that process, or restore in another pid namespace");
  }

  private static void awaitEventStop(Tracee tracee) throws CheckpointException {
    while (true) {
      WaitStatus status = tracee.await();
      switch (status) {
        case WaitStatus.EventStop(int event) when event == WaitStatus.EVENT_STOP -> {
          return;
        }
        case WaitStatus.Exited _, WaitStatus.Killed _ ->
            throw new CheckpointException(
                Outcome.FAILED,
                "cannot build the process: task " + tracee.tid() + " ended: " + status);
        case WaitStatus.SignalStop _,
            WaitStatus.GroupStop _,
            WaitStatus.SyscallStop _,
            WaitStatus.EventStop _ -> {
          tracee.interrupt();
          tracee.resume(0);
        }
      }
    }
  }

  private void killStub() throws CheckpointException {
    if (stubPid != 0) {
      endStub(stubPid);
      stubPid = 0;
    }
  }

  static void endStub(int pid) throws CheckpointException {
    Kernel.raw(Syscall.KILL, pid, SIGKILL);
    Tracee stub = Tracee.attached(pid);
    while (!stub.await().ended()) {
      // Its exit on the way.
    }
  }

  private void joinSession(int pid, int session, int group) throws CheckpointException {
    if (session == pid) {
      process().require("make a session", Syscall.SETSID);
      return;
    }
    long own = Kernel.raw(Syscall.GETSID, 0);
    if (own != session) {
      notes.add(
          "session %d: the process is in session %d of whoever restored it"
              .formatted(session, own));
    }
    long result = process().call(Syscall.SETPGID, 0, group == pid ? 0 : group);
    if (Kernel.isError(result) && group != Kernel.raw(Syscall.GETPGID, 0)) {
      notes.add(
          "process group %d: %s; the process is in group %d"
              .formatted(group, Errno.describe((int) -result), Kernel.raw(Syscall.GETPGID, 0)));
    }
  }

  private void createThread(int tid) throws CheckpointException {
    OwnedProcess leader = process();
    long result = cloneWithTid(leader, leader.scratch(), CLONE_THREAD_FLAGS, tid);
    if (result == -Errno.EEXIST) {
      throw pidInUse(leader.tid(), tid);
    }
    requireClone("create thread " + tid, result);
    Tracee tracee = Tracee.attached(tid);
    born.addFirst(tracee);
    awaitEventStop(tracee);
    OwnedProcess thread =
        new OwnedProcess(machine, tracee, leader.memory(), leader.base(), leader.syscallAt());
    thread.moveTo(leader.syscallAt(), leader.scratch(), leader.scratchSize());
    threads.put(tid, thread);
  }

  /// Clones each child with its pid and lets it end as it ended; the parent's SIGCHLD is taken
  /// away, since it had that one long ago.
  private void makeZombies(List<Zombie> zombies) throws CheckpointException {
    OwnedProcess parent = process();
    long zeros = parent.scratch() + ZOMBIE_SCRATCH;
    try (Arena arena = Arena.ofConfined()) {
      parent.write(zeros, arena.allocate(64, 8));
    }
    // With SIGCHLD ignored the kernel would reap them.
    parent.require("reset SIGCHLD", Syscall.RT_SIGACTION, SIGCHLD, zeros, 0, 8);
    for (Zombie zombie : zombies) {
      long made = cloneWithTid(parent, parent.scratch(), 0, zombie.getPid());
      if (made == -Errno.EEXIST) {
        throw pidInUse(parent.tid(), zombie.getPid());
      }
      requireClone("create process " + zombie.getPid(), made);
      Tracee tracee = Tracee.attached(zombie.getPid());
      awaitEventStop(tracee);
      end(
          zombie,
          new OwnedProcess(machine, tracee, parent.memory(), parent.base(), parent.syscallAt()),
          zeros);
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment set = arena.allocate(JAVA_LONG);
      set.set(JAVA_LONG, 0, 1L << (SIGCHLD - 1));
      parent.write(parent.scratch(), set);
    }
    while (parent.call(Syscall.RT_SIGTIMEDWAIT, parent.scratch(), 0, zeros, 8) == SIGCHLD) {
      // One at most: it is no real-time signal.
    }
  }

  /// @param zeros 64 bytes of them in the process: a signal action, a timeout, an empty name
  private void end(Zombie zombie, OwnedProcess child, long zeros) throws CheckpointException {
    Tracee tracee = child.tracee();
    int group = zombie.getProcessGroup();
    if (zombie.getSession() == zombie.getPid()) {
      child.call(Syscall.SETSID);
    } else if (group != state.getIdentity().getProcessGroup()) {
      child.call(Syscall.SETPGID, 0, group == zombie.getPid() ? 0 : group);
    }
    // No core.
    child.call(Syscall.PRCTL, Prctl.SET_DUMPABLE, 0);
    int signal = zombie.getStatus() & 0x7f;
    if (signal == 0) {
      tracee.setGeneral(
          machine.syscall(
              child.base(),
              child.syscallAt(),
              Syscall.EXIT_GROUP.number(machine.arch()),
              zombie.getStatus() >>> 8 & 0xff));
      tracee.resume(0);
    } else {
      if (signal != SIGKILL) {
        child.call(Syscall.RT_SIGACTION, signal, zeros, 0, 8);
        tracee.setSignalMask(0);
      }
      Kernel.raw(Syscall.KILL, zombie.getPid(), signal);
      if (signal != SIGKILL) {
        tracee.resume(0);
      }
    }
    while (true) {
      WaitStatus status = tracee.await();
      if (status.ended()) {
        return;
      }
      tracee.resume(status instanceof WaitStatus.SignalStop(int delivered) ? delivered : 0);
    }
  }

  private void setActions(List<SignalAction> actions) throws CheckpointException {
    OwnedProcess inside = process();
    Map<Integer, SignalAction> byNumber = new LinkedHashMap<>();
    actions.forEach(action -> byNumber.put(action.getSignal(), action));
    Batch batch = inside.batch();
    for (int signal = 1; signal <= 64; signal++) {
      if (signal == SIGKILL || signal == SIGSTOP) {
        continue;
      }
      SignalAction wanted = byNumber.getOrDefault(signal, SignalAction.getDefaultInstance());
      long action =
          batch.put(
              ByteBuffer.allocate(32)
                  .order(ByteOrder.LITTLE_ENDIAN)
                  .putLong(wanted.getHandler())
                  .putLong(wanted.getFlags())
                  .putLong(wanted.getRestorer())
                  .putLong(wanted.getMask())
                  .array());
      batch.require(
          "set the action of signal " + signal, Syscall.RT_SIGACTION, signal, action, 0, 8);
    }
    inside.run(batch);
  }

  private void setIdentity(Identity identity) throws CheckpointException {
    OwnedProcess inside = process();
    if ((identity.getXstatePermissions() >>> AmxState.TILEDATA & 1) != 0) {
      AmxState.permit(inside);
    }
    try (Arena arena = Arena.ofConfined()) {
      inside.write(inside.scratch(), FileName.allocate(arena, identity.getWorkingDirectory()));
    }
    inside.require(
        "change the directory to " + identity.getWorkingDirectory(),
        Syscall.CHDIR,
        inside.scratch());
    String root = identity.getRootDirectory();
    if (!root.isEmpty() && !root.equals("/")) {
      // Last of all that goes by paths; the working directory stays.
      try (Arena arena = Arena.ofConfined()) {
        inside.write(inside.scratch(), FileName.allocate(arena, root));
      }
      inside.require("change the root directory to " + root, Syscall.CHROOT, inside.scratch());
    }
    int lockFuture = state.getMemory().getLockFuture();
    if (lockFuture != 0) {
      inside.require("lock new mappings", Syscall.MLOCKALL, lockFuture);
    }
    inside.require("set umask", Syscall.UMASK, identity.getUmask());
    inside.require(
        "set personality", Syscall.PERSONALITY, Integer.toUnsignedLong(identity.getPersonality()));
    write("oom_score_adj", Integer.toString(identity.getOomScoreAdj()));
    write("coredump_filter", "0x" + Integer.toHexString(identity.getCoredumpFilter()));
    prctl(identity.getChildSubreaper() ? 1 : 0, 0, Prctl.SET_CHILD_SUBREAPER, "child subreaper");
    // -1: whatever a new process has, it has from jcr.
    prctl(identity.getThpDisable(), -1, Prctl.SET_THP_DISABLE, "THP disable");
    prctl(identity.getIoFlusher() ? 1 : 0, 0, Prctl.SET_IO_FLUSHER, "I/O flusher");
    prctl(identity.getMemoryMerge() ? 1 : 0, 0, Prctl.SET_MEMORY_MERGE, "memory merge");
    prctl(identity.getMemoryDenyWriteExecute(), 0, Prctl.SET_MDWE, "memory deny write execute");
    for (int command = 2; command <= 8; command += 2) {
      // MEMBARRIER_CMD_REGISTER_*: bits 2, 4, 6 and 8.
      if ((identity.getMembarrierRegistrations() >>> command & 1) != 0) {
        inside.require("register for membarrier", Syscall.MEMBARRIER, 1L << command, 0, 0);
      }
    }
    if (identity.getTimestampCounterMode() > 1) {
      inside.require(
          "set the TSC mode", Syscall.PRCTL, Prctl.SET_TSC, identity.getTimestampCounterMode());
    }
    if (identity.getMachineCheckKill() != 2) {
      // PR_MCE_KILL_SET 1; PR_MCE_KILL_DEFAULT is 2.
      inside.require(
          "set machine check kill",
          Syscall.PRCTL,
          Prctl.MCE_KILL,
          1,
          identity.getMachineCheckKill(),
          0,
          0);
    }
    Batch batch = inside.batch();
    for (ResourceLimit limit : identity.getLimitsList()) {
      long pair =
          batch.put(
              ByteBuffer.allocate(16)
                  .order(ByteOrder.LITTLE_ENDIAN)
                  .putLong(limit.getSoft())
                  .putLong(limit.getHard())
                  .array());
      batch.require(
          "set limit " + limit.getResource() + " (raising a hard limit needs CAP_SYS_RESOURCE)",
          Syscall.PRLIMIT64,
          0,
          limit.getResource(),
          pair,
          0);
    }
    inside.run(batch);
  }

  /// prctl(2) where the wanted value is not the one of a new process.
  private void prctl(int wanted, int fresh, int option, String what) throws CheckpointException {
    if (wanted != fresh) {
      process().require("set " + what, Syscall.PRCTL, option, wanted, 0, 0, 0);
    }
  }

  private void write(String file, String value) throws CheckpointException {
    String path = "/proc/" + process().tid() + "/" + file;
    try (Fd fd = Fd.open(path, Fd.O_WRONLY, 0);
        Arena arena = Arena.ofConfined()) {
      fd.writeFully(arena.allocateFrom(value).asSlice(0, value.length()), 0);
    } catch (SyscallException e) {
      throw new CheckpointException(
          e.errno() == Errno.EACCES || e.errno() == Errno.EPERM
              ? Outcome.PERMISSION
              : Outcome.FAILED,
          "cannot write " + value + " to " + path + ": " + Errno.describe(e.errno()),
          e);
    }
  }

  /// A task may queue any siginfo to itself; the rest is forbidden (kernel/signal.c,
  /// do_rt_sigqueueinfo).
  private void queue(OwnedProcess inside, List<PendingSignal> pending, boolean toThread)
      throws CheckpointException {
    for (PendingSignal signal : pending) {
      if (signal.getSignal() == SIGSTOP || signal.getSignal() == SIGKILL) {
        continue;
      }
      try (Arena arena = Arena.ofConfined()) {
        inside.write(
            inside.scratch(), arena.allocateFrom(JAVA_BYTE, signal.getInfo().toByteArray()));
      }
      int pid = process().tid();
      String what = "queue signal " + signal.getSignal() + " to " + inside.tid();
      if (toThread) {
        inside.require(
            what,
            Syscall.RT_TGSIGQUEUEINFO,
            pid,
            inside.tid(),
            signal.getSignal(),
            inside.scratch());
      } else {
        inside.require(what, Syscall.RT_SIGQUEUEINFO, pid, signal.getSignal(), inside.scratch());
      }
    }
  }

  private void setTimers(Timers timers) throws CheckpointException {
    OwnedProcess inside = process();
    long at = inside.scratch();
    boolean chosenIds =
        timers.getPosixCount() > 0
            && inside.call(Syscall.PRCTL, Prctl.TIMER_CREATE_RESTORE_IDS, 1, 0, 0, 0) == 0;
    for (PosixTimer timer : timers.getPosixList()) {
      createTimer(inside, timer, chosenIds);
      try (Arena arena = Arena.ofConfined()) {
        inside.write(
            at, itimerspec(arena, timer.getInterval(), timer.getRemaining(), 1_000_000_000L));
      }
      inside.require("set timer " + timer.getId(), Syscall.TIMER_SETTIME, timer.getId(), 0, at, 0);
    }
    if (chosenIds) {
      inside.require(
          "end choosing timer ids", Syscall.PRCTL, Prctl.TIMER_CREATE_RESTORE_IDS, 0, 0, 0, 0);
    }
    for (IntervalTimer timer : timers.getIntervalList()) {
      try (Arena arena = Arena.ofConfined()) {
        inside.write(
            at,
            itimerspec(
                arena,
                timer.getInterval(),
                // A period without a time left: it expired, and runs on when its signal is taken.
                Math.max(1, timer.getValue()),
                1_000_000L));
      }
      inside.require(
          "set interval timer " + timer.getWhich(), Syscall.SETITIMER, timer.getWhich(), at, 0);
    }
  }

  /// Interval, then value, each as whole seconds and a rest in units of 1/`unit` second.
  private static MemorySegment itimerspec(Arena arena, long interval, long value, long unit) {
    MemorySegment spec = arena.allocate(32, 8);
    spec.set(JAVA_LONG, 0, Long.divideUnsigned(interval, unit));
    spec.set(JAVA_LONG, 8, Long.remainderUnsigned(interval, unit));
    spec.set(JAVA_LONG, 16, Long.divideUnsigned(value, unit));
    spec.set(JAVA_LONG, 24, Long.remainderUnsigned(value, unit));
    return spec;
  }

  private void createTimer(OwnedProcess inside, PosixTimer timer, boolean chosenId)
      throws CheckpointException {
    long at = inside.scratch();
    try (Arena arena = Arena.ofConfined()) {
      // struct sigevent: value, signo, notify, tid; the wanted id behind it.
      MemorySegment event = arena.allocate(72, 8);
      event.set(JAVA_LONG, 0, timer.getValue());
      event.set(JAVA_INT, 8, timer.getSignal());
      event.set(JAVA_INT, 12, timer.getNotify());
      event.set(JAVA_INT, 16, timer.getThread());
      event.set(JAVA_INT, 64, timer.getId());
      inside.write(at, event);
      MemorySegment id = arena.allocate(JAVA_INT);
      while (true) {
        inside.require(
            "create timer " + timer.getId(), Syscall.TIMER_CREATE, timer.getClock(), at, at + 64);
        inside.read(at + 64, id);
        int got = id.get(JAVA_INT, 0);
        if (got == timer.getId()) {
          return;
        }
        // Older kernels count up: make and drop timers until the number comes.
        inside.require("drop timer " + got, Syscall.TIMER_DELETE, got);
        if (chosenId || got > timer.getId()) {
          throw new CheckpointException(
              Outcome.FAILED,
              "cannot create timer " + timer.getId() + ": the kernel gave id " + got);
        }
      }
    }
  }

  private void loadRegisters(List<Thread> some) throws CheckpointException {
    RegisterLoader loader = new RegisterLoader(state.getHost(), host);
    SleepResumer sleeps = new SleepResumer(machine, process().memory());
    boolean stopped = state.getSignals().getStoppedBy() != 0;
    for (Thread thread : some) {
      OwnedProcess inside = inside(thread.getTid());
      SleepResumer.Sleep sleep = sleep(thread);
      boolean held = sleep.isHeldByKernel(machine.arch(), stopped);
      long[] words = RegisterLoader.words(thread);
      words =
          held
              ? sleeps.prime(
                  inside.tracee(),
                  sleep,
                  inside.base(),
                  inside.syscallAt(),
                  inside.scratch(),
                  words)
              : sleeps.withTimeLeft(words, sleep);
      boolean last = thread.getTid() == process().tid();
      if (last) {
        inside.require("unmap the bootstrap pages", Syscall.MUNMAP, bootstrap, bootstrapSize);
      }
      OptionalLong argument = RegisterLoader.lastArgument(thread);
      if (argument.isPresent() && !last && !held) {
        inside.lastCallBegunWith(argument.getAsLong());
      }
      if (last || !held) {
        inside.toEventStop();
      }
      inside.tracee().setSignalMask(thread.getSignalMask());
      loader.load(thread, inside.tracee(), words);
      loader.verify(thread, inside.tracee(), words);
    }
  }

  private static SleepResumer.Sleep sleep(Thread thread) {
    return RestorePlan.sleep(thread);
  }

  private void tagMemory(List<TagRun> runs) throws CheckpointException, IOException {
    MemoryTags tags = new MemoryTags(process().tracee(), host.getPageSize());
    tags.write(runs);
    try (PageScan scan = PageScan.open(process().tid())) {
      if (!tags.read(state.getMemory().getVmasList(), scan).equals(runs)) {
        throw new CheckpointException(
            Outcome.FAILED, "cannot prove the memory tags: they differ from the image's");
      }
    }
  }

  private void proveMappings() throws CheckpointException, IOException {
    List<Vma> wanted = VmaCollector.merged(provable(state.getMemory().getVmasList()));
    List<Vma> collected;
    try (PageScan scan = PageScan.open(process().tid())) {
      collected =
          GuardPages.added(
              VmaCollector.ofStopped()
                  .collect(withoutBootstrap(Proc.of(process().tid()).smaps()), _ -> ANY_OBJECT),
              scan);
    }
    List<Vma> found = VmaCollector.merged(provable(collected));
    if (!guards(collected).equals(guards(state.getMemory().getVmasList()))) {
      throw new CheckpointException(
          Outcome.FAILED, "cannot prove the mappings: other guard regions than in the image");
    }
    for (int i = 0; i < Math.max(wanted.size(), found.size()); i++) {
      if (i >= wanted.size() || i >= found.size() || !wanted.get(i).equals(found.get(i))) {
        throw new CheckpointException(
            Outcome.FAILED,
            "cannot prove the mappings: the image has %s, the restored process has %s"
                .formatted(
                    i < wanted.size() ? wanted.get(i) : "none",
                    i < found.size() ? found.get(i) : "none"));
      }
    }
  }

  private static List<GuardRange> guards(List<Vma> vmas) {
    return vmas.stream().flatMap(vma -> vma.getGuardsList().stream()).toList();
  }

  private List<Smaps> withoutBootstrap(List<Smaps> mappings) {
    return mappings.stream()
        .filter(m -> m.start() < bootstrap || m.start() >= bootstrap + bootstrapSize)
        .toList();
  }

  /// VMAs without what may rightly differ: the times of files written since, the numbers of
  /// objects.
  private static List<Vma> provable(List<Vma> vmas) {
    return vmas.stream()
        .map(vma -> {
          Vma.Builder copy = vma.toBuilder().clearGuards();
          if (vma.getObjectId() != 0) {
            copy.setObjectId(ANY_OBJECT);
          }
          if (vma.hasFile()) {
            copy.setFile(FileIdentity.newBuilder().setPath(vma.getFile().getPath()));
          }
          return copy.build();
        })
        .toList();
  }

  /// Lets the process run. After this it does not depend on jcr any more.
  void thaw(boolean stopped) throws CheckpointException {
    for (OwnedProcess thread : threads.values()) {
      thread.tracee().setOptions(0);
    }
    int stoppedBy = state.getSignals().getStoppedBy();
    if (stopped && stoppedBy == 0) {
      Kernel.raw(Syscall.KILL, process().tid(), SIGSTOP);
    }
    SleepResumer sleeps = new SleepResumer(machine, process().memory());
    copies.keep();
    done = true;
    // Threads whose timeout stands in memory for a moment go first, while the others are stopped;
    // a stopped process does not reach its call.
    for (Thread thread : state.getThreadsList()) {
      if (!stopped && stoppedBy == 0 && sleep(thread).timed(machine.arch()).isPresent()) {
        sleeps.release(inside(thread.getTid()).tracee(), sleep(thread));
        threads.remove(thread.getTid());
      }
    }
    for (OwnedProcess thread : threads.values()) {
      thread.tracee().detach(0);
    }
  }

  @Override
  public void close() throws CheckpointException {
    if (userfault != null) {
      userfault.close();
    }
    if (!done && !born.isEmpty()) {
      Kernel.raw(Syscall.KILL, born.getLast().tid(), SIGKILL);
      // Threads first: the leader's end is seen only after theirs.
      for (Tracee tracee : born) {
        while (!tracee.await().ended()) {
          // Its exit on the way.
        }
      }
    }
    if (!done && server != null) {
      server.close();
    }
    if (process != null) {
      process.memory().close();
      process = null;
    }
    copies.close();
    killStub();
  }
}
