package dev.jcr.cli.migrate;

import dev.jcr.dump.Dump;
import dev.jcr.dump.DumpGate;
import dev.jcr.dump.DumpListener;
import dev.jcr.dump.DumpOptions;
import dev.jcr.dump.MemoryRounds;
import dev.jcr.dump.Outline;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.codec.ImageStream;
import dev.jcr.image.codec.ImageWriter;
import dev.jcr.image.codec.ParentImage;
import dev.jcr.image.v1.Compression;
import dev.jcr.image.v1.Host;
import dev.jcr.image.v1.Manifest;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.parasite.host.HostFacts;
import dev.jcr.parasite.host.KernelFeatures;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Spawn;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.stub.KeeperProgram;
import dev.jcr.restore.ClockMode;
import dev.jcr.restore.ConnectionChanges;
import dev.jcr.restore.FileChanges;
import dev.jcr.restore.Restore;
import dev.jcr.restore.RestoreGate;
import dev.jcr.restore.RestoreOptions;
import dev.jcr.restore.RestoredProcess;
import dev.jcr.restore.Staging;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;

/// Dumps and rebuilds a throw-away process a few times, so that nothing is loaded, linked or
/// interpreted for the first time while somebody's process stands still.
public final class WarmUp {
  private static final int SOURCE_ROUNDS = 6;
  private static final int DESTINATION_ROUNDS = 12;
  private static final long SETTLE_NANOS = 10_000_000;
  private static final long START_NANOS = 500_000_000;
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
  public static long run() {
    return rounds(DESTINATION_ROUNDS, WarmUp::received);
  }

  /// For a source: the last round of a migration, sent to nobody. Returns how long that took at
  /// best.
  public static long source() {
    return rounds(SOURCE_ROUNDS, folder -> sent(folder).nanos);
  }

  /// A process that is gone, and what was sent of it.
  ///
  /// @param round of a process that ran
  /// @param rest of the process that stood still
  /// @param nanos how long that took
  private record Sent(
      ProcessState outline, ByteArrayOutputStream round, ByteArrayOutputStream rest, long nanos) {}

  private static Sent sent(Path folder) throws IOException, CheckpointException {
    int pid = start(folder.resolve("program"));
    ByteArrayOutputStream round = new ByteArrayOutputStream();
    ByteArrayOutputStream rest = new ByteArrayOutputStream();
    try {
      ProcessState outline = Outline.of(pid);
      return new Sent(outline, round, rest, send(pid, folder, round, rest));
    } finally {
      end(pid);
    }
  }

  private static long send(int pid, Path folder, OutputStream round, OutputStream rest)
      throws IOException, CheckpointException {
    Host.Builder host = HostFacts.read();
    try (MemoryRounds memory = MemoryRounds.begin(pid, host.clone());
        ImageWriter first = ImageWriter.to(round, Compression.COMPRESSION_ZSTD, 1);
        ImageWriter last = ImageWriter.to(rest, Compression.COMPRESSION_ZSTD, 1)) {
      Manifest before = memory.next(first, host.getPageSize(), host.build(), false);
      last.parent(ParentImage.sent("../1", before));
      long began = System.nanoTime();
      try {
        Dump.last(
            DumpOptions.of(pid, Path.of("stream")).build(),
            DumpListener.SILENT,
            last,
            memory,
            new CallOff(Journal.create(folder.resolve("out"))));
      } catch (CheckpointException _) {
        // Called off, as it should be.
      }
      return System.nanoTime() - began;
    }
  }

  /// Decides on both sides as a migration does, but against it.
  private record CallOff(Journal journal) implements DumpGate, RestoreGate {
    @Override
    public boolean mayEnd() {
      return mayRun(0, List.of());
    }

    @Override
    public boolean moves() {
      return true;
    }

    @Override
    public boolean mayRun(int pid, List<RestoredProcess.Timing> timings) {
      try {
        journal.with("pid", pid).set("warm");
      } catch (IOException _) {
        // A migration will tell.
      }
      return false;
    }
  }

  private static long rounds(int rounds, Round once) {
    CipherWarmUp.run();
    long best = Long.MAX_VALUE;
    try {
      Path folder = Files.createTempDirectory("jcr-warm-up-");
      try {
        for (int round = 0; round < rounds; round++) {
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

  /// A program as others are, with a dynamic linker and libraries; or one of jcr's own where there
  /// is no shell, which has neither. It ends soon by itself if jcr is killed.
  private static int start(Path program) throws IOException {
    int pid;
    try {
      pid = Spawn.program("/bin/sh", "sh", "-c", "exec sleep 20 </dev/null >/dev/null 2>&1");
    } catch (SyscallException _) {
      return startOwn(program);
    }
    long end = System.nanoTime() + START_NANOS;
    while (!Proc.of(pid).status().name().equals("sleep") && System.nanoTime() - end < 0) {
      LockSupport.parkNanos(SETTLE_NANOS / 10);
    }
    LockSupport.parkNanos(SETTLE_NANOS);
    return pid;
  }

  private static int startOwn(Path program) throws IOException {
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

  /// Two rounds arrive, and the process is rebuilt of them.
  private static long received(Path folder) throws IOException, CheckpointException {
    Sent sent = sent(folder);
    Path first = folder.resolve("1");
    Path last = folder.resolve("2");
    try (Staging staging = Staging.begin(sent.outline)) {
      var _ = ImageStream.receive(stream(sent.round), first);
      ImageStream.sync(first);
      staging.stage(first);
      long began = System.nanoTime();
      var _ = ImageStream.receive(stream(sent.rest), last);
      ImageStream.sync(last);
      try {
        Restore.run(options(last), new CallOff(Journal.create(folder.resolve("in"))), staging);
      } catch (CheckpointException _) {
        // Called off, as it should be.
      }
      return System.nanoTime() - began;
    } finally {
      remove(first);
      remove(last);
    }
  }

  private static InputStream stream(ByteArrayOutputStream bytes) {
    return new ByteArrayInputStream(bytes.toByteArray());
  }

  private static RestoreOptions options(Path image) throws IOException {
    RestoreOptions options =
        new RestoreOptions(
            image, false, true, ConnectionChanges.NONE, FileChanges.NONE, true, Optional.empty());
    // As on another host, where there is the right to.
    return KernelFeatures.timeNamespaces().available()
        ? options.withClocks(ClockMode.CONTINUE)
        : options;
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
