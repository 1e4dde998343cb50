package dev.jcr.restore;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.CheckpointException.Problem;
import dev.jcr.image.codec.ImageReader;
import dev.jcr.image.v1.Host;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.parasite.host.HostClocks;
import dev.jcr.parasite.host.HostFacts;
import dev.jcr.parasite.host.KernelFeatures;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.namespace.Namespaces;
import dev.jcr.parasite.ptrace.Ptrace;
import dev.jcr.parasite.ptrace.TracerThread;
import dev.jcr.parasite.ptrace.WaitStatus;
import dev.jcr.restore.files.ChangedFiles;
import dev.jcr.restore.files.FileCheck;
import dev.jcr.restore.lazy.LazyRanges;
import dev.jcr.restore.lazy.LazyServer;
import dev.jcr.restore.lazy.RemoteMemory;
import dev.jcr.restore.process.ClockPlan;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/// Restores one process. The entry point of the module.
public final class Restore {
  private Restore() {}

  /// Rebuilds the process, proves it against the image, and lets it run. On any exception nothing
  /// of the new process is left and the image is untouched.
  public static RestoredProcess run(RestoreOptions options) throws CheckpointException {
    return run(options, RestoreGate.OPEN);
  }

  /// The same, but `gate` decides whether the process may run: it is asked when everything is built
  /// and proven, and the process is still stopped.
  public static RestoredProcess run(RestoreOptions options, RestoreGate gate)
      throws CheckpointException {
    return run(options, gate, null);
  }

  /// The same with memory that is in place already.
  ///
  /// @param staging has had the images that this one continues, and is used up; for a detached
  ///   process
  public static RestoredProcess run(
      RestoreOptions options, RestoreGate gate, @Nullable Staging staging)
      throws CheckpointException {
    return run(options, gate, staging, null);
  }

  /// The same with pages that are still with the source of a migration.
  ///
  /// @param remote gives them, wanted if the image says that there are some; taken over by
  ///   [RestoredProcess#lazy]
  public static RestoredProcess run(
      RestoreOptions options,
      RestoreGate gate,
      @Nullable Staging staging,
      @Nullable RemoteMemory remote)
      throws CheckpointException {
    Laps laps = new Laps();
    ImageReader image =
        staging == null ? ImageReader.open(options.directory()) : staging.last(options.directory());
    laps.lap("OpenImage");
    boolean taken = false;
    try {
      if (remote == null) {
        image.requireWhole();
      }
      ProcessState wanted = options.applied(image.state());
      ChangedFiles changed = options.files().changed();
      ThisHost here = staging == null ? ThisHost.read() : staging.host();
      Host host = here.facts();
      try (JoinedNamespaces joined =
          JoinedNamespaces.open(wanted.getIdentity().getNamespacesList())) {
        // What decompresses is loaded before the first visit to other files.
        if (!options.verified() && (options.lazy().isEmpty() || joined.hasMounts())) {
          image.verifyPages();
        }
        laps.lap("VerifyPages");
        EmbeddedFiles embedded = embedded(wanted, changed, joined);
        ClockPlan clocks =
            ClockPlan.of(embedded.state().getTimers(), HostClocks.read(), options.clocks());
        try (Namespaces.Visit _ = joined.enter()) {
          List<Problem> problems = HostCheck.problems(embedded.state(), here, changed, joined);
          clocks
              .problem(
                  KernelFeatures.timeNamespaces(), ", or let it have this host's (--clocks=host)")
              .ifPresent(problems::add);
          HostCheck.require(options.directory().toString(), problems);
          FileCheck.require(embedded.state().getFiles(), changed);
        }
        laps.lap("CheckHost");
        VdsoVerdict vdso = VdsoVerdict.of(embedded.state(), here.mappings());
        ProcessState state = vdso.applied(embedded.state());
        LazyRanges lazy =
            remote == null
                ? lazy(options, state, image)
                : LazyRanges.remote(state, image.pagemap());
        if (lazy.bytes() > 0 && state.getThreads(0).hasEnded()) {
          throw new CheckpointException(
              Outcome.UNSUPPORTED,
              "cannot restore %s on demand: its leader thread has ended while others go on; restore it"
                      .formatted(options.directory())
                  + " without --lazy-pages");
        }
        RestorePlan.Steps steps =
            vdso.applied(RestorePlan.of(state, image.pagemap(), changed, lazy, clocks));
        Staging.Session<RestoredProcess> work =
            handed -> {
              laps.lap(handed == null ? "Plan" : "StagePages");
              try (RestoreSession session =
                  new RestoreSession(
                      image, state, host, joined, !options.detach(), handed, lazy, remote, laps)) {
                session.note(embedded.notes());
                session.note(joined.notes());
                session.note(clocks.note().stream().toList());
                return execute(options, gate, session, steps, CpuVerdict.of(state, host), laps);
              }
            };
        RestoredProcess restored =
            staging == null
                ? TracerThread.run(() -> work.run(null))
                : staging.run(state, image.pages(), work);
        taken = remote == null && restored.lazy().isPresent();
        return restored;
      }
    } catch (IOException e) {
      boolean forbidden = e instanceof SyscallException call && call.errno() == Errno.EPERM;
      throw new CheckpointException(
          forbidden ? Outcome.PERMISSION : Outcome.FAILED,
          "cannot restore " + options.directory() + ": " + e.getMessage(),
          e);
    } finally {
      if (!taken) {
        image.close();
      }
    }
  }

  private static EmbeddedFiles embedded(
      ProcessState wanted, ChangedFiles changed, JoinedNamespaces joined)
      throws CheckpointException, IOException {
    try (Namespaces.Visit _ = joined.enter()) {
      return EmbeddedFiles.of(wanted, changed);
    }
  }

  private static LazyRanges lazy(RestoreOptions options, ProcessState state, ImageReader image) {
    return options.lazy().isPresent() ? LazyRanges.of(state, image.pagemap()) : LazyRanges.NONE;
  }

  private static RestoredProcess execute(
      RestoreOptions options,
      RestoreGate gate,
      RestoreSession session,
      RestorePlan.Steps steps,
      CpuVerdict verdict,
      Laps laps)
      throws CheckpointException {
    session.run(steps.create());
    session.run(steps.build());
    session.run(steps.finish());
    int pid = session.pid();
    if (!gate.mayRun(pid, session.timings())) {
      throw new CheckpointException(
          Outcome.FAILED, "cannot restore " + options.directory() + ": it was called off");
    }
    laps.lap("AwaitDecision");
    boolean connected = session.hasConnections();
    if (connected) {
      gate.letsGo();
    }
    session.run(steps.last());
    int group = Foreground.group(pid);
    if (!options.detach() && !options.leaveStopped()) {
      Foreground.give(group);
    }
    options
        .lazy()
        .ifPresent(
            memory -> session.server().ifPresent(server -> server.prefetch(memory.prefetchRate())));
    session.unbind();
    if (!connected) {
      gate.letsGo();
    }
    session.thaw(options.leaveStopped());
    return new Child(
        pid,
        session.ownPid(),
        session.statuses(),
        group,
        session.timings(),
        session.notes(),
        verdict,
        laps.all(),
        session.server());
  }

  /// Whether this host could take a process up, as far as that can be told without its whole state:
  /// processor, kernel, files, pids. Nothing is created.
  ///
  /// @param outline a state of which host, identity (pid, executable), mappings and threads' ids
  ///   are used
  /// @param embedded those of [HostFiles#differing] that are taken care of
  /// @param namespaces which namespaces are elsewhere
  public static List<Problem> preflight(
      ProcessState outline, List<HostFiles.Differing> embedded, NamespaceChanges namespaces)
      throws CheckpointException {
    try {
      List<Problem> problems =
          HostCheck.outline(
              namespaces.applied(HostFiles.embedded(outline, embedded)), ThisHost.read());
      ClockPlan.of(outline.getTimers(), HostClocks.read(), ClockMode.AUTO)
          .problem(KernelFeatures.timeNamespaces(), "")
          .ifPresent(problems::add);
      return problems;
    } catch (IOException e) {
      throw new CheckpointException(
          Outcome.FAILED, "cannot look at this host: " + e.getMessage(), e);
    }
  }

  /// Whether this CPU is like the one of the image, has all that the process may rely on, or not.
  public static CpuVerdict cpu(RestoreOptions options) throws CheckpointException {
    try (ImageReader image = ImageReader.open(options.directory())) {
      return CpuVerdict.of(image.state(), HostFacts.read().build());
    } catch (IOException e) {
      throw new CheckpointException(
          Outcome.FAILED, "cannot look at this host: " + e.getMessage(), e);
    }
  }

  /// The steps that [#run] would execute, one line each, without touching any process.
  public static List<String> describePlan(RestoreOptions options) throws CheckpointException {
    try (ImageReader image = ImageReader.open(options.directory())) {
      ProcessState wanted = options.applied(image.state());
      ChangedFiles changed = options.files().changed();
      try (JoinedNamespaces joined =
          JoinedNamespaces.open(wanted.getIdentity().getNamespacesList())) {
        ProcessState embedded = embedded(wanted, changed, joined).state();
        VdsoVerdict vdso =
            embedded.getHost().getArch() == Kernel.HOST
                ? VdsoVerdict.of(embedded, KernelMappings.ofThisHost())
                : new VdsoVerdict.Same();
        RestorePlan.Steps steps =
            vdso.applied(
                RestorePlan.of(
                    vdso.applied(embedded),
                    image.pagemap(),
                    changed,
                    lazy(options, image.state(), image),
                    ClockPlan.of(image.state().getTimers(), HostClocks.read(), options.clocks())));
        return steps.all().map(RestoreStep::describe).toList();
      }
    } catch (IOException e) {
      throw new CheckpointException(
          Outcome.FAILED, "cannot plan " + options.directory() + ": " + e.getMessage(), e);
    }
  }

  private record Child(
      int pid,
      int ownPid,
      Optional<Fd> statuses,
      int group,
      List<Timing> timings,
      List<String> notes,
      CpuVerdict cpu,
      long untilItRan,
      Optional<LazyServer> lazy)
      implements RestoredProcess {
    private static final int WUNTRACED = 2;
    private static final int SIGKILL = 9;
    private static final int SIGCONT = 18;
    private static final int SIGSTOP = 19;
    private static final int SIGTSTP = 20;
    private static final int SIGTTIN = 21;
    private static final int SIGTTOU = 22;

    @Override
    public int waitFor() throws CheckpointException {
      try (Arena arena = Arena.ofConfined()) {
        MemorySegment status = arena.allocate(JAVA_INT);
        while (true) {
          long result = next(status);
          if (result == pid) {
            switch (WaitStatus.decode(status.get(JAVA_INT, 0))) {
              case WaitStatus.Exited(int code) -> {
                Foreground.takeBack(group);
                return code;
              }
              case WaitStatus.Killed(int signal) -> {
                Foreground.takeBack(group);
                return 128 + signal;
              }
              case WaitStatus.SignalStop(int signal) -> stopped(signal);
              case WaitStatus.GroupStop _, WaitStatus.SyscallStop _, WaitStatus.EventStop _ -> {}
            }
          } else if (result != -Errno.EINTR) {
            throw new CheckpointException(
                Outcome.TARGET_LOST,
                "cannot wait for process " + pid + ": " + Errno.describe((int) -result));
          }
        }
      }
    }

    /// What wait(2) says of it: to jcr, if that is its parent, or to the PID 1 of its namespace,
    /// whose own end is that of the process.
    ///
    /// @return its pid, or a negated errno
    private long next(MemorySegment status) {
      if (statuses.isEmpty()) {
        return Kernel.raw(Syscall.WAIT4, pid, status.address(), Ptrace.WALL | WUNTRACED, 0);
      }
      long count =
          Kernel.raw(Syscall.READ, statuses.get().number(), status.address(), status.byteSize());
      if (count == 0) {
        status.set(JAVA_INT, 0, SIGKILL);
      }
      boolean whole = count == 0 || count == status.byteSize();
      return whole ? pid : count < 0 ? count : -Errno.EIO;
    }

    /// The terminal stopped it (^Z, or reading in the background): jcr stops as well, so that the
    /// shell sees its job stop, and both go on together.
    private void stopped(int signal) throws CheckpointException {
      Optional<CheckpointException> damaged = lazy.flatMap(LazyServer::failure);
      if (damaged.isPresent()) {
        throw damaged.get();
      }
      boolean background = signal == SIGTTIN || signal == SIGTTOU;
      if (signal != SIGTSTP && !background) {
        return;
      }
      if (!(background && Foreground.give(group))) {
        Foreground.takeBack(group);
        // To this thread, so that it is this call that stops.
        Kernel.raw(
            Syscall.TGKILL, ProcessHandle.current().pid(), Kernel.raw(Syscall.GETTID), SIGSTOP);
        Foreground.give(group);
      }
      Kernel.raw(Syscall.KILL, pid, SIGCONT);
    }

    @Override
    public void signal(int number) throws CheckpointException {
      long result = Kernel.raw(Syscall.KILL, pid, number);
      if (Kernel.isError(result)) {
        throw new CheckpointException(
            Outcome.TARGET_LOST,
            "cannot send signal "
                + number
                + " to process "
                + pid
                + ": "
                + Errno.describe((int) -result));
      }
    }
  }
}
