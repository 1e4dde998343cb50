package dev.jcr.parasite.remote;

import static dev.jcr.parasite.arch.X8664Words.*;
import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;

import java.lang.foreign.MemorySegment;

/// An x86_64 `struct rt_sigframe` (arch/x86/include/asm/sigframe.h) that puts a thread back to
/// given registers when it runs rt_sigreturn(2).
final class SignalFrame {
  /// Bytes before the floating-point state: return address and `struct ucontext`.
  static final int CONTEXT_SIZE = 8 + 304;

  private static final int UCONTEXT = 8;
  private static final int MCONTEXT = UCONTEXT + 40;
  private static final int SIGMASK = MCONTEXT + 256;

  /// Order of `struct sigcontext_64`.
  private static final int[] ORDER = {
    R8, R9, R10, R11, R12, R13, R14, R15, RDI, RSI, RBP, RBX, RDX, RAX, RCX, RSP, RIP, EFLAGS
  };

  private SignalFrame() {}

  /// Bytes to be put at `address`, which is 64-byte aligned; the stack pointer points at it when
  /// the trampoline's `ret` is reached.
  static byte[] build(
      long address, long returnTo, long[] registers, long signalMask, byte[] xstate) {
    byte[] floating = xstate.length == 0 ? xstate : Xstate.signalFrame(xstate);
    int floatingAt = CONTEXT_SIZE + 63 & ~63;
    byte[] frame = new byte[floatingAt + floating.length];
    MemorySegment out = MemorySegment.ofArray(frame);
    out.set(JAVA_LONG_UNALIGNED, 0, returnTo);
    // UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS
    out.set(JAVA_LONG_UNALIGNED, UCONTEXT, 7);
    // An alternate stack that the kernel refuses without failing: the real one stays.
    out.set(JAVA_INT_UNALIGNED, UCONTEXT + 24, 0xff);
    for (int i = 0; i < ORDER.length; i++) {
      out.set(JAVA_LONG_UNALIGNED, MCONTEXT + 8L * i, registers[ORDER[i]]);
    }
    int selectors = MCONTEXT + 8 * ORDER.length;
    out.set(JAVA_SHORT_UNALIGNED, selectors, (short) registers[CS]);
    out.set(JAVA_SHORT_UNALIGNED, selectors + 2, (short) registers[GS]);
    out.set(JAVA_SHORT_UNALIGNED, selectors + 4, (short) registers[FS]);
    out.set(JAVA_SHORT_UNALIGNED, selectors + 6, (short) registers[SS]);
    if (floating.length > 0) {
      // After err, trapno, oldmask and cr2.
      out.set(JAVA_LONG_UNALIGNED, selectors + 40, address + floatingAt);
      System.arraycopy(floating, 0, frame, floatingAt, floating.length);
    }
    out.set(JAVA_LONG_UNALIGNED, SIGMASK, signalMask);
    return frame;
  }
}
