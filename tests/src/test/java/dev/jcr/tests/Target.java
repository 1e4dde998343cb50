package dev.jcr.tests;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Assumptions;

/// A running program under test, in a session of its own with stdin from /dev/null and output in
/// files, not a child of this JVM. Closing kills what still runs and deletes its folder.
final class Target implements AutoCloseable {
  private static final Duration PATIENCE = Duration.ofSeconds(Arm64.IS_HOST ? 300 : 60);

  private final Path folder;
  private final String name;
  private final long pid;

  private Target(Path folder, String name, long pid) {
    this.folder = folder;
    this.name = name;
    this.pid = pid;
  }

  /// Compiles and starts `tests/targets/NAME.c` and waits until it is ready.
  static Target start(String name, String... arguments) {
    return start(Map.of(), name, arguments);
  }

  static Target start(Map<String, String> environment, String name, String... arguments) {
    return start(newFolder(), environment, name, arguments);
  }

  /// In a folder that another program may use too.
  static Target startIn(Path folder, String name, String... arguments) {
    return start(folder, Map.of(), name, arguments);
  }

  private static Target start(
      Path folder, Map<String, String> environment, String name, String... arguments) {
    List<String> words = new ArrayList<>();
    words.add(Programs.compiled(name).toString());
    words.add(folder.toString());
    words.addAll(Arrays.asList(arguments));
    Target target = launch(folder, name, environment, words);
    target.await("ready");
    target.skipIfItSaidSo();
    return target;
  }

  /// Starts any program in the folder; it is not waited for.
  static Target launch(
      Path folder, String name, Map<String, String> environment, List<String> command) {
    List<String> words =
        new ArrayList<>(
            List.of(
                "setsid",
                "-f",
                "sh",
                "-c",
                "cd \"$0\" && n=$1 && shift && echo $$ >.$n && mv .$n $n.pid &&"
                    + " exec \"$@\" </dev/null >$n.out 2>$n.err",
                folder.toString(),
                name));
    words.addAll(command);
    Command starter = Command.of(words);
    for (Map.Entry<String, String> variable : environment.entrySet()) {
      starter = starter.with(variable.getKey(), variable.getValue());
    }
    starter.run().expectExit(0);
    return new Target(
        folder, name, Long.parseLong(awaitFile(folder.resolve(name + ".pid"), name).strip()));
  }

  static Path newFolder() {
    try {
      return Files.createTempDirectory("jcr-target").toRealPath();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  long pid() {
    return pid;
  }

  /// The same program, which is process `other` by now; closing either does.
  Target as(long other) {
    return new Target(folder, name, other);
  }

  Path folder() {
    return folder;
  }

  /// A path for an image of this target; does not exist yet.
  Path image(String which) {
    return folder.resolve("image-" + which);
  }

  Proc proc() {
    return new Proc(pid);
  }

  /// Tells it to verify its state and asserts that it finds it whole.
  void expectPass() {
    try {
      Files.writeString(folder.resolve("check"), "");
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    expectResult();
  }

  /// The same for programs that are told by a signal.
  void expectPassAfterSignal(String signal) {
    kill(signal);
    expectResult();
  }

  private void expectResult() {
    String result = await("result");
    skipIfItSaidSo();
    if (!result.equals("PASS")) {
      throw new AssertionError(this + ": " + result);
    }
    awaitGone();
  }

  /// What the target wrote so far, or the empty string.
  String read(String file) {
    try {
      return Files.readString(folder.resolve(file));
    } catch (NoSuchFileException e) {
      return "";
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /// Waits for a file that the target writes.
  String await(String file) {
    long end = System.nanoTime() + PATIENCE.toNanos();
    while (System.nanoTime() < end) {
      if (Files.exists(folder.resolve(file))) {
        return read(file);
      }
      if (!proc().exists() && !Files.exists(folder.resolve(file))) {
        throw new AssertionError(
            this
                + " ended without writing "
                + file
                + "; result: "
                + read("result")
                + read(name + ".err"));
      }
      nap(2);
    }
    throw new AssertionError(
        this + " did not write " + file + " within " + PATIENCE + "\n" + proc().summary());
  }

  private static String awaitFile(Path file, String what) {
    long end = System.nanoTime() + PATIENCE.toNanos();
    while (System.nanoTime() < end) {
      if (Files.exists(file)) {
        try {
          return Files.readString(file);
        } catch (IOException e) {
          throw new UncheckedIOException(e);
        }
      }
      nap(2);
    }
    throw new AssertionError(what + " did not start");
  }

  void skipIfItSaidSo() {
    String result = read("result");
    if (result.startsWith("SKIP: ")) {
      close();
      Assumptions.abort(name + ": " + result.substring(6));
    }
  }

  /// Asserts that it is there, not stopped, not traced, and gets processor time or waits by itself.
  void expectRunning() {
    Proc proc = proc();
    String status = proc.summary();
    if (!proc.exists()) {
      throw new AssertionError(this + " is gone; result: " + read("result") + read(name + ".err"));
    }
    if (proc.state() == 'T' || proc.state() == 't' || proc.state() == 'Z') {
      throw new AssertionError(this + " does not run:\n" + status);
    }
    if (proc.tracer() != 0) {
      throw new AssertionError(this + " is traced:\n" + status);
    }
  }

  /// Asserts that the program makes progress; only for targets that never wait for long.
  void expectProgress() {
    long before = proc().processorTime();
    long end = System.nanoTime() + Duration.ofSeconds(10).toNanos();
    while (System.nanoTime() < end) {
      if (proc().processorTime() > before) {
        return;
      }
      nap(2);
    }
    throw new AssertionError(this + " makes no progress:\n" + proc().summary());
  }

  /// Waits for its end and until the pid is free, which depends on the parent.
  void awaitGone() {
    long end = System.nanoTime() + 5 * PATIENCE.toNanos();
    while (System.nanoTime() < end) {
      if (!proc().exists()) {
        return;
      }
      nap(1);
    }
    throw new AssertionError(this + " is still there:\n" + proc().summary());
  }

  void kill(String signal) {
    Command.of("kill", "-" + signal, Long.toString(pid)).run().expectExit(0);
  }

  static void nap(long milliseconds) {
    try {
      Thread.sleep(milliseconds);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new AssertionError("interrupted", e);
    }
  }

  @Override
  public void close() {
    if (proc().exists() && proc().belongsTo(folder)) {
      Command.of("kill", "-KILL", Long.toString(pid)).run();
      Command.of("kill", "-CONT", Long.toString(pid)).run();
      awaitGone();
    }
    delete(folder);
  }

  static void delete(Path folder) {
    try {
      Files.walkFileTree(
          folder,
          new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes)
                throws IOException {
              Files.delete(file);
              return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult postVisitDirectory(
                Path directory, @org.jspecify.annotations.Nullable IOException problem)
                throws IOException {
              Files.delete(directory);
              return FileVisitResult.CONTINUE;
            }
          });
    } catch (NoSuchFileException e) {
      // Deleted before.
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Override
  public String toString() {
    return name + " (pid " + pid + ")";
  }
}
