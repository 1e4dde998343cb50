package dev.jcr.restore;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.Modes;
import dev.jcr.image.codec.ImageReader;
import dev.jcr.image.pages.PageStore.Piece;
import dev.jcr.image.pages.Ranges;
import dev.jcr.image.registers.Xsave;
import dev.jcr.image.v1.Host;
import dev.jcr.image.v1.Identity;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.ResourceLimit;
import dev.jcr.image.v1.SharedObject;
import dev.jcr.image.v1.TagRun;
import dev.jcr.image.v1.Thread;
import dev.jcr.image.v1.Vma;
import dev.jcr.parasite.arch.Machine;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FileName;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.PageScan;
import dev.jcr.parasite.linux.Prctl;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.linux.Userfault;
import dev.jcr.parasite.namespace.Namespaces;
import dev.jcr.parasite.procfs.Ahead;
import dev.jcr.parasite.procfs.Anchor;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.ptrace.Tracee;
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
import dev.jcr.restore.lazy.RemoteMemory;
import dev.jcr.restore.memory.AddressSpace;
import dev.jcr.restore.memory.MappingProof;
import dev.jcr.restore.memory.PageFiller;
import dev.jcr.restore.process.Cgroups;
import dev.jcr.restore.process.NamespaceInit;
import dev.jcr.restore.process.SignalSetter;
import dev.jcr.restore.process.TaskMaker;
import dev.jcr.restore.process.TimeNamespace;
import dev.jcr.restore.process.TimerSetter;
import dev.jcr.restore.process.Zombies;
import dev.jcr.restore.threads.LeaderEnd;
import dev.jcr.restore.threads.RegisterLoader;
import dev.jcr.restore.threads.ThreadBuilder;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/// Executes a plan on the tracer thread. Until [#thaw] the new process is killed by the kernel if
/// jcr dies, and by [#close] if a step fails.
final class RestoreSession implements AutoCloseable {
  private static final int SIGKILL = 9;
  private static final int SIGSTOP = 19;
  private static final long ALL_BLOCKED = -1L;

  /// CLONE_PARENT: jcr, not the stub, becomes the parent, and can wait for the process. A detached
  /// one is the stub's child and goes to init when the stub ends: were it jcr's, jcr's end would
  /// make a stopped group an orphaned one, which the kernel hangs up.
  private static final long CLONE_PARENT = 0x8000;

  private static final long CLONE_VM = 0x100;

  /// CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM.
  private static final long CLONE_THREAD_FLAGS = 0x100 | 0x200 | 0x400 | 0x800 | 0x10000 | 0x40000;

  private final ImageReader image;
  private final ProcessState state;
  private final Machine machine = Machine.of(Kernel.HOST);
  private final Host host;
  private final JoinedNamespaces namespaces;
  private final boolean foreground;
  private final Staging.@Nullable Handed staged;
  private final LazyRanges lazy;
  private final @Nullable RemoteMemory remote;
  private final Laps laps;
  private final FileCopies copies = new FileCopies();
  private final List<Tracee> born = new ArrayList<>();
  private final List<String> notes = new ArrayList<>();
  private final Map<Integer, OwnedProcess> threads = new LinkedHashMap<>();
  private int stubPid;
  private long bootstrap;
  private int bootstrapSize;
  private @Nullable OwnedProcess process;
  private @Nullable ProcessMemory living;
  private @Nullable ThreadBuilder threadBuilder;
  private @Nullable AddressSpace space;
  private @Nullable FileExecutor files;
  private @Nullable Userfault userfault;
  private @Nullable LazyServer server;
  private @Nullable NamespaceInit init;
  private @Nullable Ahead<MappingProof.Found> mapped;
  private boolean done;

  /// @param state the image's, with what is to be other
  /// @param namespaces that the process joins
  /// @param foreground the process takes over jcr's terminal
  /// @param staged pages that are in place already; only for a detached process
  /// @param lazy what comes on demand
  /// @param remote who gives it; null: the image
  /// @param laps goes on with the steps
  RestoreSession(
      ImageReader image,
      ProcessState state,
      Host host,
      JoinedNamespaces namespaces,
      boolean foreground,
      Staging.@Nullable Handed staged,
      LazyRanges lazy,
      @Nullable RemoteMemory remote,
      Laps laps) {
    this.laps = laps;
    this.remote = remote;
    this.staged = staged;
    this.lazy = lazy;
    this.stubPid = staged == null ? 0 : staged.stubPid();
    this.image = image;
    this.state = state;
    this.host = host;
    this.namespaces = namespaces;
    this.foreground = foreground;
  }

  /// In jcr's pid namespace.
  int pid() {
    return process().tid();
  }

  /// In its own.
  int ownPid() {
    return process().ids().process();
  }

  /// Where what becomes of the process is told, if not by wait(2); the caller's to close.
  Optional<Fd> statuses() {
    return init == null ? Optional.empty() : init.statuses();
  }

  /// Who serves the pages that come on demand; it has taken the image over.
  Optional<LazyServer> server() {
    return Optional.ofNullable(server);
  }

  List<Timing> timings() {
    return laps.timings();
  }

  List<String> notes() {
    List<String> all = new ArrayList<>(notes);
    if (files != null) {
      all.addAll(files.notes());
    }
    return List.copyOf(all);
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
    int next = 0;
    while (next < steps.size()) {
      RestoreStep step = steps.get(next);
      try {
        next += execute(steps.subList(next, steps.size()));
      } catch (IOException e) {
        throw new CheckpointException(
            Outcome.FAILED, "cannot " + step.describe() + ": " + e.getMessage(), e);
      }
      laps.lap(step.getClass().getSimpleName());
    }
  }

  /// Executes the first of some steps, and with it those of its kind that follow and take fewer
  /// stops together; returns how many.
  private int execute(List<RestoreStep> steps) throws CheckpointException, IOException {
    return switch (steps.getFirst()) {
      case RestoreStep.CreateThread _ -> {
        List<RestoreStep.CreateThread> same = leading(steps, RestoreStep.CreateThread.class);
        createThreads(same.stream().map(RestoreStep.CreateThread::tid).toList());
        yield same.size();
      }
      case RestoreStep.ConfigureThread _ -> {
        List<RestoreStep.ConfigureThread> same = leading(steps, RestoreStep.ConfigureThread.class);
        configure(same.stream().map(RestoreStep.ConfigureThread::thread).toList());
        yield same.size();
      }
      case RestoreStep.MapVma(var vma, boolean _) when space().isPlain(vma) -> {
        List<RestoreStep.MapVma> same = new ArrayList<>();
        for (RestoreStep step : steps) {
          if (!(step instanceof RestoreStep.MapVma map) || !space().isPlain(map.vma())) {
            break;
          }
          same.add(map);
        }
        space()
            .mapPlain(
                same.stream().map(RestoreStep.MapVma::vma).toList(),
                same.stream().map(RestoreStep.MapVma::writable).toList());
        yield same.size();
      }
      default -> {
        execute(steps.getFirst());
        yield 1;
      }
    };
  }

  /// Those of one kind at the beginning.
  private static <T extends RestoreStep> List<T> leading(List<RestoreStep> steps, Class<T> kind) {
    return steps.stream().takeWhile(kind::isInstance).map(kind::cast).toList();
  }

  private void execute(RestoreStep step) throws CheckpointException, IOException {
    switch (step) {
      case RestoreStep.CreateProcess(long base, int pid, var _) -> create(base, pid);
      case RestoreStep.JoinSession(int pid, int session, int group) ->
          joinSession(pid, session, group);
      case RestoreStep.EmptyAddressSpace(long address, int size) -> {
        bootstrap = address;
        bootstrapSize = size;
        space().empty(address, size);
        setLoginUid(state.getIdentity());
      }
      case RestoreStep.JoinNamespaces _ -> namespaces.join(process());
      case RestoreStep.ProveNamespaces _ -> namespaces.prove(process().tid());
      case RestoreStep.MakeZombies(var zombies) ->
          new Zombies(machine, process(), state.getIdentity().getProcessGroup()).make(zombies);
      case RestoreStep.PlaceVdso(var vmas, long temporary) -> space().placeVdso(vmas, temporary);
      case RestoreStep.StartDescriptors(var all) ->
          files =
              new FileExecutor(
                  process(), all, state.getIdentity().getWorkingDirectory(), foreground);
      case RestoreStep.Descriptors(var one) -> {
        try (Namespaces.Visit _ = namespaces.enter()) {
          files().execute(one);
        }
      }
      case RestoreStep.FillObjects(var objects) -> {
        for (SharedObject object : objects) {
          if (!files().isFresh(object.getId())) {
            notes.add(
                "System V segment %d: others use it, so its content is theirs"
                    .formatted(object.getSegment()));
            continue;
          }
          if (object.getKind() == SharedObject.Kind.KIND_SECRET) {
            files()
                .fillSecret(
                    object,
                    fd -> new PageFiller(image.pages(), process().memory()).fillObject(object, fd));
            continue;
          }
          try (Fd fd = files().objectFd(object.getId())) {
            new PageFiller(image.pages(), process().memory()).fillObject(object, fd);
          }
        }
      }
      case RestoreStep.RecreateFiles(var all) -> {
        try (Namespaces.Visit _ = namespaces.enter()) {
          copies.make(
              all,
              (object, fd) ->
                  new PageFiller(image.pages(), process().memory()).fillObject(object, fd));
        }
      }
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
      case RestoreStep.SetLayout(var memory, var executable) -> {
        space().layout(memory, executable);
        // When everything is mapped, and before the other threads are made, which inherit it.
        Batch modes = process().batch();
        ThreadBuilder.modes("", Modes.of(state.getIdentity()), modes);
        process().run(modes);
        // From here to their proof the mappings stay as they are.
        if (!namespaces.hasMounts()) {
          int tid = process().tid();
          mapped = Ahead.of(() -> MappingProof.Found.of(tid));
        }
      }
      case RestoreStep.SetClocks(var plan) -> TimeNamespace.enter(process(), plan);
      case RestoreStep.CreateThread(int tid) -> createThreads(List.of(tid));
      case RestoreStep.SetActions(var signals) ->
          SignalSetter.actions(process(), signals.getActionsList());
      case RestoreStep.SetIdentity(var identity) -> {
        setIdentity(identity);
        notes.addAll(Cgroups.join(process().tid(), identity.getCgroupsList()));
        if (init != null) {
          // Whoever ends the groups of jcr would end the process as well.
          var _ = Cgroups.join(init.pid(), identity.getCgroupsList());
        }
      }
      case RestoreStep.ConfigureThread(var thread) -> configure(List.of(thread));
      case RestoreStep.SetDumpable(int dumpable) -> {
        // 2 (root only) cannot be set; a change of credentials gives it where it was.
        if (dumpable <= 1) {
          process().require("set dumpable", Syscall.PRCTL, Prctl.SET_DUMPABLE, dumpable);
        }
      }
      case RestoreStep.QueueSignals(var signals, var all) -> {
        SignalSetter.queue(process(), signals.getPendingList());
        for (Thread thread : all) {
          SignalSetter.queueToThread(inside(thread.getTid()), thread.getPendingList());
        }
      }
      case RestoreStep.StopProcess _ -> {
        // SIGTSTP and its like do not stop an orphaned group, or one that handles or blocks them.
        Kernel.raw(Syscall.KILL, process().tid(), SIGSTOP);
        for (OwnedProcess thread : threads.values()) {
          thread.toGroupStop();
        }
      }
      case RestoreStep.SetTimers(var timers) -> TimerSetter.set(process(), timers);
      case RestoreStep.LoadRegisters(var all) -> loadRegisters(all);
      case RestoreStep.EndLeader(var leader) -> {
        LeaderEnd.make(leader, process(), machine, bootstrap, bootstrapSize);
        threads.remove(leader.getTid());
        // By the leader's id it is not reached any more.
        int other = List.copyOf(threads.values()).getLast().tid();
        living = ProcessMemory.open(new Anchor(process().tid(), other));
      }
      case RestoreStep.ProvePages _ -> {
        PageFiller filler = new PageFiller(image.pages(), process().memory());
        filler.verify(missing(filler), state.getMemory().getVmasList());
        filler.zeros(state.getMemory().getVmasList(), image.pagemap(), true);
      }
      case RestoreStep.RegisterRseq(var all) -> {
        List<Thread> registered = all.stream().filter(Thread::hasRseq).toList();
        if (isPending(OwnedProcess.BATCH_SIGNAL)) {
          // A batch would take it away.
          for (Thread thread : registered) {
            ThreadBuilder.registerRseq(thread, inside(thread.getTid()));
          }
        } else {
          ThreadBuilder.registerRseq(registered, insides(registered));
        }
      }
      case RestoreStep.OpenUserfault _ -> userfault = openUserfault();
      case RestoreStep.ServePages(var ranges) -> {
        if (userfault == null) {
          throw new IllegalStateException("no userfaultfd yet");
        }
        server =
            LazyServer.start(
                process().tid(),
                userfault,
                ranges,
                remote == null
                    ? new ImageBlocks(image)
                    : remote.open(ranges.pages(), image.pages().pageSize()),
                image.digest());
        server.note().ifPresent(notes::add);
        userfault = null;
        prctl(state.getIdentity().getThpDisable(), -1, Prctl.SET_THP_DISABLE, "THP disable");
      }
      case RestoreStep.RedirectVdso(long start, var code, int functions) -> {
        space().redirectVdso(start, code.toByteArray());
        notes.add(
            "the vDSO is another than that of kernel %s: %d functions lead to this kernel's"
                .formatted(state.getHost().getKernelRelease(), functions));
      }
      case RestoreStep.TagMemory(var runs) -> tagMemory(runs);
      case RestoreStep.ProveMappings _ -> {
        try (Namespaces.Visit _ = namespaces.enter()) {
          MappingProof.require(
              process().tid(), found(), state.getMemory().getVmasList(), bootstrap, bootstrapSize);
        }
      }
    }
  }

  private MappingProof.Found found() throws IOException {
    return mapped == null ? MappingProof.Found.of(process().tid()) : mapped.get();
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
      bear(staged.process(), CLONE_VM, pid);
    } else {
      stubPid = foreground ? TaskMaker.startStub(stubBase) : StubProgram.start(stubBase);
      Tracee stub = TaskMaker.seizeStub(stubPid);
      try (ProcessMemory stubMemory = ProcessMemory.open(stubPid)) {
        OwnedProcess inStub =
            new OwnedProcess(
                machine,
                stub,
                stubMemory,
                stub.general(machine.words()),
                StubProgram.syscallAddress(stubBase));
        bear(inStub, foreground ? CLONE_PARENT : 0, pid);
      }
    }
    killStub();
  }

  /// In the pid namespace that it is to be in: as its PID 1, as a child of its PID 1, or, in one
  /// that is there already, as if its parent were not of it.
  private void bear(OwnedProcess inStub, long flags, int pid)
      throws CheckpointException, IOException {
    if (!namespaces.newPids()) {
      if (namespaces.pids().isPresent()) {
        namespaces.joinPids(inStub, machine.sp(inStub.base()) - 4096);
      }
      create(inStub, flags, pid);
    } else if (pid == 1) {
      create(inStub, flags | TaskMaker.NEW_PIDS, pid);
    } else {
      init = NamespaceInit.make(inStub, foreground, (flags & CLONE_VM) != 0);
      create(init.inside(), flags & CLONE_VM, pid);
      init.execute(pid);
    }
  }

  private void create(OwnedProcess inStub, long flags, int pid) throws CheckpointException {
    long stack = machine.sp(inStub.base()) - 4096;
    long child = TaskMaker.clone(inStub, stack, flags, pid);
    if (child == -Errno.EEXIST) {
      throw TaskMaker.idInUse(pid, pid);
    }
    if ((flags & TaskMaker.NEW_PIDS) != 0) {
      TaskMaker.requireNamespace(child);
    }
    TaskMaker.require("create process " + pid, child);
    Tracee tracee = Tracee.attached((int) child);
    born.addFirst(tracee);
    TaskMaker.awaitEventStop(tracee);
    ProcessMemory memory = ProcessMemory.open(tracee.tid());
    OwnedProcess created =
        new OwnedProcess(
            machine,
            tracee,
            memory,
            tracee.general(machine.words()),
            inStub.syscallAt(),
            new OwnedProcess.Ids(pid, pid));
    process = created;
    threads.put(pid, created);
    // Nothing may be delivered before the thaw.
    tracee.setSignalMask(ALL_BLOCKED);
    if (lazy.bytes() > 0) {
      // A huge page would fill what is to come on demand with zeros. Until it is registered.
      created.require("forbid huge pages", Syscall.PRCTL, Prctl.SET_THP_DISABLE, 1, 0, 0, 0);
    }
    space = new AddressSpace(created, object -> files().remoteObjectFd(object), kept());
  }

  private Ranges kept() {
    return staged == null ? new Ranges() : staged.kept();
  }

  /// Stored pages that are not in place yet.
  private List<Piece> missing(PageFiller filler) {
    return filler.missing(staged == null ? lazy.pages() : staged.pages());
  }

  private void killStub() throws CheckpointException {
    if (stubPid != 0) {
      TaskMaker.endStub(stubPid);
      stubPid = 0;
    }
  }

  private void joinSession(int pid, int session, int group) throws CheckpointException {
    if (session == pid) {
      process().require("make a session", Syscall.SETSID);
      return;
    }
    long own = process().call(Syscall.GETSID, 0);
    if (own != session) {
      notes.add(
          namespaces.hasOtherPids()
              ? "session %d: the process is in session %d of its pid namespace"
                  .formatted(session, own)
              : "session %d: the process is in session %d of whoever restored it"
                  .formatted(session, own));
    }
    if (group == 0) {
      return; // of nobody in its pid namespace: any will do
    }
    long result = process().call(Syscall.SETPGID, 0, group == pid ? 0 : group);
    long now = process().call(Syscall.GETPGID, 0);
    if (Kernel.isError(result) && group != now) {
      notes.add(
          "process group %d: %s; the process is in group %d"
              .formatted(group, Errno.describe((int) -result), now));
    }
  }

  private void configure(List<Thread> some) throws CheckpointException, IOException {
    for (Thread thread : some) {
      if (Xsave.uses(thread.getRegisters().getX8664(), AmxState.TILEDATA)) {
        AmxState.use(inside(thread.getTid()));
      }
    }
    ThreadBuilder.configure(some, insides(some));
    ThreadBuilder builder = threadBuilder();
    for (Thread thread : some) {
      builder.seccomp(thread, inside(thread.getTid()), TaskMaker.OPTIONS);
      builder.credentials(thread, inside(thread.getTid()));
    }
  }

  private boolean isPending(int signal) {
    return Stream.concat(
            state.getSignals().getPendingList().stream(),
            state.getThreadsList().stream().flatMap(thread -> thread.getPendingList().stream()))
        .anyMatch(pending -> pending.getSignal() == signal);
  }

  private List<OwnedProcess> insides(List<Thread> some) {
    return some.stream().map(thread -> inside(thread.getTid())).toList();
  }

  private void createThreads(List<Integer> tids) throws CheckpointException {
    if (namespaces.hasOtherPids()) {
      // What their ids are in jcr's namespace is told of each clone alone.
      for (int tid : tids) {
        createThread(tid);
      }
      return;
    }
    OwnedProcess leader = process();
    for (int from = 0; from < tids.size(); from += TaskMaker.MOST_THREADS) {
      List<Integer> some = tids.subList(from, Math.min(tids.size(), from + TaskMaker.MOST_THREADS));
      List<Integer> refused = new ArrayList<>();
      for (Tracee made : TaskMaker.threads(leader, CLONE_THREAD_FLAGS, some, refused, born)) {
        join(made, made.tid());
      }
      for (int tid : refused) {
        createThread(tid);
      }
    }
  }

  /// Alone, where its id may be free in a moment.
  private void createThread(int tid) throws CheckpointException {
    OwnedProcess leader = process();
    long result = TaskMaker.clone(leader, leader.scratch(), CLONE_THREAD_FLAGS, tid);
    if (result == -Errno.EEXIST) {
      throw TaskMaker.idInUse(leader.ids().process(), tid);
    }
    TaskMaker.require("create thread " + tid, result);
    Tracee tracee = Tracee.attached((int) result);
    born.addFirst(tracee);
    join(tracee, tid);
  }

  /// A new thread is one of the process's when it has stopped.
  ///
  /// @param tid in its own pid namespace
  private void join(Tracee tracee, int tid) throws CheckpointException {
    OwnedProcess leader = process();
    TaskMaker.awaitEventStop(tracee);
    tracee.setSignalMask(ALL_BLOCKED);
    OwnedProcess thread =
        new OwnedProcess(
            machine,
            tracee,
            leader.memory(),
            leader.base(),
            leader.syscallAt(),
            new OwnedProcess.Ids(leader.ids().process(), tid));
    thread.moveTo(leader.syscallAt(), leader.scratch(), leader.scratchSize());
    threads.put(tid, thread);
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
    write("oom_score_adj", Integer.toString(identity.getOomScoreAdj()));
    autogroup(identity);
    write("coredump_filter", "0x" + Integer.toHexString(identity.getCoredumpFilter()));
    prctl(identity.getChildSubreaper() ? 1 : 0, 0, Prctl.SET_CHILD_SUBREAPER, "child subreaper");
    if (lazy.bytes() == 0) {
      // Setting it waits for whoever reads the mappings (mmap_lock), asking does not.
      int now = (int) inside.call(Syscall.PRCTL, Prctl.GET_THP_DISABLE, 0, 0, 0, 0);
      prctl(identity.getThpDisable(), now, Prctl.SET_THP_DISABLE, "THP disable");
    }
    prctl(identity.getMemoryMerge() ? 1 : 0, 0, Prctl.SET_MEMORY_MERGE, "memory merge");
    prctl(identity.getMemoryDenyWriteExecute(), 0, Prctl.SET_MDWE, "memory deny write execute");
    for (int command = 2; command <= 8; command += 2) {
      // MEMBARRIER_CMD_REGISTER_*: bits 2, 4, 6 and 8.
      if ((identity.getMembarrierRegistrations() >>> command & 1) != 0) {
        inside.require("register for membarrier", Syscall.MEMBARRIER, 1L << command, 0, 0);
      }
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

  /// A session of the process's own has a new group of its own, sched(7).
  private void autogroup(Identity identity) throws CheckpointException {
    int nice = identity.getAutogroupNice();
    if (nice == 0) {
      return;
    }
    if (identity.getSession() == identity.getPid()) {
      write("autogroup", Integer.toString(nice));
    } else {
      notes.add(
          "autogroup: its nice value was %d; it is that of the restorer's now".formatted(nice));
    }
  }

  /// A task can only set its own, and hands it on to its threads.
  private void setLoginUid(Identity identity) throws CheckpointException, IOException {
    Optional<String> own = Proc.of(process().tid()).optionalText("loginuid");
    String wanted = Integer.toUnsignedString(identity.getLoginUid());
    if (!identity.hasLoginUid() || own.isEmpty() || own.get().strip().equals(wanted)) {
      return;
    }
    OwnedProcess inside = process();
    try (Arena arena = Arena.ofConfined()) {
      inside.write(inside.scratch(), FileName.allocate(arena, "/proc/self/loginuid"));
      long fd =
          inside.require(
              "open /proc/self/loginuid",
              Syscall.OPENAT,
              Fd.AT_FDCWD,
              inside.scratch(),
              Fd.O_WRONLY | Fd.O_CLOEXEC,
              0);
      inside.write(inside.scratch(), arena.allocateFrom(wanted));
      long written = inside.call(Syscall.WRITE, fd, inside.scratch(), wanted.length());
      inside.call(Syscall.CLOSE, fd);
      if (Kernel.isError(written)) {
        notes.add(
            "login uid %s: %s; it is %s"
                .formatted(wanted, Errno.describe((int) -written), own.get().strip()));
      }
    }
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
      // Not at an offset, which some of these files do not take.
      Kernel.call(
          "write " + value,
          Syscall.WRITE,
          fd.number(),
          arena.allocateFrom(value).address(),
          value.length());
    } catch (SyscallException e) {
      throw new CheckpointException(
          e.errno() == Errno.EACCES || e.errno() == Errno.EPERM
              ? Outcome.PERMISSION
              : Outcome.FAILED,
          "cannot write " + value + " to " + path + ": " + Errno.describe(e.errno()),
          e);
    }
  }

  private void loadRegisters(List<Thread> some) throws CheckpointException {
    RegisterLoader loader = new RegisterLoader(state.getHost(), host);
    SleepResumer sleeps = new SleepResumer(machine, process().memory());
    boolean stopped = state.getSignals().getStoppedBy() != 0;
    for (Thread thread : some) {
      if (isOnItsWay(thread, stopped)) {
        inside(thread.getTid()).beginEventStop();
      }
    }
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
      boolean last = thread.getTid() == process().ids().process();
      if (last) {
        inside.require("unmap the bootstrap pages", Syscall.MUNMAP, bootstrap, bootstrapSize);
      }
      OptionalLong argument = RegisterLoader.lastArgument(thread);
      if (argument.isPresent() && !last && !held) {
        inside.lastCallBegunWith(argument.getAsLong());
      }
      if (isOnItsWay(thread, stopped)) {
        inside.awaitEventStop();
      } else if (last || !held) {
        inside.toEventStop();
      }
      inside.tracee().setSignalMask(thread.getSignalMask());
      loader.load(thread, inside.tracee(), words);
      loader.verify(thread, inside.tracee(), words);
      if (thread.hasUserDispatch()) {
        // From here on no call is injected.
        ThreadBuilder.dispatch(thread, inside.tracee());
      }
    }
  }

  /// To its event stop at once: nothing has to be called in it any more.
  private boolean isOnItsWay(Thread thread, boolean stopped) {
    return thread.getTid() != process().ids().process()
        && RegisterLoader.lastArgument(thread).isEmpty()
        && !sleep(thread).isHeldByKernel(machine.arch(), stopped);
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

  /// What the user should know besides.
  void note(List<String> more) {
    notes.addAll(more);
  }

  /// Whether other hosts may hear of the process before its first instruction.
  boolean hasConnections() {
    return state.getFiles().getDescriptionsList().stream()
        .anyMatch(description ->
            description.hasInetSocket() && description.getInetSocket().hasConnection());
  }

  /// From here on the process runs if jcr dies.
  void unbind() throws CheckpointException {
    if (init != null) {
      // First: it ends when the process does, but not the other way round.
      init.letGo();
    }
    for (OwnedProcess thread : threads.values()) {
      thread.tracee().setOptions(0);
    }
  }

  /// Lets the process run. After this it does not depend on jcr any more.
  void thaw(boolean stopped) throws CheckpointException {
    int stoppedBy = state.getSignals().getStoppedBy();
    if (stopped && stoppedBy == 0) {
      Kernel.raw(Syscall.KILL, process().tid(), SIGSTOP);
    }
    SleepResumer sleeps = new SleepResumer(machine, living == null ? process().memory() : living);
    for (String left : keep()) {
      notes.add("file " + left + " is one that the process alone should have; remove it");
    }
    done = true;
    // Threads whose timeout stands in memory for a moment go first, while the others are stopped;
    // a stopped process does not reach its call.
    for (Thread thread : state.getThreadsList()) {
      if (thread.hasEnded()) {
        continue;
      }
      if (!stopped && stoppedBy == 0 && sleep(thread).timed(machine.arch()).isPresent()) {
        sleeps.release(inside(thread.getTid()).tracee(), sleep(thread));
        threads.remove(thread.getTid());
      }
    }
    for (OwnedProcess thread : threads.values()) {
      thread.tracee().detach(0);
    }
  }

  /// The files that were made stay; those that could not be removed.
  private List<String> keep() throws CheckpointException {
    try (Namespaces.Visit _ = namespaces.enter()) {
      return copies.keep();
    } catch (SyscallException e) {
      throw new CheckpointException(Outcome.FAILED, String.valueOf(e.getMessage()), e);
    }
  }

  private void removeFiles() throws CheckpointException {
    try (Namespaces.Visit _ = namespaces.enter()) {
      copies.close();
    } catch (SyscallException e) {
      throw new CheckpointException(Outcome.FAILED, String.valueOf(e.getMessage()), e);
    }
  }

  @Override
  public void close() throws CheckpointException {
    if (userfault != null) {
      userfault.close();
    }
    if (!done && !born.isEmpty()) {
      Kernel.raw(Syscall.KILL, born.getLast().tid(), SIGKILL);
      Tracee.awaitEnds(born);
    }
    if (!done && server != null) {
      server.close();
    }
    if (living != null) {
      living.close();
      living = null;
    }
    if (process != null) {
      process.memory().close();
      process = null;
    }
    try {
      if (init != null) {
        init.close();
      }
      removeFiles();
    } finally {
      killStub();
    }
  }
}
