package dev.jcr.image.pages;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.v1.Compression;
import java.nio.ByteBuffer;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class PageBlockTest {
  private static byte[] content(boolean compressible) {
    byte[] content = new byte[128 << 10];
    Random random = new Random(5);
    random.nextBytes(content);
    for (int i = 0; compressible && i < content.length; i++) {
      content[i] = (byte) (content[i] & 3);
    }
    return content;
  }

  @ParameterizedTest
  @EnumSource(
      value = Compression.class,
      names = {"COMPRESSION_NONE", "COMPRESSION_ZSTD"})
  void comesOutAsItWentIn(Compression compression) throws Exception {
    for (boolean compressible : new boolean[] {true, false}) {
      byte[] content = content(compressible);
      byte[] packed = PageBlock.pack(content, compression, 1);
      assertThat(packed.length).isLessThanOrEqualTo(content.length + 9);
      assertThat(PageBlock.unpack(ByteBuffer.wrap(packed), content.length)).isEqualTo(content);
    }
  }

  /// Whatever bit is inverted: nothing is given out that is not what went in.
  @Test
  void damageIsFound() throws Exception {
    byte[] content = content(true);
    Random random = new Random(6);
    int found = 0;
    for (int i = 0; i < 2000; i++) {
      byte[] packed = PageBlock.pack(content, Compression.COMPRESSION_ZSTD, 1);
      packed[i < 200 ? i % 9 : random.nextInt(packed.length)] ^= (byte) (1 << random.nextInt(8));
      try {
        assertThat(PageBlock.unpack(ByteBuffer.wrap(packed), content.length)).isEqualTo(content);
      } catch (CheckpointException e) {
        assertThat(e).hasMessageStartingWith("cannot take a block of pages: it arrived damaged: ");
        found++;
      }
    }
    assertThat(found).isGreaterThan(1900);
    byte[] packed = PageBlock.pack(content, Compression.COMPRESSION_NONE, 1);
    assertThatThrownBy(() -> PageBlock.unpack(ByteBuffer.wrap(packed), content.length - 1))
        .isInstanceOf(CheckpointException.class);
    assertThatThrownBy(() -> PageBlock.unpack(ByteBuffer.wrap(packed, 0, 5), content.length))
        .isInstanceOf(CheckpointException.class);
  }
}
