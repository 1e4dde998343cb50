package dev.jcr.dump;

import dev.jcr.dump.files.EmbeddedFiles;
import dev.jcr.dump.files.LinkPolicy;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Problem;
import dev.jcr.image.codec.ImageWriter;
import dev.jcr.image.v1.Host;
import dev.jcr.parasite.arch.Machine;
import dev.jcr.parasite.host.HostFacts;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.procfs.Anchor;
import dev.jcr.parasite.ptrace.Freeze;
import dev.jcr.parasite.ptrace.TracerThread;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// Checkpoints one process. The entry point of the module.
public final class Dump {
  private static final long DISARM_NANOS = 10_000_000_000L;

  private Dump() {}

  /// Dumps and returns a report. On any exception the process is as it was, except where the
  /// outcome is `TARGET_DOUBTFUL`. Threads: the session runs on a platform thread of its own.
  public static DumpReport run(DumpOptions options, DumpListener listener)
      throws CheckpointException {
    long started = System.nanoTime();
    Preflight.requireDumpable(options.pid());
    try {
      Host.Builder host = HostFacts.read();
      Host.Builder own = host.clone();
      try (TracerThread rehearsal = new TracerThread()) {
        if (options.rehearse()) {
          rehearsal.begin(
              () -> Rehearsal.run(own, options.compression(), options.compressionLevel()));
        }
        List<Problem> problems = preflight(options.pid(), options.connections());
        problems.addAll(EmbeddedFiles.preflight(options.pid(), options.embedding()));
        refuse(options.pid(), problems);
      }
      try (ImageWriter image =
          ImageWriter.create(
              options.directory(),
              options.compression(),
              options.compressionLevel(),
              options.durable())) {
        DumpSession session =
            new DumpSession(options, listener, image, host, started, null, true, DumpGate.OPEN);
        return TracerThread.run(session::run);
      }
    } catch (IOException e) {
      throw Preflight.lost(options.pid(), e);
    }
  }

  /// The last round of many: writes to `image` what was not in the rounds before, and ends the
  /// process if `gate` says so. Of `options` only pid, connections and embedding are used. The
  /// rounds are over afterwards. Without rounds everything is written. What forbids a dump should
  /// have been looked for before ([#preflight]); here it is found while the process is stopped.
  public static DumpReport last(
      DumpOptions options,
      DumpListener listener,
      ImageWriter image,
      @Nullable MemoryRounds rounds,
      DumpGate gate)
      throws CheckpointException {
    long started = System.nanoTime();
    try {
      DumpSession session =
          new DumpSession(options, listener, image, HostFacts.read(), started, rounds, false, gate);
      return TracerThread.run(session::run);
    } catch (IOException e) {
      throw Preflight.lost(options.pid(), e);
    }
  }

  /// Makes sure that a process stopped by SIGSTOP, whose pages are wanted elsewhere, never runs
  /// again.
  public static void disarm(int pid) throws CheckpointException {
    TracerThread.run(() -> {
      try (Freeze freeze =
          Freeze.stop(Anchor.ofLiving(pid), Machine.of(Kernel.HOST), DISARM_NANOS)) {
        Disarmed.threadsOf(freeze);
        return true;
      }
    });
  }

  /// What would make a dump of `pid` fail, without stopping it. Throws when it cannot be dumped at
  /// all (no such process, a kernel thread, traced by another).
  ///
  /// @param connections what the dump would do about connections to other processes
  public static List<Problem> preflight(int pid, LinkPolicy connections)
      throws CheckpointException {
    Preflight.requireDumpable(pid);
    List<Problem> problems = new ArrayList<>(Preflight.problems(pid));
    problems.addAll(DumpSession.problems(pid, connections));
    return problems;
  }

  /// Throws UNSUPPORTED when there are problems, with all of them.
  static void refuse(int pid, List<Problem> problems) throws CheckpointException {
    if (!problems.isEmpty()) {
      String message =
          problems.size() == 1
              ? "cannot dump process " + pid + ": " + problems.getFirst()
              : "cannot dump process "
                  + pid
                  + ": "
                  + problems.size()
                  + " resources are not supported: "
                  + String.join(" | ", problems.stream().map(Problem::toString).toList());
      throw new CheckpointException(
          CheckpointException.Outcome.UNSUPPORTED, message, problems, null);
    }
  }
}
