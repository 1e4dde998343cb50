package dev.jcr.restore.lazy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.image.pages.Ranges;
import dev.jcr.restore.lazy.PendingPages.Missing;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.Test;

class PendingPagesTest {
  private static final int PAGE = 4096;
  private static final int PAGES = 256;

  /// Against an array with one number for each page: that of the image's page, or -1.
  @Test
  void isWhatAnArrayOfPagesWouldBe() {
    Random random = new Random(7);
    for (int round = 0; round < 200; round++) {
      int[] model = new int[PAGES];
      PendingPages pages = PendingPages.of(ranges(0, 100, 120, 200));
      for (int page = 0; page < PAGES; page++) {
        model[page] = page < 100 || (page >= 120 && page < 200) ? page : -1;
      }
      for (int step = 0; step < 50; step++) {
        int from = random.nextInt(PAGES);
        int count = 1 + random.nextInt(Math.min(40, PAGES - from));
        if (random.nextInt(3) > 0) {
          pages.remove(at(from), at(from + count));
          java.util.Arrays.fill(model, from, from + count, -1);
        } else {
          int to = random.nextInt(PAGES - count);
          if (to < from + count && from < to + count) {
            continue;
          }
          pages.move(at(from), at(to), (long) count * PAGE);
          System.arraycopy(model, from, model, to, count);
          java.util.Arrays.fill(model, from, from + count, -1);
        }
        expect(pages, model);
        expect(pages.copy(), model);
      }
    }
  }

  private static void expect(PendingPages pages, int[] model) {
    long bytes = 0;
    for (int page = 0; page < PAGES; page++) {
      Optional<Missing> missing = pages.within(at(page), at(page + 1));
      assertThat(missing.map(each -> (int) (each.origin() / PAGE) - 1).orElse(-1))
          .as("page " + page)
          .isEqualTo(model[page]);
      bytes += model[page] >= 0 ? PAGE : 0;
    }
    assertThat(pages.bytes()).isEqualTo(bytes);
    assertThat(pages.isEmpty()).isEqualTo(bytes == 0);
  }

  @Test
  void anEmptyRangeHoldsNothing() {
    PendingPages pages = PendingPages.of(ranges(0, 10));
    assertThat(pages.within(at(5), at(5))).isEmpty();
    assertThat(pages.first()).contains(new Missing(at(0), at(10), 0));
    pages.clear();
    assertThat(pages.isEmpty()).isTrue();
  }

  private static long at(int page) {
    return (page + 1L) * PAGE;
  }

  private static Ranges ranges(int... bounds) {
    Ranges ranges = new Ranges();
    for (int i = 0; i < bounds.length; i += 2) {
      ranges.add(at(bounds[i]), at(bounds[i + 1]));
    }
    return ranges;
  }
}
