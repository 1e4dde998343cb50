package dev.jcr.tests;

import dev.jcr.dump.Dump;
import dev.jcr.dump.DumpListener;
import dev.jcr.dump.DumpOptions;
import dev.jcr.dump.DumpOptions.Afterwards;
import dev.jcr.dump.files.LinkPolicy;
import dev.jcr.image.CheckpointException;
import dev.jcr.restore.Restore;
import dev.jcr.restore.RestoreOptions;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Set;

/// Dump and restore in the JVM of the tests without a command line, and a dump without a rehearsal:
/// half of the time in an emulated machine.
final class Engine {
  private static final Set<String> OPTIONS = Set.of("-R", "-s", "--tcp-established");

  private Engine() {}

  /// Whether it understands these options of `jcr dump`.
  static boolean understands(Set<String> options) {
    return OPTIONS.containsAll(options);
  }

  /// What `jcr dump` does.
  static Command.Result dump(long pid, Path image, Set<String> options) {
    return result(
        "dump " + pid,
        () ->
            Dump.run(
                DumpOptions.of(Math.toIntExact(pid), image)
                    .afterwards(
                        options.contains("-R")
                            ? Afterwards.LEAVE_RUNNING
                            : options.contains("-s") ? Afterwards.LEAVE_STOPPED : Afterwards.KILL)
                    .connections(
                        options.contains("--tcp-established") ? LinkPolicy.KEEP : LinkPolicy.REFUSE)
                    .rehearse(false)
                    .build(),
                DumpListener.SILENT));
  }

  /// What `jcr restore -d` does.
  static Command.Result restore(Path image) {
    return result("restore " + image, () -> Restore.run(new RestoreOptions(image, false, true)));
  }

  @FunctionalInterface
  private interface Action {
    void run() throws CheckpointException;
  }

  private static Command.Result result(String words, Action action) {
    long begin = System.nanoTime();
    int exitCode = 0;
    String err = "";
    try {
      action.run();
    } catch (CheckpointException e) {
      exitCode = e.outcome().exitCode();
      err = "jcr: " + e.getMessage() + "\n";
    }
    return new Command.Result(
        List.of(words.split(" ", -1)),
        exitCode,
        "",
        err,
        Duration.ofNanos(System.nanoTime() - begin));
  }
}
