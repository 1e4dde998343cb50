package dev.jcr.cli;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.inspect.Describe;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.namespace.NamespaceKind;
import dev.jcr.restore.ClockMode;
import dev.jcr.restore.ConnectionChanges;
import dev.jcr.restore.CpuVerdict;
import dev.jcr.restore.FileChanges;
import dev.jcr.restore.NamespaceChanges;
import dev.jcr.restore.Restore;
import dev.jcr.restore.RestoreOptions;
import dev.jcr.restore.RestoredProcess;
import dev.jcr.restore.RestoredProcess.Timing;
import dev.jcr.restore.files.ChangedFiles;
import dev.jcr.restore.files.ChangedFiles.Policy;
import dev.jcr.restore.lazy.LazyServer;
import java.io.IOException;
import java.io.PrintWriter;
import java.net.InetAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// `jcr restore DIR`.
@Command(
    name = "restore",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    description = {
      "Rebuilds the process of an image, with the same pid, and lets it run on.",
      "",
      "In the foreground jcr forwards signals to it and ends as it ends. On any failure nothing of"
          + " the new process is left, and the image is untouched."
    },
    optionListHeading = "%nOptions:%n",
    footerHeading = "%nExamples:%n",
    footer = {
      "  jcr restore job.jcr               run it on, in the foreground",
      "  jcr restore job.jcr -d            print its pid and return",
      "  jcr restore job.jcr --lazy-pages  run it at once, its memory comes on demand",
      "  jcr restore job.jcr --dry-run     show what would be done, without doing it"
    })
final class RestoreCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Parameters(paramLabel = "DIR", description = "Image folder.")
  private Path directory;

  @ArgGroup(validate = false, heading = "%nThe process:%n")
  private ProcessOptions process = new ProcessOptions();

  @ArgGroup(validate = false, heading = "%nFiles:%n")
  private FileOptions files = new FileOptions();

  @ArgGroup(validate = false, heading = "%nMemory:%n")
  private MemoryOptions memory = new MemoryOptions();

  @ArgGroup(validate = false, heading = "%nNetwork:%n")
  private NetworkOptions network = new NetworkOptions();

  @Option(
      names = "--json",
      description = "Print the report, or the error, as one line of JSON on stdout.")
  private boolean json;

  static final class ProcessOptions {
    @Option(
        names = {"-d", "--detach"},
        description = "Print its pid and return at once; it belongs to init then.")
    private boolean detach;

    @Option(
        names = {"-s", "--leave-stopped"},
        description = "Leave it stopped, as by SIGSTOP.")
    private boolean leaveStopped;

    @Option(
        names = "--dry-run",
        description = "Print the plan only, one step a line, and whether this CPU will do.")
    private boolean dryRun;

    @Option(
        names = "--clocks",
        paramLabel = "WHICH",
        description = {
          "CLOCK_MONOTONIC and CLOCK_BOOTTIME of the process: auto (the default; as if it had lived"
              + " on, as long as its host has not started anew, else continue), continue (they go on"
              + " from where they were at the dump, in a time namespace), host (those of this host:"
              + " they may jump)."
        })
    private String clocks = "auto";

    ClockMode clocks() throws CheckpointException {
      return switch (clocks) {
        case "auto" -> ClockMode.AUTO;
        case "continue" -> ClockMode.CONTINUE;
        case "host" -> ClockMode.HOST;
        default -> throw usage("--clocks: '" + clocks + "' is not auto, continue or host");
      };
    }

    @Option(names = "--pidfile", paramLabel = "FILE", description = "Write its pid here.")
    private @Nullable Path pidFile;

    @Option(
        names = "--join-ns",
        paramLabel = "KIND:PATH",
        description = {
          "The namespace of this kind (net, uts, ipc, cgroup, mnt, pid) that it joins: the one that is bound to"
              + " PATH, or with KIND:PID that of a process. Without, one that was not jcr's is looked"
              + " for where it was bound at the dump; may be repeated."
        })
    private List<String> joined = List.of();

    @Option(
        names = "--pid-namespace",
        description = {
          "Make a pid namespace for it, in which it has its pid and tids whoever has them outside."
              + " Its PID 1 is a small process of jcr's; who ends that ends all in there."
        })
    private boolean ownPids;

    NamespaceChanges namespaces() throws CheckpointException {
      Map<NamespaceKind, String> paths = new EnumMap<>(NamespaceKind.class);
      for (String text : joined) {
        int colon = text.indexOf(':');
        NamespaceKind kind =
            NamespaceKind.named(text.substring(0, Math.max(0, colon)))
                .orElseThrow(() ->
                    usage(
                        "--join-ns: '"
                            + text
                            + "' is not net, uts, ipc, cgroup, mnt or pid and a path"));
        String place = text.substring(colon + 1);
        String path = place.matches("[0-9]+") ? "/proc/" + place + "/ns/" + kind.file() : place;
        if (!path.startsWith("/")) {
          throw usage("--join-ns: '" + place + "' is neither an absolute path nor a pid");
        }
        paths.put(kind, path);
      }
      if (ownPids && paths.containsKey(NamespaceKind.PID)) {
        throw usage("--pid-namespace and --join-ns pid exclude each other");
      }
      return new NamespaceChanges(paths, ownPids);
    }
  }

  static final class FileOptions extends MovedPaths {
    @Option(
        names = "--if-changed",
        paramLabel = "[FILE=]POLICY",
        description = {
          "What to do about files that the process has open and that have changed: same (refuse,"
              + " the default), append (one that has grown is fine), truncate (cut it to the size"
              + " it had), any (take it as it is). With FILE, where it is now, for that one only,"
              + " and any for a mapped one too; may be repeated."
        })
    private List<String> policies = List.of();

    FileChanges changes() throws CheckpointException {
      Policy byDefault = Policy.SAME;
      Map<String, Policy> byPath = new HashMap<>();
      for (String text : policies) {
        int equals = text.lastIndexOf('=');
        if (equals < 0) {
          byDefault = policy(text);
        } else {
          byPath.put(text.substring(0, equals), policy(text.substring(equals + 1)));
        }
      }
      return new FileChanges(moved("restore"), new ChangedFiles(byDefault, byPath));
    }

    private static Policy policy(String name) throws CheckpointException {
      return switch (name) {
        case "same" -> Policy.SAME;
        case "append" -> Policy.APPEND;
        case "truncate" -> Policy.TRUNCATE;
        case "any" -> Policy.ANY;
        default -> throw usage("--if-changed: '" + name + "' is not same, append, truncate or any");
      };
    }
  }

  private static CheckpointException usage(String what) {
    return new CheckpointException(
        Outcome.USAGE, "cannot read the command line: " + what + "; see jcr restore --help");
  }

  static final class MemoryOptions {
    @Option(
        names = "--lazy-pages",
        description =
            "Let it run at once; its private memory comes when it is touched, and in the background"
                + " until all is there. Needs CAP_SYS_PTRACE. The image must stay until then.")
    private boolean lazy;

    @Option(
        names = "--resume",
        paramLabel = "PID",
        description =
            "Do not restore: go on giving process PID the pages of this image, after the jcr that"
                + " did was killed or stopped at a damaged page. With -d in the background.")
    private @Nullable Integer resume;

    @Option(
        names = "--prefetch-rate",
        paramLabel = "MIB",
        description =
            "MiB a second that come before they are touched; 0 for none, without this option as"
                + " many as can be.")
    private @Nullable Long rate;

    long bytesPerSecond() {
      return rate == null ? Long.MAX_VALUE : rate << 20;
    }

    @Option(names = "--background", hidden = true)
    private boolean background;
  }

  static final class NetworkOptions {
    @Option(
        names = "--tcp-established",
        description = "Go on with the image's TCP connections (this is the default).")
    private boolean keep;

    @Option(names = "--tcp-close", description = "Restore them closed instead.")
    private boolean close;

    @Option(
        names = "--tcp-rebind",
        paramLabel = "OLD=NEW",
        description = "Give sockets bound to address OLD the address NEW; may be repeated.")
    private Map<String, String> rebind = Map.of();

    @Option(
        names = "--ext-unix-sk",
        description =
            "Restore unix datagram sockets whose peer is not there, as /dev/log may be, as if it had"
                + " gone while they were connected.")
    private boolean externalUnix;

    ConnectionChanges changes() throws CheckpointException {
      if (keep && close) {
        throw usage("--tcp-established and --tcp-close exclude each other");
      }
      Map<InetAddress, InetAddress> addresses = new HashMap<>();
      for (Map.Entry<String, String> pair : rebind.entrySet()) {
        addresses.put(address(pair.getKey()), address(pair.getValue()));
      }
      return new ConnectionChanges(close, addresses, externalUnix);
    }

    private static InetAddress address(String text) throws CheckpointException {
      try {
        return InetAddress.ofLiteral(text);
      } catch (IllegalArgumentException e) {
        throw usage("--tcp-rebind: '" + text + "' is not an IP address");
      }
    }
  }

  @Override
  public Integer call() throws CheckpointException {
    RestoreOptions options =
        new RestoreOptions(
            directory,
            process.leaveStopped,
            process.detach,
            network.changes(),
            files.changes(),
            process.namespaces(),
            false,
            process.clocks(),
            memory.lazy
                ? Optional.of(new RestoreOptions.LazyMemory(memory.bytesPerSecond()))
                : Optional.empty());
    PrintWriter out = spec.commandLine().getOut();
    PrintWriter err = spec.commandLine().getErr();
    if (memory.resume != null) {
      return resume(memory.resume, out, err);
    }
    if (process.dryRun) {
      List<String> steps = Restore.describePlan(options);
      CpuVerdict cpu = Restore.cpu(options);
      if (json) {
        out.println(cpu(cpu).putStrings("steps", steps));
      } else {
        spec.commandLine().getErr().println("jcr: CPU: " + describe(cpu));
        steps.forEach(step -> out.println(Describe.visible(step)));
      }
      return ExitCode.OK;
    }
    RestoredProcess restored = Restore.run(options);
    if (process.detach) {
      announce(restored, out, err);
      if (restored.lazy().isPresent()) {
        LazyPages.handOver(
            restored.lazy().get(), directory, restored.pid(), memory.bytesPerSecond(), err);
      }
      return ExitCode.OK;
    }
    // Who reads that it runs may send signals.
    try (ForwardedSignals _ = ForwardedSignals.to(restored)) {
      announce(restored, out, err);
      if (restored.lazy().isPresent()) {
        serve(restored.lazy().get(), restored.pid(), out, err);
      }
      int exitCode = restored.waitFor();
      if (restored.lazy().isPresent()) {
        // A child that it left may still wait for pages.
        LazyPages.serve(restored.lazy().get());
      }
      return exitCode;
    }
  }

  private void announce(RestoredProcess restored, PrintWriter out, PrintWriter err)
      throws CheckpointException {
    long microseconds = restored.timings().stream().mapToLong(Timing::microseconds).sum();
    err.println(
        "jcr: restored process %s in %s (CPU: %s)"
            .formatted(
                restored.ownPid() == restored.pid()
                    ? restored.pid()
                    : restored.ownPid() + " as " + restored.pid() + " on this host",
                Units.microseconds(microseconds),
                restored.cpu()));
    restored
        .lazy()
        .ifPresent(server ->
            err.println(
                "jcr: it runs since %s; %s of its memory come on demand"
                    .formatted(
                        Units.microseconds(restored.untilItRan()),
                        Units.bytes(server.report().bytes()))));
    restored.notes().forEach(note -> err.println("jcr: note: " + Describe.visible(note)));
    if (json) {
      out.println(json(restored));
    } else if (process.detach) {
      out.println(restored.pid());
    }
    out.flush();
    if (process.pidFile != null) {
      writePid(process.pidFile, restored.pid());
    }
  }

  /// Says when all is there; failures come from waiting for the process, which is stopped then.
  private void serve(LazyServer server, int pid, PrintWriter out, PrintWriter err) {
    Thread.ofPlatform()
        .daemon()
        .name("jcr-lazy")
        .start(() -> {
          try {
            LazyPages.serve(server)
                .ifPresent(report -> LazyPages.print(pid, report, json, out, err));
          } catch (CheckpointException _) {
            // Told by waitFor().
          }
        });
  }

  private int resume(int pid, PrintWriter out, PrintWriter err) throws CheckpointException {
    if (memory.rate != null && (memory.rate < 0 || memory.rate > 1 << 20)) {
      throw LazyPages.usage("--prefetch-rate: not " + memory.rate);
    }
    if (memory.lazy || process.leaveStopped || process.dryRun) {
      throw LazyPages.usage("--resume does not restore anything");
    }
    if (process.detach) {
      return LazyPages.inBackground(directory, pid, memory.bytesPerSecond(), err);
    }
    if (memory.background) {
      // It outlives the terminal from which the restore was started.
      Kernel.raw(Syscall.SETSID);
    }
    return LazyPages.resume(directory, pid, memory.bytesPerSecond(), json, out, err);
  }

  private static void writePid(Path file, int pid) throws CheckpointException {
    try {
      Files.writeString(file, pid + "\n");
    } catch (IOException e) {
      throw new CheckpointException(
          Outcome.FAILED,
          "cannot write the pid to %s: %s; process %d runs".formatted(file, e, pid),
          e);
    }
  }

  private static JsonObject cpu(CpuVerdict cpu) {
    return new JsonObject()
        .put("cpu", cpu.toString())
        .putStrings("cpu_lacks", List.copyOf(cpu.missing()));
  }

  /// "refused: it lacks gcs sme2".
  private static String describe(CpuVerdict cpu) {
    return cpu.missing().isEmpty()
        ? cpu.toString()
        : cpu + ": it lacks " + String.join(", ", cpu.missing());
  }

  private static JsonObject json(RestoredProcess restored) {
    JsonObject timings = new JsonObject();
    for (Timing timing : restored.timings()) {
      timings.put(timing.step(), timing.microseconds());
    }
    return cpu(restored.cpu())
        .put("pid", restored.pid())
        .put("own_pid", restored.ownPid())
        .put("timings_us", timings)
        .put("until_it_ran_us", restored.untilItRan())
        .put("lazy_bytes", restored.lazy().map(server -> server.report().bytes()).orElse(0L))
        .putStrings("notes", restored.notes());
  }
}
