package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.dump.Dump;
import dev.jcr.dump.DumpListener;
import dev.jcr.dump.DumpOptions;
import dev.jcr.dump.DumpOptions.Afterwards;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.locks.LockSupport;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// A process with many threads ends at a random moment of a dump, also while its threads are being
/// stopped one after the other.
class EndingProcessTest {
  private static final int SIGKILL = 9;
  private static final int ROUNDS = 30;
  private static final String THREADS = "300";
  private static final Duration ENOUGH = Duration.ofSeconds(Arm64.IS_HOST ? 60 : 5);

  @Tag("robustness")
  @Timeout(600)
  @Test
  void atThirtyMoments() throws Exception {
    atMoments(ROUNDS);
  }

  @Tag("soak")
  @Timeout(3600)
  @Test
  void atAThousandMoments() throws Exception {
    atMoments(1000);
  }

  private static void atMoments(int rounds) throws Exception {
    long seed = System.nanoTime();
    RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(seed);
    int whole = 0;
    long longest = undisturbed();
    for (int round = 0; round < rounds; round++) {
      try (Target target = Target.start("crowd", THREADS)) {
        int pid = Math.toIntExact(target.pid());
        Path image = target.image("ending");
        long after = random.nextLong(longest);
        Thread killer =
            Thread.ofPlatform()
                .start(() -> {
                  LockSupport.parkNanos(after);
                  Kernel.raw(Syscall.KILL, pid, SIGKILL);
                });
        String which = "round %d, seed %d".formatted(round, seed);
        long begin = System.nanoTime();
        try {
          Dump.run(
              DumpOptions.of(pid, image).durable(false).rehearse(false).build(),
              DumpListener.SILENT);
          whole++;
        } catch (CheckpointException e) {
          assertThat(e.outcome())
              .as("%s: %s", which, e.getMessage())
              .isEqualTo(Outcome.TARGET_LOST);
          assertThat(Files.exists(image)).as(which).isFalse();
        }
        Duration took = Duration.ofNanos(System.nanoTime() - begin);
        assertThat(took).as(which).isLessThan(ENOUGH);
        killer.join();
        target.awaitGone();
      }
    }
    System.out.printf(
        "%d processes killed while they were dumped: %d images are whole%n", rounds, whole);
  }

  /// Nanoseconds that a dump takes, when all is warm.
  private static long undisturbed() throws Exception {
    long took = 0;
    try (Target target = Target.start("crowd", THREADS)) {
      int pid = Math.toIntExact(target.pid());
      for (int i = 0; i < 3; i++) {
        long begin = System.nanoTime();
        Dump.run(
            DumpOptions.of(pid, target.image("warm" + i))
                .afterwards(Afterwards.LEAVE_RUNNING)
                .durable(false)
                .rehearse(false)
                .build(),
            DumpListener.SILENT);
        took = System.nanoTime() - begin;
      }
    }
    return took;
  }
}
