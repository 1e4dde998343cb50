package dev.jcr.cli.migrate;

import dev.jcr.dump.Dump;
import dev.jcr.dump.DumpListener;
import dev.jcr.dump.DumpOptions;
import dev.jcr.dump.files.ConnectionPolicy;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.v1.Compression;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Spawn;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.stub.KeeperProgram;
import dev.jcr.restore.Restore;
import dev.jcr.restore.RestoreOptions;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;

/// Dumps and rebuilds a throw-away process a few times, so that nothing is loaded, linked or
/// interpreted for the first time while somebody's process stands still.
final class WarmUp {
  private static final int ROUNDS = 4;
  private static final int SIGKILL = 9;
  private static final int WALL = 0x40000000;
  private static final int FIRST_FD = 512;

  private WarmUp() {}

  /// Failures do not matter: they will be met again, or not.
  static void run() {
    try {
      Path folder = Files.createTempDirectory("jcr-warm-up-");
      try {
        for (int round = 0; round < ROUNDS; round++) {
          once(folder);
        }
      } finally {
        remove(folder);
      }
    } catch (IOException | CheckpointException _) {
      // For example no right to trace.
    }
  }

  private static void once(Path folder) throws IOException, CheckpointException {
    Path program = folder.resolve("program");
    Path image = folder.resolve("image");
    int pid;
    try (Fd one = event();
        Fd other = event()) {
      Files.deleteIfExists(program);
      Files.write(program, KeeperProgram.bytes(one.number(), other.number()));
      Files.setPosixFilePermissions(program, PosixFilePermissions.fromString("rwx------"));
      pid = Spawn.program(program.toString(), KeeperProgram.NAME);
    }
    try {
      Thread.sleep(20);
      Dump.run(
          new DumpOptions(
              pid,
              image,
              DumpOptions.Afterwards.KILL,
              Compression.COMPRESSION_NONE,
              0,
              ConnectionPolicy.REFUSE,
              false),
          DumpListener.SILENT);
    } catch (InterruptedException _) {
      Thread.currentThread().interrupt();
    } finally {
      Kernel.raw(Syscall.KILL, pid, SIGKILL);
      Kernel.raw(Syscall.WAIT4, pid, 0, WALL, 0);
    }
    try {
      Restore.run(new RestoreOptions(image, false, true), (_, _) -> false);
    } catch (CheckpointException _) {
      // Called off, as it should be.
    }
    remove(image);
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
