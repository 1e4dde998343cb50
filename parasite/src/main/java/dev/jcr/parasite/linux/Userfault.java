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

  /// O_NONBLOCK: without it poll(2) says POLLERR for ever.
  public static final int NONBLOCK = 0x800;

  /// `struct uffd_msg`: a byte that says what happened, arguments from offset 8 on.
  public static final int MESSAGE = 32;

  public static final int EVENT_FAULT = 0x12;
  public static final int EVENT_FORK = 0x13;
  public static final int EVENT_REMAP = 0x14;
  public static final int EVENT_REMOVE = 0x15;
  public static final int EVENT_UNMAP = 0x16;

  private static final long API = 0xC018AA3FL;
  private static final long REGISTER = 0xC020AA00L;
  private static final long WAKE = 0x8010AA02L;
  private static final long COPY = 0xC028AA03L;
  private static final long ZEROPAGE = 0xC020AA04L;
  private static final long WRITEPROTECT = 0xC018AA06L;
  private static final long VERSION = 0xAA;

  /// UFFD_FEATURE_WP_ASYNC (Linux 6.7): a write to a protected page only lifts the protection.
  private static final long WP_ASYNC = 1 << 15;

  /// UFFD_FEATURE_EVENT_FORK, _REMAP, _REMOVE, _UNMAP.
  private static final long EVENTS = 2 | 4 | 8 | 0x40;

  private static final long MODE_MISSING = 1;
  private static final long MODE_WP = 2;

  /// No mapping is below (vm.mmap_min_addr).
  private static final long LOWEST = 1 << 16;

  private static final long LARGEST_PAGE = 1 << 16;

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
    handshake("track the writes of a process", WP_ASYNC);
  }

  /// The handshake for giving pages as they are first touched, and being told before memory is
  /// discarded, unmapped, moved or copied by fork(2); once per descriptor. Needs CAP_SYS_PTRACE.
  public void servePages() throws SyscallException {
    handshake("serve the pages of a process", EVENTS);
  }

  private void handshake(String what, long features) throws SyscallException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment api = arena.allocate(24, 8);
      api.set(JAVA_LONG, 0, VERSION);
      api.set(JAVA_LONG, 8, features);
      Kernel.call(what, Syscall.IOCTL, fd.number(), API, api.address());
    }
  }

  /// Registers a range for write protection: 0, or a negated errno. EBUSY: another userfaultfd has
  /// it; EINVAL: memory of a kind that cannot be tracked; ESRCH: the address space is gone.
  public long register(long start, long end) {
    return register(start, end, MODE_WP);
  }

  /// Registers a range whose missing pages will be given: 0, or a negated errno as for [#register].
  public long registerMissing(long start, long end) {
    return register(start, end, MODE_MISSING);
  }

  private long register(long start, long end, long mode) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment register = arena.allocate(32, 8);
      register.set(JAVA_LONG, 0, start);
      register.set(JAVA_LONG, 8, end - start);
      register.set(JAVA_LONG, 16, mode);
      return Kernel.raw(Syscall.IOCTL, fd.number(), REGISTER, register.address());
    }
  }

  /// Lifts the write protection of the pages of a range that [#register] registered: 0, or a
  /// negated errno as for it; ENOENT: part of the range is not registered.
  public long unprotect(long start, long end) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment protect = arena.allocate(24, 8);
      protect.set(JAVA_LONG, 0, start);
      protect.set(JAVA_LONG, 8, end - start);
      return Kernel.raw(Syscall.IOCTL, fd.number(), WRITEPROTECT, protect.address());
    }
  }

  /// Gives missing pages their contents and wakes who waits for them: the bytes given, or a negated
  /// errno. EEXIST: the first page is there; EAGAIN: an event has to be read first; ENOENT: not
  /// registered; ESRCH: the address space is gone.
  ///
  /// @param from address of whole pages in jcr
  public long copy(long to, long from, long length) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment copy = arena.allocate(40, 8);
      copy.set(JAVA_LONG, 0, to);
      copy.set(JAVA_LONG, 8, from);
      copy.set(JAVA_LONG, 16, length);
      return given(Kernel.raw(Syscall.IOCTL, fd.number(), COPY, copy.address()), copy, 32, length);
    }
  }

  /// The same with pages of zeros.
  public long zero(long to, long length) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment zero = arena.allocate(32, 8);
      zero.set(JAVA_LONG, 0, to);
      zero.set(JAVA_LONG, 8, length);
      return given(
          Kernel.raw(Syscall.IOCTL, fd.number(), ZEROPAGE, zero.address()), zero, 24, length);
    }
  }

  /// Part of the pages may have been given when the call fails with EAGAIN.
  private static long given(long result, MemorySegment argument, long at, long length) {
    if (result == 0) {
      return length;
    }
    long part = argument.get(JAVA_LONG, at);
    return result == -Errno.EAGAIN && part > 0 ? part : result;
  }

  /// Wakes whoever waits for these pages.
  public void wake(long start, long length) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment range = arena.allocate(16, 8);
      range.set(JAVA_LONG, 0, start);
      range.set(JAVA_LONG, 8, length);
      Kernel.raw(Syscall.IOCTL, fd.number(), WAKE, range.address());
    }
  }

  /// Wakes whoever waits for a page anywhere; what is still missing is asked for again.
  public void wakeAll() {
    // The end of an address space depends on the machine: a longer range is refused.
    for (int bits = 52; bits >= 47; bits--) {
      try (Arena arena = Arena.ofConfined()) {
        MemorySegment range = arena.allocate(16, 8);
        range.set(JAVA_LONG, 0, LOWEST);
        range.set(JAVA_LONG, 8, (1L << bits) - LARGEST_PAGE - LOWEST);
        if (Kernel.raw(Syscall.IOCTL, fd.number(), WAKE, range.address()) == 0) {
          return;
        }
      }
    }
  }

  @Override
  public void close() {
    fd.close();
  }
}
