package dev.jcr.parasite.remote;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;

import dev.jcr.parasite.linux.ThreadBuffer;
import dev.jcr.parasite.ptrace.Ptrace;
import dev.jcr.parasite.ptrace.Tracee;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;

/// The NT_X86_XSTATE regset: an uncompacted XSAVE image of the host's greatest size, whatever the
/// thread uses (Intel SDM vol. 1, 13.4; kernel: arch/x86/kernel/fpu/regset.c).
public final class Xstate {
  private static final int CAPACITY = 1 << 16;
  private static final int SW_RESERVED = 464;
  private static final int XSTATE_BV = 512;
  private static final int HEADER_END = 576;
  private static final int FP_XSTATE_MAGIC1 = 0x46505853;
  private static final int FP_XSTATE_MAGIC2 = 0x46505845;

  private static final ThreadBuffer BUFFER = new ThreadBuffer(CAPACITY);

  private Xstate() {}

  /// Reads the set; empty array where the machine has none.
  public static byte[] read(Tracee tracee) {
    MemorySegment buffer = BUFFER.get();
    long size = tracee.getRegset(Ptrace.NT_X86_XSTATE, buffer);
    return size <= 0 ? new byte[0] : buffer.asSlice(0, size).toArray(ValueLayout.JAVA_BYTE);
  }

  /// Writes the set; zero or a negated errno. The length must be the host's own.
  public static long write(Tracee tracee, byte[] image) {
    try (Arena arena = Arena.ofConfined()) {
      return tracee.setRegset(
          Ptrace.NT_X86_XSTATE, arena.allocateFrom(ValueLayout.JAVA_BYTE, image));
    }
  }

  /// The image as rt_sigreturn(2) wants it in a signal frame: with `struct _fpx_sw_bytes` at 464
  /// and the second magic number behind it (`<asm/sigcontext.h>`). Trailing components in their
  /// initial state are cut: the kernel refuses a frame larger than what the task may use, as for a
  /// task without AMX permission on a machine that has AMX.
  static byte[] signalFrame(byte[] image) {
    MemorySegment source = MemorySegment.ofArray(image);
    long features = source.get(JAVA_LONG_UNALIGNED, SW_RESERVED);
    int length = image.length;
    if ((features & ~0x3ffL) != 0 && (source.get(JAVA_LONG_UNALIGNED, XSTATE_BV) & ~0x3ffL) == 0) {
      // Features above PKRU (bit 9) are all initial; PKRU is the last of the rest.
      features &= 0x3ff;
      while (length > HEADER_END && image[length - 1] == 0) {
        length--;
      }
      length = Math.max(Math.min(image.length, 2696), length + 63 & ~63);
    }
    byte[] frame = Arrays.copyOf(Arrays.copyOf(image, length), length + 4);
    MemorySegment out = MemorySegment.ofArray(frame);
    out.set(JAVA_INT_UNALIGNED, SW_RESERVED, FP_XSTATE_MAGIC1);
    out.set(JAVA_INT_UNALIGNED, SW_RESERVED + 4, length + 4);
    out.set(JAVA_LONG_UNALIGNED, SW_RESERVED + 8, features);
    out.set(JAVA_INT_UNALIGNED, SW_RESERVED + 16, length);
    out.set(JAVA_INT_UNALIGNED, length, FP_XSTATE_MAGIC2);
    return frame;
  }
}
