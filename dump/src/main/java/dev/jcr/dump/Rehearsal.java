package dev.jcr.dump;

import dev.jcr.dump.files.LinkPolicy;
import dev.jcr.dump.identity.OwnNumbers;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.codec.ImageWriter;
import dev.jcr.image.pages.PageWriter;
import dev.jcr.image.v1.Compression;
import dev.jcr.image.v1.Creation;
import dev.jcr.image.v1.Host;
import dev.jcr.parasite.arch.Machine;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.ptrace.Freeze;
import dev.jcr.parasite.ptrace.Ptrace;
import dev.jcr.parasite.ptrace.Tracee;
import dev.jcr.parasite.remote.OwnedProcess;
import dev.jcr.parasite.remote.ProcessMemory;
import dev.jcr.parasite.stub.StubProgram;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/// A dump of a throw-away process before that of the real one: every class, method handle and
/// parser that runs inside the freeze has then run, up to the publishing of an image. First uses
/// cost some hundred milliseconds, which a user's process must not be stopped for.
final class Rehearsal {
  private static final long STUB_BASE = 16 << 20;
  private static final long BUDGET_NANOS = 1_000_000_000L;
  private static final int SIGKILL = 9;
  private static final int ROUNDS = 2;
  private static final Path MEMORY = Path.of("/dev/shm");
  private static final String PREFIX = "jcr-warm-up-";

  private Rehearsal() {}

  /// Failures do not matter: the real dump will meet them, or not. Runs on the tracer thread.
  static void run(Host.Builder host, Compression compression, int level) {
    int pid;
    try {
      pid = StubProgram.start(STUB_BASE);
    } catch (SyscallException _) {
      return;
    }
    try {
      closeDescriptors(pid);
      for (int round = 0; round < ROUNDS; round++) {
        rehearse(pid, host.clone(), compression, level);
      }
    } catch (CheckpointException | IOException _) {
      // For example a descriptor of jcr's own that could not be dumped.
    } finally {
      Kernel.raw(Syscall.KILL, pid, SIGKILL);
      Kernel.raw(Syscall.WAIT4, pid, 0, Ptrace.WALL, 0);
    }
  }

  /// The stub has jcr's own descriptors, for example pipes of the caller, which a dump refuses.
  private static void closeDescriptors(int pid) throws CheckpointException {
    Machine machine = Machine.of(Kernel.HOST);
    Optional<Tracee> stub = Tracee.seize(pid, Ptrace.O_TRACESYSGOOD);
    if (stub.isPresent() && stub.get().interrupt()) {
      stub.get().await();
      long[] registers = stub.get().general(machine.words());
      try (ProcessMemory memory = ProcessMemory.open(pid)) {
        OwnedProcess inside =
            new OwnedProcess(
                machine, stub.get(), memory, registers, StubProgram.syscallAddress(STUB_BASE));
        inside.require("close descriptors", Syscall.CLOSE_RANGE, 0, 0xffffffffL, 0);
        inside.toEventStop();
      }
      stub.get().setGeneral(registers);
      stub.get().detach(0);
    }
  }

  /// Everything up to an image under its name, in memory where there is such a place.
  private static void rehearse(int pid, Host.Builder host, Compression compression, int level)
      throws CheckpointException, IOException {
    boolean inMemory = Files.isWritable(MEMORY);
    Path folder =
        inMemory ? Files.createTempDirectory(MEMORY, PREFIX) : Files.createTempDirectory(PREFIX);
    Path directory = folder.resolve("image");
    try (Collector collector = Collector.open(pid, host, LinkPolicy.REFUSE);
        ImageWriter image = ImageWriter.create(directory, compression, level, inMemory)) {
      PageWriter pages = image.pages(host.getPageSize());
      collector.look();
      try (Freeze freeze = collector.stop(BUDGET_NANOS)) {
        long stopped = System.nanoTime();
        var state = collector.collect(freeze, pages, stopped);
        image.state(OwnNumbers.of(pid, collector.numbers(), state).state());
        image.commit(
            pid,
            state.getThreads(0).getComm().toStringUtf8(),
            Creation.newBuilder()
                .setJcrVersion(Version.VERSION)
                .setStatistics(collector.statistics())
                .build());
        collector.thaw(freeze, state, stopped);
      }
    } finally {
      remove(directory);
      Files.deleteIfExists(folder);
    }
  }

  private static void remove(Path image) throws IOException {
    if (!Files.exists(image)) {
      return;
    }
    try (DirectoryStream<Path> parts = Files.newDirectoryStream(image)) {
      for (Path part : parts) {
        Files.delete(part);
      }
    }
    Files.delete(image);
  }
}
