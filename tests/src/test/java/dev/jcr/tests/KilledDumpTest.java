package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.locks.LockSupport;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// `kill -9` of jcr at random moments of a dump: the target always runs on and finds itself whole,
/// and there is no image folder without a whole image.
class KilledDumpTest {
  private static final Pattern FROZEN = Pattern.compile("\"frozen_time_us\":\\s*(\\d+)");

  private static final String MANY = "200";

  @Tag("robustness")
  @Timeout(600)
  @Test
  void twentyDumpsKilled() throws Exception {
    killed(20, System.nanoTime(), "threads", "20");
  }

  @Tag("robustness")
  @Timeout(600)
  @Test
  void tenDumpsWithoutALeaderThreadKilled() throws Exception {
    killed(10, System.nanoTime(), "leaderless");
  }

  @Tag("soak")
  @Timeout(3600)
  @Test
  void twoHundredDumpsKilled() throws Exception {
    killed(200, System.nanoTime(), "threads", "20");
  }

  /// In the freeze, where injected calls run in many threads at the same time.
  @Tag("robustness")
  @Timeout(600)
  @Test
  void twentyFreezesOfManyThreadsKilled() throws Exception {
    long seed = System.nanoTime();
    RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(seed);
    long frozenMicros;
    try (Target target = Target.start("threads", MANY)) {
      Matcher frozen =
          FROZEN.matcher(
              Jcr.dump(target.pid(), target.image("first"), "-R", "--json").expectExit(0).out());
      assertThat(frozen.find()).isTrue();
      frozenMicros = Long.parseLong(frozen.group(1));
      target.expectPass();
    }
    int inTheFreeze = 0;
    for (int round = 0; round < 20; round++) {
      try (Target target = Target.start("threads", MANY)) {
        Process dump = start(target, target.image("killed"), true);
        while (target.proc().tracer() == 0 && dump.isAlive()) {
          Thread.onSpinWait();
        }
        LockSupport.parkNanos(random.nextLong(1000 * frozenMicros));
        inTheFreeze += target.proc().tracer() == 0 ? 0 : 1;
        dump.destroyForcibly().waitFor();
        target.expectRunning();
        target.expectPass();
      }
    }
    System.out.printf("20 dumps of %s threads killed, %d in the freeze%n", MANY, inTheFreeze);
    assertThat(inTheFreeze).as("seed " + seed).isPositive();
  }

  private static void killed(int rounds, long seed, String program, String... arguments)
      throws Exception {
    RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(seed);
    int beforePublishing = 0;
    int wholeImages = 0;
    int gone = 0;
    long duration;
    try (Target target = Target.start(program, arguments)) {
      duration = Jcr.dump(target.pid(), target.image("first"), "-R").expectExit(0).wall().toNanos();
      target.expectPass();
    }
    for (int round = 0; round < rounds; round++) {
      // Every second dump would end the target: if it got that far, the image must be whole.
      boolean leaveRunning = round % 2 == 0;
      try (Target target = Target.start(program, arguments)) {
        Path image = target.image("killed");
        long after = random.nextLong(duration * 11 / 10);
        killOne(target, image, leaveRunning, after);
        String told = "seed " + seed + ", round " + round;
        boolean published = Files.exists(image);
        // The machine's pace changes: the moments are to reach just past the end of a dump.
        if (published) {
          duration = Math.min(duration, Math.max(after, duration * 9 / 10));
        } else if (after > duration) {
          duration = after * 5 / 4;
        }
        if (published) {
          wholeImages++;
          assertThat(Jcr.run("verify", image.toString()).exitCode()).as(told).isZero();
        } else {
          beforePublishing++;
        }
        boolean ended = !leaveRunning && endsSoon(target);
        if (ended) {
          gone++;
          assertThat(published).as("the target was ended without an image: " + told).isTrue();
          Jcr.restore(image).expectExit(0);
        }
        target.expectRunning();
        target.expectPass();
      }
    }
    System.out.printf(
        "%d dumps killed: %d before the image was published, %d after; %d targets had been ended"
            + " and were restored%n",
        rounds, beforePublishing, wholeImages, gone);
    assertThat(beforePublishing).as("kills that hit a dump at work").isPositive();
    if (rounds >= 200) {
      assertThat(wholeImages).as("kills that came after the image was published").isPositive();
    }
  }

  private static void killOne(Target target, Path image, boolean leaveRunning, long afterNanos)
      throws IOException, InterruptedException {
    Process process = start(target, image, leaveRunning);
    Thread.sleep(afterNanos / 1_000_000, (int) (afterNanos % 1_000_000));
    process.destroyForcibly().waitFor();
  }

  private static Process start(Target target, Path image, boolean leaveRunning) throws IOException {
    Command dump =
        leaveRunning
            ? Jcr.command("dump", Long.toString(target.pid()), "-D", image.toString(), "-R")
            : Jcr.command("dump", Long.toString(target.pid()), "-D", image.toString());
    return dump.start(target.folder().resolve("jcr.out"), target.folder().resolve("jcr.err"));
  }

  /// A target that jcr killed as its last act may still be ending.
  private static boolean endsSoon(Target target) {
    for (int i = 0; i < 100; i++) {
      if (!target.proc().exists() || target.proc().state() == 'Z') {
        target.awaitGone();
        return true;
      }
      Target.nap(1);
    }
    return false;
  }
}
