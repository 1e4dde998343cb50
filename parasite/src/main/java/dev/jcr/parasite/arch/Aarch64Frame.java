package dev.jcr.parasite.arch;

import static dev.jcr.image.registers.Aarch64.WORDS;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Optional;

/// An aarch64 `struct rt_sigframe` (arch/arm64/kernel/signal.c) that puts a thread back to given
/// registers when it runs rt_sigreturn(2): `siginfo_t`, `struct ucontext` and, in its last 4096
/// bytes, records of floating-point state (`<asm/sigcontext.h>`). Records that do not fit there lie
/// behind, with an `extra_context` that says so.
///
/// What is not in the frame the kernel leaves as it is: TPIDR2, ZA, ZT0, FPMR and the rest survive
/// a system call.
public final class Aarch64Frame {
  /// Offsets within the frame.
  private static final int UCONTEXT = 128;

  private static final int STACK_FLAGS = UCONTEXT + 24;
  private static final int SIGMASK = UCONTEXT + 40;
  private static final int MCONTEXT = UCONTEXT + 176;
  private static final int RESERVED = MCONTEXT + 288;
  private static final int RESERVED_SIZE = 4096;

  private static final int FPSIMD_MAGIC = 0x46508001;
  private static final int FPSIMD_SIZE = 528;
  private static final int FPMR_MAGIC = 0x46504d52;
  private static final int FPMR_SIZE = 16;
  private static final int GCS_MAGIC = 0x47435300;
  private static final int GCS_SIZE = 32;
  private static final int SVE_MAGIC = 0x53564501;
  private static final int EXTRA_MAGIC = 0x45585401;
  private static final int EXTRA_SIZE = 32;
  private static final int TERMINATOR = 16;

  /// `struct user_fpsimd_state`: V0 to V31, FPSR, FPCR.
  private static final int FPSR = 512;

  /// Header of the regsets NT_ARM_SVE and NT_ARM_SSVE, and of the record, before the registers.
  private static final int VECTOR_HEADER = 16;

  private static final int SVE_SIG_FLAG_SM = 1;

  private Aarch64Frame() {}

  /// Bytes to be put at `address`, which is 16-byte aligned; the stack pointer points at it when
  /// rt_sigreturn(2) is called.
  ///
  /// @param fpsimd the regset NT_PRFPREG
  /// @param vector the regset NT_ARM_SVE or NT_ARM_SSVE with registers in it; empty where none are
  ///   in use
  /// @param streaming `vector` is NT_ARM_SSVE
  /// @param fpmr the regset NT_ARM_FPMR, which is zeroed when streaming mode is left; or empty
  /// @param guarded the guarded control stack, where it is on; the kernel wants its signal cap
  public static byte[] build(
      long address,
      long[] registers,
      long signalMask,
      byte[] fpsimd,
      byte[] vector,
      boolean streaming,
      byte[] fpmr,
      Optional<GuardedStack> guarded) {
    int fpmrSize = fpmr.length == 0 ? 0 : FPMR_SIZE;
    int guardedSize = guarded.isEmpty() ? 0 : GCS_SIZE;
    int vectorSize = vector.length == 0 ? 0 : vectorSize(vector);
    boolean extra = FPSIMD_SIZE + fpmrSize + guardedSize + vectorSize + TERMINATOR > RESERVED_SIZE;
    int size = RESERVED + RESERVED_SIZE + (extra ? vectorSize + TERMINATOR : 0);
    ByteBuffer frame = ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
    // An alternate stack that the kernel refuses without failing: the real one stays.
    frame.putInt(STACK_FLAGS, 0xff);
    frame.putLong(SIGMASK, signalMask);
    frame.position(MCONTEXT + 8); // behind fault_address
    for (int i = 0; i < WORDS; i++) {
      frame.putLong(registers[i]);
    }
    frame.position(RESERVED);
    frame.putInt(FPSIMD_MAGIC).putInt(FPSIMD_SIZE);
    frame.put(fpsimd, FPSR, 8).put(fpsimd, 0, FPSR);
    if (fpmrSize > 0) {
      frame.putInt(FPMR_MAGIC).putInt(FPMR_SIZE).put(fpmr, 0, Long.BYTES);
    }
    if (guarded.isPresent()) {
      frame.putInt(GCS_MAGIC).putInt(GCS_SIZE);
      frame.putLong(guarded.get().capAt()).putLong(guarded.get().enabled()).putLong(0);
    }
    if (extra) {
      int data = frame.position() + EXTRA_SIZE + TERMINATOR;
      frame.putInt(EXTRA_MAGIC).putInt(EXTRA_SIZE);
      frame.putLong(address + data).putInt(vectorSize + TERMINATOR);
      frame.position(data);
    }
    if (vectorSize > 0) {
      int start = frame.position();
      frame.putInt(SVE_MAGIC).putInt(vectorSize);
      frame.putShort((short) vectorLength(vector));
      frame.putShort((short) (streaming ? SVE_SIG_FLAG_SM : 0));
      frame.position(start + VECTOR_HEADER);
      frame.put(vector, VECTOR_HEADER, registersEnd(vector) - VECTOR_HEADER);
      frame.position(start + vectorSize);
    }
    // A record of zeros ends the list.
    return frame.array();
  }

  private static int vectorLength(byte[] vector) {
    return Short.toUnsignedInt(ByteBuffer.wrap(vector).order(ByteOrder.LITTLE_ENDIAN).getShort(8));
  }

  /// End of Z0 to Z31, P0 to P15 and FFR; FPSR and FPCR behind them are in the other record.
  private static int registersEnd(byte[] vector) {
    int length = vectorLength(vector);
    return VECTOR_HEADER + 34 * length + length / 8;
  }

  private static int vectorSize(byte[] vector) {
    return (registersEnd(vector) + 15) & ~15;
  }
}
