package dev.jcr.parasite.stub;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import dev.jcr.image.v1.Arch;
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
  private static final int CODE = ElfHeader.SIZE;

  /// The largest page of any architecture.
  private static final int ALIGNMENT = 1 << 16;

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

  /// The same with ppoll(NULL, 0, NULL, NULL, 0), there being no pause(2): all arguments again
  /// before each call, since the result is where the first argument was.
  private static final int[] AARCH64 = {
    0xd2800000 | 167 << 5 | 8, // mov x8, 167 (prctl)
    0xd2800000 | 1 << 5, // mov x0, 1
    0xd2800000 | 9 << 5 | 1, // mov x1, 9
    0xd4000001, // svc 0
    0xd2800000, // 1: mov x0, 0
    0xd2800001, // mov x1, 0
    0xd2800002, // mov x2, 0
    0xd2800003, // mov x3, 0
    0xd2800004, // mov x4, 0
    0xd2800000 | 73 << 5 | 8, // mov x8, 73 (ppoll)
    0xd4000001, // svc 0
    0x14000000 | (-7 & 0x3ffffff) // b 1b
  };

  private static final int AARCH64_SYSCALL = 40;

  private StubProgram() {}

  /// Address of the system call instruction in a stub based at `base`.
  public static long syscallAddress(long base) {
    return syscallAddress(Kernel.HOST, base);
  }

  static long syscallAddress(Arch arch, long base) {
    return base + CODE + (arch == Arch.ARCH_AARCH64 ? AARCH64_SYSCALL : X86_64_SYSCALL);
  }

  private static byte[] code(Arch arch) {
    if (arch != Arch.ARCH_AARCH64) {
      return X86_64;
    }
    ByteBuffer code =
        ByteBuffer.allocate(AARCH64.length * Integer.BYTES).order(ByteOrder.LITTLE_ENDIAN);
    for (int instruction : AARCH64) {
      code.putInt(instruction);
    }
    return code.array();
  }

  /// The ELF file: header, one program header, code (elf(5)).
  static byte[] elf(Arch arch, long base) {
    byte[] code = code(arch);
    ByteBuffer elf = ByteBuffer.allocate(CODE + code.length).order(ByteOrder.LITTLE_ENDIAN);
    ElfHeader.put(elf, arch, base, CODE, ElfHeader.READ_EXECUTE, ALIGNMENT);
    elf.put(code);
    return elf.array();
  }

  /// Starts the stub at `base`, a multiple of 64 KiB. It runs until it is killed; the caller must
  /// reap it.
  public static int start(long base) throws SyscallException {
    byte[] elf = elf(Kernel.HOST, base);
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
