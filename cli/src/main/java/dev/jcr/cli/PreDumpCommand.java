package dev.jcr.cli;

import dev.jcr.dump.PreDump;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.inspect.Describe;
import dev.jcr.image.v1.Statistics;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// `jcr pre-dump PID -D DIR`.
@Command(
    name = "pre-dump",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    description = {
      "Copies the memory of a process while it runs; a later dump then holds only the rest.",
      "",
      "A small process of jcr's (jcr-keeper) knows what is written from here on. It ends with the"
          + " next pre-dump or dump that names this image, or with the process; ending it earlier"
          + " only makes the next one a full one."
    },
    optionListHeading = "%nOptions:%n",
    footerHeading = "%nExamples:%n",
    footer = {
      "  jcr pre-dump 4242 -D job/1",
      "  jcr pre-dump 4242 -D job/2 --prev-images-dir ../1",
      "  jcr dump 4242 -D job/3 --prev-images-dir ../2",
      "  jcr merge job/3 -D job.jcr          one image without the others"
    })
final class PreDumpCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Parameters(paramLabel = "PID", description = "The process.")
  private int pid;

  @Option(
      names = {"-D", "--images-dir"},
      required = true,
      paramLabel = "DIR",
      description = "Image folder; made if missing, must be empty.")
  private Path directory;

  @Option(
      names = "--prev-images-dir",
      paramLabel = "DIR",
      description =
          "Hold only what was written since this image; relative to the image folder, or absolute.")
  private @Nullable Path parent;

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
    PreDump.Report report =
        PreDump.run(
            new PreDump.Options(pid, directory, parent, codec.compression(), codec.level(), true));
    PrintWriter out = spec.commandLine().getOut();
    report
        .notes()
        .forEach(
            note -> spec.commandLine().getErr().println("jcr: note: " + Describe.visible(note)));
    Statistics s = report.manifest().getCreation().getStatistics();
    if (json) {
      out.println(
          new JsonObject()
              .put("pid", pid)
              .put("directory", directory.toString())
              .put("keeper", report.manifest().getTracking().getKeeper())
              .put("pages_written", s.getPagesWritten())
              .put("pages_zero", s.getPagesZero())
              .put("pages_parent", s.getPagesParent())
              .put("image_bytes", s.getImageBytes())
              .put("total_time_us", s.getTotalTime())
              .putStrings("notes", report.notes()));
    } else {
      out.println(
          "copied the memory of process %d to %s in %s: %d pages stored in %s, %d zero, %d unchanged"
              .formatted(
                  pid,
                  directory,
                  Units.microseconds(s.getTotalTime()),
                  s.getPagesWritten(),
                  Units.bytes(s.getPagesBytesStored()),
                  s.getPagesZero(),
                  s.getPagesParent()));
    }
    return ExitCode.OK;
  }
}
