package dev.jcr.image.registers;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.jcr.image.v1.Aarch64Registers;
import dev.jcr.image.v1.X8664Registers;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;

class WordsTest {
  @Test
  void x8664WordsAreInTheKernelsOrder() {
    X8664 words =
        X8664.of(
            X8664Registers.newBuilder()
                .addAllGeneral(LongStream.range(0, 27).boxed().toList())
                .build());
    // Offsets in <sys/user.h>, in words.
    assertThat(words.get(X8664.Word.R15)).isEqualTo(0);
    assertThat(words.get(X8664.Word.RAX)).isEqualTo(10);
    assertThat(words.get(X8664.Word.ORIG_RAX)).isEqualTo(15);
    assertThat(words.get(X8664.Word.RIP)).isEqualTo(16);
    assertThat(words.get(X8664.Word.FS_BASE)).isEqualTo(21);
    assertThat(words.get(X8664.Word.GS)).isEqualTo(26);
    X8664 changed = words.with(X8664.Word.RIP, -1);
    assertThat(changed.get(X8664.Word.RIP)).isEqualTo(-1);
    assertThat(words.get(X8664.Word.RIP)).isEqualTo(16);
    assertThat(changed).isNotEqualTo(words);
    assertThat(changed.with(X8664.Word.RIP, 16)).isEqualTo(words).hasSameHashCodeAs(words);
    assertThat(changed.toString()).startsWith("r15=0x0 ").contains("orig_rax=0xf");
    assertThatThrownBy(() -> X8664.of(X8664Registers.getDefaultInstance()))
        .isInstanceOf(IllegalArgumentException.class);
  }

  @Test
  void aarch64WordsMayHaveTheOriginals() {
    for (int count : new int[] {34, 36}) {
      Aarch64 words =
          Aarch64.of(
              Aarch64Registers.newBuilder()
                  .addAllGeneral(LongStream.range(0, count).boxed().toList())
                  .build());
      assertThat(words.words()).isEqualTo(count);
      assertThat(words.get(Aarch64.PC)).isEqualTo(32);
      assertThat(words.with(7, 99).get(7)).isEqualTo(99);
      assertThat(words.toString()).startsWith("x0=0x0 x1=0x1").contains(" pstate=0x21");
    }
    assertThat(Aarch64.label(30)).isEqualTo("x30");
    assertThat(Aarch64.label(Aarch64.ORIG_X7)).isEqualTo("orig_x7");
    assertThatThrownBy(() ->
            Aarch64.of(
                Aarch64Registers.newBuilder()
                    .addAllGeneral(LongStream.range(0, 35).boxed().toList())
                    .build()))
        .isInstanceOf(IllegalArgumentException.class);
  }
}
