package dev.jcr.tests;

import dev.jcr.cli.Main;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import java.io.File;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;

/// jcr as its users run it: a process with arguments, two outputs and an exit code.
///
/// The system property `jcr.command` names the launcher to test; without it the classes of this
/// build run on the JVM of the tests. With the system property `jcr.inside`, `run` calls the
/// command line in the JVM of the tests instead, and [#dump] and [#restore] the engine, for
/// machines on which a JVM's start takes seconds.
final class Jcr {
  /// `linux/wait.h`.
  private static final int WNOHANG = 1;

  private static final boolean INSIDE = Boolean.getBoolean("jcr.inside");

  private Jcr() {}

  static Command.Result run(String... arguments) {
    return INSIDE ? inside(arguments) : command(arguments).run();
  }

  private static Command.Result inside(String... arguments) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    long begin = System.nanoTime();
    int exitCode = Main.run(new PrintWriter(out, true), new PrintWriter(err, true), arguments);
    return new Command.Result(
        List.of(arguments),
        exitCode,
        out.toString(),
        err.toString(),
        Duration.ofNanos(System.nanoTime() - begin));
  }

  /// Collects a restored process that has ended, where it is a child of this JVM.
  static void collect(Proc proc) {
    if (proc.state() == 'Z' && proc.parent() == ProcessHandle.current().pid()) {
      var _ = Kernel.raw(Syscall.WAIT4, proc.pid(), 0, WNOHANG, 0);
    }
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
    Set<String> options = Set.of(more);
    if (INSIDE && Engine.understands(options)) {
      return Engine.dump(pid, image, options);
    }
    return withMore(List.of("dump", Long.toString(pid), "-D", image.toString()), more);
  }

  /// Restores in the background.
  static Command.Result restore(Path image, String... more) {
    if (INSIDE && more.length == 0) {
      return Engine.restore(image);
    }
    return withMore(List.of("restore", image.toString(), "-d"), more);
  }

  private static Command.Result withMore(List<String> arguments, String... more) {
    List<String> words = new ArrayList<>(arguments);
    words.addAll(Arrays.asList(more));
    return run(words.toArray(String[]::new));
  }
}
