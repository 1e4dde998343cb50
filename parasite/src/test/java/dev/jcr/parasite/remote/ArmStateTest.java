package dev.jcr.parasite.remote;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.registers.Aarch64;
import dev.jcr.image.registers.ArmRegset;
import dev.jcr.image.v1.Aarch64Registers;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.ptrace.Regsets;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/// Register sets as a kernel gave them, collected, put into an image's form and written back to a
/// kernel that answers like one.
class ArmStateTest {
  /// The sets of one thread, with what a kernel does to the lengths of reads and writes
  /// (kernel/ptrace.c, ptrace_regset).
  private static final class FakeKernel implements Regsets {
    private final Map<Integer, byte[]> sets = new LinkedHashMap<>();
    private final List<String> writes = new ArrayList<>();
    private boolean refusesLongRegisters;

    @Override
    public long getRegset(int note, MemorySegment buffer) {
      byte[] set = sets.get(note);
      if (set == null) {
        return -Errno.EINVAL;
      }
      int length = (int) Math.min(set.length, buffer.byteSize());
      MemorySegment.copy(set, 0, buffer, JAVA_BYTE, 0, length);
      return length;
    }

    @Override
    public long setRegset(int note, MemorySegment bytes) {
      writes.add("0x%x %d".formatted(note, bytes.byteSize()));
      byte[] set = sets.get(note);
      if (set == null) {
        return -Errno.EINVAL;
      }
      if (refusesLongRegisters && note == ArmRegset.GENERAL_NOTE && bytes.byteSize() > 272) {
        return -Errno.EINVAL;
      }
      byte[] given = bytes.toArray(JAVA_BYTE);
      System.arraycopy(given, 0, set, 0, Math.min(set.length, given.length));
      return 0;
    }

    @Override
    public int tid() {
      return 42;
    }

    FakeKernel with(ArmRegset regset, byte[] contents) {
      sets.put(regset.note(), contents.clone());
      return this;
    }

    long word(int index) {
      return ByteBuffer.wrap(sets.getOrDefault(1, new byte[0]))
          .order(ByteOrder.LITTLE_ENDIAN)
          .getLong(8 * index);
    }

    /// Blank registers of `words` words.
    FakeKernel general(int words) {
      sets.put(ArmRegset.GENERAL_NOTE, new byte[8 * words]);
      return this;
    }
  }

  private final long[] recorded = new long[Aarch64.ORIG_X7 + 1];

  /// A thread stopped in read(3, ...) by a kernel whose user_pt_regs carries orig_x0 and orig_x7:
  /// x7 live, both of the kernel's own different from x0 and x7.
  @BeforeEach
  void record() {
    for (int i = 0; i < 31; i++) {
      recorded[i] = 0xa000_0000L + i;
    }
    recorded[Aarch64.SP] = 0xffff_f000L;
    recorded[Aarch64.PC] = 0xaaaa_0000L;
    recorded[Aarch64.PSTATE] = 0x8000_1000L;
    recorded[Aarch64.ORIG_X0] = 3;
    recorded[Aarch64.ORIG_X7] = 0x7777_7777L;
  }

  private FakeKernel source() {
    byte[] fpsimd = new byte[528];
    Arrays.fill(fpsimd, 0, 520, (byte) 0x5a);
    return new FakeKernel()
        .with(ArmRegset.FPSIMD, fpsimd)
        .with(ArmRegset.TLS, new byte[] {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16})
        .with(ArmRegset.SYSTEM_CALL, new byte[] {-1, -1, -1, -1})
        .with(ArmRegset.PAC_MASK, new byte[16]);
  }

  private static FakeKernel target(int words) {
    return new FakeKernel()
        .general(words)
        .with(ArmRegset.FPSIMD, new byte[528])
        .with(ArmRegset.TLS, new byte[16])
        .with(ArmRegset.SYSTEM_CALL, new byte[4])
        .with(ArmRegset.PAC_MASK, new byte[16]);
  }

  private Aarch64Registers collected() throws Exception {
    Aarch64Registers registers = ArmState.of(source()).collect(recorded);
    // Through the bytes of an image.
    return Aarch64Registers.parseFrom(registers.toByteArray());
  }

  private static long[] words(Aarch64Registers registers) {
    return registers.getGeneralList().stream().mapToLong(Long::longValue).toArray();
  }

  @Test
  void longerRegistersFromEndToEnd() throws Exception {
    Aarch64Registers image = collected();
    assertThat(words(image)).containsExactly(recorded);
    assertThat(Aarch64.of(image).get(Aarch64.ORIG_X0)).isEqualTo(3);
    assertThat(Aarch64.of(image).get(Aarch64.ORIG_X7)).isEqualTo(0x7777_7777L);
    FakeKernel kernel = target(36);
    ArmState.of(kernel).load(image, words(image));
    for (int i = 0; i < recorded.length; i++) {
      assertThat(kernel.word(i)).describedAs(Aarch64.label(i)).isEqualTo(recorded[i]);
    }
    ArmState.of(kernel).verify(image, words(image));
    assertThat(kernel.writes).last().isEqualTo("0x1 288");
  }

  @Test
  void aKernelThatTakesOnlyTheShorterOnes() throws Exception {
    Aarch64Registers image = collected();
    FakeKernel kernel = target(34);
    kernel.refusesLongRegisters = true;
    ArmState.of(kernel).load(image, words(image));
    for (int i = 0; i < Aarch64.WORDS; i++) {
      assertThat(kernel.word(i)).describedAs(Aarch64.label(i)).isEqualTo(recorded[i]);
    }
    ArmState.of(kernel).verify(image, words(image));
    assertThat(kernel.writes).endsWith("0x1 288", "0x1 272");
  }

  @Test
  void aKernelThatCutsWhatItDoesNotKnow() throws Exception {
    Aarch64Registers image = collected();
    FakeKernel kernel = target(34);
    ArmState.of(kernel).load(image, words(image));
    ArmState.of(kernel).verify(image, words(image));
    assertThat(kernel.writes).last().isEqualTo("0x1 288");
  }

  @Test
  void shorterRegistersOnAKernelWithLongerOnes() throws Exception {
    long[] shorter = Arrays.copyOf(recorded, Aarch64.WORDS);
    Aarch64Registers image = ArmState.of(source()).collect(shorter);
    FakeKernel kernel = target(36);
    ArmState.of(kernel).load(image, shorter);
    ArmState.of(kernel).verify(image, shorter);
    assertThat(kernel.word(7)).isEqualTo(recorded[7]);
    assertThat(kernel.word(Aarch64.ORIG_X7)).isZero();
  }

  @Test
  void aDebuggersStepIsNotPartOfTheThread() throws Exception {
    long[] stepping = recorded.clone();
    stepping[Aarch64.PSTATE] |= 1L << 21;
    assertThat(words(ArmState.of(source()).collect(stepping))).containsExactly(recorded);
  }

  @Test
  void whatTheMaskHidesIsOnlyRead() throws Exception {
    FakeKernel kernel = target(34);
    Aarch64Registers image = collected();
    ArmState.of(kernel).load(image, words(image));
    assertThat(kernel.writes).noneMatch(write -> write.startsWith("0x406"));
    kernel.with(ArmRegset.PAC_MASK, new byte[] {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
    assertThatThrownBy(() -> ArmState.of(kernel).verify(image, words(image)))
        .isInstanceOf(CheckpointException.class)
        .hasMessage("cannot prove thread 42: NT_ARM_PAC_MASK differs at byte 0");
  }

  @Test
  void anotherX7IsFound() throws Exception {
    FakeKernel kernel = target(34);
    Aarch64Registers image = collected();
    ArmState.of(kernel).load(image, words(image));
    long[] wrong = words(image);
    wrong[7] = 1;
    assertThatThrownBy(() -> ArmState.of(kernel).verify(image, wrong))
        .hasMessage("cannot prove thread 42: x7 is 0xa0000007, the image has 0x1");
  }

  @Test
  void aSetThatTheHostLacks() throws Exception {
    Aarch64Registers image =
        ArmState.of(source().with(ArmRegset.FPMR, new byte[] {1, 0, 0, 0, 0, 0, 0, 0}))
            .collect(recorded);
    assertThatThrownBy(() -> ArmState.of(target(34)).load(image, recorded))
        .hasMessage("cannot write NT_ARM_FPMR of thread 42: EINVAL (invalid argument)");
  }

  @Test
  void anotherVectorLengthIsNamed() throws Exception {
    Aarch64Registers image = ArmState.of(source().with(ArmRegset.SVE, idle(64))).collect(recorded);
    FakeKernel kernel = target(34);
    ArmState.of(kernel.with(ArmRegset.SVE, idle(64))).load(image, recorded);
    kernel.with(ArmRegset.SVE, idle(32));
    assertThatThrownBy(() -> ArmState.of(kernel).verify(image, recorded))
        .hasMessage("cannot prove thread 42: NT_ARM_SVE has vectors of 32 bytes, the image of 64");
  }

  private static byte[] idle(int length) {
    byte[] header = new byte[16];
    header[0] = 16;
    header[8] = (byte) length;
    return header;
  }

  @Test
  void zt0OfAnArrayThatIsOffIsNothing() throws Exception {
    Aarch64Registers image =
        ArmState.of(source().with(ArmRegset.ZA, idle(32)).with(ArmRegset.ZT, new byte[64]))
            .collect(recorded);
    assertThat(ArmRegset.contents(image)).doesNotContainKey(ArmRegset.ZT);
  }
}
