package dev.jcr.parasite.ptrace;

/// Where the system calls of a thread go to a handler of its own (`PR_SET_SYSCALL_USER_DISPATCH`):
/// all but those from a range of instructions, while a byte in memory does not let them pass.
///
/// @param selector address of that byte; 0: no call from outside the range passes
/// @param offset where the range begins
/// @param length of the range in bytes; with one that wraps around, the range is what is dispatched
///   (PR_SYS_DISPATCH_INCLUSIVE_ON, which the kernel keeps as its complement)
public record UserDispatch(long selector, long offset, long length) {
  /// SYSCALL_DISPATCH_FILTER_ALLOW, `<linux/prctl.h>`: the value of the selector with which every
  /// call passes.
  public static final byte ALLOW = 0;

  private static final long EXCLUSIVE_ON = 1;
  private static final long INCLUSIVE_ON = 2;

  /// `struct ptrace_sud_config`.
  long[] config() {
    boolean wraps = length != 0 && Long.compareUnsigned(offset + length, offset) <= 0;
    return wraps
        ? new long[] {INCLUSIVE_ON, selector, offset + length, -length}
        : new long[] {EXCLUSIVE_ON, selector, offset, length};
  }

  /// The same, with the calls of another range let pass.
  public UserDispatch withRange(long begin, long bytes) {
    return new UserDispatch(selector, begin, bytes);
  }
}
