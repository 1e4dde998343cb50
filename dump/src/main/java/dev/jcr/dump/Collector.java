package dev.jcr.dump;

import com.google.protobuf.ByteString;
import dev.jcr.dump.files.Collected;
import dev.jcr.dump.files.EmbeddedFiles;
import dev.jcr.dump.files.Embedding;
import dev.jcr.dump.files.FileCollector;
import dev.jcr.dump.files.LinkPolicy;
import dev.jcr.dump.files.SecretMemory;
import dev.jcr.dump.identity.IdentityCollector;
import dev.jcr.dump.identity.NamespaceCollector;
import dev.jcr.dump.identity.Unkept;
import dev.jcr.dump.memory.FileCopies;
import dev.jcr.dump.memory.PageDumper;
import dev.jcr.dump.memory.WatchedMemory;
import dev.jcr.dump.memory.WriteTracker;
import dev.jcr.dump.signals.SignalCollector;
import dev.jcr.dump.threads.CriticalSections;
import dev.jcr.dump.threads.EndedLeader;
import dev.jcr.dump.threads.RegisterCollector;
import dev.jcr.dump.threads.SleepClock;
import dev.jcr.dump.threads.ThreadCollector;
import dev.jcr.dump.timers.TimerCollector;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.CheckpointException.Problem;
import dev.jcr.image.pages.OnDemand;
import dev.jcr.image.pages.PageWriter;
import dev.jcr.image.registers.Xsave;
import dev.jcr.image.v1.BlockedCall;
import dev.jcr.image.v1.Files;
import dev.jcr.image.v1.Host;
import dev.jcr.image.v1.Identity;
import dev.jcr.image.v1.Loss;
import dev.jcr.image.v1.Memory;
import dev.jcr.image.v1.NumaPolicy;
import dev.jcr.image.v1.PendingSignal;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.Registers;
import dev.jcr.image.v1.Resume;
import dev.jcr.image.v1.SharedObject;
import dev.jcr.image.v1.SignalAction;
import dev.jcr.image.v1.Statistics;
import dev.jcr.image.v1.TagRun;
import dev.jcr.image.v1.Thread;
import dev.jcr.image.v1.Timers;
import dev.jcr.image.v1.Vdso;
import dev.jcr.image.v1.Vma;
import dev.jcr.image.v1.VmaKind;
import dev.jcr.image.v1.Zombie;
import dev.jcr.parasite.arch.Aarch64Machine;
import dev.jcr.parasite.arch.Machine;
import dev.jcr.parasite.arch.X8664Machine;
import dev.jcr.parasite.collect.GuardPages;
import dev.jcr.parasite.collect.NumaPolicies;
import dev.jcr.parasite.collect.VmaCollector;
import dev.jcr.parasite.host.HostClocks;
import dev.jcr.parasite.host.TimeOffsets;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FileStat;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.PageScan;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.Userfault;
import dev.jcr.parasite.namespace.NamespaceKind;
import dev.jcr.parasite.namespace.Namespaces;
import dev.jcr.parasite.namespace.PidNumbers;
import dev.jcr.parasite.procfs.Ahead;
import dev.jcr.parasite.procfs.Anchor;
import dev.jcr.parasite.procfs.MapsEntry;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.procfs.ProcStat;
import dev.jcr.parasite.procfs.ProcStatus;
import dev.jcr.parasite.procfs.Smaps;
import dev.jcr.parasite.ptrace.Freeze;
import dev.jcr.parasite.ptrace.Ptrace;
import dev.jcr.parasite.ptrace.StoppedThread;
import dev.jcr.parasite.ptrace.Tracee;
import dev.jcr.parasite.remote.Gadgets;
import dev.jcr.parasite.remote.Infection;
import dev.jcr.parasite.remote.MemoryTags;
import dev.jcr.parasite.remote.ProcessMemory;
import dev.jcr.parasite.restart.InterruptedCall;
import dev.jcr.parasite.restart.SleepResumer;
import java.io.IOException;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/// The live process as a value: everything that is read between stop and thaw. Confined to the
/// tracer thread.
final class Collector implements AutoCloseable {
  private static final long SA_RESTART = 0x10000000L;
  private static final int MCL_FUTURE = 2;
  private static final int MCL_ONFAULT = 4;
  private static final long STACK_BOTTOM = 16 * 1024;
  private static final int ATTEMPTS = 4;

  private final Anchor process;
  private final int pid;
  private final ProcStat before;
  private final Proc proc;
  private final Host.Builder host;
  private final Machine machine = Machine.of(Kernel.HOST);
  private final Xsave.Layout layout;
  private final ProcessMemory memory;
  private final PidNumbers numbers;
  private final FileCollector fileCollector;
  private final PageScan scan;
  private final Gadgets gadgets;
  private final HostClocks clocks;
  private final SleepClock sleepClock = new SleepClock();
  private final Map<Integer, InterruptedCall> putBack = new HashMap<>();
  private final Map<Integer, InterruptedCall> interrupted = new HashMap<>();
  private final Map<Integer, long[]> aborted = new HashMap<>();
  private final Statistics.Builder statistics = Statistics.newBuilder();
  private @Nullable WriteTracker tracker;
  private boolean trackAgain;
  private boolean leavesPages;
  private boolean proveLater;

  /// What [#look] found.
  private String seenMaps = "";

  private List<Smaps> seen = List.of();
  private boolean unproven;
  private boolean numaPolicies;
  private boolean hasSecrets;
  private SecretMemory secrets = SecretMemory.none();
  private Embedding embedding = Embedding.NONE;
  private long caught;

  private Collector(
      Anchor process,
      ProcStat before,
      Host.Builder host,
      ProcessMemory memory,
      PidNumbers numbers,
      FileCollector fileCollector,
      PageScan scan,
      Gadgets gadgets,
      HostClocks clocks) {
    this.process = process;
    this.pid = process.pid();
    this.before = before;
    this.proc = process.proc();
    this.host = host;
    this.layout = Xsave.Layout.of(host.getX86());
    this.memory = memory;
    this.numbers = numbers;
    this.fileCollector = fileCollector;
    this.scan = scan;
    this.gadgets = gadgets;
    this.clocks = clocks;
  }

  /// Opens what is needed of a running process.
  static Collector open(int pid, Host.Builder host, LinkPolicy connections)
      throws CheckpointException, IOException {
    Anchor process = Anchor.of(pid);
    Proc proc = process.proc();
    ProcessMemory memory = ProcessMemory.open(process);
    try {
      FileCollector files = new FileCollector(pid, connections);
      return new Collector(
          process,
          proc.stat(),
          host,
          memory,
          PidNumbers.of(proc),
          files,
          PageScan.open(process.tid()),
          Gadgets.find(Machine.of(Kernel.HOST), memory, executable(proc.maps())),
          HostClocks.read());
    } catch (CheckpointException | IOException e) {
      memory.close();
      throw e;
    }
  }

  /// Looks at the running process: what may be refused, and how much there is to copy. Returns
  /// bytes.
  long look() throws CheckpointException, IOException {
    fileCollector.preflight();
    fileCollector.prepare();
    numaPolicies = NumaPolicies.any(proc);
    hasSecrets = SecretMemory.any(proc);
    if (process.leaderEnded()) {
      // Not for the first time in the freeze.
      var _ = EndedLeader.collect(pid).toByteArray();
    }
    seenMaps = proc.text("maps");
    seen = proc.smaps();
    try (Namespaces.Visit _ = fileCollector.namespaces().enter()) {
      return PageDumper.estimate(VmaCollector.ofRunning().collect(seen, _ -> 1), scan);
    }
  }

  /// Mappings as VMAs of the image. A file that another process removes between the look at the
  /// mapping and the look at the file is a deleted one at the next look.
  private List<Vma> vmas(List<Smaps> smaps, VmaCollector.Objects objects)
      throws CheckpointException, IOException {
    List<Smaps> listed = smaps;
    for (int attempt = 1; attempt < ATTEMPTS; attempt++) {
      try {
        return VmaCollector.ofStopped().collect(listed, objects);
      } catch (CheckpointException e) {
        if (!VmaCollector.isGone(e)) {
          throw e;
        }
        listed = proc.smaps();
      }
    }
    return VmaCollector.ofStopped().collect(listed, objects);
  }

  /// For a migration: refuses what only a dump takes.
  void requireMovable() throws CheckpointException {
    refuse(EndedLeader.immovable(process));
  }

  /// The last look before the stop, at what stopping destroys.
  Freeze stop(long budgetNanos) throws CheckpointException, IOException {
    aborted.clear();
    putBack.clear();
    interrupted.clear();
    sleepClock.read(proc, machine.arch(), memory);
    Freeze freeze = Freeze.stop(process, machine, budgetNanos);
    boolean done = false;
    try {
      sleepClock.stopped();
      done = true;
      return freeze;
    } finally {
      if (!done) {
        freeze.close();
      }
    }
  }

  /// Those that an image has for the ids of [#collect]'s state.
  PidNumbers numbers() {
    return numbers;
  }

  /// Counts and times of [#collect].
  Statistics.Builder statistics() {
    return statistics;
  }

  /// Leaves to the last image what was not written since.
  ///
  /// @param again go on tracking behind this image
  void track(WriteTracker writes, boolean again) {
    tracker = writes;
    trackAgain = again;
  }

  /// Files whose content goes into the image.
  void embed(Embedding wanted) {
    embedding = wanted;
  }

  /// Unread inotify events may stay behind.
  void loseEvents() {
    fileCollector.loseEvents();
  }

  /// There is time for [#proveMappings].
  void proveLater() {
    proveLater = true;
  }

  /// What applies to the mappings is as it was found before the stop, where [#collect] took it from
  /// there because they were the same: the kernel walks all pages to tell it.
  void proveMappings() throws CheckpointException, IOException {
    if (!unproven) {
      return;
    }
    List<Smaps> now = proc.smaps();
    boolean same = now.size() == seen.size();
    for (int i = 0; same && i < now.size(); i++) {
      same = now.get(i).sameMapping(seen.get(i));
    }
    if (!same) {
      throw new CheckpointException(
          CheckpointException.Outcome.FAILED,
          "cannot dump process %d: it changed what applies to a whole mapping (madvise, mlock) while it was being stopped; try again"
              .formatted(pid));
    }
  }

  /// Pages that may come later stay with the process.
  void leavePages() {
    leavesPages = true;
  }

  /// Makes a userfaultfd of a frozen process's address space and takes it over; the process has no
  /// trace of it. The state returned is only good for [#thaw].
  ///
  /// @param stoppedAt System.nanoTime of the stop
  ProcessState makeUserfault(Freeze freeze, long stoppedAt, Consumer<Userfault> taker)
      throws CheckpointException, IOException {
    requireSame();
    refuse(dispatched(freeze));
    refuse(apart(freeze));
    Map<Integer, InterruptedCall> calls = interrupted(freeze);
    StoppedThread first = freeze.first();
    InterruptedCall firstCall = call(calls, first);
    ProcessState.Builder state = ProcessState.newBuilder();
    try (Infection infection = infect(freeze, calls)) {
      List<SignalAction> actions;
      try (Infection.InfectedThread inside = infection.enter(first, firstCall)) {
        actions = SignalCollector.actions(inside);
        long number =
            inside.require(
                "make a userfaultfd", Syscall.USERFAULTFD, Fd.O_CLOEXEC | Userfault.USER_MODE_ONLY);
        try (Fd pidFd = process.pidFd()) {
          Fd.duplicateOf(pidFd, (int) number).map(Userfault::new).ifPresent(taker);
        } finally {
          inside.call(Syscall.CLOSE, number);
        }
      }
      Map<Integer, SignalAction> byNumber = new HashMap<>();
      actions.forEach(action -> byNumber.put(action.getSignal(), action));
      List<PendingSignal> shared = SignalCollector.pending(first.tracee(), true);
      for (StoppedThread thread : freeze.threads()) {
        InterruptedCall call =
            settled(
                thread, SignalCollector.pending(thread.tracee(), false), calls, byNumber, shared);
        long remaining =
            sleepClock.remaining(thread.tid(), call, machine.arch(), memory, stoppedAt);
        state.addThreads(
            Thread.newBuilder()
                .setTid(thread.tid())
                .setBlockedCall(ThreadCollector.blocked(call, remaining)));
      }
      leave(infection, freeze, calls);
    }
    return state.build();
  }

  /// The final decision about a thread's call, now that the handlers are known.
  private InterruptedCall settled(
      StoppedThread thread,
      List<PendingSignal> pending,
      Map<Integer, InterruptedCall> calls,
      Map<Integer, SignalAction> actions,
      List<PendingSignal> shared)
      throws CheckpointException {
    Optional<InterruptedCall.Handler> handler =
        handler(thread, pending, shared)
            .map(signal ->
                new InterruptedCall.Handler((flags(actions.get(signal)) & SA_RESTART) != 0));
    InterruptedCall call = handler.isEmpty() ? call(calls, thread) : decide(thread, handler);
    calls.put(thread.tid(), call);
    if (call.kind() == InterruptedCall.Kind.PUT_BACK) {
      putBack.put(thread.tid(), call);
    }
    return call;
  }

  /// The state of a frozen process; page contents go to `pages`. Nothing injected is left.
  ///
  /// @param stoppedAt System.nanoTime of the stop
  ProcessState collect(Freeze freeze, PageWriter pages, long stoppedAt)
      throws CheckpointException, IOException {
    List<Integer> children = requireSame();
    Map<Integer, ProcStatus> statuses = suspendSeccomp(freeze);
    Map<Integer, InterruptedCall> calls = interrupted(freeze);
    Map<Integer, Registers> registers = new HashMap<>();
    for (StoppedThread thread : freeze.threads()) {
      // Before the first injected call.
      registers.put(thread.tid(), registers(thread.tracee(), call(calls, thread).resume()));
    }
    long injecting = System.nanoTime();
    List<Thread> threads = new ArrayList<>();
    Identity identity;
    List<SignalAction> actions;
    Timers timers;
    long brk;
    long injected;
    int lockFuture;
    List<Loss> unkept;
    NavigableMap<Long, NumaPolicy> policies;
    StoppedThread first = freeze.first();
    InterruptedCall firstCall = call(calls, first);
    try (Infection infection = infect(freeze, calls)) {
      try (Infection.InfectedThread inside = infection.enter(first, firstCall)) {
        actions = SignalCollector.actions(inside);
        timers = TimerCollector.collect(inside, proc.timers(), stoppedAt);
        identity = IdentityCollector.collect(proc, inside, fileCollector.namespaces());
        brk = inside.call(Syscall.BRK, 0);
        unkept = Unkept.of(proc, inside);
        policies =
            numaPolicies ? NumaPolicies.of(proc.maps(), inside) : Collections.emptyNavigableMap();
        if (hasSecrets) {
          secrets = SecretMemory.read(process, inside, host.getPageSize());
        }
      }
      Map<Integer, SignalAction> byNumber = new HashMap<>();
      actions.forEach(action -> byNumber.put(action.getSignal(), action));
      List<PendingSignal> shared = SignalCollector.pending(first.tracee(), true);
      List<ThreadCollector> collectors = new ArrayList<>();
      for (StoppedThread thread : freeze.threads()) {
        List<PendingSignal> pending = SignalCollector.pending(thread.tracee(), false);
        long[] decided = call(calls, thread).resume();
        InterruptedCall call = settled(thread, pending, calls, byNumber, shared);
        if (!Arrays.equals(decided, call.resume())) {
          registers.put(thread.tid(), withGeneral(registers.get(thread.tid()), call.resume()));
        }
        long remaining =
            sleepClock.remaining(thread.tid(), call, machine.arch(), memory, stoppedAt);
        collectors.add(
            new ThreadCollector(
                thread,
                call,
                Objects.requireNonNull(statuses.get(thread.tid())),
                pending,
                remaining));
      }
      infection.run(collectors);
      if (process.leaderEnded()) {
        threads.add(EndedLeader.collect(pid));
      }
      for (ThreadCollector one : collectors) {
        threads.add(
            one.found(identity)
                .setRegisters(Objects.requireNonNull(registers.get(one.thread().tid())))
                .build());
      }
      lockFuture = lockFuture(infection.scratch());
      leave(infection, freeze, calls);
      injected = infection.calls();
    }
    long describing = System.nanoTime();
    List<Zombie> zombies = Zombies.of(children);
    // Nothing of it changes any more, nor does anything below change mappings.
    unproven = proveLater && proc.text("maps").equals(seenMaps);
    Ahead<List<Smaps>> mapped = unproven ? null : Ahead.of(proc::smaps);
    Files files;
    List<Loss> losses;
    List<Vma> vmas;
    List<TagRun> tags;
    long memdump;
    PageDumper dumper = new PageDumper(memory, pages, host.getPageSize());
    try (Namespaces.Visit _ = fileCollector.namespaces().enter();
        Collected collected = fileCollector.collect(stoppedAt, secrets)) {
      List<Smaps> smaps = mapped == null ? seen : mapped.get();
      refuse(VmaCollector.problems(smaps));
      refuse(WatchedMemory.problems(smaps, scan));
      List<Vma> unguarded =
          NumaPolicies.added(
              vmas(
                  smaps,
                  mapping -> collected.objectFor(mapping.start(), mapping.end(), mapping.path())),
              policies);
      memdump = System.nanoTime();
      if (leavesPages) {
        dumper.leavePages(OnDemand.neededAtOnce(threads, host.getPageSize()));
      }
      dumper.dump(unguarded, scan, tracker, trackAgain);
      vmas = GuardPages.added(unguarded, scan, dumper.guards());
      tags = new MemoryTags(first.tracee(), host.getPageSize()).read(vmas, scan);
      files = collected.files();
      losses = collected.losses();
      for (SharedObject object : files.getObjectsList()) {
        dumper.dumpObject(object.getId(), collected.content(object.getId()), object.getSize());
      }
      if (!embedding.isEmpty()) {
        files = embed(vmas, files, dumper);
      }
      for (SharedObject copy : FileCopies.of(vmas, files.getObjectsList())) {
        try (Fd fd = Fd.open(copy.getName(), Fd.O_RDONLY, 0)) {
          dumper.dumpObject(copy.getId(), fd, copy.getSize());
        }
        files = files.toBuilder().addObjects(copy).build();
      }
      dumper.finish();
    }
    statistics
        .setRegistersTime(micros(stoppedAt, injecting))
        .setInjectionTime(micros(injecting, describing))
        .setDescriptorsTime(micros(describing, memdump))
        .setMemdumpTime(micros(memdump, System.nanoTime()))
        .setPagesScanned(dumper.scanned())
        .setThreads(threads.size())
        .setVmas(vmas.size())
        .setInjectedCalls(injected);
    return ProcessState.newBuilder()
        .setHost(host.setVdso(vdso(memory, vmas)))
        .setIdentity(identity.toBuilder().addAllZombies(zombies))
        .setMemory(memory(proc.stat(), brk, lockFuture, vmas).addAllTags(tags))
        .setFiles(files)
        .setSignals(SignalCollector.signals(freeze, actions))
        // Behind the last look at a timer: what has expired by then is not early when these go on.
        .setTimers(timers.toBuilder().setClocks(clocks.now().of(TimeOffsets.of(proc))))
        .addAllThreads(threads)
        .addAllLosses(losses)
        .addAllLosses(unkept)
        .addAllLosses(secrecy(files))
        .build();
  }

  /// What of secret memory is lost: in the image it is no secret for the image's owner.
  private static List<Loss> secrecy(Files files) {
    return files.getObjectsList().stream()
        .filter(object -> object.getKind() == SharedObject.Kind.KIND_SECRET)
        .map(object ->
            Loss.newBuilder()
                .setKind("memory")
                .setObject("secret memory of %d bytes".formatted(object.getSize()))
                .setReason("whoever can read the image can read it")
                .build())
        .toList();
  }

  /// Copies the files that are to be in the image.
  private Files embed(List<Vma> vmas, Files files, PageDumper dumper)
      throws CheckpointException, IOException {
    try (EmbeddedFiles embedded = EmbeddedFiles.of(pid, vmas, files, embedding)) {
      for (SharedObject object : embedded.objects()) {
        dumper.dumpObject(object.getId(), embedded.content(object), object.getSize());
      }
      embedded.requireUnchanged(pid);
      return files.toBuilder().addAllObjects(embedded.objects()).build();
    }
  }

  private Infection infect(Freeze freeze, Map<Integer, InterruptedCall> calls)
      throws CheckpointException, IOException {
    StoppedThread begins = begins(freeze);
    return Infection.begin(
        machine,
        memory,
        numbers,
        gadgets,
        stackBottom(freeze),
        begins,
        call(calls, begins),
        endSignal(freeze));
  }

  /// Removes what was injected. Who made the first call and the last goes on from what was decided
  /// between them.
  private void leave(Infection infection, Freeze freeze, Map<Integer, InterruptedCall> calls)
      throws CheckpointException {
    infection.end();
    for (StoppedThread thread : List.of(begins(freeze), freeze.first())) {
      thread.tracee().setGeneral(call(calls, thread).live());
    }
  }

  /// Who runs the first injected call: the first, if its calls are not dispatched to itself now.
  private StoppedThread begins(Freeze freeze) {
    for (StoppedThread thread : freeze.threads()) {
      if (Infection.canBegin(thread, memory)) {
        return thread;
      }
    }
    return freeze.first();
  }

  /// Of a thread that dispatches its calls to itself an injected one would end in its handler. Only
  /// ptrace(2) tells, so this is found no earlier.
  private List<Problem> dispatched(Freeze freeze) {
    List<Problem> problems = new ArrayList<>();
    boolean begun = Infection.canBegin(begins(freeze), memory);
    for (StoppedThread thread : freeze.threads()) {
      boolean enters = Infection.canEnter(thread, memory);
      if (!enters || (!begun && thread.tid() == freeze.first().tid())) {
        problems.add(
            new Problem(
                "thread",
                "thread " + thread.tid(),
                "syscall user dispatch gives its system calls to a handler of its own"
                    + (enters ? ", as with all threads" : ", but for a range of instructions"),
                "dump it while its selector is SYSCALL_DISPATCH_FILTER_ALLOW, as in a call"));
      }
    }
    return problems;
  }

  /// Threads that live in other namespaces than the process.
  private List<Problem> apart(Freeze freeze) throws CheckpointException, IOException {
    List<Problem> problems = new ArrayList<>();
    Map<NamespaceKind, FileStat> leaders = NamespaceCollector.leaders(proc);
    for (StoppedThread thread : freeze.threads()) {
      if (thread.tid() != pid) {
        NamespaceCollector.alone(leaders, proc, thread.tid()).ifPresent(problems::add);
      }
    }
    return problems;
  }

  /// An injected call could be what a filter kills for. The kernel ends this with the tracing.
  ///
  /// @return the status of each thread by its id
  private Map<Integer, ProcStatus> suspendSeccomp(Freeze freeze)
      throws CheckpointException, IOException {
    refuse(dispatched(freeze));
    refuse(apart(freeze));
    refuse(EndedLeader.problems(process, freeze.stoppedBy() != 0));
    Map<Integer, ProcStatus> statuses = new HashMap<>();
    for (StoppedThread thread : freeze.threads()) {
      ProcStatus status = proc.status(thread.tid());
      statuses.put(thread.tid(), status);
      if (status.seccomp() != 0
          && !thread.tracee().trySetOptions(Ptrace.O_TRACESYSGOOD | Ptrace.O_SUSPEND_SECCOMP)) {
        throw new CheckpointException(
            CheckpointException.Outcome.UNSUPPORTED,
            "cannot dump thread " + thread.tid() + ": its seccomp filters cannot be suspended");
      }
    }
    return statuses;
  }

  /// Whether a thread is in restart_syscall(2) of a call that cannot be told: it was not asleep yet
  /// when it was looked at. It sleeps a moment later, so the process is let go and stopped again.
  boolean mustTryAgain(Freeze freeze) throws CheckpointException, IOException {
    return interrupted(freeze).values().stream().anyMatch(InterruptedCall::isUnknown);
  }

  /// What was looked at before the stop still holds: the same program, no new child.
  ///
  /// @return children that have ended
  private List<Integer> requireSame() throws CheckpointException, IOException {
    ProcStat now = proc.stat();
    if (now.startTime() != before.startTime()
        || now.startCode() != before.startCode()
        || !gadgets.stillIn(memory)) {
      throw new CheckpointException(
          Outcome.TARGET_LOST,
          "cannot dump process " + pid + ": it executed another program meanwhile; try again");
    }
    List<Problem> problems = new ArrayList<>();
    List<Integer> ended = Preflight.children(proc, problems);
    refuse(problems);
    return ended;
  }

  private void refuse(List<Problem> problems) throws CheckpointException {
    Dump.refuse(pid, problems);
  }

  /// Before the process is killed: its connections are to end without a packet.
  void endConnections() throws CheckpointException {
    fileCollector.endConnections();
  }

  /// Before the process goes on.
  void unlockConnections() {
    fileCollector.unlockConnections();
  }

  /// Lets the process go on. Calls that stopping had made fail are made again, with the time they
  /// had left.
  ///
  /// @param stoppedAt System.nanoTime of the stop: the process notices nothing of the time since
  void thaw(Freeze freeze, ProcessState state, long stoppedAt) throws CheckpointException {
    unlockConnections();
    SleepResumer sleeps = new SleepResumer(machine, memory);
    if (freeze.stoppedBy() == 0) {
      long frozen = System.nanoTime() - stoppedAt;
      int ended = state.getThreads(0).hasEnded() ? 1 : 0;
      List<Thread> threads = state.getThreadsList().subList(ended, state.getThreadsCount());
      for (Thread thread : threads) {
        sleeps.shortenWritten(sleep(thread), frozen);
      }
      for (int i = 0; i < threads.size(); i++) {
        InterruptedCall call = putBack.get(threads.get(i).getTid());
        if (call != null) {
          long remaining = threads.get(i).getBlockedCall().getRemaining();
          SleepResumer.Sleep sleep =
              new SleepResumer.Sleep(
                  call.number(),
                  call.arguments(),
                  remaining == 0 ? 0 : Math.max(1, remaining - frozen));
          StoppedThread thread = freeze.threads().get(i);
          thread.tracee().setGeneral(sleeps.withTimeLeft(call.live(), sleep));
          sleeps.release(thread.tracee(), sleep);
        }
      }
    }
    freeze.thaw();
  }

  private static SleepResumer.Sleep sleep(Thread thread) {
    BlockedCall call = thread.getBlockedCall();
    return new SleepResumer.Sleep(
        call.getResume() == Resume.RESUME_AGAIN ? call.getNumber() : -1,
        call.getArgumentsList().stream().mapToLong(Long::longValue).toArray(),
        call.getRemaining());
  }

  private Map<Integer, InterruptedCall> interrupted(Freeze freeze)
      throws CheckpointException, IOException {
    if (!interrupted.isEmpty()) {
      return interrupted;
    }
    caught = proc.status().sigCgt();
    List<PendingSignal> shared = SignalCollector.pending(freeze.first().tracee(), true);
    for (StoppedThread thread : freeze.threads()) {
      // Whether the handler restarts calls is not known yet, and matters to none of those put back.
      long[] registers = CriticalSections.abort(thread, thread.registers(), machine, memory);
      if (!Arrays.equals(registers, thread.registers())) {
        aborted.put(thread.tid(), registers);
      }
      InterruptedCall call =
          decide(
              thread,
              handler(thread, SignalCollector.pending(thread.tracee(), false), shared)
                  .map(_ -> new InterruptedCall.Handler(true)));
      interrupted.put(thread.tid(), call);
      if (call.kind() == InterruptedCall.Kind.PUT_BACK) {
        // At once: whatever fails from here on, the program does not see the EINTR.
        thread.tracee().setGeneral(call.live());
      }
    }
    return interrupted;
  }

  private Registers registers(Tracee tracee, long[] general) throws CheckpointException {
    return switch (machine) {
      case X8664Machine _ -> RegisterCollector.x8664(tracee, general, layout);
      case Aarch64Machine _ -> RegisterCollector.aarch64(tracee, general);
    };
  }

  /// With other general registers: a handler that is about to run changes how a call goes on.
  private static Registers withGeneral(@Nullable Registers registers, long[] general) {
    List<Long> words = Arrays.stream(general).boxed().toList();
    Registers.Builder changed = registers == null ? Registers.newBuilder() : registers.toBuilder();
    switch (changed.getArchCase()) {
      case X86_64 -> changed.getX8664Builder().clearGeneral().addAllGeneral(words);
      case AARCH64 -> changed.getAarch64Builder().clearGeneral().addAllGeneral(words);
      case ARCH_NOT_SET -> throw new IllegalStateException("a thread without registers");
    }
    return changed.build();
  }

  private InterruptedCall decide(StoppedThread thread, Optional<InterruptedCall.Handler> handler) {
    long[] registers = aborted.getOrDefault(thread.tid(), thread.registers());
    return InterruptedCall.of(
        machine,
        registers,
        sleepClock.blocked(thread.tid()),
        handler,
        sleepClock.place(thread.tid()),
        machine instanceof Aarch64Machine && isAtCall(machine.pc(registers)));
  }

  private boolean isAtCall(long pc) {
    byte[] instruction = machine.syscallInstruction();
    try {
      return Arrays.equals(memory.bytes(pc, instruction.length), instruction);
    } catch (CheckpointException _) {
      return false; // nothing is there
    }
  }

  private static InterruptedCall call(Map<Integer, InterruptedCall> calls, StoppedThread thread) {
    InterruptedCall call = calls.get(thread.tid());
    if (call == null) {
      throw new IllegalStateException("no call of thread " + thread.tid());
    }
    return call;
  }

  /// What ends a batch of injected calls: one that no thread handles or blocks, since then nobody
  /// notices that another of the same number is taken away too; else one that waits in no queue.
  private int endSignal(Freeze freeze) throws CheckpointException {
    long noticed = caught;
    for (StoppedThread thread : freeze.threads()) {
      noticed |= thread.signalMask();
    }
    int signal = Infection.endSignal(noticed);
    return signal == 0 ? Infection.endSignal(caught | pending(freeze)) : signal;
  }

  /// Signals that wait in any queue.
  private static long pending(Freeze freeze) throws CheckpointException {
    List<PendingSignal> all =
        new ArrayList<>(SignalCollector.pending(freeze.first().tracee(), true));
    for (StoppedThread thread : freeze.threads()) {
      all.addAll(SignalCollector.pending(thread.tracee(), false));
    }
    long pending = 0;
    for (PendingSignal signal : all) {
      pending |= 1L << (signal.getSignal() - 1);
    }
    return pending;
  }

  private static long flags(@Nullable SignalAction action) {
    return action == null ? 0 : action.getFlags();
  }

  /// The first pending, unblocked signal that has a handler.
  private Optional<Integer> handler(
      StoppedThread thread, List<PendingSignal> own, List<PendingSignal> shared) {
    List<PendingSignal> all = new ArrayList<>(own);
    all.addAll(shared);
    for (PendingSignal signal : all) {
      long deliverable = caught & ~thread.signalMask();
      if ((deliverable >>> (signal.getSignal() - 1) & 1) != 0) {
        return Optional.of(signal.getSignal());
      }
    }
    return Optional.empty();
  }

  private static List<Gadgets.Range> executable(List<MapsEntry> maps) {
    List<Gadgets.Range> ranges = new ArrayList<>();
    for (MapsEntry entry : maps) {
      if (entry.permissions().startsWith("r-x") && !entry.path().startsWith("[vsyscall")) {
        ranges.add(new Gadgets.Range(entry.start(), entry.end()));
      }
    }
    return ranges;
  }

  /// The lowest part of the main stack, when no thread's stack pointer is in or just above it.
  private Infection.StackBottom stackBottom(Freeze freeze) throws IOException {
    for (MapsEntry entry : proc.maps("[stack]")) {
      if (entry.permissions().startsWith("rw")) {
        for (StoppedThread thread : freeze.threads()) {
          long sp = machine.sp(thread.registers());
          if (sp >= entry.start() && sp < entry.start() + 2 * STACK_BOTTOM) {
            return new Infection.StackBottom(0, 0);
          }
        }
        return new Infection.StackBottom(entry.start(), STACK_BOTTOM);
      }
    }
    return new Infection.StackBottom(0, 0);
  }

  private Memory.Builder memory(ProcStat stat, long brk, int lockFuture, List<Vma> vmas)
      throws IOException {
    return Memory.newBuilder()
        .setStartCode(stat.startCode())
        .setEndCode(stat.endCode())
        .setStartData(stat.startData())
        .setEndData(stat.endData())
        .setStartBrk(stat.startBrk())
        .setBrk(brk)
        .setLockFuture(lockFuture)
        .setStartStack(stat.startStack())
        .setArgStart(stat.argStart())
        .setArgEnd(stat.argEnd())
        .setEnvStart(stat.envStart())
        .setEnvEnd(stat.envEnd())
        .setAuxv(ByteString.copyFrom(proc.bytes("auxv")))
        .addAllVmas(vmas);
  }

  /// What mlockall(2) has set for new mappings, seen by one that was made just now: nothing else
  /// tells. A process that has nothing locked has not called it.
  private int lockFuture(long fresh) throws IOException {
    if (proc.status().lockedKilobytes() == 0) {
      return 0;
    }
    for (Smaps mapping : proc.smaps()) {
      if (mapping.start() <= fresh && fresh < mapping.end()) {
        boolean onFault = mapping.vmFlags().contains("lf");
        boolean locked = mapping.vmFlags().contains("lo");
        return (locked ? MCL_FUTURE : 0) | (locked && onFault ? MCL_ONFAULT : 0);
      }
    }
    return 0;
  }

  static Vdso vdso(ProcessMemory memory, List<Vma> vmas) throws CheckpointException {
    for (Vma vma : vmas) {
      if (vma.getKind() == VmaKind.VMA_VDSO) {
        byte[] bytes = memory.bytes(vma.getStart(), (int) (vma.getEnd() - vma.getStart()));
        int end = bytes.length;
        while (end > 0 && bytes[end - 1] == 0) {
          end--;
        }
        try {
          return Vdso.newBuilder()
              .setSha256(ByteString.copyFrom(MessageDigest.getInstance("SHA-256").digest(bytes)))
              .setCode(ByteString.copyFrom(bytes, 0, end))
              .build();
        } catch (NoSuchAlgorithmException e) {
          throw new IllegalStateException(e);
        }
      }
    }
    return Vdso.getDefaultInstance();
  }

  @Override
  public void close() {
    memory.close();
    secrets.close();
    fileCollector.close();
    scan.close();
  }

  private static long micros(long from, long to) {
    return (to - from) / 1000;
  }
}
