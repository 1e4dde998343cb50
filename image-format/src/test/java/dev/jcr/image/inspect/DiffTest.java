package dev.jcr.image.inspect;

import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.image.SampleStates;
import dev.jcr.image.codec.ImageReader;
import dev.jcr.image.codec.ImageWriter;
import dev.jcr.image.pages.PageBuffer;
import dev.jcr.image.v1.Compression;
import dev.jcr.image.v1.Creation;
import dev.jcr.image.v1.ProcessState;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DiffTest {
  @TempDir Path folder;

  @Test
  void fieldsAreNamedByKey() {
    ProcessState left = SampleStates.x8664();
    ProcessState.Builder right = left.toBuilder();
    right.getThreadsBuilder(1).getRegistersBuilder().getX8664Builder().setGeneral(16, 0x2000);
    right.getMemoryBuilder().removeVmas(1);
    right.getIdentityBuilder().setUmask(0);
    assertThat(Diff.of(left, left)).isEmpty();
    assertThat(Diff.of(left, right.build()))
        .extracting(Diff.Difference::toString)
        .satisfiesExactly(
            text -> assertThat(text).isEqualTo("identity.umask: 022 != 0"),
            text ->
                assertThat(text)
                    .startsWith("memory.vmas[start=0x4000000]: {\"start\":\"0x4000000\"")
                    .endsWith("!= -"),
            text ->
                assertThat(text)
                    .isEqualTo("threads[tid=43].registers.x86_64.general[rip]: 0x1010 != 0x2000"));
  }

  /// Two images of one process are alike though the clocks went on.
  @Test
  void readingsOfClocksDoNotCount() {
    ProcessState.Builder left = SampleStates.x8664().toBuilder();
    left.getTimersBuilder().getClocksBuilder().setMonotonic(1).setMonotonicOffset(5);
    ProcessState.Builder right = left.clone();
    right.getTimersBuilder().getClocksBuilder().setMonotonic(2).setBoottime(7);
    assertThat(Diff.of(left.build(), right.build())).isEmpty();
    right.getTimersBuilder().getClocksBuilder().setMonotonicOffset(6);
    assertThat(Diff.of(left.build(), right.build()))
        .extracting(Diff.Difference::toString)
        .containsExactly("timers.clocks.monotonic_offset: 5 ns != 6 ns");
  }

  /// An arm64 image without pages in it.
  private ImageReader withPagesOf(int bytes) throws Exception {
    ProcessState.Builder state = SampleStates.aarch64().toBuilder();
    state.getHostBuilder().setPageSize(bytes);
    state.clearMemory();
    state.getMemoryBuilder().setStartCode(0);
    Path image = folder.resolve("pages of " + bytes);
    try (ImageWriter writer = ImageWriter.create(image, Compression.COMPRESSION_NONE, 3, false)) {
      writer.pages(bytes);
      writer.state(state.build());
      writer.commit(42, "x", Creation.getDefaultInstance());
    }
    return ImageReader.open(image);
  }

  @Test
  void ofTwoPageSizesOnlyFieldsAreCompared() throws Exception {
    try (ImageReader left = withPagesOf(4096);
        ImageReader right = withPagesOf(16384)) {
      Diff.Result result = Diff.of(left, right);
      assertThat(result.pages()).isEmpty();
      assertThat(result.fields())
          .extracting(Diff.Difference::toString)
          .containsExactly("host.page_size: 4096 bytes != 16384 bytes");
    }
  }

  private ImageReader image(String name, Compression compression, int[] pages) throws Exception {
    Path image = folder.resolve(name);
    try (ImageWriter writer = ImageWriter.create(image, compression, 3, false)) {
      for (int i = 0; i < pages.length; i++) {
        PageBuffer buffer = writer.pages(4096).take();
        if (pages[i] == -2) {
          writer.pages(4096).remote(0x10000L + i * 4096L, 1);
        } else if (pages[i] >= 0) {
          buffer.add(0, 0x10000L + i * 4096L, 1);
          for (int at = 0; at < 4096; at++) {
            buffer.data().put(at, (byte) (pages[i] == 0 ? 0 : pages[i] + at));
          }
        }
        writer.pages(4096).submit(buffer);
      }
      writer.state(SampleStates.x8664());
      writer.commit(42, "x", Creation.getDefaultInstance());
    }
    return ImageReader.open(image);
  }

  @Test
  void pagesAreComparedByContent() throws Exception {
    // -2 stayed with the source, -1 is absent, 0 is zero.
    try (ImageReader left =
            image("left", Compression.COMPRESSION_NONE, new int[] {1, 0, 0, 4, 5, -1, 7});
        ImageReader right =
            image("right", Compression.COMPRESSION_ZSTD, new int[] {1, 0, -1, 9, 9, 0, -1})) {
      Diff.Result result = Diff.of(left, right);
      assertThat(result.fields()).isEmpty();
      assertThat(result.pages())
          .extracting(PageDifference::toString)
          .containsExactly(
              "pages 0x12000 +1: zero on the left, absent on the right",
              "pages 0x13000 +2: contents differ",
              "pages 0x15000 +1: absent on the left, zero on the right",
              "pages 0x16000 +1: contents differ");
      assertThat(Diff.of(left, left).isEmpty()).isTrue();
    }
  }

  /// The last image of a migration whose memory follows it: what is not known is not called the
  /// same, nor read.
  @Test
  void pagesThatStayedAreNotCompared() throws Exception {
    try (ImageReader left = image("left", Compression.COMPRESSION_NONE, new int[] {1, -2, -2, 0});
        ImageReader right =
            image("right", Compression.COMPRESSION_NONE, new int[] {1, 5, -2, -2})) {
      assertThat(Diff.of(left, right).pages())
          .extracting(PageDifference::toString)
          .containsExactly(
              "pages 0x11000 +3: not compared, they stayed with the source of a migration");
    }
  }

  @Test
  void verifyCounts() throws Exception {
    image("image", Compression.COMPRESSION_ZSTD, new int[] {1, 0, 3}).close();
    Verify.Report report = Verify.run(folder.resolve("image"));
    assertThat(report.storedPages()).isEqualTo(2);
    assertThat(report.zeroPages()).isEqualTo(1);
    assertThat(report.chunks()).isEqualTo(2);
    assertThat(report.threads()).isEqualTo(2);
  }
}
