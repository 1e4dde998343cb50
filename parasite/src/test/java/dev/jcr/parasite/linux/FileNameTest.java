package dev.jcr.parasite.linux;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.charset.StandardCharsets;
import java.util.Random;
import org.junit.jupiter.api.Test;

class FileNameTest {
  @Test
  void utf8IsText() {
    byte[] name = "/tmp/a ä\n€ \ud83d\ude00".getBytes(StandardCharsets.UTF_8);
    assertThat(FileName.text(name)).isEqualTo("/tmp/a ä\n€ \ud83d\ude00");
    assertThat(FileName.bytes(FileName.text(name))).isEqualTo(name);
  }

  @Test
  void anyBytesComeBack() {
    Random random = new Random(7);
    for (int i = 0; i < 20_000; i++) {
      byte[] name = new byte[random.nextInt(12)];
      random.nextBytes(name);
      if (i % 3 == 0 && name.length > 3) {
        // The private characters themselves.
        name[0] = (byte) 0xef;
        name[1] = (byte) (0x9e + random.nextInt(2));
        name[2] = (byte) (0x80 + random.nextInt(0x40));
      }
      String text = FileName.text(name);
      assertThat(FileName.bytes(text)).isEqualTo(name);
      // What the image stores has to be encodable.
      assertThat(StandardCharsets.UTF_8.newEncoder().canEncode(text)).isTrue();
    }
  }
}
