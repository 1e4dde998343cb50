package dev.jcr.tests;

import dev.jcr.dump.Dump;
import dev.jcr.dump.DumpListener;
import dev.jcr.dump.DumpOptions;
import dev.jcr.restore.Restore;
import dev.jcr.restore.RestoreOptions;
import java.nio.file.Path;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;

/// Many dumps and restores of one target by the engine's entry points, in the JVM of the tests. The
/// target compares its state all the time, or at the end, and says what is wrong.
final class Cycles {
  private Cycles() {}

  static void run(TargetProgramsTest.Case program, int count) throws Exception {
    long seed = System.nanoTime();
    RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(seed);
    long begin = System.nanoTime();
    try (Target target = program.start()) {
      int pid = Math.toIntExact(target.pid());
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
}
