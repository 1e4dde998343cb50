package dev.jcr.parasite.linux;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.jcr.image.v1.Arch;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/// Identification registers of an aarch64 CPU, which a kernel with HWCAP_CPUID reads for programs
/// that try to (Documentation/arch/arm64/cpu-feature-registers.rst), less what they must not know.
public final class IdRegisters {
  /// CRm and op2 of `mrs x9, S3_0_C0_CRm_op2`, in the order of the image.
  private static final int[][] REGISTERS = {
    {0, 0}, {4, 0}, {4, 1}, {4, 4}, {4, 5}, {6, 0}, {6, 1}, {6, 2}, {7, 0}, {7, 1}, {7, 2}
  };

  private static final int MRS_X9 = 0xd5380009;
  private static final int STORE_X9 = 0xf9000009;
  private static final int RET = 0xd65f03c0;
  private static final int MFD_CLOEXEC = 1;
  private static final int CODE_BYTES = 4096;

  private IdRegisters() {}

  /// void read(long out[]): for each register mrs x9, ..; str x9, [x0, offset].
  static int[] code() {
    int[] code = new int[2 * REGISTERS.length + 1];
    for (int i = 0; i < REGISTERS.length; i++) {
      code[2 * i] = MRS_X9 | REGISTERS[i][0] << 8 | REGISTERS[i][1] << 5;
      code[2 * i + 1] = STORE_X9 | i << 10;
    }
    code[code.length - 1] = RET;
    return code;
  }

  /// Their values. Throws IllegalStateException on another architecture; where the kernel does not
  /// read them for programs this must not be called: it would be the end of the JVM.
  public static List<Long> read() throws SyscallException {
    if (Kernel.HOST != Arch.ARCH_AARCH64) {
      throw new IllegalStateException("no ID registers on " + Kernel.HOST);
    }
    try (Arena arena = Arena.ofConfined();
        Fd file =
            new Fd(
                (int)
                    Kernel.call(
                        "make a file in memory",
                        Syscall.MEMFD_CREATE,
                        arena.allocateFrom("jcr id registers").address(),
                        MFD_CLOEXEC))) {
      file.writeFully(arena.allocateFrom(JAVA_INT, code()), 0);
      // 1 | 4: PROT_READ, PROT_EXEC; 2: MAP_PRIVATE
      long page = Kernel.call("map code", Syscall.MMAP, 0, CODE_BYTES, 1 | 4, 2, file.number(), 0);
      MemorySegment out = arena.allocate(JAVA_LONG, REGISTERS.length);
      Kernel.function(MemorySegment.ofAddress(page), out.address());
      Kernel.raw(Syscall.MUNMAP, page, CODE_BYTES);
      List<Long> values = new ArrayList<>();
      for (int i = 0; i < REGISTERS.length; i++) {
        values.add(out.getAtIndex(JAVA_LONG, i));
      }
      return values;
    }
  }
}
