package dev.jcr.cli;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.codec.ImageReader;
import dev.jcr.image.inspect.Diff;
import dev.jcr.image.inspect.PageDifference;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// `jcr diff A B`.
@Command(
    name = "diff",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    description = {
      "Compares two images: every field of the process, and the pages.",
      "",
      "Ends with 0 when they are equal, with 1 when they differ. When and where they were made does"
          + " not count."
    },
    optionListHeading = "%nOptions:%n",
    footerHeading = "%nExamples:%n",
    footer = {"  jcr diff before.jcr after.jcr"})
final class DiffCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Parameters(paramLabel = "A", index = "0", description = "Image folder.")
  private Path left;

  @Parameters(paramLabel = "B", index = "1", description = "Image folder.")
  private Path right;

  @Option(
      names = "--json",
      description = "Print the report, or the error, as one line of JSON on stdout.")
  private boolean json;

  @Override
  public Integer call() throws CheckpointException {
    Diff.Result result;
    try (ImageReader a = ImageReader.open(left);
        ImageReader b = ImageReader.open(right)) {
      result = Diff.of(a, b);
    }
    PrintWriter out = spec.commandLine().getOut();
    if (json) {
      out.println(
          new JsonObject()
              .put("equal", result.isEmpty())
              .put("fields", result.fields().stream().map(DiffCommand::json).toList())
              .put("pages", result.pages().stream().map(DiffCommand::json).toList()));
    } else {
      result.fields().forEach(out::println);
      result.pages().forEach(out::println);
    }
    return result.isEmpty() ? ExitCode.OK : ExitCode.FAILED;
  }

  private static JsonObject json(Diff.Difference difference) {
    return new JsonObject()
        .put("path", difference.path())
        .put("left", difference.left())
        .put("right", difference.right());
  }

  private static JsonObject json(PageDifference difference) {
    return new JsonObject()
        .put("space", difference.space())
        .put("start", "0x" + Long.toHexString(difference.start()))
        .put("pages", difference.pages())
        .put(
            "kind",
            switch (difference.kind()) {
              case CONTENT -> "content";
              case ZERO_ON_LEFT -> "zero_on_left";
              case ZERO_ON_RIGHT -> "zero_on_right";
              case NOT_THERE -> "not_there";
            });
  }
}
