package dev.jcr.tests;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/// A program that the tests run to its end, with its output.
record Command(List<String> words, Map<String, String> environment, Duration limit) {
  /// What it printed and how it ended.
  record Result(List<String> words, int exitCode, String out, String err, Duration wall) {
    Result expectExit(int wanted) {
      if (exitCode != wanted) {
        throw new AssertionError("expected exit code " + wanted + " of " + this);
      }
      return this;
    }

    @Override
    public String toString() {
      return String.join(" ", words)
          + "\nexit code "
          + exitCode
          + " after "
          + wall.toMillis()
          + " ms\n--- stdout\n"
          + out
          + "--- stderr\n"
          + err;
    }
  }

  static Command of(List<String> words) {
    return new Command(List.copyOf(words), Map.of(), Duration.ofMinutes(5));
  }

  static Command of(String... words) {
    return of(List.of(words));
  }

  Command with(String variable, String value) {
    Map<String, String> more = new HashMap<>(environment);
    more.put(variable, value);
    return new Command(words, Map.copyOf(more), limit);
  }

  Command within(Duration newLimit) {
    return new Command(words, environment, newLimit);
  }

  /// Starts it with its output going to the two files.
  Process start(Path out, Path err) throws IOException {
    ProcessBuilder builder = new ProcessBuilder(words);
    builder.environment().putAll(environment);
    builder.redirectInput(Path.of("/dev/null").toFile());
    builder.redirectOutput(out.toFile());
    builder.redirectError(err.toFile());
    return builder.start();
  }

  /// Files and not pipes take the output: a process left behind by a detached restore may keep them
  /// open without blocking the test.
  Result run() {
    try {
      Path out = Files.createTempFile("jcr-test", ".out");
      Path err = Files.createTempFile("jcr-test", ".err");
      try {
        long begin = System.nanoTime();
        Process process = start(out, err);
        boolean ended = process.waitFor(limit.toMillis(), TimeUnit.MILLISECONDS);
        Duration wall = Duration.ofNanos(System.nanoTime() - begin);
        if (!ended) {
          process.destroyForcibly().waitFor();
        }
        Result result =
            new Result(
                words, process.exitValue(), Files.readString(out), Files.readString(err), wall);
        if (!ended) {
          throw new AssertionError("still running after " + limit + ": " + result);
        }
        return result;
      } finally {
        Files.deleteIfExists(out);
        Files.deleteIfExists(err);
      }
    } catch (IOException e) {
      throw new AssertionError("cannot run " + words, e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new AssertionError("interrupted while running " + words, e);
    }
  }
}
