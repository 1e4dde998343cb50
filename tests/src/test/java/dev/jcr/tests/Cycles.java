package dev.jcr.tests;

import dev.jcr.dump.Dump;
import dev.jcr.dump.DumpListener;
import dev.jcr.dump.DumpOptions;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.restore.Restore;
import dev.jcr.restore.RestoreOptions;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import java.util.stream.Stream;

/// Many dumps and restores of one target by the engine's entry points, in the JVM of the tests. The
/// target compares its state all the time, or at the end, and says what is wrong.
final class Cycles {
  private static final int LEAST_PRIORITY = 19;

  private Cycles() {}

  static void run(TargetProgramsTest.Case program, int count) throws Exception {
    long seed = System.nanoTime();
    RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(seed);
    long begin = System.nanoTime();
    try (Target target = program.start()) {
      int pid = Math.toIntExact(target.pid());
      leaveProcessors(pid);
      Path image = target.image("cycle");
      for (int cycle = 1; cycle <= count; cycle++) {
        Thread.sleep(random.nextInt(15), random.nextInt(1_000_000));
        String result = target.read("result");
        if (!result.isEmpty()) {
          throw new AssertionError(
              "%s: cycle %d of %d, seed %d: %s".formatted(program, cycle, count, seed, result));
        }
        DumpOptions options =
            DumpOptions.of(pid, image).durable(false).rehearse(cycle == 1).build();
        Dump.run(options, DumpListener.SILENT);
        target.awaitGone();
        Restore.run(new RestoreOptions(image, false, true));
        Target.delete(image);
      }
      target.expectRunning();
      program.expectPass(target);
    }
    System.out.printf(
        "%s: %d cycles, 0 mismatches, %.1f s%n", program, count, (System.nanoTime() - begin) / 1e9);
  }

  /// Most targets compute all the time; two emulated processors are too few for that and for a
  /// thousand cycles. Each thread keeps its priority through them.
  private static void leaveProcessors(int pid) throws IOException {
    if (Arm64.IS_HOST) {
      try (Stream<Path> tasks = Files.list(Path.of("/proc/" + pid + "/task"))) {
        tasks
            .mapToLong(task -> Long.parseLong(task.getFileName().toString()))
            .forEach(tid -> Kernel.raw(Syscall.SETPRIORITY, 0, tid, LEAST_PRIORITY));
      }
    }
  }
}
