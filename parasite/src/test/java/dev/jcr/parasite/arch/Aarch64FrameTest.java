package dev.jcr.parasite.arch;

import static dev.jcr.image.registers.Aarch64.WORDS;
import static org.assertj.core.api.Assertions.assertThat;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/// `struct rt_sigframe` by its offsets (arch/arm64/kernel/signal.c, `<asm/sigcontext.h>`,
/// `<asm/ucontext.h>`).
class Aarch64FrameTest {
  private static final long ADDRESS = 0xfff_0000_1000L;
  private static final int UCONTEXT = 128;
  private static final int REGISTERS = UCONTEXT + 176 + 8;
  private static final int RESERVED = UCONTEXT + 176 + 288;

  private static long[] registers() {
    long[] registers = new long[WORDS];
    for (int i = 0; i < WORDS; i++) {
      registers[i] = 0x1122_3344_0000L + i;
    }
    return registers;
  }

  private static byte[] fpsimd() {
    byte[] fpsimd = new byte[528];
    for (int i = 0; i < 520; i++) {
      fpsimd[i] = (byte) (i * 7 + 1);
    }
    return fpsimd;
  }

  /// `struct user_sve_header` with registers of `length` bytes behind it.
  private static byte[] vector(int length) {
    int size = (16 + 34 * length + length / 8 + 15) & ~15;
    ByteBuffer vector = ByteBuffer.allocate(size + 16).order(ByteOrder.LITTLE_ENDIAN);
    for (int i = 16; i < vector.capacity(); i++) {
      vector.put(i, (byte) (i % 251));
    }
    return vector
        .putInt(0, vector.capacity())
        .putShort(8, (short) length)
        .putShort(12, (short) 1)
        .array();
  }

  private static ByteBuffer frame(byte[] vector, boolean streaming) {
    return ByteBuffer.wrap(
            Aarch64Frame.build(
                ADDRESS,
                registers(),
                0x8000_0002L,
                fpsimd(),
                vector,
                streaming,
                new byte[0],
                Optional.empty()))
        .order(ByteOrder.LITTLE_ENDIAN);
  }

  @Test
  void generalRegistersAndMask() {
    ByteBuffer frame = frame(new byte[0], false);
    assertThat(frame.getInt(UCONTEXT + 24)).describedAs("ss_flags, refused").isEqualTo(0xff);
    assertThat(frame.getLong(UCONTEXT + 40)).describedAs("uc_sigmask").isEqualTo(0x8000_0002L);
    for (int i = 0; i < WORDS; i++) {
      assertThat(frame.getLong(REGISTERS + 8 * i)).isEqualTo(registers()[i]);
    }
    assertThat(frame.capacity()).isEqualTo(RESERVED + 4096);
  }

  @Test
  void theFloatingPointRecordHasStatusAndControlFirst() {
    ByteBuffer frame = frame(new byte[0], false);
    assertThat(frame.getInt(RESERVED)).describedAs("FPSIMD_MAGIC").isEqualTo(0x46508001);
    assertThat(frame.getInt(RESERVED + 4)).isEqualTo(528);
    for (int i = 0; i < 8; i++) {
      assertThat(frame.get(RESERVED + 8 + i))
          .describedAs("fpsr, fpcr")
          .isEqualTo(fpsimd()[512 + i]);
    }
    for (int i = 0; i < 512; i++) {
      assertThat(frame.get(RESERVED + 16 + i)).describedAs("vregs").isEqualTo(fpsimd()[i]);
    }
    assertThat(frame.getLong(RESERVED + 528)).describedAs("end of the records").isZero();
  }

  @Test
  void vectorsBesideIt() {
    byte[] vector = vector(64);
    ByteBuffer frame = frame(vector, true);
    int record = RESERVED + 528;
    assertThat(frame.getInt(record)).describedAs("SVE_MAGIC").isEqualTo(0x53564501);
    assertThat(frame.getInt(record + 4) % 16).isZero();
    assertThat(frame.getInt(record + 4)).isGreaterThanOrEqualTo(16 + 34 * 64 + 8);
    assertThat(frame.getShort(record + 8)).describedAs("vl").isEqualTo((short) 64);
    assertThat(frame.getShort(record + 10)).describedAs("SVE_SIG_FLAG_SM").isEqualTo((short) 1);
    for (int i = 16; i < 16 + 34 * 64 + 8; i++) {
      assertThat(frame.get(record + i)).isEqualTo(vector[i]);
    }
    assertThat(frame.getLong(record + frame.getInt(record + 4))).isZero();
    assertThat(frame(vector, false).getShort(record + 10)).isZero();
  }

  @Test
  void longVectorsBehindTheFrame() {
    byte[] vector = vector(256);
    ByteBuffer frame = frame(vector, false);
    int extra = RESERVED + 528;
    assertThat(frame.getInt(extra)).describedAs("EXTRA_MAGIC").isEqualTo(0x45585401);
    assertThat(frame.getInt(extra + 4)).isEqualTo(32);
    // The kernel wants the data right behind the record and its terminator.
    long data = frame.getLong(extra + 8);
    assertThat(data).isEqualTo(ADDRESS + extra + 32 + 16);
    int record = extra + 48;
    assertThat(frame.getInt(record)).isEqualTo(0x53564501);
    int size = frame.getInt(record + 4);
    assertThat(frame.getInt(extra + 16)).describedAs("extra size").isEqualTo(size + 16);
    assertThat(frame.getLong(extra + 32)).describedAs("end of the first records").isZero();
    assertThat(frame.get(record + 16 + 34 * 256)).isEqualTo(vector[16 + 34 * 256]);
    assertThat(frame.getLong(record + size)).isZero();
    assertThat(frame.capacity()).isLessThanOrEqualTo(16 * 1024 - 256);
  }

  @Test
  void fpmrIsZeroedWithStreamingMode() {
    byte[] fpmr = {1, 2, 3, 4, 5, 6, 7, 8};
    ByteBuffer frame =
        ByteBuffer.wrap(
                Aarch64Frame.build(
                    ADDRESS, registers(), 0, fpsimd(), vector(64), true, fpmr, Optional.empty()))
            .order(ByteOrder.LITTLE_ENDIAN);
    int record = RESERVED + 528;
    assertThat(frame.getInt(record)).describedAs("FPMR_MAGIC").isEqualTo(0x46504d52);
    assertThat(frame.getInt(record + 4)).isEqualTo(16);
    assertThat(frame.getLong(record + 8)).isEqualTo(0x0807_0605_0403_0201L);
    assertThat(frame.getInt(record + 16)).describedAs("SVE_MAGIC").isEqualTo(0x53564501);
  }

  @Test
  void aGuardedStackThatIsOnHasARecord() {
    GuardedStack stack = new GuardedStack(5, 1, 0xffff_8000_1230L);
    ByteBuffer frame =
        ByteBuffer.wrap(
                Aarch64Frame.build(
                    ADDRESS,
                    registers(),
                    0,
                    fpsimd(),
                    vector(256),
                    false,
                    new byte[0],
                    Optional.of(stack)))
            .order(ByteOrder.LITTLE_ENDIAN);
    int record = RESERVED + 528;
    assertThat(frame.getInt(record)).describedAs("GCS_MAGIC").isEqualTo(0x47435300);
    assertThat(frame.getInt(record + 4)).isEqualTo(32);
    assertThat(frame.getLong(record + 8)).describedAs("at the cap").isEqualTo(0xffff_8000_1228L);
    assertThat(frame.getLong(record + 16)).describedAs("features_enabled").isEqualTo(5);
    assertThat(frame.getLong(record + 24)).describedAs("reserved").isZero();
    assertThat(frame.getInt(record + 32)).describedAs("EXTRA_MAGIC").isEqualTo(0x45585401);
    assertThat(frame.getLong(record + 40)).isEqualTo(ADDRESS + record + 32 + 32 + 16);
  }
}
