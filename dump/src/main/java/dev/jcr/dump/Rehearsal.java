package dev.jcr.dump;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.pages.PageWriter;
import dev.jcr.image.v1.Compression;
import dev.jcr.image.v1.Host;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.ptrace.Freeze;
import dev.jcr.parasite.ptrace.Ptrace;
import dev.jcr.parasite.stub.StubProgram;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/// A dump of a throw-away process before that of the real one: every class, method handle and
/// parser that runs inside the freeze has then run once. First uses cost some hundred milliseconds,
/// which a user's process must not be stopped for.
final class Rehearsal {
  private static final long STUB_BASE = 16 << 20;
  private static final long BUDGET_NANOS = 1_000_000_000L;
  private static final int SIGKILL = 9;
  private static final int ROUNDS = 2;

  private Rehearsal() {}

  /// Failures do not matter: the real dump will meet them, or not. Runs on the tracer thread.
  static void run(Host.Builder host) {
    int pid;
    try {
      pid = StubProgram.start(STUB_BASE);
    } catch (SyscallException _) {
      return;
    }
    try {
      for (int round = 0; round < ROUNDS; round++) {
        rehearse(pid, host.clone());
      }
    } catch (CheckpointException | IOException _) {
      // For example a descriptor of jcr's own that could not be dumped.
    } finally {
      Kernel.raw(Syscall.KILL, pid, SIGKILL);
      Kernel.raw(Syscall.WAIT4, pid, 0, Ptrace.WALL, 0);
    }
  }

  private static void rehearse(int pid, Host.Builder host) throws CheckpointException, IOException {
    Path nowhere = Path.of("/dev/null");
    try (Collector collector = Collector.open(pid, host);
        FileChannel channel = FileChannel.open(nowhere, StandardOpenOption.WRITE);
        PageWriter pages =
            new PageWriter(channel, nowhere, Compression.COMPRESSION_NONE, 1, host.getPageSize())) {
      collector.look();
      try (Freeze freeze = collector.stop(BUDGET_NANOS)) {
        var state = collector.collect(freeze, pages, System.nanoTime());
        collector.thaw(freeze, state);
      }
    }
  }
}
