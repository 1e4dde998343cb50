package dev.jcr.parasite.linux;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class IdRegistersTest {
  @Test
  void code() {
    int[] code = IdRegisters.code();
    assertThat(code[0]).describedAs("mrs x9, midr_el1").isEqualTo(0xd5380009);
    assertThat(code[1]).describedAs("str x9, [x0]").isEqualTo(0xf9000009);
    assertThat(code[2]).describedAs("mrs x9, id_aa64pfr0_el1").isEqualTo(0xd5380409);
    assertThat(code[3]).describedAs("str x9, [x0, #8]").isEqualTo(0xf9000409);
    assertThat(code[10]).describedAs("mrs x9, id_aa64isar0_el1").isEqualTo(0xd5380609);
    assertThat(code[code.length - 1]).describedAs("ret").isEqualTo(0xd65f03c0);
  }
}
