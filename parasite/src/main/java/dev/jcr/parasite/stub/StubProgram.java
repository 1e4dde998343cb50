package dev.jcr.parasite.stub;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Spawn;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/// A static ELF program that jcr writes itself: one page that waits for a tracer. It has no libc,
/// so nothing is registered with the kernel (rseq, robust list) that the restored process would
/// have to shed.
public final class StubProgram {
  /// Offset of the system call instruction in the page.
  private static final int CODE = 0x78;

  private static final int PAGE = 4096;
  private static final int MFD_CLOEXEC = 1;

  /// prctl(PR_SET_PDEATHSIG, SIGKILL), so that it does not outlive a killed jcr; then 1: mov eax,
  /// 34 (pause); syscall; jmp 1b
  private static final byte[] X86_64 = {
    (byte) 0xb8,
    (byte) 157,
    0,
    0,
    0, // mov eax, 157 (prctl)
    (byte) 0xbf,
    1,
    0,
    0,
    0, // mov edi, 1
    (byte) 0xbe,
    9,
    0,
    0,
    0, // mov esi, 9
    0x0f,
    0x05, // syscall
    (byte) 0xb8,
    34,
    0,
    0,
    0,
    0x0f,
    0x05,
    (byte) 0xeb,
    (byte) 0xf7
  };

  private static final int X86_64_SYSCALL = 22;

  private StubProgram() {}

  /// Address of the system call instruction in a stub based at `base`.
  public static long syscallAddress(long base) {
    return base + CODE + X86_64_SYSCALL;
  }

  /// The ELF file: header, one program header, code (elf(5)).
  static byte[] elf(long base) {
    ByteBuffer elf = ByteBuffer.allocate(CODE + X86_64.length).order(ByteOrder.LITTLE_ENDIAN);
    elf.put(new byte[] {0x7f, 'E', 'L', 'F', 2, 1, 1, 0}).putLong(0);
    elf.putShort((short) 2).putShort((short) 62).putInt(1); // ET_EXEC, EM_X86_64
    elf.putLong(base + CODE).putLong(64).putLong(0).putInt(0); // entry, phoff, shoff, flags
    elf.putShort((short) 64).putShort((short) 56).putShort((short) 1);
    elf.putShort((short) 0).putShort((short) 0).putShort((short) 0);
    elf.putInt(1).putInt(5); // PT_LOAD, PF_R | PF_X
    elf.putLong(0).putLong(base).putLong(base);
    elf.putLong(CODE + X86_64.length).putLong(CODE + X86_64.length).putLong(PAGE);
    elf.put(X86_64);
    return elf.array();
  }

  /// Starts the stub at `base`, a page address of at least mmap_min_addr. It runs until it is
  /// killed; the caller must reap it.
  public static int start(long base) throws SyscallException {
    byte[] elf = elf(base);
    try (Arena arena = Arena.ofConfined();
        Fd file =
            new Fd(
                (int)
                    Kernel.call(
                        "create the stub program",
                        Syscall.MEMFD_CREATE,
                        arena.allocateFrom("jcr-stub").address(),
                        MFD_CLOEXEC))) {
      file.writeFully(arena.allocateFrom(JAVA_BYTE, elf), 0);
      return Spawn.program("/proc/self/fd/" + file.number());
    }
  }
}
