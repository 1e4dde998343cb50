package dev.jcr.tests;

import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/// jcr as its users run it: a process with arguments, two outputs and an exit code.
///
/// The system property `jcr.command` names the launcher to test; without it the classes of this
/// build run on the JVM of the tests.
final class Jcr {
  private Jcr() {}

  static Command.Result run(String... arguments) {
    return command(arguments).run();
  }

  static Command command(String... arguments) {
    List<String> words = new ArrayList<>();
    String launcher = System.getProperty("jcr.command", "");
    if (launcher.isEmpty()) {
      words.addAll(
          List.of(
              Path.of(System.getProperty("java.home"), "bin", "java").toString(),
              "--enable-native-access=ALL-UNNAMED",
              "-XX:+UseSerialGC",
              "-XX:TieredStopAtLevel=1",
              "-Xshare:auto",
              "-cp",
              classPath(),
              "dev.jcr.cli.Main"));
    } else {
      words.add(launcher);
    }
    words.addAll(Arrays.asList(arguments));
    return Command.of(words);
  }

  private static String classPath() {
    // Surefire's own java.class.path is one jar that only names the others.
    String all =
        System.getProperty("surefire.test.class.path", System.getProperty("java.class.path"));
    List<String> used = new ArrayList<>();
    for (String entry : all.split(File.pathSeparator, -1)) {
      if (Files.exists(Path.of(entry)) && !entry.endsWith("test-classes")) {
        used.add(entry);
      }
    }
    return String.join(File.pathSeparator, used);
  }

  static Command.Result dump(long pid, Path image, String... more) {
    return withMore(List.of("dump", Long.toString(pid), "-D", image.toString()), more);
  }

  /// Restores in the background.
  static Command.Result restore(Path image, String... more) {
    return withMore(List.of("restore", image.toString(), "-d"), more);
  }

  private static Command.Result withMore(List<String> arguments, String... more) {
    List<String> words = new ArrayList<>(arguments);
    words.addAll(Arrays.asList(more));
    return run(words.toArray(String[]::new));
  }
}
