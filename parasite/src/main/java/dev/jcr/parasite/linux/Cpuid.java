package dev.jcr.parasite.linux;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// The x86 CPUID instruction, which Java has no word for: a few bytes of machine code in a page of
/// its own. Throws IllegalStateException on another architecture.
public final class Cpuid implements AutoCloseable {
  private static final int PAGE = 4096;

  /// void cpuid(int leaf, int subleaf, int out[4])
  private static final byte[] CODE = {
    0x53, // push rbx
    (byte) 0x89,
    (byte) 0xf8, // mov eax, edi
    (byte) 0x89,
    (byte) 0xf1, // mov ecx, esi
    0x49,
    (byte) 0x89,
    (byte) 0xd0, // mov r8, rdx
    0x0f,
    (byte) 0xa2, // cpuid
    0x41,
    (byte) 0x89,
    0x00, // mov [r8], eax
    0x41,
    (byte) 0x89,
    0x58,
    0x04, // mov [r8+4], ebx
    0x41,
    (byte) 0x89,
    0x48,
    0x08, // mov [r8+8], ecx
    0x41,
    (byte) 0x89,
    0x50,
    0x0c, // mov [r8+12], edx
    0x5b, // pop rbx
    (byte) 0xc3 // ret
  };

  private final long page;

  private Cpuid(long page) {
    this.page = page;
  }

  @SuppressWarnings("restricted")
  public static Cpuid open() throws SyscallException {
    if (Kernel.HOST != dev.jcr.image.v1.Arch.ARCH_X86_64) {
      throw new IllegalStateException("no CPUID on " + Kernel.HOST);
    }
    long page = Kernel.call("map a page for CPUID", Syscall.MMAP, 0, PAGE, 1 | 2, 0x22, -1, 0);
    MemorySegment memory = MemorySegment.ofAddress(page).reinterpret(PAGE);
    MemorySegment.copy(CODE, 0, memory, JAVA_BYTE, 0, CODE.length);
    Kernel.call("make the CPUID page executable", Syscall.MPROTECT, page, PAGE, 1 | 4);
    return new Cpuid(page);
  }

  /// eax, ebx, ecx, edx.
  public int[] query(int leaf, int subleaf) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(JAVA_INT, 4);
      Kernel.function(MemorySegment.ofAddress(page), leaf, subleaf, out.address());
      return out.toArray(JAVA_INT);
    }
  }

  @Override
  public void close() {
    Kernel.raw(Syscall.MUNMAP, page, PAGE);
  }
}
