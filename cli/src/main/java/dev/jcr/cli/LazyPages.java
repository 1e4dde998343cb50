package dev.jcr.cli;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.codec.ImageReader;
import dev.jcr.restore.lazy.ImageBlocks;
import dev.jcr.restore.lazy.LazyRanges;
import dev.jcr.restore.lazy.LazyReport;
import dev.jcr.restore.lazy.LazyServer;
import java.io.IOException;
import java.io.PrintWriter;
import java.lang.ProcessBuilder.Redirect;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;

/// Who serves the pages that come on demand: this jcr, or one in the background to which it hands
/// over.
final class LazyPages {
  private static final long LOOK_NANOS = 5_000_000;

  private LazyPages() {}

  /// Serves until the last page is there or somebody else takes over; empty for the latter.
  static Optional<LazyReport> serve(LazyServer server) throws CheckpointException {
    while (server.isServing()) {
      if (server.hasSuccessor()) {
        server.close();
        return Optional.empty();
      }
      LockSupport.parkNanos(LOOK_NANOS);
    }
    return Optional.of(server.await());
  }

  /// Goes on with the pages of a process whose server ended.
  static int resume(
      Path directory, int pid, long rate, boolean json, PrintWriter out, PrintWriter err)
      throws CheckpointException {
    ImageReader image = ImageReader.open(directory);
    Optional<LazyServer> found;
    boolean taken = false;
    try {
      found = resume(pid, image);
      taken = found.isPresent();
    } finally {
      if (!taken) {
        image.close();
      }
    }
    if (found.isEmpty()) {
      err.println("jcr: process " + pid + " waits for no pages");
      return ExitCode.OK;
    }
    found.get().prefetch(rate);
    Optional<LazyReport> report = serve(found.get());
    report.ifPresent(done -> print(pid, done, json, out, err));
    return ExitCode.OK;
  }

  /// @param image taken over, unless nothing is returned or thrown
  private static Optional<LazyServer> resume(int pid, ImageReader image)
      throws CheckpointException {
    image.requireWhole();
    return LazyServer.resume(
        pid, LazyRanges.of(image.state(), image.pagemap()), image.digest(), new ImageBlocks(image));
  }

  static void print(int pid, LazyReport report, boolean json, PrintWriter out, PrintWriter err) {
    err.println(
        ("jcr: process %d has all its memory after %s: of %s, %d pages asked for and %d fetched"
                + " ahead; %d faults, half within %s, 99 %% within %s, the slowest %s")
            .formatted(
                pid,
                Units.microseconds(report.elapsed()),
                Units.bytes(report.bytes()),
                report.demanded(),
                report.prefetched(),
                report.faults(),
                Units.microseconds(report.median()),
                Units.microseconds(report.ninetyNinth()),
                Units.microseconds(report.slowest())));
    if (json) {
      out.println(new JsonObject().put("pid", pid).put("lazy_pages", json(report)));
      out.flush();
    }
  }

  private static JsonObject json(LazyReport report) {
    return new JsonObject()
        .put("bytes", report.bytes())
        .put("faults", report.faults())
        .put("zero_faults", report.zeroFaults())
        .put("pages_demanded", report.demanded())
        .put("pages_prefetched", report.prefetched())
        .put("pages_discarded", report.discarded())
        .put("forks", report.forks())
        .put("fault_median_us", report.median())
        .put("fault_99_us", report.ninetyNinth())
        .put("fault_slowest_us", report.slowest())
        .put("elapsed_us", report.elapsed());
  }

  /// Starts a jcr in the background that takes over, and returns when it has. Where that cannot be
  /// done, this one serves until the end.
  static void handOver(LazyServer server, Path directory, int pid, long rate, PrintWriter err)
      throws CheckpointException {
    try {
      Process next = start(directory, pid, rate);
      while (server.isServing() && !server.hasSuccessor() && next.isAlive()) {
        LockSupport.parkNanos(LOOK_NANOS);
      }
      if (server.hasSuccessor()) {
        server.close();
        return;
      }
      if (!server.isServing()) {
        next.destroyForcibly();
      } else {
        err.println(
            ("jcr: no server in the background (it ended with %d): pages are served by this jcr"
                    + " until all are there")
                .formatted(next.exitValue()));
      }
    } catch (IOException e) {
      err.println(
          "jcr: no server in the background (%s): pages are served by this jcr until all are there"
              .formatted(e.getMessage()));
    }
    LazyReport report = server.await();
    print(pid, report, false, err, err);
  }

  /// A process of its own, without any descriptor of this one.
  private static Process start(Path directory, int pid, long rate) throws IOException {
    List<String> command = new ArrayList<>(Launcher.words());
    command.addAll(
        List.of(
            "restore",
            directory.toAbsolutePath().toString(),
            "--resume",
            Integer.toString(pid),
            "--background"));
    if (rate != Long.MAX_VALUE) {
      command.addAll(List.of("--prefetch-rate", Long.toString(rate >> 20)));
    }
    return new ProcessBuilder(command)
        .directory(Path.of("/").toFile())
        .redirectInput(Path.of("/dev/null").toFile())
        .redirectOutput(Redirect.DISCARD)
        .redirectError(Redirect.DISCARD)
        .start();
  }

  /// [#resume] by another jcr, which has begun when this returns.
  static int inBackground(Path directory, int pid, long rate, PrintWriter err)
      throws CheckpointException {
    // What does not fit is said here, where somebody reads it.
    ImageReader image = ImageReader.open(directory);
    Optional<LazyServer> server;
    try {
      server = resume(pid, image);
    } catch (CheckpointException e) {
      image.close();
      throw e;
    }
    if (server.isEmpty()) {
      image.close();
      err.println("jcr: process " + pid + " waits for no pages");
    } else {
      server.get().prefetch(rate);
      handOver(server.get(), directory, pid, rate, err);
    }
    return ExitCode.OK;
  }

  static CheckpointException usage(String what) {
    return new CheckpointException(
        Outcome.USAGE, "cannot read the command line: " + what + "; see jcr restore --help");
  }
}
