package dev.jcr.cli.migrate;

import dev.jcr.dump.Dump;
import dev.jcr.dump.DumpGate;
import dev.jcr.dump.DumpListener;
import dev.jcr.dump.DumpOptions;
import dev.jcr.dump.MemoryRounds;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.codec.ImageWriter;
import dev.jcr.image.v1.Compression;
import dev.jcr.image.v1.Host;
import dev.jcr.parasite.host.HostFacts;
import dev.jcr.parasite.host.KernelFeatures;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Spawn;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.stub.KeeperProgram;
import dev.jcr.restore.ClockMode;
import dev.jcr.restore.Restore;
import dev.jcr.restore.RestoreOptions;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.concurrent.locks.LockSupport;

/// Dumps and rebuilds a throw-away process a few times, so that nothing is loaded, linked or
/// interpreted for the first time while somebody's process stands still.
final class WarmUp {
  private static final int ROUNDS = 6;
  private static final long SETTLE_NANOS = 10_000_000;
  private static final int SIGKILL = 9;
  private static final int WALL = 0x40000000;
  private static final int FIRST_FD = 512;

  private WarmUp() {}

  /// What a session does with a folder of its own.
  private interface Round {
    /// How long a process that moves would have stood still for this, in nanoseconds.
    long run(Path folder) throws IOException, CheckpointException;
  }

  /// For a destination. Failures do not matter: they will be met again, or not. Returns how long it
  /// took at best to rebuild a process, in nanoseconds.
  static long run() {
    return rounds(WarmUp::once);
  }

  /// For a source: the last round of a migration, sent to nobody. Returns how long that took at
  /// best.
  static long source() {
    return rounds(folder -> {
      int pid = start(folder.resolve("program"));
      long began = System.nanoTime();
      Host.Builder host = HostFacts.read();
      try (MemoryRounds memory = MemoryRounds.begin(pid, host.clone());
          ImageWriter first = nowhere();
          ImageWriter last = nowhere()) {
        memory.next(first, host.getPageSize(), host.build(), false);
        began = System.nanoTime();
        Dump.last(
            options(pid, folder.resolve("image"), Compression.COMPRESSION_ZSTD),
            DumpListener.SILENT,
            last,
            memory,
            CALLED_OFF);
      } catch (CheckpointException _) {
        // Called off, as it should be.
      } finally {
        end(pid);
      }
      return System.nanoTime() - began;
    });
  }

  private static final DumpGate CALLED_OFF =
      new DumpGate() {
        @Override
        public boolean mayEnd() {
          return false;
        }

        @Override
        public void ended() {}
      };

  private static ImageWriter nowhere() {
    return ImageWriter.to(OutputStream.nullOutputStream(), Compression.COMPRESSION_ZSTD, 1);
  }

  private static long rounds(Round once) {
    long best = Long.MAX_VALUE;
    try {
      Path folder = Files.createTempDirectory("jcr-warm-up-");
      try {
        for (int round = 0; round < ROUNDS; round++) {
          best = Math.min(best, once.run(folder));
        }
      } finally {
        remove(folder);
      }
    } catch (IOException | CheckpointException _) {
      // For example no right to trace.
    }
    return best == Long.MAX_VALUE ? 0 : best;
  }

  private static int start(Path program) throws IOException {
    try (Fd one = event();
        Fd other = event()) {
      Files.deleteIfExists(program);
      Files.write(program, KeeperProgram.bytes(one.number(), other.number()));
      Files.setPosixFilePermissions(program, PosixFilePermissions.fromString("rwx------"));
      int pid = Spawn.program(program.toString(), KeeperProgram.NAME);
      LockSupport.parkNanos(SETTLE_NANOS);
      return pid;
    }
  }

  private static void end(int pid) {
    Kernel.raw(Syscall.KILL, pid, SIGKILL);
    Kernel.raw(Syscall.WAIT4, pid, 0, WALL, 0);
  }

  private static DumpOptions options(int pid, Path image, Compression compression) {
    return DumpOptions.of(pid, image).compression(compression, 1).durable(false).build();
  }

  private static long once(Path folder) throws IOException, CheckpointException {
    Path image = folder.resolve("image");
    int pid = start(folder.resolve("program"));
    try {
      Dump.run(options(pid, image, Compression.COMPRESSION_NONE), DumpListener.SILENT);
    } finally {
      end(pid);
    }
    long began = System.nanoTime();
    try {
      RestoreOptions options = new RestoreOptions(image, false, true);
      // As on another host, where there is the right to.
      Restore.run(
          KernelFeatures.timeNamespaces().available()
              ? options.withClocks(ClockMode.CONTINUE)
              : options,
          (_, _) -> false);
    } catch (CheckpointException _) {
      // Called off, as it should be.
    }
    long took = System.nanoTime() - began;
    remove(image);
    return took;
  }

  /// An eventfd(2) that a started program has too.
  private static Fd event() throws IOException {
    try (Fd fd = new Fd((int) Kernel.call("make an eventfd", Syscall.EVENTFD2, 0, 0))) {
      return new Fd(
          (int)
              Kernel.call(
                  "duplicate a descriptor", Syscall.FCNTL, fd.number(), Fcntl.F_DUPFD, FIRST_FD));
    }
  }

  private static void remove(Path folder) throws IOException {
    if (!Files.exists(folder)) {
      return;
    }
    try (var entries = Files.newDirectoryStream(folder)) {
      for (Path entry : entries) {
        if (Files.isDirectory(entry)) {
          remove(entry);
        } else {
          Files.delete(entry);
        }
      }
    }
    Files.delete(folder);
  }
}
