package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/// Workers of stress-ng, each one process that does one thing without pause and verifies what it
/// does: dumped in the middle of it, restored, found at work, and told to end, which they do with
/// success only if they have found no fault; or refused by name.
@Timeout(120)
class StressorsTest {
  /// Enough work, in nanoseconds of processor time, to be in the middle of it.
  private static final long AT_WORK = 20_000_000L;

  static List<String> usual() {
    return Stressors.USUAL;
  }

  static List<String> working() {
    return Stressors.WORKING.stream().filter(name -> !Stressors.USUAL.contains(name)).toList();
  }

  static Stream<Arguments> usuallyRefused() {
    return Stream.of("aiol", "pipe").map(name -> Arguments.of(name, Stressors.reason(name)));
  }

  static Stream<Arguments> refused() {
    return Stressors.REFUSED.stream()
        .flatMap(group -> group.names().stream().map(name -> Arguments.of(name, group.reason())));
  }

  @Tag("programs")
  @ParameterizedTest
  @MethodSource("usual")
  void goesOn(String stressor) throws Exception {
    dumpedAndRestored(stressor);
  }

  @Tag("soak")
  @ParameterizedTest
  @MethodSource("working")
  void goesOnToo(String stressor) throws Exception {
    dumpedAndRestored(stressor);
  }

  @Tag("programs")
  @ParameterizedTest
  @MethodSource("usuallyRefused")
  void isRefused(String stressor, String reason) {
    namedAndUnharmed(stressor, reason);
  }

  @Tag("soak")
  @ParameterizedTest
  @MethodSource("refused")
  void isRefusedToo(String stressor, String reason) {
    namedAndUnharmed(stressor, reason);
  }

  private static void dumpedAndRestored(String stressor) throws Exception {
    try (Target main = start(stressor)) {
      Proc worker = worker(main, stressor);
      // It clears up behind a worker that ends.
      main.kill("STOP");
      try {
        Jcr.dump(worker.pid(), main.image("1")).expectExit(0);
      } catch (AssertionError e) {
        endSession(main);
        throw e;
      }
      main.kill("KILL");
      while (worker.exists()) {
        Target.nap(2);
      }
      Path errors = main.folder().resolve("restore.err");
      Process restore =
          Jcr.command("restore", main.image("1").toString())
              .start(main.folder().resolve("restore.out"), errors);
      try {
        while (!Files.readString(errors).contains("restored process")) {
          assertThat(restore.isAlive()).as(() -> read(errors)).isTrue();
          Target.nap(2);
        }
        long before = worker.processorTime();
        for (int i = 0; i < 3000 && worker.processorTime() < before + AT_WORK; i++) {
          assertThat(worker.state()).isNotIn('X', 'Z', 'T');
          Target.nap(2);
        }
        assertThat(worker.processorTime()).isGreaterThanOrEqualTo(before + AT_WORK);
        // What its first process does when the time is over.
        Command.of("kill", "-ALRM", Long.toString(worker.pid())).run().expectExit(0);
        assertThat(restore.waitFor(60, TimeUnit.SECONDS)).as("ends when told to").isTrue();
      } finally {
        if (worker.exists()) {
          Command.of("kill", "-KILL", Long.toString(worker.pid())).run();
        }
        restore.waitFor();
      }
      assertThat(restore.exitValue()).as(() -> read(errors)).isZero();
      assertThat(main.read("stress-ng.err")).doesNotContain("fail:");
    }
  }

  private static void namedAndUnharmed(String stressor, String reason) {
    try (Target main = start(stressor)) {
      Proc worker = worker(main, stressor);
      try {
        assertThat(Jcr.dump(worker.pid(), main.image("1")).expectExit(3).err()).contains(reason);
        assertThat(worker.state()).isNotIn('X', 'Z', 'T', 't');
        assertThat(worker.tracer()).isZero();
      } finally {
        endSession(main);
      }
    }
  }

  /// The worker's own children too.
  private static void endSession(Target main) {
    Command.of("pkill", "-KILL", "-s", Long.toString(main.pid())).run();
  }

  private static Target start(String stressor) {
    Assumptions.assumeTrue(
        Command.of("sh", "-c", "command -v stress-ng").run().exitCode() == 0,
        "stress-ng is not installed");
    Path folder = Target.newFolder();
    return Target.launch(
        folder,
        "stress-ng",
        Map.of(),
        List.of(
            "stress-ng",
            "--" + stressor,
            "1",
            "--verify",
            "--timeout",
            "100",
            "--temp-path",
            folder.toString()));
  }

  /// The worker, when it is at work: the first process only waits for it.
  private static Proc worker(Target main, String stressor) {
    String worker = "";
    for (int i = 0; i < 1000; i++) {
      List<String> children =
          List.of(main.proc().read("task/" + main.pid() + "/children").split(" ", -1));
      worker = children.getFirst();
      if (!worker.isEmpty()) {
        Proc proc = new Proc(Long.parseLong(worker));
        if (proc.read("comm").startsWith("stress-ng-")
            && (proc.processorTime() > AT_WORK || i > 100)) {
          return proc;
        }
      }
      Target.nap(10);
    }
    throw new AssertionError(stressor + " has no worker: " + main.read("stress-ng.err"));
  }

  private static String read(Path file) {
    try {
      return Files.readString(file);
    } catch (IOException e) {
      return e.toString();
    }
  }
}
