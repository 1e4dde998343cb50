package dev.jcr.tests;

import dev.jcr.dump.Dump;
import dev.jcr.dump.DumpListener;
import dev.jcr.dump.DumpOptions;
import dev.jcr.dump.DumpOptions.Afterwards;
import dev.jcr.dump.files.ConnectionPolicy;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.v1.Compression;
import dev.jcr.restore.Restore;
import dev.jcr.restore.RestoreOptions;
import dev.jcr.restore.RestoredProcess;
import java.nio.file.Path;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// The register targets through many cycles of dump and restore, by the engine's entry points in
/// one JVM. The targets compare all their registers all the time and end at the first wrong one.
class ManyCyclesTest {
  @Tag("process")
  @Timeout(300)
  @ParameterizedTest
  @ValueSource(strings = {"spin", "nanosleep", "futex", "poll"})
  void aFew(String mode) throws Exception {
    cycles(mode, 25);
  }

  @Tag("soak")
  @Timeout(7200)
  @ParameterizedTest
  @ValueSource(strings = {"spin", "nanosleep", "futex", "poll"})
  void aThousand(String mode) throws Exception {
    cycles(mode, 1000);
  }

  private static void cycles(String mode, int count) throws Exception {
    long seed = System.nanoTime();
    RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(seed);
    long begin = System.nanoTime();
    try (Target target = Target.start("torture_regs", mode);
        Child child = new Child()) {
      int pid = Math.toIntExact(target.pid());
      Path image = target.image("cycle");
      for (int cycle = 1; cycle <= count; cycle++) {
        Thread.sleep(random.nextInt(15), random.nextInt(1_000_000));
        String result = target.read("result");
        if (!result.isEmpty()) {
          throw new AssertionError(
              "%s: cycle %d of %d, seed %d: %s".formatted(mode, cycle, count, seed, result));
        }
        Dump.run(
            new DumpOptions(
                pid,
                image,
                Afterwards.KILL,
                Compression.COMPRESSION_ZSTD,
                1,
                ConnectionPolicy.REFUSE,
                false),
            DumpListener.SILENT);
        // Its parent, after the first restore this JVM, has collected it.
        target.awaitGone();
        child.restored = Restore.run(new RestoreOptions(image, false, true));
        Target.delete(image);
      }
      target.expectRunning();
      target.kill("USR1");
      String result = target.await("result");
      if (!result.equals("PASS")) {
        throw new AssertionError("%s, seed %d: %s".formatted(mode, seed, result));
      }
    }
    System.out.printf(
        "torture_regs %s: %d cycles, 0 mismatches, %.1f s%n",
        mode, count, (System.nanoTime() - begin) / 1e9);
  }

  /// The restored process is a child of this JVM, which has to collect it at its end.
  private static final class Child implements AutoCloseable {
    private @Nullable RestoredProcess restored;

    @Override
    public void close() {
      if (restored != null) {
        Command.of("kill", "-KILL", Integer.toString(restored.pid())).run();
        try {
          restored.waitFor();
        } catch (CheckpointException e) {
          // A dump has collected it, or it was never a child.
        }
      }
    }
  }
}
