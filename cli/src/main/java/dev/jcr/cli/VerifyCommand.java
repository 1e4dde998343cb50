package dev.jcr.cli;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.inspect.Verify;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// `jcr verify DIR`.
@Command(
    name = "verify",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    description = {
      "Checks a whole image: digests, encoding, meaning, and every page.",
      "",
      "Needs no privilege and no matching host. A damaged image is exit code 4."
    },
    optionListHeading = "%nOptions:%n")
final class VerifyCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Parameters(paramLabel = "DIR", description = "Image folder.")
  private Path directory;

  @Option(
      names = "--json",
      description = "Print the report, or the error, as one line of JSON on stdout.")
  private boolean json;

  @Override
  public Integer call() throws CheckpointException {
    Verify.Report report = Verify.run(directory);
    PrintWriter out = spec.commandLine().getOut();
    if (json) {
      out.println(
          new JsonObject()
              .put("directory", directory.toString())
              .put("pid", report.manifest().getPid())
              .put("comm", report.manifest().getComm())
              .put("bytes", report.bytes())
              .put("chunks", report.chunks())
              .put("images", report.images())
              .put("stored_pages", report.storedPages())
              .put("zero_pages", report.zeroPages())
              .put("threads", report.threads())
              .put("vmas", report.vmas())
              .put("descriptors", report.descriptors()));
    } else {
      out.println(
          "%s is whole: process %d (%s), %s, %s, %s; %s, %d pages stored in %s%s, %d zero"
              .formatted(
                  directory,
                  report.manifest().getPid(),
                  report.manifest().getComm(),
                  Units.count(report.threads(), "thread"),
                  Units.count(report.vmas(), "mapping"),
                  Units.count(report.descriptors(), "descriptor"),
                  Units.bytes(report.bytes()),
                  report.storedPages(),
                  Units.count(report.chunks(), "chunk"),
                  report.images() == 1 ? "" : " of " + Units.count(report.images(), "image"),
                  report.zeroPages()));
    }
    return ExitCode.OK;
  }
}
