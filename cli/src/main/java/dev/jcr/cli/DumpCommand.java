package dev.jcr.cli;

import dev.jcr.dump.Dump;
import dev.jcr.dump.DumpOptions;
import dev.jcr.dump.DumpOptions.Afterwards;
import dev.jcr.dump.DumpReport;
import dev.jcr.dump.files.Embedding;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.inspect.Describe;
import dev.jcr.image.v1.Loss;
import dev.jcr.image.v1.Statistics;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// `jcr dump PID`.
@Command(
    name = "dump",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    description = {
      "Checkpoints a process with all its threads into an image folder.",
      "",
      "The process is ended only after the image is whole and on disk. Whatever fails before that"
          + " leaves it running as it was."
    },
    optionListHeading = "%nOptions:%n",
    footerHeading = "%nExamples:%n",
    footer = {
      "  jcr dump 4242                       into COMM-4242.jcr, then end the process",
      "  jcr dump 4242 -D job.jcr -R         into job.jcr; the process keeps running",
      "  jcr dump 4242 --compress zstd:9     smaller, slower"
    })
final class DumpCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Parameters(paramLabel = "PID", description = "The process.")
  private int pid;

  @ArgGroup(validate = false, heading = "%nThe image:%n")
  private ImageOptions image = new ImageOptions();

  @ArgGroup(validate = false, heading = "%nThe process afterwards (default: it is ended):%n")
  private ProcessOptions process = new ProcessOptions();

  @ArgGroup(
      validate = false,
      heading = "%nConnections to other processes (default: they forbid the dump):%n")
  private ConnectionOptions connections = new ConnectionOptions();

  @ArgGroup(validate = false, heading = "%nFiles that the process has open or mapped:%n")
  private FileOptions files = new FileOptions();

  @Option(
      names = "--json",
      description = "Print the report, or the error, as one line of JSON on stdout.")
  private boolean json;

  static final class ImageOptions {
    @Option(
        names = {"-D", "--images-dir"},
        paramLabel = "DIR",
        description = "Image folder; made if missing, must be empty (default: COMM-PID.jcr).")
    private @Nullable Path directory;

    @Option(
        names = "--compress",
        paramLabel = "CODEC",
        defaultValue = "zstd:1",
        converter = Codec.Converter.class,
        description = "none, zstd or zstd:LEVEL (default: ${DEFAULT-VALUE}).")
    private Codec codec;

    @Option(
        names = "--prev-images-dir",
        paramLabel = "DIR",
        description =
            "Hold only what was written since this image of jcr pre-dump (or of a dump with"
                + " --track-mem); relative to the image folder, or absolute.")
    private @Nullable Path parent;

    @Option(
        names = "--track-mem",
        description =
            "Track what is written from here on, for the next --prev-images-dir; only with -R.")
    private boolean trackMemory;
  }

  static final class FileOptions {
    @Option(
        names = "--embed-files",
        paramLabel = "PATH",
        description = {
          "Put the content of file PATH, or of all regular files in folder PATH, into the image. A"
              + " restore uses the file that is there if it is the same or --if-changed accepts it;"
              + " makes it again if it is gone; and else leaves it and gives the process one"
              + " without a name. May be repeated."
        })
    private List<Path> paths = List.of();

    @Option(
        names = "--embed-limit",
        paramLabel = "BYTES",
        description = "Refuse to embed a larger file (default: 67108864).")
    private long limit = Embedding.USUAL_LIMIT;

    @Option(
        names = "--inotify-overflow",
        description =
            "Leave unread inotify events behind: the restored process reads IN_Q_OVERFLOW instead,"
                + " by which the kernel says that events were lost.")
    private boolean inotifyOverflow;

    Embedding embedding() throws CheckpointException {
      if (limit < 0) {
        throw new CheckpointException(
            CheckpointException.Outcome.USAGE,
            "cannot read the command line: --embed-limit: not " + limit + "; see jcr dump --help");
      }
      return new Embedding(paths.stream().map(FileOptions::real).toList(), limit);
    }

    /// As /proc shows it. What is not there is the engine's to report.
    static String real(Path path) {
      try {
        return path.toRealPath().toString();
      } catch (IOException _) {
        return path.toAbsolutePath().normalize().toString();
      }
    }
  }

  static final class ProcessOptions {
    @Option(
        names = {"-R", "--leave-running"},
        description = "Let it run on.")
    private boolean leaveRunning;

    @Option(
        names = {"-s", "--leave-stopped"},
        description = "Leave it stopped, as by SIGSTOP.")
    private boolean leaveStopped;
  }

  @Override
  public Integer call() throws CheckpointException {
    if (process.leaveRunning && process.leaveStopped) {
      throw new CheckpointException(
          CheckpointException.Outcome.USAGE,
          "cannot read the command line: -R and -s exclude each other; see jcr dump --help");
    }
    if (image.trackMemory && !process.leaveRunning) {
      throw new CheckpointException(
          CheckpointException.Outcome.USAGE,
          "cannot read the command line: --track-mem needs -R; see jcr dump --help");
    }
    Path directory = image.directory == null ? defaultDirectory() : image.directory;
    Afterwards afterwards =
        process.leaveRunning
            ? Afterwards.LEAVE_RUNNING
            : process.leaveStopped ? Afterwards.LEAVE_STOPPED : Afterwards.KILL;
    DumpOptions options =
        DumpOptions.of(pid, directory)
            .afterwards(afterwards)
            .compression(image.codec.compression(), image.codec.level())
            .connections(connections.policy())
            .embedding(files.embedding())
            .inotifyOverflow(files.inotifyOverflow)
            .parent(image.parent)
            .trackMemory(image.trackMemory)
            .build();
    PrintWriter out = spec.commandLine().getOut();
    DumpReport report;
    try (Progress progress = new Progress(spec.commandLine().getErr())) {
      report = Dump.run(options, progress);
    }
    report
        .notes()
        .forEach(
            note -> spec.commandLine().getErr().println("jcr: note: " + Describe.visible(note)));
    if (json) {
      out.println(json(report, afterwards));
    } else {
      print(out, report);
    }
    return ExitCode.OK;
  }

  /// `COMM-PID.jcr` in the current folder. A process that is gone is the engine's to report.
  private Path defaultDirectory() {
    String comm;
    try {
      comm = Files.readString(Path.of("/proc/" + pid + "/comm")).strip();
    } catch (IOException e) {
      comm = "process";
    }
    return Path.of(comm.replaceAll("[^A-Za-z0-9._+@-]", "_") + "-" + pid + ".jcr");
  }

  private static void print(PrintWriter out, DumpReport report) {
    Statistics s = report.statistics();
    out.println(
        Describe.visible(
            "dumped process %d (%s) to %s in %s, frozen for %s"
                .formatted(
                    report.pid(),
                    report.comm(),
                    report.directory(),
                    Units.microseconds(s.getTotalTime()),
                    Units.microseconds(s.getFrozenTime()))));
    out.println(
        "  image     %s, pages %d of %d stored in %s, %d zero%s"
            .formatted(
                Units.bytes(s.getImageBytes()),
                s.getPagesWritten(),
                s.getPagesScanned(),
                Units.bytes(s.getPagesBytesStored()),
                s.getPagesZero(),
                s.getPagesParent() == 0 ? "" : ", %d unchanged".formatted(s.getPagesParent())));
    out.println(
        "  process   %s, %s, %s"
            .formatted(
                Units.count(s.getThreads(), "thread"),
                Units.count(s.getVmas(), "mapping"),
                Units.count(s.getDescriptors(), "descriptor")));
    out.println(
        "  times     freezing %s, reading memory %s, writing %s; %s"
            .formatted(
                Units.microseconds(s.getFreezingTime()),
                Units.microseconds(s.getMemdumpTime()),
                Units.microseconds(s.getMemwriteTime()),
                Units.count(s.getInjectedCalls(), "injected call")));
    for (Loss loss : report.losses()) {
      out.println(
          Describe.visible(
              "  lost      %s %s: %s"
                  .formatted(loss.getKind(), loss.getObject(), loss.getReason())));
    }
  }

  private static JsonObject json(DumpReport report, Afterwards afterwards) {
    Statistics s = report.statistics();
    return new JsonObject()
        .put("pid", report.pid())
        .put("comm", report.comm())
        .put("directory", report.directory().toString())
        .put(
            "process",
            switch (afterwards) {
              case KILL -> "ended";
              case LEAVE_RUNNING -> "running";
              case LEAVE_STOPPED -> "stopped";
            })
        .put(
            "statistics",
            new JsonObject()
                .put("freezing_time_us", s.getFreezingTime())
                .put("frozen_time_us", s.getFrozenTime())
                .put("registers_time_us", s.getRegistersTime())
                .put("injection_time_us", s.getInjectionTime())
                .put("descriptors_time_us", s.getDescriptorsTime())
                .put("memdump_time_us", s.getMemdumpTime())
                .put("state_time_us", s.getStateTime())
                .put("memwrite_time_us", s.getMemwriteTime())
                .put("total_time_us", s.getTotalTime())
                .put("pages_scanned", s.getPagesScanned())
                .put("pages_written", s.getPagesWritten())
                .put("pages_zero", s.getPagesZero())
                .put("pages_parent", s.getPagesParent())
                .put("pages_bytes_stored", s.getPagesBytesStored())
                .put("threads", s.getThreads())
                .put("vmas", s.getVmas())
                .put("descriptors", s.getDescriptors())
                .put("injected_calls", s.getInjectedCalls())
                .put("image_bytes", s.getImageBytes()))
        .put(
            "losses",
            report.losses().stream()
                .map(loss ->
                    new JsonObject()
                        .put("kind", loss.getKind())
                        .put("object", loss.getObject())
                        .put("reason", loss.getReason()))
                .toList());
  }
}
