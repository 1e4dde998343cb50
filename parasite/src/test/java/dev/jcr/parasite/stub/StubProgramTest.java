package dev.jcr.parasite.stub;

import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.image.v1.Arch;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import org.junit.jupiter.api.Test;

/// The fields of elf(5), by their offsets.
class StubProgramTest {
  private static final long BASE = 0x100_0000;

  private final byte[] bytes = StubProgram.elf(Arch.ARCH_X86_64, BASE);
  private final ByteBuffer elf = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);

  @Test
  void header() {
    // magic, 64 bits, little endian, version 1, System V
    assertThat(bytes).startsWith(0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    assertThat(elf.getShort(16)).describedAs("e_type: ET_EXEC").isEqualTo((short) 2);
    assertThat(elf.getShort(18)).describedAs("e_machine: EM_X86_64").isEqualTo((short) 62);
    assertThat(elf.getInt(20)).describedAs("e_version").isEqualTo(1);
    assertThat(elf.getLong(24)).describedAs("e_entry").isEqualTo(BASE + 0x78);
    assertThat(elf.getLong(32)).describedAs("e_phoff").isEqualTo(64);
    assertThat(elf.getLong(40)).describedAs("e_shoff").isZero();
    assertThat(elf.getInt(48)).describedAs("e_flags").isZero();
    assertThat(elf.getShort(52)).describedAs("e_ehsize").isEqualTo((short) 64);
    assertThat(elf.getShort(54)).describedAs("e_phentsize").isEqualTo((short) 56);
    assertThat(elf.getShort(56)).describedAs("e_phnum").isEqualTo((short) 1);
    assertThat(elf.getShort(58)).describedAs("e_shentsize").isZero();
    assertThat(elf.getShort(60)).describedAs("e_shnum").isZero();
    assertThat(elf.getShort(62)).describedAs("e_shstrndx").isZero();
  }

  @Test
  void oneSegmentHoldsTheWholeFile() {
    assertThat(elf.getInt(64)).describedAs("p_type: PT_LOAD").isEqualTo(1);
    assertThat(elf.getInt(68)).describedAs("p_flags: r-x").isEqualTo(5);
    assertThat(elf.getLong(72)).describedAs("p_offset").isZero();
    assertThat(elf.getLong(80)).describedAs("p_vaddr").isEqualTo(BASE);
    assertThat(elf.getLong(88)).describedAs("p_paddr").isEqualTo(BASE);
    assertThat(elf.getLong(96)).describedAs("p_filesz").isEqualTo(bytes.length);
    assertThat(elf.getLong(104)).describedAs("p_memsz").isEqualTo(bytes.length);
    assertThat(elf.getLong(112)).describedAs("p_align").isEqualTo(65536);
  }

  private static byte[] bytes(int... values) {
    byte[] bytes = new byte[values.length];
    for (int i = 0; i < values.length; i++) {
      bytes[i] = (byte) values[i];
    }
    return bytes;
  }

  @Test
  void codeAsksToDieWithJcrAndPausesForEver() {
    assertThat(Arrays.copyOfRange(bytes, 0x78, bytes.length))
        .containsExactly(
            bytes(
                0xb8, 157, 0, 0, 0, // mov eax, prctl
                0xbf, 1, 0, 0, 0, // mov edi, PR_SET_PDEATHSIG
                0xbe, 9, 0, 0, 0, // mov esi, SIGKILL
                0x0f, 0x05, // syscall
                0xb8, 34, 0, 0, 0, // mov eax, pause
                0x0f, 0x05, // syscall
                0xeb, -9)); // jmp to the mov before pause
    int syscall = (int) (StubProgram.syscallAddress(Arch.ARCH_X86_64, BASE) - BASE);
    assertThat(Arrays.copyOfRange(bytes, syscall, bytes.length))
        .describedAs("calls run at the last system call instruction")
        .containsExactly(bytes(0x0f, 0x05, 0xeb, -9));
  }

  @Test
  void aarch64() {
    ByteBuffer arm =
        ByteBuffer.wrap(StubProgram.elf(Arch.ARCH_AARCH64, BASE)).order(ByteOrder.LITTLE_ENDIAN);
    assertThat(arm.getShort(18)).describedAs("e_machine: EM_AARCH64").isEqualTo((short) 183);
    assertThat(arm.getLong(24)).describedAs("e_entry").isEqualTo(BASE + 0x78);
    int[] code = new int[(arm.capacity() - 0x78) / 4];
    arm.position(0x78).asIntBuffer().get(code);
    assertThat(code)
        .containsExactly(
            0xd28014e8, // mov x8, #167
            0xd2800020, // mov x0, #1
            0xd2800121, // mov x1, #9
            0xd4000001, // svc #0
            0xd2800000, // mov x0, #0
            0xd2800001, // mov x1, #0
            0xd2800002, // mov x2, #0
            0xd2800003, // mov x3, #0
            0xd2800004, // mov x4, #0
            0xd2800928, // mov x8, #73
            0xd4000001, // svc #0
            0x17fffff9); // b to the first mov of ppoll
    long syscall = StubProgram.syscallAddress(Arch.ARCH_AARCH64, BASE);
    assertThat(arm.getInt((int) (syscall - BASE))).isEqualTo(0xd4000001);
  }
}
