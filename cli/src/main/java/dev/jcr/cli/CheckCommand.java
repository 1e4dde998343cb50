package dev.jcr.cli;

import dev.jcr.dump.Dump;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.CheckpointException.Problem;
import dev.jcr.image.inspect.Describe;
import dev.jcr.parasite.host.KernelFeatures;
import dev.jcr.parasite.host.KernelFeatures.Feature;
import dev.jcr.parasite.host.KernelFeatures.Need;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// `jcr check [PID]`.
@Command(
    name = "check",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    description = {
      "Shows what this kernel and these rights allow, or everything that would forbid a dump of one"
          + " process.",
      "",
      "Stops and traces nothing."
    },
    optionListHeading = "%nOptions:%n",
    footerHeading = "%nExamples:%n",
    footer = {
      "  jcr check            can this host dump and restore?",
      "  jcr check 4242       can process 4242 be dumped?"
    })
final class CheckCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Parameters(paramLabel = "PID", arity = "0..1", description = "A process (default: the host).")
  private @Nullable Integer pid;

  @ArgGroup(
      validate = false,
      heading = "%nConnections to other processes (default: they forbid the dump):%n")
  private ConnectionOptions connections = new ConnectionOptions();

  @Option(
      names = "--json",
      description = "Print the report, or the error, as one line of JSON on stdout.")
  private boolean json;

  @Override
  public Integer call() throws CheckpointException, IOException {
    return pid == null ? host() : process(pid);
  }

  private int process(int pid) throws CheckpointException {
    List<Problem> problems = Dump.preflight(pid, connections.policy());
    PrintWriter out = spec.commandLine().getOut();
    if (json) {
      out.println(
          new JsonObject()
              .put("pid", pid)
              .put("dumpable", problems.isEmpty())
              .put("problems", problems.stream().map(Failures::json).toList()));
    } else {
      problems.forEach(problem -> out.println(Describe.visible(problem.kind() + " " + problem)));
      out.println(
          problems.isEmpty()
              ? "Process %d can be dumped.".formatted(pid)
              : "Process %d cannot be dumped.".formatted(pid));
    }
    return problems.isEmpty() ? ExitCode.OK : Outcome.UNSUPPORTED.exitCode();
  }

  private int host() throws IOException {
    KernelFeatures features = KernelFeatures.probe();
    PrintWriter out = spec.commandLine().getOut();
    if (json) {
      out.println(
          new JsonObject()
              .put("complete", features.complete())
              .put("features", features.features().stream().map(CheckCommand::json).toList()));
    } else {
      features.features().forEach(feature -> out.println(line(feature)));
      out.println(
          features.complete()
              ? "This host can dump and restore."
              : "This host lacks something that jcr needs.");
    }
    return features.complete() ? ExitCode.OK : ExitCode.FAILED;
  }

  private static String line(Feature feature) {
    String state = feature.available() ? "yes" : feature.need() == Need.REQUIRED ? "MISSING" : "no";
    return "%-8s%-24s%s%s"
        .formatted(
            state,
            feature.name(),
            feature.purpose(),
            feature.remedy().isEmpty() ? "" : "; " + feature.remedy());
  }

  private static JsonObject json(Feature feature) {
    return new JsonObject()
        .put("name", feature.name())
        .put("purpose", feature.purpose())
        .put("need", feature.need().name().toLowerCase(Locale.ROOT))
        .put("available", feature.available())
        .put("remedy", feature.remedy());
  }
}
