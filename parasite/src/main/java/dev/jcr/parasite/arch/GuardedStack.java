package dev.jcr.parasite.arch;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Optional;

/// The guarded control stack (GCS) of an aarch64 thread that has it on: every `ret` must find its
/// target there (Documentation/arch/arm64/gcs.rst).
///
/// rt_sigreturn(2) takes a frame only if a *signal cap* lies where the frame's record of the stack
/// points, invalidates it, and leaves the pointer behind it. Delivering a signal writes that cap
/// and the address of the trampoline below the pointer; what lies there is otherwise nobody's.
///
/// @param enabled `PR_SHADOW_STACK_*` bits
/// @param locked those of them that the thread may not change any more
/// @param pointer GCSPR_EL0: the address of the newest entry; the stack grows down
public record GuardedStack(long enabled, long locked, long pointer) {
  /// NT_ARM_GCS, `struct user_gcs`.
  public static final int REGSET_SIZE = 24;

  private static final int PR_SHADOW_STACK_ENABLE = 1;

  /// GCS_CAP_ADDR_MASK: a cap names the page that it lies in.
  private static final long CAP_MASK = -4096;

  /// Of the contents of NT_ARM_GCS; empty where the stack is off.
  public static Optional<GuardedStack> of(byte[] regset) {
    if (regset.length < REGSET_SIZE) {
      return Optional.empty();
    }
    ByteBuffer words = ByteBuffer.wrap(regset).order(ByteOrder.LITTLE_ENDIAN);
    GuardedStack stack = new GuardedStack(words.getLong(), words.getLong(), words.getLong());
    return (stack.enabled & PR_SHADOW_STACK_ENABLE) == 0 ? Optional.empty() : Optional.of(stack);
  }

  /// Where a signal's cap would lie.
  public long capAt() {
    return pointer - Long.BYTES;
  }

  /// Where the entry for the trampoline would lie, below the cap.
  public long trampolineAt() {
    return capAt() - Long.BYTES;
  }

  /// The stack as a signal handler finds it: its `ret` leads to the trampoline.
  public GuardedStack withTrampoline() {
    return new GuardedStack(enabled, locked, trampolineAt());
  }

  /// What delivering a signal writes to [#trampolineAt].
  public byte[] signalEntry(long trampoline) {
    return words(trampoline, capAt() & CAP_MASK);
  }

  /// Contents of NT_ARM_GCS.
  public byte[] regset() {
    return words(enabled, locked, pointer);
  }

  private static byte[] words(long... words) {
    ByteBuffer bytes =
        ByteBuffer.allocate(words.length * Long.BYTES).order(ByteOrder.LITTLE_ENDIAN);
    for (long word : words) {
      bytes.putLong(word);
    }
    return bytes.array();
  }
}
