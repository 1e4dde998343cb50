package dev.jcr.parasite.arch;

import static dev.jcr.parasite.arch.X8664Words.COUNT;
import static dev.jcr.parasite.arch.X8664Words.EFLAGS;
import static dev.jcr.parasite.arch.X8664Words.ORIG_RAX;
import static dev.jcr.parasite.arch.X8664Words.R10;
import static dev.jcr.parasite.arch.X8664Words.R8;
import static dev.jcr.parasite.arch.X8664Words.R9;
import static dev.jcr.parasite.arch.X8664Words.RAX;
import static dev.jcr.parasite.arch.X8664Words.RBX;
import static dev.jcr.parasite.arch.X8664Words.RDI;
import static dev.jcr.parasite.arch.X8664Words.RDX;
import static dev.jcr.parasite.arch.X8664Words.RIP;
import static dev.jcr.parasite.arch.X8664Words.RSI;
import static dev.jcr.parasite.arch.X8664Words.RSP;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import dev.jcr.image.v1.Arch;
import java.util.HexFormat;
import java.util.List;
import org.junit.jupiter.api.Test;

class X8664MachineTest {
  private static final Machine.FrameAt NO_FRAME = _ -> new byte[0];
  private static final long CODE = 0x7f00_0000_0000L;
  private static final long RECORDS = 0x7f00_1000_0000L;
  private static final long MASK = 0x8000_0000_0001_4002L;

  /// CF, PF, AF, ZF, SF, DF, OF.
  private static final int[] FLAGS = {1, 4, 0x10, 0x40, 0x80, 0x400, 0x800};

  private final Machine machine = Machine.of(Arch.ARCH_X86_64);

  private static long[] registers() {
    long[] registers = new long[COUNT];
    for (int i = 0; i < COUNT; i++) {
      registers[i] = 0x1122_3344_5566_0000L + i;
    }
    registers[EFLAGS] = 0x202;
    return registers;
  }

  @Test
  void bothArchitecturesOnAnyHost() {
    assertThat(machine.arch()).isEqualTo(Arch.ARCH_X86_64);
    assertThat(Machine.of(Arch.ARCH_AARCH64).arch()).isEqualTo(Arch.ARCH_AARCH64);
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Machine.of(Arch.ARCH_UNSPECIFIED))
        .withMessage("no injection on ARCH_UNSPECIFIED");
  }

  @Test
  void syscallPlacesArguments() {
    long[] base = registers();
    long[] expected = base.clone();
    expected[RIP] = 0x1000;
    expected[RAX] = 9;
    expected[ORIG_RAX] = -1;
    expected[RDI] = 1;
    expected[RSI] = 2;
    expected[RDX] = 3;
    expected[R10] = 4;
    expected[R8] = -5;
    expected[R9] = 6;
    assertThat(machine.syscall(base, 0x1000, 9, 1, 2, 3, 4, -5, 6)).containsExactly(expected);
    assertThat(base).containsExactly(registers());

    expected[RDX] = 0;
    expected[R10] = 0;
    expected[R8] = 0;
    expected[R9] = 0;
    assertThat(machine.syscall(base, 0x1000, 9, 1, 2)).containsExactly(expected);
  }

  @Test
  void oneRegisterChanged() {
    long[] base = registers();
    long[] expected = base.clone();
    expected[RIP] = 5;
    assertThat(machine.withPc(base, 5)).containsExactly(expected);
    expected = base.clone();
    expected[RSP] = 6;
    assertThat(machine.withStack(base, 6)).containsExactly(expected);
    expected = base.clone();
    expected[RBX] = 6;
    assertThat(machine.withCodeArgument(base, 6)).containsExactly(expected);
    int[] arguments = {RDI, RSI, RDX, R10, R8, R9};
    for (int i = 0; i < arguments.length; i++) {
      expected = base.clone();
      expected[arguments[i]] = 7;
      assertThat(machine.withArgument(base, i, 7)).containsExactly(expected);
    }
    assertThat(base).containsExactly(registers());
    assertThat(machine.pc(base)).isEqualTo(base[RIP]);
    assertThat(machine.sp(base)).isEqualTo(base[RSP]);
    assertThat(machine.result(base)).isEqualTo(base[RAX]);
  }

  @Test
  void restartInPlace() {
    long[] resume = registers();
    long[] live = registers();
    live[ORIG_RAX] = 35;
    live[RAX] = -516;
    long[] expected = live.clone();
    expected[RAX] = 219;
    expected[RIP] -= 2;
    expected[ORIG_RAX] = -1;
    assertThat(machine.restartInPlace(live, resume)).containsExactly(expected);

    live[RAX] = -514;
    assertThat(machine.restartInPlace(live, resume)).isSameAs(resume);
    live[RAX] = -516;
    live[ORIG_RAX] = -1;
    assertThat(machine.restartInPlace(live, resume)).isSameAs(resume);
  }

  @Test
  void afterCall() {
    long[] resume = registers();
    long[] expected = resume.clone();
    expected[RIP] += 2;
    for (long result : new long[] {0, 17, -4, -511, -517}) {
      expected[RAX] = result;
      expected[ORIG_RAX] = -1;
      assertThat(machine.afterCall(resume, 35, result)).containsExactly(expected);
    }
    for (long result : new long[] {-512, -513, -514, -516}) {
      expected[RAX] = result;
      expected[ORIG_RAX] = 35;
      assertThat(machine.afterCall(resume, 35, result)).containsExactly(expected);
    }
  }

  @Test
  void syscallOffsetIsThatOfASystemCallInstruction() {
    byte[] code = machine.returningCode(registers(), 0, NO_FRAME);
    assertThat(code[machine.syscallOffset()]).isEqualTo((byte) 0x0f);
    assertThat(code[machine.syscallOffset() + 1]).isEqualTo((byte) 0x05);
    assertThat(code).hasSizeLessThan(4096);
  }

  /// The thread was about to make a single call when jcr died: it makes it, and finds its way back.
  @Test
  void singleCallFindsItsWayBack() {
    long[] resume = registers();
    CodeRunner thread = run(resume, single(3, 77));
    assertThat(thread.calls())
        .containsExactly(List.of(3L, 77L, 0L, 0L, 0L, 0L, 0L), thread.maskCall());
    assertBack(thread, resume);
  }

  @Test
  void allFlagsComeBack() {
    for (int bits = 0; bits < 1 << FLAGS.length; bits++) {
      long[] resume = registers();
      for (int i = 0; i < FLAGS.length; i++) {
        resume[EFLAGS] |= (bits >>> i & 1) == 0 ? 0 : FLAGS[i];
      }
      assertBack(run(resume, single(39)), resume);
    }
  }

  @Test
  void batchRunsAllCallsThenSignalsItself() {
    long[] resume = registers();
    CodeRunner thread =
        new CodeRunner(CODE, machine.returningCode(resume, MASK, NO_FRAME), RECORDS, 3 * 64)
            .record(0, 10, 11, 12, 13, 14, 15, 16)
            .record(1, 20, 21, 22, 23, 24, 25, 26)
            .record(2, 30, -31, 0, 0, 0, 0, 0);
    thread.run(machine.batch(new long[COUNT], CODE, RECORDS, 3, 42, 43, 28));
    assertThat(thread.calls())
        .containsExactly(
            List.of(10L, 11L, 12L, 13L, 14L, 15L, 16L),
            List.of(20L, 21L, 22L, 23L, 24L, 25L, 26L),
            List.of(30L, -31L, 0L, 0L, 0L, 0L, 0L),
            // r10, r8, r9 as the last call left them: tgkill has three arguments
            List.of(234L, 42L, 43L, 28L, 0L, 0L, 0L),
            thread.maskCall());
    assertThat(thread.result(0)).isEqualTo(1000);
    assertThat(thread.result(1)).isEqualTo(1001);
    assertThat(thread.result(2)).isEqualTo(1002);
    // Here the tracer expects the thread when the signal comes.
    assertThat(thread.afterCall(3)).isEqualTo(at(machine.syscallOffset() + 2));
    assertBack(thread, resume);
  }

  @Test
  void emptyBatch() {
    long[] resume = registers();
    CodeRunner thread = run(resume, machine.batch(new long[COUNT], CODE, RECORDS, 0, 42, 43, 28));
    assertThat(thread.calls()).hasSize(2);
    assertThat(thread.calls().getFirst().subList(0, 4)).containsExactly(234L, 42L, 43L, 28L);
    assertBack(thread, resume);
  }

  @Test
  void batchOfAProcessWithNothingToReturnTo() {
    CodeRunner thread =
        new CodeRunner(CODE, machine.batchCode(), RECORDS, 64)
            .record(0, 10, 11, 12, 13, 14, 15, 16);
    thread.run(machine.batch(new long[COUNT], CODE, RECORDS, 1, 42, 43, 28));
    assertThat(thread.calls()).hasSize(2);
    assertThat(thread.calls().getFirst()).containsExactly(10L, 11L, 12L, 13L, 14L, 15L, 16L);
    assertThat(thread.calls().getLast().subList(0, 4)).containsExactly(234L, 42L, 43L, 28L);
    assertThat(thread.result(0)).isEqualTo(1000);
    assertThat(thread.afterCall(1)).isEqualTo(at(machine.syscallOffset() + 2));
    byte[] code = machine.batchCode();
    assertThat(code[machine.syscallOffset() + 2]).describedAs("int3").isEqualTo((byte) 0xcc);
  }

  @Test
  void functionsThatLeadElsewhere() {
    // mov rax, imm64; jmp rax
    assertThat(HexFormat.of().formatHex(machine.jump(0x7fff_8765_4321L)))
        .isEqualTo("48b821436587ff7f0000ffe0");
    // mov eax, 228; syscall; ret
    assertThat(HexFormat.of().formatHex(machine.callingFunction(228)))
        .isEqualTo("b8e40000000f05c3");
  }

  /// A call from registers of which none is right.
  private long[] single(int number, long... arguments) {
    return machine.syscall(new long[COUNT], at(machine.syscallOffset()), number, arguments);
  }

  private static long at(long offset) {
    return CODE + offset;
  }

  private CodeRunner run(long[] resume, long[] registers) {
    CodeRunner thread =
        new CodeRunner(CODE, machine.returningCode(resume, MASK, NO_FRAME), RECORDS, 0);
    thread.run(registers);
    return thread;
  }

  private static void assertBack(CodeRunner thread, long[] resume) {
    assertThat(thread.lastMask()).isEqualTo(MASK);
    assertThat(thread.stackAtLastCall()).isEqualTo(resume[RSP]);
    long[] end = thread.registers();
    for (int word : CodeRunner.WORDS) {
      assertThat(end[word]).describedAs("word %d", word).isEqualTo(resume[word]);
    }
    assertThat(end[RIP]).isEqualTo(resume[RIP]);
    assertThat(end[EFLAGS] & CodeRunner.STATUS).isEqualTo(resume[EFLAGS] & CodeRunner.STATUS);
  }
}
