package dev.jcr.parasite.stub;

import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.image.v1.Arch;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.junit.jupiter.api.Test;

/// The code of the architecture on which the tests do not run.
class PageKeeperProgramTest {
  @Test
  void aarch64() {
    ByteBuffer elf =
        ByteBuffer.wrap(
                PageKeeperProgram.elf(Arch.ARCH_AARCH64, new int[] {512, 513, 514, 515, 516}, 8192))
            .order(ByteOrder.LITTLE_ENDIAN);
    assertThat(elf.getShort(18)).describedAs("e_machine: EM_AARCH64").isEqualTo((short) 183);
    int at = elf.capacity();
    while (elf.getInt(at - 4) == 0) {
      at -= 4;
    }
    // From "ldrh w9, [x19, #78]", the doorbell's events, to the end.
    int[] expected = {
      0x79409e69, // ldrh w9, [x19, #78]
      0x37000109, // tbnz w9, #0, rung
      0x79408e69, // ldrh w9, [x19, #70]
      0, // cbz w9, loop
      0xd2800000,
      0xf2a00000,
      0xf2c00000,
      0xf2e00000 // mov x0, #0
    };
    int start = at;
    while (elf.getInt(start) != expected[0]) {
      start -= 4;
    }
    for (int i = 0; i < expected.length; i++) {
      if (expected[i] != 0 && i != 1) {
        assertThat(elf.getInt(start + 4 * i)).as("word " + i).isEqualTo(expected[i]);
      }
    }
    // Both conditional branches lead where they should.
    int rung = start + 4 + (elf.getInt(start + 4) >> 5 & 0x3fff) * 4;
    assertThat(elf.getInt(rung)).as("ldr w0, [x19, #72]").isEqualTo(0xb9404a60);
    int back = elf.getInt(start + 12);
    int loop = start + 12 + ((back >> 5) << 13 >> 13) * 4;
    assertThat(back & 0xff00001f).as("cbz w9").isEqualTo(0x34000009);
    assertThat(elf.getInt(loop)).as("add x0, x19, #64").isEqualTo(0x91010260);
    // And the last instruction goes back there.
    int last = elf.getInt(at - 4);
    assertThat(at - 4 + (last << 6 >> 6) * 4).isEqualTo(loop);
  }
}
