package dev.jcr.cli;

import dev.jcr.dump.DumpListener;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;

/// A bar on stderr for work that takes long: it appears only after a while, only on a terminal, and
/// is wiped at the end.
final class Progress implements DumpListener, AutoCloseable {
  private static final long FIRST_NANOS = 400_000_000;
  private static final long NEXT_NANOS = 100_000_000;
  private static final int WIDTH = 30;

  private final PrintWriter err;
  private final boolean terminal;
  private long nextNanos = System.nanoTime() + FIRST_NANOS;
  private boolean shown;

  Progress(PrintWriter err) {
    this.err = err;
    this.terminal = isTerminal();
  }

  /// Whether stderr is a terminal, told from its name: no system call is needed for it.
  private static boolean isTerminal() {
    try {
      String name = Files.readSymbolicLink(Path.of("/proc/self/fd/2")).toString();
      return name.startsWith("/dev/pts/")
          || name.startsWith("/dev/tty")
          || name.equals("/dev/console");
    } catch (IOException e) {
      return false;
    }
  }

  @Override
  public void progress(String phase, long done, long total) {
    long now = System.nanoTime();
    if (!terminal || now - nextNanos < 0) {
      return;
    }
    nextNanos = now + NEXT_NANOS;
    shown = true;
    if (total <= 0) {
      err.print("\r\033[K" + phase + " " + Units.bytes(done));
    } else {
      int filled = (int) (WIDTH * Math.min(done, total) / total);
      err.print(
          "\r\033[K%s [%s%s] %d%% of %s"
              .formatted(
                  phase,
                  "#".repeat(filled),
                  ".".repeat(WIDTH - filled),
                  100 * Math.min(done, total) / total,
                  Units.bytes(total)));
    }
    err.flush();
  }

  @Override
  public void close() {
    if (shown) {
      err.print("\r\033[K");
      err.flush();
    }
  }
}
