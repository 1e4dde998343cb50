package dev.jcr.cli;

import dev.jcr.parasite.host.KernelFeatures;
import dev.jcr.parasite.host.KernelFeatures.Feature;
import dev.jcr.parasite.host.KernelFeatures.Need;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/// `jcr check`.
@Command(
    name = "check",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    description = "Shows what this kernel and these rights allow. Stops and traces nothing.",
    optionListHeading = "%nOptions:%n",
    footerHeading = "%nExamples:%n",
    footer = {"  jcr check            can this host dump and restore?"})
final class CheckCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Option(
      names = "--json",
      description = "Print the report, or the error, as one line of JSON on stdout.")
  private boolean json;

  @Override
  public Integer call() throws IOException {
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
