package dev.jcr.image.codec;

import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.image.pages.ChunkRuns;
import dev.jcr.image.pages.PageStore;
import dev.jcr.image.v1.Compression;
import dev.jcr.image.v1.Manifest;
import dev.jcr.image.v1.PageKind;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.EnumSource.Mode;

class ImageRoundTripTest {
  @TempDir Path folder;

  @ParameterizedTest
  @EnumSource(
      names = {"COMPRESSION_NONE", "COMPRESSION_ZSTD"},
      mode = Mode.INCLUDE)
  void whatIsWrittenIsRead(Compression compression) throws Exception {
    Path directory = folder.resolve("image");
    Manifest manifest = TestImages.write(directory, compression, 1000);
    assertThat(folder).isDirectoryNotContaining("glob:**.tmp");
    assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(directory)))
        .isEqualTo("rwx------");
    assertThat(
            PosixFilePermissions.toString(
                Files.getPosixFilePermissions(directory.resolve("pages"))))
        .isEqualTo("rw-------");
    try (ImageReader reader = ImageReader.open(directory)) {
      assertThat(reader.state()).isEqualTo(TestImages.state());
      assertThat(reader.manifest()).isEqualTo(manifest);
      reader.verifyPages();
      assertThat(
              reader.pagemap().getSpaces(0).getRunsList().stream()
                  .filter(run -> run.getKind() == PageKind.PAGE_ZERO))
          .hasSize(251);
      Map<Long, byte[]> pages = new HashMap<>();
      assertThat(reader.pages().pieces(1).getFirst().slices().getFirst().start()).isEqualTo(4096);
      for (PageStore.Piece piece : reader.pages().pieces(0)) {
        assertThat(piece.isWhole()).isTrue();
        ChunkRuns chunk = piece.chunk();
        ByteBuffer into = ByteBuffer.allocateDirect(1 << 20);
        piece.reader().read(chunk.chunk(), into);
        into.flip();
        for (ChunkRuns.Run run : chunk.runs()) {
          for (int i = 0; i < run.pages(); i++) {
            byte[] page = new byte[4096];
            into.get(page);
            pages.put(run.start() + i * 4096L, page);
          }
        }
        assertThat(into.hasRemaining()).isFalse();
      }
      assertThat(pages).hasSize(750);
      for (int i = 0; i < 1000; i++) {
        if (i % 4 != 0) {
          assertThat(pages.get(0x10000L + i * 4096L)).isEqualTo(TestImages.page(i));
        }
      }
      assertThat(manifest.getCreation().getStatistics().getPagesWritten()).isEqualTo(762);
      assertThat(manifest.getCreation().getStatistics().getPagesZero()).isEqualTo(259);
    }
  }

  @Test
  void sameInputSameBytes() throws Exception {
    Path one = folder.resolve("one");
    Path two = folder.resolve("two");
    TestImages.write(one, Compression.COMPRESSION_ZSTD, 3000);
    TestImages.write(two, Compression.COMPRESSION_ZSTD, 3000);
    for (String part : new String[] {"state", "pagemap", "pages", "manifest"}) {
      assertThat(one.resolve(part)).hasSameBinaryContentAs(two.resolve(part));
    }
  }
}
