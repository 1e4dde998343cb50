package dev.jcr.image.codec;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.v1.Compression;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ImageStreamTest {
  @TempDir Path folder;

  private byte[] stream(int pages) throws Exception {
    Path image = folder.resolve("image");
    TestImages.write(image, Compression.COMPRESSION_ZSTD, pages);
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    try (ImageReader reader = ImageReader.open(image)) {
      ImageStream.write(reader, out);
    }
    return out.toByteArray();
  }

  @Test
  void aStreamIsTheSameImage() throws Exception {
    byte[] stream = stream(4000);
    Path copy = folder.resolve("copy");
    byte[] more = Arrays.copyOf(stream, stream.length + 3);
    ByteArrayInputStream in = new ByteArrayInputStream(more);
    ImageStream.read(in, copy, true);
    assertThat(in.available()).isEqualTo(3);
    for (String part : new String[] {"manifest", "state", "pagemap", "pages"}) {
      assertThat(copy.resolve(part)).hasSameBinaryContentAs(folder.resolve("image").resolve(part));
    }
  }

  @Test
  void damageAndEarlyEndsLeaveNothing() throws Exception {
    byte[] stream = stream(30);
    Random random = new Random(11);
    Path copy = folder.resolve("copy");
    for (int i = 0; i < 250; i++) {
      byte[] changed = stream.clone();
      if (i % 2 == 0) {
        changed = Arrays.copyOf(changed, random.nextInt(changed.length));
      } else {
        changed[random.nextInt(changed.length)] ^= (byte) (1 << random.nextInt(8));
      }
      byte[] hostile = changed;
      assertThatThrownBy(() -> ImageStream.read(new ByteArrayInputStream(hostile), copy, false))
          .isInstanceOfSatisfying(
              CheckpointException.class, e -> assertThat(e.outcome()).isEqualTo(Outcome.IMAGE));
    }
    assertThat(folder).isDirectoryNotContaining("glob:**.tmp");
    assertThat(copy).doesNotExist();
  }
}
