package dev.jcr.dump;

import com.google.protobuf.ByteString;
import dev.jcr.dump.files.Collected;
import dev.jcr.dump.files.FileCollector;
import dev.jcr.dump.identity.IdentityCollector;
import dev.jcr.dump.memory.PageDumper;
import dev.jcr.dump.signals.SignalCollector;
import dev.jcr.dump.threads.CriticalSections;
import dev.jcr.dump.threads.RegisterCollector;
import dev.jcr.dump.threads.SleepClock;
import dev.jcr.dump.threads.ThreadCollector;
import dev.jcr.dump.timers.TimerCollector;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.CheckpointException.Problem;
import dev.jcr.image.codec.ImageWriter;
import dev.jcr.image.pages.PageWriter;
import dev.jcr.image.registers.Xsave;
import dev.jcr.image.v1.Creation;
import dev.jcr.image.v1.Files;
import dev.jcr.image.v1.Host;
import dev.jcr.image.v1.Identity;
import dev.jcr.image.v1.Loss;
import dev.jcr.image.v1.Manifest;
import dev.jcr.image.v1.Memory;
import dev.jcr.image.v1.PendingSignal;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.SharedObject;
import dev.jcr.image.v1.SignalAction;
import dev.jcr.image.v1.Statistics;
import dev.jcr.image.v1.Thread;
import dev.jcr.image.v1.Timers;
import dev.jcr.image.v1.Vdso;
import dev.jcr.image.v1.Vma;
import dev.jcr.image.v1.VmaKind;
import dev.jcr.parasite.arch.Machine;
import dev.jcr.parasite.collect.VmaCollector;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.PageScan;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.procfs.MapsEntry;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.procfs.ProcStat;
import dev.jcr.parasite.procfs.Smaps;
import dev.jcr.parasite.ptrace.Freeze;
import dev.jcr.parasite.ptrace.StoppedThread;
import dev.jcr.parasite.remote.Gadgets;
import dev.jcr.parasite.remote.Infection;
import dev.jcr.parasite.remote.ProcessMemory;
import dev.jcr.parasite.restart.InterruptedCall;
import dev.jcr.parasite.restart.SleepResumer;
import java.io.IOException;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/// One dump, on the tracer thread, in this order: what stopping destroys is read; all threads are
/// stopped; registers and queues are read; calls are injected; everything injected is removed;
/// mappings, descriptors and pages are read; the process goes on (leave-running) or stays stopped
/// until the image is published, and is killed only then.
final class DumpSession {
  private static final long FREEZE_BUDGET_NANOS = 10_000_000_000L;
  private static final int SIGKILL = 9;
  private static final int SIGSTOP = 19;
  private static final long SA_RESTART = 0x10000000L;
  private static final long STACK_BOTTOM = 16 * 1024;

  private final DumpOptions options;
  private final DumpListener listener;
  private final ImageWriter image;
  private final Host.Builder host;
  private final long started;
  private final int pid;
  private final Proc proc;
  private final Machine machine = Machine.of(Kernel.HOST);
  private final Xsave.Layout layout;
  private final SleepClock sleepClock = new SleepClock();
  private final Map<Integer, InterruptedCall> putBack = new HashMap<>();
  private final Statistics.Builder statistics = Statistics.newBuilder();

  DumpSession(
      DumpOptions options,
      DumpListener listener,
      ImageWriter image,
      Host.Builder host,
      long started) {
    this.options = options;
    this.listener = listener;
    this.image = image;
    this.host = host;
    this.started = started;
    this.layout = Xsave.Layout.of(host.getX86());
    this.pid = options.pid();
    this.proc = Proc.of(pid);
  }

  /// Problems of mappings and descriptors.
  static List<Problem> problems(int pid) throws CheckpointException {
    try {
      List<Problem> problems = new ArrayList<>(VmaCollector.problems(Proc.of(pid).smaps()));
      try (FileCollector files = new FileCollector(pid)) {
        problems.addAll(files.preflight());
      }
      return problems;
    } catch (IOException e) {
      throw Preflight.lost(pid, e);
    }
  }

  DumpReport run() throws CheckpointException {
    try (ProcessMemory memory = ProcessMemory.open(pid);
        FileCollector fileCollector = new FileCollector(pid);
        PageScan scan = PageScan.open(pid)) {
      PageWriter pages = image.pages(host.getPageSize());
      Gadgets gadgets = Gadgets.find(memory, executable(proc.maps()));
      warmUp(memory, fileCollector, scan, pages);
      if (options.afterwards() == DumpOptions.Afterwards.LEAVE_RUNNING) {
        pages.hold();
      }
      sleepClock.read(proc, machine.arch());
      long stopping = System.nanoTime();
      try (Freeze freeze = Freeze.stop(pid, machine, FREEZE_BUDGET_NANOS)) {
        long stopped = System.nanoTime();
        statistics.setFreezingTime(micros(stopping, stopped));
        ProcessState state = collect(freeze, memory, fileCollector, gadgets, scan, pages, stopped);
        image.state(state);
        if (options.afterwards() == DumpOptions.Afterwards.LEAVE_RUNNING) {
          thaw(freeze, memory, state);
          statistics.setFrozenTime(micros(stopping, System.nanoTime()));
          pages.release();
        }
        return publish(freeze, state, stopping);
      }
    } catch (IOException e) {
      throw Preflight.lost(pid, e);
    }
  }

  /// First uses of what runs inside the freeze: classes, parsers, buffers.
  private void warmUp(
      ProcessMemory memory, FileCollector fileCollector, PageScan scan, PageWriter pages)
      throws IOException, CheckpointException {
    fileCollector.preflight();
    List<Vma> vmas = new VmaCollector().collect(proc.smaps(), _ -> 0);
    long bytes = PageDumper.estimate(vmas, scan);
    if (options.afterwards() == DumpOptions.Afterwards.LEAVE_RUNNING) {
      pages.reserve((int) Math.min(Integer.MAX_VALUE, bytes / PageWriter.CHUNK_BYTES + 2));
    }
    ThreadCollector.warmUp(proc, machine);
    vdso(memory, vmas);
    listener.progress("freeze", 0, bytes);
  }

  private ProcessState collect(
      Freeze freeze,
      ProcessMemory memory,
      FileCollector fileCollector,
      Gadgets gadgets,
      PageScan scan,
      PageWriter pages,
      long stoppedAt)
      throws CheckpointException, IOException {
    Map<Integer, InterruptedCall> calls = interrupted(freeze);
    List<Thread> threads = new ArrayList<>();
    Identity identity;
    List<SignalAction> actions;
    Timers timers;
    long brk;
    long injected;
    CriticalSections criticalSections = CriticalSections.read(freeze, memory);
    StoppedThread leader = freeze.leader();
    InterruptedCall leaderCall = call(calls, leader);
    try (Infection infection =
        Infection.begin(machine, memory, gadgets, stackBottom(freeze), leader, leaderCall)) {
      try (Infection.InfectedThread inside = infection.enter(leader, leaderCall)) {
        actions = SignalCollector.actions(inside);
        timers = TimerCollector.collect(inside, proc.timers());
        identity = IdentityCollector.collect(proc, inside);
        brk = inside.call(Syscall.BRK, 0);
      }
      Map<Integer, SignalAction> byNumber = new HashMap<>();
      actions.forEach(action -> byNumber.put(action.getSignal(), action));
      List<PendingSignal> shared = SignalCollector.pending(leader.tracee(), true);
      for (StoppedThread thread : freeze.threads()) {
        InterruptedCall plain = call(calls, thread);
        Optional<InterruptedCall.Handler> handler = handler(thread, shared, byNumber);
        InterruptedCall call = handler.isEmpty() ? plain : decide(thread, handler);
        calls.put(thread.tid(), call);
        if (call.kind() == InterruptedCall.Kind.PUT_BACK) {
          putBack.put(thread.tid(), call);
        }
        long remaining =
            sleepClock.remaining(thread.tid(), call, machine.arch(), memory, stoppedAt);
        Thread.Builder collected;
        try (Infection.InfectedThread inside = infection.enter(thread, call)) {
          collected = ThreadCollector.collect(proc, thread, call, remaining, inside);
        }
        criticalSections.putBack(thread.tid());
        threads.add(
            collected
                .setRegisters(RegisterCollector.x8664(thread.tracee(), call.resume(), layout))
                .build());
      }
      infection.end();
      criticalSections.putBack(leader.tid());
      injected = infection.calls();
    }
    List<Smaps> smaps = proc.smaps();
    Files files;
    List<Loss> losses;
    List<Vma> vmas;
    long memdump;
    PageDumper dumper = new PageDumper(memory, pages);
    try (Collected collected = fileCollector.collect()) {
      vmas =
          new VmaCollector()
              .collect(
                  smaps,
                  mapping -> collected.objectFor(mapping.start(), mapping.end(), mapping.path()));
      memdump = System.nanoTime();
      dumper.dump(vmas, scan);
      files = collected.files();
      losses = collected.losses();
      for (SharedObject object : files.getObjectsList()) {
        dumper.dumpObject(object.getId(), collected.content(object.getId()), object.getSize());
      }
      dumper.finish();
    }
    statistics
        .setMemdumpTime(micros(memdump, System.nanoTime()))
        .setPagesScanned(dumper.scanned())
        .setThreads(threads.size())
        .setVmas(vmas.size())
        .setInjectedCalls(injected);
    return ProcessState.newBuilder()
        .setHost(host.setVdso(vdso(memory, vmas)))
        .setIdentity(identity)
        .setMemory(memory(proc.stat(), brk, vmas))
        .setFiles(files)
        .setSignals(SignalCollector.signals(freeze, actions))
        .setTimers(timers)
        .addAllThreads(threads)
        .addAllLosses(losses)
        .build();
  }

  /// Lets the process go on. Calls that stopping had made fail are made again, with the time they
  /// had left.
  private void thaw(Freeze freeze, ProcessMemory memory, ProcessState state)
      throws CheckpointException {
    SleepResumer sleeps = new SleepResumer(machine, memory);
    if (freeze.stoppedBy() == 0) {
      for (int i = 0; i < state.getThreadsCount(); i++) {
        InterruptedCall call = putBack.get(state.getThreads(i).getTid());
        if (call != null) {
          SleepResumer.Sleep sleep =
              new SleepResumer.Sleep(
                  call.number(),
                  call.arguments(),
                  state.getThreads(i).getBlockedCall().getRemaining());
          StoppedThread thread = freeze.threads().get(i);
          thread.tracee().setGeneral(sleeps.withTimeLeft(call.live(), sleep));
          sleeps.release(thread.tracee(), sleep);
        }
      }
    }
    freeze.thaw();
  }

  private Map<Integer, InterruptedCall> interrupted(Freeze freeze) throws CheckpointException {
    Map<Integer, InterruptedCall> calls = new HashMap<>();
    for (StoppedThread thread : freeze.threads()) {
      InterruptedCall call = decide(thread, Optional.empty());
      calls.put(thread.tid(), call);
      if (call.kind() == InterruptedCall.Kind.PUT_BACK) {
        // At once: whatever fails from here on, the program does not see the EINTR.
        thread.tracee().setGeneral(call.live());
      }
    }
    return calls;
  }

  private InterruptedCall decide(StoppedThread thread, Optional<InterruptedCall.Handler> handler) {
    return InterruptedCall.x8664(
        thread.registers(),
        sleepClock.blocked(thread.tid()),
        handler,
        sleepClock.place(thread.tid()));
  }

  private static InterruptedCall call(Map<Integer, InterruptedCall> calls, StoppedThread thread) {
    InterruptedCall call = calls.get(thread.tid());
    if (call == null) {
      throw new IllegalStateException("no call of thread " + thread.tid());
    }
    return call;
  }

  /// The first pending, unblocked signal that has a handler.
  private static Optional<InterruptedCall.Handler> handler(
      StoppedThread thread, List<PendingSignal> shared, Map<Integer, SignalAction> actions)
      throws CheckpointException {
    List<PendingSignal> pending = new ArrayList<>(SignalCollector.pending(thread.tracee(), false));
    pending.addAll(shared);
    for (PendingSignal signal : pending) {
      SignalAction action = actions.get(signal.getSignal());
      boolean blocked = (thread.signalMask() >>> (signal.getSignal() - 1) & 1) != 0;
      // 0 is SIG_DFL, 1 SIG_IGN.
      if (!blocked && action != null && Long.compareUnsigned(action.getHandler(), 1) > 0) {
        return Optional.of(new InterruptedCall.Handler((action.getFlags() & SA_RESTART) != 0));
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
    for (MapsEntry entry : proc.maps()) {
      if (entry.path().equals("[stack]") && entry.permissions().startsWith("rw")) {
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

  private Memory memory(ProcStat stat, long brk, List<Vma> vmas) throws IOException {
    return Memory.newBuilder()
        .setStartCode(stat.startCode())
        .setEndCode(stat.endCode())
        .setStartData(stat.startData())
        .setEndData(stat.endData())
        .setStartBrk(stat.startBrk())
        .setBrk(brk)
        .setStartStack(stat.startStack())
        .setArgStart(stat.argStart())
        .setArgEnd(stat.argEnd())
        .setEnvStart(stat.envStart())
        .setEnvEnd(stat.envEnd())
        .setAuxv(ByteString.copyFrom(proc.bytes("auxv")))
        .addAllVmas(vmas)
        .build();
  }

  private static Vdso vdso(ProcessMemory memory, List<Vma> vmas) throws CheckpointException {
    for (Vma vma : vmas) {
      if (vma.getKind() == VmaKind.VMA_VDSO) {
        byte[] bytes = memory.bytes(vma.getStart(), (int) (vma.getEnd() - vma.getStart()));
        try {
          return Vdso.newBuilder()
              .setSha256(ByteString.copyFrom(MessageDigest.getInstance("SHA-256").digest(bytes)))
              .build();
        } catch (NoSuchAlgorithmException e) {
          throw new IllegalStateException(e);
        }
      }
    }
    return Vdso.getDefaultInstance();
  }

  private DumpReport publish(Freeze freeze, ProcessState state, long stopping)
      throws CheckpointException {
    long writing = System.nanoTime();
    String comm = state.getThreads(0).getComm().toStringUtf8();
    if (options.afterwards() != DumpOptions.Afterwards.LEAVE_RUNNING) {
      statistics.setFrozenTime(micros(stopping, writing));
    }
    statistics
        .setMemwriteTime(0)
        .setTotalTime(micros(started, writing))
        .setDescriptors(state.getFiles().getDescriptorsCount());
    Manifest manifest =
        image.commit(
            pid,
            comm,
            Creation.newBuilder()
                .setJcrVersion(Version.VERSION)
                .setHostName(hostName())
                .setTime(System.currentTimeMillis() * 1_000_000)
                .setStatistics(statistics)
                .build());
    switch (options.afterwards()) {
      case KILL -> kill(freeze);
      case LEAVE_STOPPED -> {
        Kernel.raw(Syscall.KILL, pid, SIGSTOP);
        freeze.thaw();
      }
      case LEAVE_RUNNING -> {}
    }
    Statistics.Builder all =
        manifest.getCreation().getStatistics().toBuilder()
            .setMemwriteTime(micros(writing, System.nanoTime()))
            .setTotalTime(micros(started, System.nanoTime()));
    if (options.afterwards() != DumpOptions.Afterwards.LEAVE_RUNNING) {
      all.setFrozenTime(micros(stopping, System.nanoTime()));
    }
    return new DumpReport(pid, comm, options.directory(), all.build(), state.getLossesList());
  }

  private @Nullable String hostNameOrNull() {
    try {
      return Proc.at("/proc/sys/kernel").text("hostname").strip();
    } catch (IOException _) {
      return null;
    }
  }

  private String hostName() {
    String name = hostNameOrNull();
    return name == null ? "" : name;
  }

  /// After SIGKILL the tracer has to take every thread's end before the process's parent sees its
  /// own.
  private void kill(Freeze freeze) throws CheckpointException {
    try (Fd _ = Fd.ofProcess(pid)) {
      Kernel.raw(Syscall.KILL, pid, SIGKILL);
    } catch (IOException e) {
      throw new CheckpointException(Outcome.TARGET_LOST, String.valueOf(e.getMessage()), e);
    }
    List<StoppedThread> threads = freeze.threads();
    for (int i = threads.size() - 1; i >= 0; i--) {
      while (!threads.get(i).tracee().await().ended()) {
        // An exit on its way through other stops.
      }
    }
    freeze.forget();
  }

  private static long micros(long from, long to) {
    return (to - from) / 1000;
  }
}
