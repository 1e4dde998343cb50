package dev.jcr.image.pages;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.BitSet;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import org.junit.jupiter.api.Test;

/// Against sets of single bytes.
class RangesTest {
  private static final int SIZE = 200;

  @Test
  void agreesWithSetsOfBytes() {
    RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(7);
    for (int round = 0; round < 2000; round++) {
      BitSet a = some(random);
      BitSet b = some(random);
      BitSet both = (BitSet) a.clone();
      both.and(b);
      BitSet without = (BitSet) a.clone();
      without.andNot(b);
      assertThat(set(ranges(a).and(ranges(b)))).isEqualTo(both);
      assertThat(set(ranges(a).minus(ranges(b)))).isEqualTo(without);
    }
  }

  @Test
  void neighboursAreJoined() {
    Ranges ranges = new Ranges();
    ranges.add(1, 2);
    ranges.add(2, 3);
    assertThat(ranges.size()).isEqualTo(1);
    assertThat(ranges.end(0)).isEqualTo(3);
  }

  private static BitSet some(RandomGenerator random) {
    BitSet set = new BitSet();
    int pieces = random.nextInt(8);
    for (int i = 0; i < pieces; i++) {
      int start = random.nextInt(SIZE);
      set.set(start, start + random.nextInt(20));
    }
    return set;
  }

  private static Ranges ranges(BitSet set) {
    Ranges ranges = new Ranges();
    for (int at = set.nextSetBit(0); at >= 0; at = set.nextSetBit(set.nextClearBit(at))) {
      ranges.add(at, set.nextClearBit(at));
    }
    return ranges;
  }

  private static BitSet set(Ranges ranges) {
    BitSet set = new BitSet();
    for (int i = 0; i < ranges.size(); i++) {
      set.set((int) ranges.start(i), (int) ranges.end(i));
    }
    return set;
  }
}
