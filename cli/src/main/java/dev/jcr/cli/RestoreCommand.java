package dev.jcr.cli;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.restore.ConnectionChanges;
import dev.jcr.restore.CpuVerdict;
import dev.jcr.restore.FileChanges;
import dev.jcr.restore.Restore;
import dev.jcr.restore.RestoreOptions;
import dev.jcr.restore.RestoredProcess;
import dev.jcr.restore.RestoredProcess.Timing;
import dev.jcr.restore.files.ChangedFiles;
import dev.jcr.restore.files.ChangedFiles.Policy;
import java.io.IOException;
import java.io.PrintWriter;
import java.net.InetAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
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

    @Option(names = "--pidfile", paramLabel = "FILE", description = "Write its pid here.")
    private @Nullable Path pidFile;
  }

  static final class FileOptions {
    @Option(
        names = "--map-path",
        paramLabel = "OLD=NEW",
        description =
            "Look for file or folder OLD, and all in it, at NEW; both absolute; may be repeated.")
    private Map<String, String> moved = Map.of();

    @Option(
        names = "--if-changed",
        paramLabel = "[FILE=]POLICY",
        description = {
          "What to do about files that the process has open and that have changed: same (refuse, the"
              + " default), append (one that has grown is fine), truncate (cut it to the size it"
              + " had), any (take it as it is). With FILE, where it is now, for that one only, and"
              + " any for a mapped one too; may be repeated."
        })
    private List<String> policies = List.of();

    FileChanges changes() throws CheckpointException {
      for (Map.Entry<String, String> pair : moved.entrySet()) {
        if (!pair.getKey().startsWith("/") || !pair.getValue().startsWith("/")) {
          throw usage(
              "--map-path: '" + pair.getKey() + "=" + pair.getValue() + "' is not absolute");
        }
      }
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
      return new FileChanges(moved, new ChangedFiles(byDefault, byPath));
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

    ConnectionChanges changes() throws CheckpointException {
      if (keep && close) {
        throw usage("--tcp-established and --tcp-close exclude each other");
      }
      Map<InetAddress, InetAddress> addresses = new HashMap<>();
      for (Map.Entry<String, String> pair : rebind.entrySet()) {
        addresses.put(address(pair.getKey()), address(pair.getValue()));
      }
      return new ConnectionChanges(close, addresses);
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
            false);
    PrintWriter out = spec.commandLine().getOut();
    if (process.dryRun) {
      List<String> steps = Restore.describePlan(options);
      CpuVerdict cpu = Restore.cpu(options);
      if (json) {
        out.println(cpu(cpu).putStrings("steps", steps));
      } else {
        spec.commandLine().getErr().println("jcr: CPU: " + describe(cpu));
        steps.forEach(out::println);
      }
      return ExitCode.OK;
    }
    RestoredProcess restored = Restore.run(options);
    long microseconds = restored.timings().stream().mapToLong(Timing::microseconds).sum();
    spec.commandLine()
        .getErr()
        .println(
            "jcr: restored process %d in %s (CPU: %s)"
                .formatted(restored.pid(), Units.microseconds(microseconds), restored.cpu()));
    restored.notes().forEach(note -> spec.commandLine().getErr().println("jcr: note: " + note));
    if (json) {
      out.println(json(restored));
    } else if (process.detach) {
      out.println(restored.pid());
    }
    out.flush();
    if (process.pidFile != null) {
      writePid(process.pidFile, restored.pid());
    }
    if (process.detach) {
      return ExitCode.OK;
    }
    try (ForwardedSignals _ = ForwardedSignals.to(restored)) {
      return restored.waitFor();
    }
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
        .put("timings_us", timings)
        .putStrings("notes", restored.notes());
  }
}
