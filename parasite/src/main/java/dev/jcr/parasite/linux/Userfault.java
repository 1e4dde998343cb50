package dev.jcr.parasite.linux;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// A userfaultfd(2) of another process's address space (`<linux/userfaultfd.h>`), held by jcr. It
/// was made inside that process, to whose memory it belongs; the process itself needs no descriptor
/// of it.
public final class Userfault implements AutoCloseable {
  /// UFFD_USER_MODE_ONLY: needs no privilege, and dirty tracking sees the kernel's writes as well.
  public static final int USER_MODE_ONLY = 1;

  private static final long API = 0xC018AA3FL;
  private static final long REGISTER = 0xC020AA00L;
  private static final long VERSION = 0xAA;

  /// UFFD_FEATURE_WP_ASYNC (Linux 6.7): a write to a protected page only lifts the protection.
  private static final long WP_ASYNC = 1 << 15;

  private static final long MODE_WP = 2;

  private final Fd fd;

  /// Takes the descriptor over.
  public Userfault(Fd fd) {
    this.fd = fd;
  }

  public Fd fd() {
    return fd;
  }

  /// The handshake for tracking writes without anybody waiting for them; once per descriptor.
  public void trackWrites() throws SyscallException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment api = arena.allocate(24, 8);
      api.set(JAVA_LONG, 0, VERSION);
      api.set(JAVA_LONG, 8, WP_ASYNC);
      Kernel.call("track the writes of a process", Syscall.IOCTL, fd.number(), API, api.address());
    }
  }

  /// Registers a range for write protection: 0, or a negated errno. EBUSY: another userfaultfd has
  /// it; EINVAL: memory of a kind that cannot be tracked; ESRCH: the address space is gone.
  public long register(long start, long end) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment register = arena.allocate(32, 8);
      register.set(JAVA_LONG, 0, start);
      register.set(JAVA_LONG, 8, end - start);
      register.set(JAVA_LONG, 16, MODE_WP);
      return Kernel.raw(Syscall.IOCTL, fd.number(), REGISTER, register.address());
    }
  }

  @Override
  public void close() {
    fd.close();
  }
}
