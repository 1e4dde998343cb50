package dev.jcr.cli;

import dev.jcr.cli.migrate.Destination;
import dev.jcr.cli.migrate.FileChoice;
import dev.jcr.cli.migrate.Losses;
import dev.jcr.cli.migrate.Source;
import dev.jcr.dump.files.Embedding;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.inspect.Describe;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// `jcr migrate PID HOST[:PORT]`.
@Command(
    name = "migrate",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    description = {
      "Moves a running process to a host where jcr serve runs.",
      "",
      "Its memory is copied while it runs, in rounds; then it is stopped, the rest is sent, rebuilt"
          + " and proven there, and only then decided: it runs there and is ended here, or it runs"
          + " on here. After a crash of either side, or a lost network, --recover carries out what"
          + " was decided."
    },
    optionListHeading = "%nOptions:%n",
    footerHeading = "%nExamples:%n",
    footer = {
      "  jcr migrate 4242 10.0.0.2",
      "  jcr migrate 4242 10.0.0.2 --max-downtime 200 --bandwidth 50",
      "  jcr migrate 4242 10.0.0.2 --streams 4 --reconnect 120",
      "  jcr migrate 4242 10.0.0.2 --postcopy",
      "  jcr migrate 4242 10.0.0.2 --with-files --map-path /srv/a=/srv/b",
      "  jcr migrate --status                what was moved from and to this host",
      "  jcr migrate --recover               finish or call off what was cut short"
    })
final class MigrateCommand implements Callable<Integer> {
  private static final int ROUNDS = 30;
  private static final int MOST_RECONNECT = 3600;

  @Spec private CommandSpec spec;

  @Parameters(index = "0", arity = "0..1", paramLabel = "PID", description = "The process.")
  private @Nullable Integer pid;

  @Parameters(
      index = "1",
      arity = "0..1",
      paramLabel = "HOST[:PORT]",
      description = "Where jcr serve listens; port 7479 if none is given.")
  private @Nullable String host;

  @Mixin private CredentialOptions credentials = new CredentialOptions();

  @Option(
      names = "--max-downtime",
      paramLabel = "MS",
      defaultValue = "50",
      description =
          "Stop the process when it is expected to stand still no longer than this; where the move"
              + " takes that long by itself, when the rest of its memory does not"
              + " (default: ${DEFAULT-VALUE}).")
  private long maxDowntime;

  @Option(
      names = "--max-rounds",
      paramLabel = "N",
      description =
          "Give up when that was not reached after N rounds (default: 30). With --postcopy: let it"
              + " run there after N rounds at most (default: 0).")
  private @Nullable Integer maxRounds;

  @Option(
      names = "--postcopy",
      description =
          "Let it run there before all its memory is there: the rest comes as it is asked for, and"
              + " in the background. Meanwhile the process needs both hosts: when the network or a"
              + " jcr is lost, it stops and waits for --recover (exit code 7); when the source host"
              + " itself is lost, so is the process.")
  private boolean postcopy;

  @Option(
      names = "--bandwidth",
      paramLabel = "MIB",
      defaultValue = "0",
      description = "Send no more than this many MiB in a second (default: no limit).")
  private long bandwidth;

  @Option(
      names = "--streams",
      paramLabel = "N",
      defaultValue = "1",
      description =
          "Send by N connections at once, 1 to 8: when one of them breaks, the others go on"
              + " (default: ${DEFAULT-VALUE}).")
  private int streams;

  @Option(
      names = "--reconnect",
      paramLabel = "SECONDS",
      defaultValue = "30",
      description =
          "When the connection breaks while the process runs here, or runs there and waits for its"
              + " memory, try for so long to go on by another one; 0 for not at all. While it"
              + " stands still it is never waited for (default: ${DEFAULT-VALUE}).")
  private int reconnect;

  @Option(
      names = "--compress",
      paramLabel = "CODEC",
      defaultValue = "zstd:1",
      converter = Codec.Converter.class,
      description = "none, zstd or zstd:LEVEL (default: ${DEFAULT-VALUE}).")
  private Codec codec;

  @ArgGroup(validate = false, heading = "%nFiles, at the destination:%n")
  private FileOptions files = new FileOptions();

  @ArgGroup(
      validate = false,
      heading = "%nWhat it may lose by the move, and says so (default: it forbids the move):%n")
  private LossOptions losses = new LossOptions();

  @Option(names = "--status", description = "Print the journals of this host.")
  private boolean status;

  @Option(
      names = "--recover",
      description =
          "Carry out what was decided: call off undecided migrations, finish decided ones.")
  private boolean recover;

  @Option(
      names = "--json",
      description = "Print events and report, or the error, as lines of JSON on stdout.")
  private boolean json;

  static final class LossOptions {
    @Option(
        names = "--ext-unix-sk",
        description =
            "Connections of unix sockets to other processes: there it has new ones to the same"
                + " names, or finds them closed.")
    private boolean externalUnix;

    @Option(
        names = "--skip-in-flight",
        description =
            "Connections to a listening socket that are not accepted yet: their other ends get a"
                + " reset, or try again. And packets that wait in packet sockets.")
    private boolean skipInFlight;

    @Option(
        names = "--inotify-overflow",
        description = "Unread inotify events: there it reads IN_Q_OVERFLOW instead.")
    private boolean inotifyOverflow;

    Losses losses() {
      return new Losses(externalUnix, skipInFlight, inotifyOverflow);
    }
  }

  static final class FileOptions extends MovedPaths {
    @Option(
        names = "--with-files",
        description =
            "Send along those regular files that the process has open or mapped, and its"
                + " executable, which the destination lacks or has with another content. What is"
                + " there stays: beside it the process has its own without a name. They are sent"
                + " while the process stands still.")
    private boolean all;

    @Option(
        names = "--with-file",
        paramLabel = "PATH",
        description = "The same for this file, or what lies in this folder, only; may be repeated.")
    private List<Path> some = List.of();

    @Option(
        names = "--embed-limit",
        paramLabel = "BYTES",
        description = "Refuse to send a larger file (default: 67108864).")
    private long limit = Embedding.USUAL_LIMIT;

    FileChoice choice() throws CheckpointException {
      if (limit < 0) {
        throw new CheckpointException(
            Outcome.USAGE,
            "cannot read the command line: --embed-limit: not "
                + limit
                + "; see jcr migrate --help");
      }
      return new FileChoice(
          moved("migrate"), all, some.stream().map(DumpCommand.FileOptions::real).toList(), limit);
    }
  }

  @Override
  public Integer call() throws CheckpointException {
    PrintWriter out = spec.commandLine().getOut();
    if (status) {
      printStatus(out);
      return ExitCode.OK;
    }
    if (recover) {
      return recover(out);
    }
    if (pid == null || host == null) {
      throw new CheckpointException(
          Outcome.USAGE,
          "cannot read the command line: PID and HOST are missing; see jcr migrate --help");
    }
    require(reconnect, "--reconnect", 0, MOST_RECONNECT);
    require(streams, "--streams", 1, Source.MOST_STREAMS);
    Source.Report report =
        Source.run(
            new Source.Options(
                pid,
                CredentialOptions.address(host),
                credentials.folder,
                maxDowntime,
                maxRounds == null ? postcopy ? 0 : ROUNDS : maxRounds,
                bandwidth << 20,
                codec.compression(),
                codec.level(),
                postcopy,
                files.choice(),
                reconnect,
                streams,
                losses.losses()),
            credentials.load(),
            this::event);
    if (json) {
      out.println(
          new JsonObject()
              .put("event", "done")
              .put("id", report.id())
              .put("pid", report.pid())
              .put("rounds", report.rounds())
              .put("bytes", report.bytes())
              .put("downtime_us", report.downtimeMicros()));
    } else {
      out.println(
          "moved process %d to %s: %s, %s sent, stopped for %s"
              .formatted(
                  report.pid(),
                  host,
                  Units.count(report.rounds(), "round"),
                  Units.bytes(report.bytes()),
                  Units.microseconds(report.downtimeMicros())));
    }
    return ExitCode.OK;
  }

  private static void require(int value, String option, int least, int most)
      throws CheckpointException {
    if (value < least || value > most) {
      throw new CheckpointException(
          Outcome.USAGE,
          "cannot read the command line: %s: not %d, but %d to %d; see jcr migrate --help"
              .formatted(option, value, least, most));
    }
  }

  private void event(String event, String... namesAndValues) {
    if (json) {
      JsonObject line = new JsonObject().put("event", event);
      for (int i = 0; i + 1 < namesAndValues.length; i += 2) {
        line.put(namesAndValues[i], namesAndValues[i + 1]);
      }
      PrintWriter out = spec.commandLine().getOut();
      out.println(line);
      out.flush();
    } else {
      PrintWriter err = spec.commandLine().getErr();
      err.println(Describe.visible("jcr: " + event + " " + String.join(" ", namesAndValues)));
      err.flush();
    }
  }

  private void printStatus(PrintWriter out) throws CheckpointException {
    try {
      List<String> lines = new ArrayList<>(Source.status(credentials.folder));
      lines.addAll(Destination.status(credentials.folder));
      lines.forEach(out::println);
    } catch (IOException e) {
      throw new CheckpointException(
          Outcome.FAILED, "cannot read journals: " + e.getMessage() + "; see --dir", e);
    }
  }

  private int recover(PrintWriter out) throws CheckpointException {
    int exit = ExitCode.OK;
    for (Source.Recovered one : Source.recover(credentials.folder, credentials.load())) {
      out.println("migration " + one.id() + ": " + one.message());
      exit =
          Math.max(
              exit,
              switch (one.fate()) {
                case OVER -> ExitCode.OK;
                case OPEN -> ExitCode.FAILED;
                case LOST -> Outcome.TARGET_DOUBTFUL.exitCode();
              });
    }
    return exit;
  }
}
