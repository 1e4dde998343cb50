package dev.jcr.parasite.arch;

import static dev.jcr.image.registers.Aarch64.ORIG_X0;
import static dev.jcr.image.registers.Aarch64.ORIG_X7;
import static dev.jcr.image.registers.Aarch64.PC;
import static dev.jcr.image.registers.Aarch64.PSTATE;
import static dev.jcr.image.registers.Aarch64.SP;
import static dev.jcr.image.registers.Aarch64.WORDS;
import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.image.v1.Arch;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Instructions as an assembler writes them (Arm Architecture Reference Manual, C4), registers by
/// the procedure of `svc`.
class Aarch64MachineTest {
  private static final long SS = 1L << 21;
  private static final long BTYPE = 1L << 10;
  private static final long FLAGS = 0xf0000000L;

  private final Machine machine = Machine.of(Arch.ARCH_AARCH64);

  private static long[] registers(int words) {
    long[] registers = new long[words];
    for (int i = 0; i < words; i++) {
      registers[i] = 0x1_0000L + i;
    }
    registers[PSTATE] = FLAGS;
    return registers;
  }

  private static int[] words(byte[] code) {
    int[] words = new int[code.length / 4];
    ByteBuffer.wrap(code).order(ByteOrder.LITTLE_ENDIAN).asIntBuffer().get(words);
    return words;
  }

  @Test
  void aCallKeepsWhatItDoesNotUse() {
    long[] base = registers(WORDS);
    base[PSTATE] = FLAGS | SS | BTYPE;
    long[] expected = base.clone();
    expected[0] = 1;
    expected[1] = 2;
    expected[2] = -3;
    expected[3] = 0;
    expected[4] = 0;
    expected[5] = 0;
    expected[8] = 222;
    expected[PC] = 0x4000;
    // Neither a debugger's step nor a pending landing pad goes along.
    expected[PSTATE] = FLAGS;
    assertThat(machine.syscall(base, 0x4000, 222, 1, 2, -3)).containsExactly(expected);
    assertThat(base[PSTATE]).isEqualTo(FLAGS | SS | BTYPE);
    assertThat(machine.result(expected)).isEqualTo(1);
  }

  @Test
  void theLongerRegistersTakeTheArgumentTwice() {
    long[] call = machine.syscall(registers(ORIG_X7 + 1), 0x4000, 63, 7);
    assertThat(call[ORIG_X0]).isEqualTo(7);
    assertThat(call[ORIG_X7]).isEqualTo(0x1_0000L + ORIG_X7);
    assertThat(call[7]).isEqualTo(0x1_0007L);
    assertThat(machine.words()).isEqualTo(36);
  }

  @Test
  void placesAndArguments() {
    long[] base = registers(WORDS);
    assertThat(machine.pc(base)).isEqualTo(base[PC]);
    assertThat(machine.sp(base)).isEqualTo(base[SP]);
    assertThat(machine.withPc(base, 5)[PC]).isEqualTo(5);
    assertThat(machine.withStack(base, 5)[SP]).isEqualTo(5);
    assertThat(machine.withArgument(base, 3, 5)[3]).isEqualTo(5);
    long[] returning = machine.withReturn(base, 0x7000, 0x8000);
    assertThat(returning[SP]).isEqualTo(0x7000);
    assertThat(returning[30]).describedAs("x30, where ret goes").isEqualTo(0x8000);
    assertThat(machine.restartInPlace(base, registers(ORIG_X7))).isSameAs(base);
  }

  @Test
  void afterACallThatSleepsOnInTheKernel() {
    long[] resume = registers(WORDS);
    resume[8] = 101;
    long[] expected = resume.clone();
    expected[8] = 128;
    assertThat(machine.afterCall(resume, 101, -516)).containsExactly(expected);
  }

  @ParameterizedTest
  @ValueSource(longs = {-512, -513, -514})
  void afterACallThatStartsAgain(long result) {
    long[] resume = registers(WORDS);
    assertThat(machine.afterCall(resume, 98, result)).containsExactly(resume);
  }

  @ParameterizedTest
  @ValueSource(longs = {0, 5, -4, -110, -511, -515, -517})
  void afterACallThatIsDone(long result) {
    long[] resume = registers(WORDS);
    long[] expected = resume.clone();
    expected[0] = result;
    expected[PC] += 4;
    assertThat(machine.afterCall(resume, 98, result)).containsExactly(expected);
  }

  @Test
  void instructions() {
    assertThat(words(machine.syscallInstruction())).containsExactly(0xd4000001);
    assertThat(words(machine.syscallReturn())).containsExactly(0xd4000001, 0xd65f03c0);
    assertThat(machine.signalReturns()).hasSize(1);
    // mov x8, #139; svc #0: __kernel_rt_sigreturn of the vDSO
    assertThat(words(machine.signalReturns().getFirst())).containsExactly(0xd2801168, 0xd4000001);
    assertThat(machine.instructionAlignment()).isEqualTo(4);
  }

  @Test
  void functionsThatLeadElsewhere() {
    assertThat(words(machine.jump(0x0000_ffff_8765_4320L)))
        .containsExactly(
            0xd503245f, // bti c
            0x58000070, // ldr x16, +12
            0xd61f0200, // br x16
            0xd503201f, // nop
            0x87654320,
            0x0000ffff);
    assertThat(words(machine.callingFunction(113)))
        .containsExactly(
            0xd503245f, // bti c
            0xd2800e28, // mov x8, #113
            0xd4000001, // svc #0
            0xd65f03c0); // ret
  }

  private static final int[] BATCH = {
    0xeb14027f, // cmp x19, x20
    0x54000120, // b.eq +36
    0xf9400268, // ldr x8, [x19]
    0xa9408660, // ldp x0, x1, [x19, #8]
    0xa9418e62, // ldp x2, x3, [x19, #24]
    0xa9429664, // ldp x4, x5, [x19, #40]
    0xd4000001, // svc #0
    0xf9001e60, // str x0, [x19, #56]
    0x91010273, // add x19, x19, #64
    0x17fffff7, // b -36
    0xd2801068, // mov x8, #131
    0xaa1503e0, // mov x0, x21
    0xaa1603e1, // mov x1, x22
    0xaa1703e2, // mov x2, x23
    0xd4000001 // svc #0
  };

  @Test
  void aBatchEndsInATrap() {
    int[] code = words(machine.batchCode());
    assertThat(code).startsWith(BATCH).hasSize(BATCH.length + 1);
    assertThat(code[BATCH.length]).describedAs("brk #0").isEqualTo(0xd4200000);
    assertThat(code[machine.syscallOffset() / 4]).isEqualTo(0xd4000001);
    assertThat(machine.syscallOffset()).isEqualTo((BATCH.length - 1) * 4);
    long[] registers = machine.batch(registers(WORDS), 0x9000, 0x5000, 3, 42, 43, 28);
    assertThat(registers[PC]).isEqualTo(0x9000);
    assertThat(List.of(registers[19], registers[20], registers[21], registers[22], registers[23]))
        .containsExactly(0x5000L, 0x5000L + 192, 42L, 43L, 28L);
  }

  @Test
  void theWayBackIsASignalFrameBehindTheCode() {
    int[] at = new int[1];
    byte[] bytes =
        machine.returningCode(
            registers(WORDS),
            0,
            offset -> {
              at[0] = offset;
              return new byte[] {1, 2, 3, 4};
            });
    assertThat(at[0] % 16).isZero();
    int[] code = words(bytes);
    assertThat(code).startsWith(BATCH);
    assertThat(code[BATCH.length] & 0x9f00001f).describedAs("adr x9").isEqualTo(0x10000009);
    int adr = code[BATCH.length];
    int immediate = (((adr >> 5) & 0x7ffff) << 2) | ((adr >> 29) & 3);
    assertThat(BATCH.length * 4 + immediate).isEqualTo(at[0]);
    assertThat(code[BATCH.length + 1]).describedAs("mov sp, x9").isEqualTo(0x9100013f);
    assertThat(code[BATCH.length + 2]).describedAs("mov x8, #139").isEqualTo(0xd2801168);
    assertThat(code[BATCH.length + 3]).describedAs("svc #0").isEqualTo(0xd4000001);
    assertThat(bytes).endsWith(1, 2, 3, 4).hasSize(at[0] + 4);
  }
}
