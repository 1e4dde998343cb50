package dev.jcr.tests;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Assumptions;

/// Control groups of version 2 for tests.
final class ControlGroup {
  private ControlGroup() {}

  /// A new one below the root of the hierarchy.
  static Path make() throws IOException {
    List<String> mounts =
        Files.readAllLines(Path.of("/proc/self/mountinfo")).stream()
            .filter(line -> line.contains(" - cgroup2 "))
            .map(line -> line.split(" ", 6)[4])
            .toList();
    Assumptions.assumeFalse(mounts.isEmpty(), "needs control groups of version 2");
    Path group = Path.of(mounts.getFirst()).resolve("jcr-test-" + System.nanoTime());
    Assumptions.assumeTrue(
        Command.of("mkdir", group.toString()).run().exitCode() == 0,
        "needs the right to make control groups");
    Assumptions.assumeTrue(
        Files.exists(group.resolve("cgroup.kill")), "needs cgroup.kill, from kernel 5.14");
    return group;
  }

  /// The same, in that group.
  static Command in(Path group, Command command) {
    List<String> words =
        new ArrayList<>(
            List.of("sh", "-c", "echo $$ >" + group + "/cgroup.procs && exec \"$@\"", "sh"));
    words.addAll(command.words());
    return Command.of(words);
  }

  /// Kills what is left in it.
  static void remove(Path group) throws IOException {
    Files.writeString(group.resolve("cgroup.kill"), "1");
    long end = System.nanoTime() + 10_000_000_000L;
    while (!Files.readAllLines(group.resolve("cgroup.procs")).isEmpty()
        && System.nanoTime() < end) {
      Target.nap(10);
    }
    Files.delete(group);
  }
}
