package dev.jcr.parasite.linux;

import java.io.IOException;

/// A local system call failed. The message reads `cannot <what>: ERRNO (text)`.
public final class SyscallException extends IOException {
  private static final long serialVersionUID = 1L;

  private final Syscall syscall;
  private final int errno;

  /// `what` is verb and object: "open /proc/12/maps", "seize thread 12 of process 10".
  public SyscallException(String what, Syscall syscall, int errno) {
    super("cannot " + what + ": " + Errno.describe(errno));
    this.syscall = syscall;
    this.errno = errno;
  }

  public Syscall syscall() {
    return syscall;
  }

  public int errno() {
    return errno;
  }
}
