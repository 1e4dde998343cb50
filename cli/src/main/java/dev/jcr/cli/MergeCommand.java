package dev.jcr.cli;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.codec.ImageMerge;
import dev.jcr.image.codec.ImageReader;
import dev.jcr.image.v1.Manifest;
import dev.jcr.image.v1.Statistics;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// `jcr merge DIR -D OUT`.
@Command(
    name = "merge",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    description = {
      "Makes one image of a dump and the pre-dumps that it continues.",
      "",
      "The images of the chain are only read. Needs no privilege and no matching host."
    },
    optionListHeading = "%nOptions:%n")
final class MergeCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Parameters(paramLabel = "DIR", description = "Image folder of the dump.")
  private Path directory;

  @Option(
      names = {"-D", "--images-dir"},
      required = true,
      paramLabel = "DIR",
      description = "Folder of the new image; made if missing, must be empty.")
  private Path target;

  @Option(
      names = "--compress",
      paramLabel = "CODEC",
      defaultValue = "zstd:1",
      converter = Codec.Converter.class,
      description = "none, zstd or zstd:LEVEL (default: ${DEFAULT-VALUE}).")
  private Codec codec;

  @Option(
      names = "--json",
      description = "Print the report, or the error, as one line of JSON on stdout.")
  private boolean json;

  @Override
  public Integer call() throws CheckpointException {
    try (ImageReader image = ImageReader.open(directory)) {
      Manifest manifest = ImageMerge.run(image, target, codec.compression(), codec.level());
      Statistics s = manifest.getCreation().getStatistics();
      PrintWriter out = spec.commandLine().getOut();
      if (json) {
        out.println(
            new JsonObject()
                .put("directory", target.toString())
                .put("images", image.pages().depth())
                .put("pages_written", s.getPagesWritten())
                .put("pages_zero", s.getPagesZero())
                .put("image_bytes", s.getImageBytes()));
      } else {
        out.println(
            "merged %s into %s: %d pages stored in %s, %d zero"
                .formatted(
                    Units.count(image.pages().depth(), "image"),
                    target,
                    s.getPagesWritten(),
                    Units.bytes(s.getPagesBytesStored()),
                    s.getPagesZero()));
      }
    }
    return ExitCode.OK;
  }
}
