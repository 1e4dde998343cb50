package dev.jcr.image.codec;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.pages.PageStore;
import dev.jcr.image.pages.PageWriter;
import dev.jcr.image.v1.Compression;
import dev.jcr.image.v1.Creation;
import dev.jcr.image.v1.PageKind;
import dev.jcr.image.v1.PageRun;
import dev.jcr.image.v1.PageSpace;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ImageSeriesTest {
  private static final int PAGES = 900;

  @TempDir Path folder;

  private interface Content {
    void write(PageWriter writer) throws CheckpointException;
  }

  private Path write(int number, boolean continues, Content content) throws Exception {
    Path image = folder.resolve(Integer.toString(number));
    try (ImageWriter writer = ImageWriter.create(image, Compression.COMPRESSION_ZSTD, 1, false)) {
      if (continues) {
        writer.parent(ParentImage.open(image, Path.of("../" + (number - 1))));
      }
      content.write(writer.pages(4096));
      writer.commitMemory(42, "test", TestImages.state().getHost(), Creation.getDefaultInstance());
    }
    return image;
  }

  /// Some pages are written anew, as others, some vanish, the rest is left to the parent.
  private Path next(int number, Random random, boolean[] there) throws Exception {
    return write(
        number,
        true,
        writer -> {
          for (int page = 0; page < PAGES; page++) {
            if (random.nextInt(4) == 0) {
              there[page] = random.nextInt(3) != 0;
              if (there[page]) {
                TestImages.pages(writer, 0, page, 1);
              }
            } else if (there[page]) {
              writer.parent(0, 0x10000L + page * 4096L, 1);
            }
          }
        });
  }

  private static List<String> content(PageStore store) throws CheckpointException {
    List<String> pages = new ArrayList<>();
    PageStore.Walk walk = store.walk();
    for (PageSpace space : store.effective().getSpacesList()) {
      for (PageRun run : space.getRunsList()) {
        for (long at = run.getStart(); at < run.getStart() + run.getPages() * 4096; at += 4096) {
          ByteBuffer page =
              run.getKind() == PageKind.PAGE_STORED ? walk.page(space.getId(), at) : null;
          pages.add(at + " " + run.getKind() + " " + (page == null ? 0 : page.hashCode()));
        }
      }
    }
    return pages;
  }

  @Test
  void oneAfterAnotherGivesWhatTheChainGives() throws Exception {
    Random random = new Random(5);
    boolean[] there = new boolean[PAGES];
    Arrays.fill(there, true);
    try (ImageSeries series = new ImageSeries()) {
      Path image = write(0, false, writer -> TestImages.pages(writer, 0, 0, PAGES));
      for (int number = 1; number < 7; number++) {
        PageStore store = series.next(image);
        assertThat(store.depth()).isEqualTo(number);
        try (PageStore chain = ImageChain.open(image, ImageReader.manifest(image))) {
          assertThat(store.effective()).isEqualTo(chain.effective());
          assertThat(content(store)).isEqualTo(content(chain));
          assertThat(store.pieces(0)).hasSameSizeAs(chain.pieces(0));
        }
        int present = 0;
        for (boolean each : there) {
          present += each ? 1 : 0;
        }
        assertThat(content(store)).hasSize(present);
        image = next(number, random, there);
      }
    }
  }

  @Test
  void oneThatContinuesNothingStandsForItself() throws Exception {
    Path first = write(0, false, writer -> TestImages.pages(writer, 0, 0, 8));
    Path second = write(1, false, writer -> TestImages.pages(writer, 0, 4, 8));
    try (ImageSeries series = new ImageSeries()) {
      assertThat(series.next(first).depth()).isEqualTo(1);
      assertThat(series.next(second).depth()).isEqualTo(1);
    }
  }

  @Test
  void pagesThatNoParentHasAreRefused() throws Exception {
    Path first = write(0, false, writer -> TestImages.pages(writer, 0, 0, 8));
    Path second = write(1, true, writer -> writer.parent(0, 0x10000L, 9));
    try (ImageSeries series = new ImageSeries()) {
      assertThat(series.next(first).depth()).isEqualTo(1);
      assertThatThrownBy(() -> series.next(second))
          .hasMessageContaining("pages that it leaves to its parent images are not there");
    }
    Files.delete(first.resolve("pages"));
    try (ImageSeries series = new ImageSeries()) {
      assertThatThrownBy(() -> series.next(second)).isInstanceOf(CheckpointException.class);
    }
  }
}
