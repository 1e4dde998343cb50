package dev.jcr.cli.migrate;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class ConvergenceTest {
  private static final long MS = 1_000_000;

  @Test
  void roundsThatGetShorterEndWhenTheRestIsSmall() {
    Convergence convergence = new Convergence(50 * MS, 20 * MS);
    // 50 pages in a millisecond pass, 12 are written.
    convergence.round(250_000, 5000 * MS);
    assertThat(convergence.isSmallEnough()).isFalse();
    convergence.round(60_000, 1200 * MS);
    assertThat(convergence.isSmallEnough()).isFalse();
    convergence.round(14_400, 290 * MS);
    assertThat(convergence.isSmallEnough()).isFalse();
    convergence.round(3480, 90 * MS);
    assertThat(convergence.memory()).isBetween(20 * MS, 22 * MS);
    assertThat(convergence.expected()).isEqualTo(convergence.memory() + 20 * MS);
    // It would be short enough, but another round makes it shorter.
    assertThat(convergence.fits()).isTrue();
    assertThat(convergence.isSmallEnough()).isFalse();
    convergence.round(1080, 45 * MS);
    assertThat(convergence.isSmallEnough()).isFalse();
    convergence.round(540, 35 * MS);
    assertThat(convergence.isSmallEnough()).isFalse();
    convergence.round(420, 33 * MS);
    assertThat(convergence.memory()).isBetween(7 * MS, 9 * MS);
    assertThat(convergence.isSmallEnough()).isTrue();
  }

  @Test
  void theFirstRoundTellsNothing() {
    Convergence convergence = new Convergence(50 * MS, 0);
    convergence.round(0, MS);
    assertThat(convergence.isSmallEnough()).isFalse();
    convergence.round(0, MS);
    assertThat(convergence.isSmallEnough()).isTrue();
  }

  /// A round that sends little and takes long on a busy host says nothing about memory.
  @Test
  void slowRoundsOfFewPagesAreNoMemory() {
    Convergence convergence = new Convergence(50 * MS, 200 * MS);
    convergence.round(400, 300 * MS);
    convergence.round(4, 164 * MS);
    convergence.round(4, 170 * MS);
    assertThat(convergence.memory()).isLessThan(5 * MS);
    assertThat(convergence.expected()).isGreaterThan(200 * MS);
    assertThat(convergence.isSmallEnough()).isTrue();
  }

  /// The first round sends long runs, the later ones single pages, each of which takes longer.
  @Test
  void singlePagesTakeLonger() {
    Convergence convergence = new Convergence(50 * MS, 10 * MS);
    convergence.round(262_000, 2600 * MS);
    convergence.round(31_500, 770 * MS);
    // 9300 pages are written meanwhile, 24 microseconds each.
    assertThat(convergence.memory()).isBetween(220 * MS, 236 * MS);
    convergence.round(10_000, 260 * MS);
    // 40 ms whatever is sent, 23 microseconds a page; 3377 pages are written meanwhile.
    assertThat(convergence.memory()).isBetween(76 * MS, 84 * MS);
    convergence.round(3300, 110 * MS);
    assertThat(convergence.memory()).isBetween(30 * MS, 35 * MS);
    assertThat(convergence.fits()).isTrue();
  }

  @Test
  void aProcessThatWritesAsFastAsItIsSentIsStuck() {
    Convergence convergence = new Convergence(50 * MS, 20 * MS);
    for (int i = 0; i < 6; i++) {
      assertThat(convergence.isStuck()).isFalse();
      convergence.round(2000, 8000 * MS);
    }
    assertThat(convergence.isStuck()).isTrue();
    assertThat(convergence.isSmallEnough()).isFalse();
  }
}
