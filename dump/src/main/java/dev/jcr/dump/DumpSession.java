package dev.jcr.dump;

import dev.jcr.dump.files.FileCollector;
import dev.jcr.dump.files.LinkPolicy;
import dev.jcr.dump.identity.NamespaceCollector;
import dev.jcr.dump.identity.OwnNumbers;
import dev.jcr.dump.memory.Keeper;
import dev.jcr.dump.memory.WatchedMemory;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Problem;
import dev.jcr.image.codec.ImageWriter;
import dev.jcr.image.codec.ParentImage;
import dev.jcr.image.pages.PageWriter;
import dev.jcr.image.v1.Creation;
import dev.jcr.image.v1.Host;
import dev.jcr.image.v1.Manifest;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.Statistics;
import dev.jcr.image.v1.Tracking;
import dev.jcr.parasite.collect.VmaCollector;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.PageScan;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.namespace.PidNumbers;
import dev.jcr.parasite.procfs.Anchor;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.ptrace.Freeze;
import dev.jcr.parasite.ptrace.StoppedThread;
import dev.jcr.parasite.ptrace.Tracee;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/// One dump, on the tracer thread, in this order: what stopping destroys is read; all threads are
/// stopped; registers and queues are read; calls are injected; everything injected is removed;
/// mappings, descriptors and pages are read; the process goes on (leave-running) or stays stopped
/// until the image is published, and is killed only then.
final class DumpSession {
  private static final int ATTEMPTS = 5;
  private static final long PAUSE_NANOS = 2_000_000;
  private static final long FREEZE_BUDGET_NANOS = 10_000_000_000L;
  private static final int SIGKILL = 9;
  private static final int SIGSTOP = 19;

  private final DumpOptions options;
  private final DumpListener listener;
  private final ImageWriter image;
  private final DumpGate gate;
  private final Host.Builder host;
  private final long started;
  private final boolean rehearsed;
  private final int pid;
  private int ownPid;
  private final List<String> notes = new ArrayList<>();
  private Statistics.Builder statistics = Statistics.newBuilder();
  private @Nullable MemoryRounds rounds;
  private @Nullable Tracking tracking;

  DumpSession(
      DumpOptions options,
      DumpListener listener,
      ImageWriter image,
      Host.Builder host,
      long started,
      @Nullable MemoryRounds rounds,
      boolean rehearsed,
      DumpGate gate) {
    this.options = options;
    this.listener = listener;
    this.image = image;
    this.rounds = rounds;
    this.rehearsed = rehearsed;
    this.gate = gate;
    this.host = host;
    this.started = started;
    this.pid = options.pid();
  }

  /// Problems of mappings and descriptors.
  static List<Problem> problems(int pid, LinkPolicy policy) throws CheckpointException {
    try {
      List<Problem> problems = new ArrayList<>();
      Anchor process = Anchor.of(pid);
      Proc proc = process.proc();
      problems.addAll(VmaCollector.problems(proc.smaps()));
      try (PageScan scan = PageScan.open(process.tid())) {
        problems.addAll(WatchedMemory.ofRunning(proc, scan));
      }
      try (FileCollector files = new FileCollector(pid, policy)) {
        problems.addAll(files.preflight());
        PidNumbers numbers = PidNumbers.of(proc);
        if (problems.isEmpty() && numbers.isNested()) {
          ProcessState known = ProcessState.newBuilder().setFiles(files.outline()).build();
          problems.addAll(OwnNumbers.of(pid, numbers, known).problems());
        }
      }
      return problems;
    } catch (IOException e) {
      throw Preflight.lost(pid, e);
    }
  }

  DumpReport run() throws CheckpointException {
    boolean done = false;
    try {
      track();
      DumpReport report = dump();
      done = true;
      return report;
    } finally {
      if (rounds != null) {
        rounds.close();
      }
      if (!done && tracking != null) {
        Keeper.end(tracking, pid);
      }
    }
  }

  /// Takes over what an earlier image left behind, or begins to track.
  private void track() throws CheckpointException {
    ParentImage parent =
        options.parent() == null ? null : ParentImage.open(options.directory(), options.parent());
    if (parent != null) {
      rounds = MemoryRounds.resume(pid, parent).orElse(null);
      PreDump.continues(image, parent, rounds != null, notes);
    }
    if (options.trackMemory() && rounds == null) {
      rounds = MemoryRounds.begin(pid, host.clone());
    }
  }

  private DumpReport dump() throws CheckpointException {
    try (Collector collector = Collector.open(pid, host, options.connections())) {
      if (gate.moves()) {
        collector.requireMovable();
        collector.proveLater();
      }
      collector.embed(options.embedding());
      if (options.inotifyOverflow()) {
        collector.loseEvents();
      }
      if (gate.leavesPages()) {
        collector.leavePages();
      }
      if (rounds != null) {
        collector.track(rounds.tracker(), options.trackMemory());
      }
      PageWriter pages = image.pages(host.getPageSize());
      boolean running = options.afterwards() == DumpOptions.Afterwards.LEAVE_RUNNING;
      if (options.rehearse() && !rehearsed && (rounds == null || !rounds.isRehearsed())) {
        Rehearsal.run(host, options.compression(), options.compressionLevel());
      }
      long bytes = collector.look();
      listener.progress("freeze", 0, bytes);
      if (running) {
        // Frozen only for copying, where there is memory for the copy.
        long chunks = bytes / PageWriter.CHUNK_BYTES + 2;
        if (bytes < availableMemory() / 10 * 7
            && pages.reserve((int) Math.min(Integer.MAX_VALUE, chunks))) {
          pages.hold();
        }
      }
      gate.looked();
      for (int attempt = 1; attempt < ATTEMPTS; attempt++) {
        try (Freeze freeze = collector.stop(FREEZE_BUDGET_NANOS)) {
          if (!collector.mustTryAgain(freeze)) {
            return dump(collector, freeze, pages, running);
          }
        }
        LockSupport.parkNanos(PAUSE_NANOS);
      }
      try (Freeze freeze = collector.stop(FREEZE_BUDGET_NANOS)) {
        return dump(collector, freeze, pages, running);
      }
    } catch (IOException e) {
      throw Preflight.lost(pid, e);
    }
  }

  private DumpReport dump(Collector collector, Freeze freeze, PageWriter pages, boolean running)
      throws CheckpointException, IOException {
    long stopping = freeze.begunAt();
    long stopped = freeze.stoppedAt();
    ProcessState state = collector.collect(freeze, pages, stopped);
    statistics = collector.statistics().setFreezingTime(micros(stopping, stopped));
    gate.stopped(stopping);
    OwnNumbers.Translated own = OwnNumbers.of(pid, collector.numbers(), state);
    Dump.refuse(pid, own.problems());
    ownPid = own.state().getIdentity().getPid();
    image.state(gate.written(own.state()));
    notes.addAll(NamespaceCollector.notes(state.getIdentity().getNamespacesList()));
    if (running) {
      collector.thaw(freeze, state, stopped);
      setFrozen(stopping, System.nanoTime());
      pages.release();
    }
    return publish(collector, freeze, state, stopping, stopped);
  }

  /// The rest of the frozen time is that of the state.
  private void setFrozen(long stopping, long now) {
    long frozen = micros(stopping, now);
    statistics
        .setFrozenTime(frozen)
        .setStateTime(
            Math.max(
                0,
                frozen
                    - statistics.getFreezingTime()
                    - statistics.getRegistersTime()
                    - statistics.getInjectionTime()
                    - statistics.getDescriptorsTime()
                    - statistics.getMemdumpTime()));
  }

  /// MemAvailable of /proc/meminfo in bytes.
  private static long availableMemory() throws IOException {
    for (String line : Proc.at("/proc").text("meminfo").lines().toList()) {
      if (line.startsWith("MemAvailable:")) {
        String kilobytes = line.substring(line.indexOf(':') + 1).replace("kB", "").strip();
        return Long.parseLong(kilobytes) * 1024;
      }
    }
    return 0;
  }

  private DumpReport publish(
      Collector collector, Freeze freeze, ProcessState state, long stopping, long stopped)
      throws CheckpointException {
    long writing = System.nanoTime();
    String comm = state.getThreads(0).getComm().toStringUtf8();
    if (options.afterwards() != DumpOptions.Afterwards.LEAVE_RUNNING) {
      setFrozen(stopping, writing);
    }
    statistics
        .setMemwriteTime(0)
        .setTotalTime(micros(started, writing))
        .setDescriptors(state.getFiles().getDescriptorsCount());
    Manifest manifest;
    try {
      if (options.trackMemory() && rounds != null) {
        tracking = Keeper.start(rounds.tracker().userfault(), pid);
        image.tracking(tracking);
      }
      manifest =
          image.commit(
              ownPid,
              comm,
              Creation.newBuilder()
                  .setJcrVersion(Version.VERSION)
                  .setHostName(hostName())
                  .setTime(System.currentTimeMillis() * 1_000_000)
                  .setStatistics(statistics)
                  .build());
    } catch (CheckpointException | IOException e) {
      if (options.afterwards() != DumpOptions.Afterwards.LEAVE_RUNNING) {
        // The process goes on; its sleeps end when they would have.
        collector.thaw(freeze, state, stopped);
      }
      throw e instanceof CheckpointException failure
          ? failure
          : Preflight.lost(pid, (IOException) e);
    }
    switch (options.afterwards()) {
      case KILL -> {
        if (!decide(collector, freeze, state, stopped)) {
          throw new CheckpointException(
              CheckpointException.Outcome.FAILED,
              "cannot end process " + pid + ": it was called off; it runs on");
        }
        collector.endConnections();
        if (gate.moves()) {
          Disarmed.threadsOf(freeze);
          if (!gate.served()) {
            // The SIGSTOP that the gate sent holds it.
            freeze.thaw();
            break;
          }
        }
        Kernel.raw(Syscall.KILL, pid, SIGKILL);
        kill(freeze);
      }
      case LEAVE_STOPPED -> {
        Kernel.raw(Syscall.KILL, pid, SIGSTOP);
        collector.unlockConnections();
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
    return new DumpReport(
        pid, comm, options.directory(), all.build(), state.getLossesList(), notes);
  }

  private boolean decide(Collector collector, Freeze freeze, ProcessState state, long stopped)
      throws CheckpointException {
    boolean end = false;
    try {
      collector.proveMappings();
      end = gate.mayEnd();
    } catch (IOException e) {
      throw Preflight.lost(pid, e);
    } finally {
      if (!end) {
        collector.thaw(freeze, state, stopped);
      }
    }
    return end;
  }

  /// What an image calls the process: the number that it has itself.
  static int ownPid(int pid) throws CheckpointException, IOException {
    return PidNumbers.of(Proc.of(pid)).require(pid);
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
  private void kill(Freeze freeze) {
    Tracee.awaitEnds(freeze.threads().stream().map(StoppedThread::tracee).toList().reversed());
    freeze.forget();
  }

  private static long micros(long from, long to) {
    return (to - from) / 1000;
  }
}
