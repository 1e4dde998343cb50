package dev.jcr.dump.threads;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.registers.Xsave;
import dev.jcr.image.v1.Registers;
import dev.jcr.image.v1.X8664Registers;
import dev.jcr.parasite.ptrace.Tracee;
import dev.jcr.parasite.remote.ArmState;
import dev.jcr.parasite.remote.Xstate;

/// Complete registers of a stopped thread.
public final class RegisterCollector {
  /// offsetof(struct user, u_debugreg), `<sys/user.h>`.
  private static final int DEBUG_REGISTERS = 848;

  private RegisterCollector() {}

  /// Reads what the kernel shows of an aarch64 thread in an event stop.
  ///
  /// @param general the words to store (already rewound for a restart)
  public static Registers aarch64(Tracee tracee, long[] general) throws CheckpointException {
    return Registers.newBuilder().setAarch64(ArmState.of(tracee).collect(general)).build();
  }

  /// Reads what the kernel shows of an x86_64 thread in an event stop.
  ///
  /// @param general the words to store (already rewound for a restart)
  /// @param layout CPUID leaf 0xD of this host: where each component lies
  public static Registers x8664(Tracee tracee, long[] general, Xsave.Layout layout)
      throws CheckpointException {
    X8664Registers.Builder registers = X8664Registers.newBuilder();
    for (long word : general) {
      registers.addGeneral(word);
    }
    byte[] area = Xstate.read(tracee);
    if (area.length > 0) {
      Xsave.parse(area, layout, registers);
    }
    debugRegisters(tracee, registers);
    return Registers.newBuilder().setX8664(registers).build();
  }

  private static void debugRegisters(Tracee tracee, X8664Registers.Builder registers)
      throws CheckpointException {
    if (tracee.peekUser(DEBUG_REGISTERS + 7 * 8) == 0) {
      return;
    }
    for (int i : new int[] {0, 1, 2, 3, 6, 7}) {
      registers.addDebug(tracee.peekUser(DEBUG_REGISTERS + 8L * i));
    }
  }
}
