package dev.jcr.parasite.stub;

import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.image.v1.Arch;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.junit.jupiter.api.Test;

/// The code of the architecture on which the tests do not run, and where the branches of both lead.
class InitProgramTest {
  private static final int CHILD = 1234;

  /// Behind the first two calls and two registers.
  private static final int X8664_LOOP = 0x107;

  private static ByteBuffer elf(Arch arch) {
    return ByteBuffer.wrap(InitProgram.elf(arch, CHILD)).order(ByteOrder.LITTLE_ENDIAN);
  }

  /// Where the code ends.
  private static int end(ByteBuffer elf, int unit) {
    int at = elf.capacity();
    while (elf.getInt(at - 4) == 0) {
      at -= unit;
    }
    return at;
  }

  @Test
  void x8664() {
    ByteBuffer elf = elf(Arch.ARCH_X86_64);
    assertThat(elf.getShort(18)).describedAs("e_machine: EM_X86_64").isEqualTo((short) 62);
    assertThat(elf.getLong(24)).describedAs("e_entry").isEqualTo(0x10000b0);
    // mov edi, r12d; mov eax, exit_group; syscall
    int last = 0x19d;
    assertThat(elf.getInt(last)).isEqualTo(0xb8e78944);
    assertThat(elf.getInt(last + 4)).isEqualTo(231);
    assertThat(elf.getShort(last + 8)).isEqualTo((short) 0x050f);
    assertThat(elf.getInt(0x13b) + 0x13f).as("js").isEqualTo(last);
    assertThat(elf.getInt(0x140)).as("cmp eax").isEqualTo(CHILD);
    for (int operand : new int[] {0x146, 0x175, 0x18c, 0x199}) {
      assertThat(elf.getInt(operand) + operand + 4).as("to the loop").isEqualTo(X8664_LOOP);
    }
  }

  @Test
  void aarch64() {
    ByteBuffer elf = elf(Arch.ARCH_AARCH64);
    assertThat(elf.getShort(18)).describedAs("e_machine: EM_AARCH64").isEqualTo((short) 183);
    int end = end(elf, 4);
    int first = end;
    while (elf.getInt(first) != 0xb9400289) {
      first -= 4;
    }
    int[] code = {
      0xb9400289, // ldr w9, [x20]
      0x12001d2a, // and w10, w9, #0xff
      0x7101fd5f, // cmp w10, #127
      0, // b.eq loop
      0x53083d33, // ubfx w19, w9, #8, #8
      0x7200192a, // ands w10, w9, #0x7f
      0, // b.eq loop
      0x11020153, // add w19, w10, #128
      0, // b loop
      0x2a1303e0, // mov w0, w19
      0xd2800000 | 94 << 5 | 8 // mov x8, exit_group
    };
    for (int i = 0; i < code.length; i++) {
      if (code[i] != 0) {
        assertThat(elf.getInt(first + 4 * i)).as("word " + i).isEqualTo(code[i]);
      }
    }
    assertThat(elf.getInt(end - 4)).as("svc #0").isEqualTo(0xd4000001);
    int loop = first + 32 + (elf.getInt(first + 32) << 6 >> 6) * 4;
    assertThat(elf.getInt(loop)).as("mov x0, #0xffff").isEqualTo(0xd29fffe0);
    for (int branch : new int[] {first + 12, first + 24}) {
      assertThat(elf.getInt(branch) & 0xff00001f).as("b.eq").isEqualTo(0x54000000);
      assertThat(branch + (elf.getInt(branch) << 8 >> 13) * 4).isEqualTo(loop);
    }
    int failed = loop;
    while ((elf.getInt(failed) & 0xfff8001f) != 0xb7f80000) {
      failed += 4;
    }
    assertThat(failed + (elf.getInt(failed) << 13 >> 18) * 4).as("tbnz").isEqualTo(first + 36);
  }
}
