package dev.jcr.cli;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.lang.ProcessBuilder.Redirect;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/// `jcr demo`: the main job on a program of its own, for newcomers. Needs perl, which every Debian
/// has, and no compiler.
///
/// The verbs run as subprocesses: this JVM is the parent of the program, and a JVM's reaper would
/// take the stops of a child that it traced itself.
@Command(
    name = "demo",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    description = {
      "Shows the main job on a program of its own.",
      "",
      "Starts a counter, dumps it, shows that it is gone, restores it, and proves that the same"
          + " process counts on from the same value. Cleans up after itself."
    },
    optionListHeading = "%nOptions:%n")
final class DemoCommand implements Callable<Integer> {
  /// Counts in memory only: a process that was started again would print another token and count
  /// from one.
  private static final String PROGRAM =
      """
      use POSIX ();
      POSIX::setsid();
      $0 = "jcr-counter";
      $| = 1;
      my $token = 100000 + int rand 900000;
      my $count = 0;
      while (1) {
        $count++;
        print "$token $count\\n";
        select undef, undef, undef, 0.05;
      }
      """;

  private static final long PATIENCE_NANOS = TimeUnit.SECONDS.toNanos(20);

  @Spec private CommandSpec spec;

  /// A line that the counter wrote.
  private record Tick(String token, long count) {}

  @Override
  public Integer call() throws CheckpointException, IOException, InterruptedException {
    Path work = Files.createTempDirectory("jcr-demo-");
    Path log = work.resolve("counter.log");
    Files.createFile(log);
    Process counter = start(work, log);
    long pid = counter.pid();
    // Ctrl-C does not reach the counter: it is in a session of its own.
    Thread cleanUp = new Thread(() -> cleanUp(pid, work));
    Runtime.getRuntime().addShutdownHook(cleanUp);
    try {
      return show(pid, work, log);
    } finally {
      cleanUp(pid, work);
      Runtime.getRuntime().removeShutdownHook(cleanUp);
    }
  }

  private int show(long pid, Path work, Path log)
      throws CheckpointException, IOException, InterruptedException {
    PrintWriter out = spec.commandLine().getOut();
    waitUntil("the counter to count", () -> ticks(log).size() >= 20);
    Tick before = ticks(log).getLast();
    out.println("1. A program counts: process %d (perl), in memory only.".formatted(pid));
    out.println("   its random token: %s   its counter: %d".formatted(before.token, before.count));

    Path image = work.resolve("counter.jcr");
    out.println("2. jcr dump %d -D %s".formatted(pid, image));
    int dumped = verb(work, "dump", Long.toString(pid), "-D", image.toString());
    if (dumped != ExitCode.OK) {
      return dumped;
    }

    waitUntil("process " + pid + " to be gone", () -> !Files.exists(Path.of("/proc/" + pid)));
    Tick last = ticks(log).getLast();
    out.println("3. Process %d is gone: there is no /proc/%d.".formatted(pid, pid));
    out.println("   its counter stopped at %d".formatted(last.count));

    out.println("4. jcr restore %s -d".formatted(image));
    int restored = verb(work, "restore", image.toString(), "-d");
    if (restored != ExitCode.OK) {
      return restored;
    }
    waitUntil("the counter to go on", () -> ticks(log).getLast().count >= last.count + 10);
    List<Tick> all = ticks(log);
    if (!Files.exists(Path.of("/proc/" + pid))) {
      throw failed("process " + pid + " does not run");
    }
    for (int i = 0; i < all.size(); i++) {
      Tick tick = all.get(i);
      if (tick.count != i + 1 || !tick.token.equals(before.token)) {
        throw failed(
            "line %d of the counter reads token %s, value %d instead of %s, %d: it did not go on"
                .formatted(i + 1, tick.token, tick.count, before.token, i + 1));
      }
    }
    out.println("5. Process %d counts on, with the same token %s:".formatted(pid, before.token));
    out.println(
        "   %d | %s ..."
            .formatted(
                last.count,
                String.join(
                    " ",
                    IntStream.rangeClosed(1, 5).mapToObj(i -> "" + (last.count + i)).toList())));
    out.println(
        "It was started once and counted 1 to %d without a gap or a repeat."
            .formatted(all.getLast().count));
    return ExitCode.OK;
  }

  private static Process start(Path work, Path log) throws CheckpointException {
    try {
      return new ProcessBuilder("perl", "-e", PROGRAM)
          .directory(work.toFile())
          .redirectInput(Path.of("/dev/null").toFile())
          .redirectOutput(Redirect.appendTo(log.toFile()))
          .redirectError(Redirect.DISCARD)
          .start();
    } catch (IOException e) {
      throw new CheckpointException(
          Outcome.FAILED,
          "cannot start perl, the demo's program: " + e.getMessage() + "; install perl-base",
          e);
    }
  }

  /// Runs a verb of this very jcr and shows what it prints, indented.
  private int verb(Path work, String... arguments) throws IOException, InterruptedException {
    List<String> command = new ArrayList<>(Launcher.words());
    command.addAll(List.of(arguments));
    // A file and not a pipe: nothing waits for a process that keeps the other end open.
    Path output = work.resolve("output");
    int exitCode =
        new ProcessBuilder(command)
            .redirectInput(Path.of("/dev/null").toFile())
            .redirectOutput(output.toFile())
            .redirectErrorStream(true)
            .start()
            .waitFor();
    Files.readAllLines(output).forEach(line -> spec.commandLine().getOut().println("   " + line));
    return exitCode;
  }

  /// The whole lines so far; the last one may still be in writing.
  private static List<Tick> ticks(Path log) {
    try {
      String text = Files.readString(log);
      return text.substring(0, text.lastIndexOf('\n') + 1)
          .lines()
          .map(line -> line.split(" "))
          .map(words -> new Tick(words[0], Long.parseLong(words[1])))
          .toList();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static void waitUntil(String what, BooleanSupplier condition)
      throws CheckpointException, InterruptedException {
    long start = System.nanoTime();
    while (!condition.getAsBoolean()) {
      if (System.nanoTime() - start > PATIENCE_NANOS) {
        throw failed("waited 20 s for " + what);
      }
      Thread.sleep(10);
    }
  }

  private static CheckpointException failed(String reason) {
    return new CheckpointException(Outcome.FAILED, "cannot show the demo: " + reason);
  }

  private static void cleanUp(long pid, Path work) {
    try {
      if (Files.isDirectory(Path.of("/proc/" + pid))
          && Files.readString(Path.of("/proc/" + pid + "/cmdline")).startsWith("jcr-counter")) {
        ProcessHandle.of(pid).ifPresent(ProcessHandle::destroyForcibly);
      }
      if (Files.exists(work)) {
        try (Stream<Path> files = Files.walk(work)) {
          for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
            Files.delete(file);
          }
        }
      }
    } catch (IOException e) {
      // Only a temporary folder stays behind.
      System.getLogger(DemoCommand.class.getName())
          .log(System.Logger.Level.DEBUG, "cannot clean up {0}", work, e);
    }
  }
}
