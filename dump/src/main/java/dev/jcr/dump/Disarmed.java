package dev.jcr.dump;

import dev.jcr.image.CheckpointException;
import dev.jcr.parasite.arch.Machine;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.ptrace.Freeze;
import dev.jcr.parasite.ptrace.StoppedThread;

/// A process that lives elsewhere and is here only for its pages. Whoever lets it go, a SIGCONT
/// included, it executes no instruction: the program counter of each thread is where no process can
/// have memory, and SIGSEGV is blocked, for which the kernel then ends the process whatever handler
/// it has (kernel/signal.c, force_sig_info_to_task).
final class Disarmed {
  /// In the kernel's half of the address space on every architecture.
  private static final long NOWHERE = -4096;

  private static final long ALL_BLOCKED = -1;

  private Disarmed() {}

  /// There is no way back.
  static void threadsOf(Freeze freeze) throws CheckpointException {
    Machine machine = Machine.of(Kernel.HOST);
    int harmless = Syscall.GETPID.number(Kernel.HOST);
    for (StoppedThread thread : freeze.threads()) {
      thread.tracee().setSignalMask(ALL_BLOCKED);
      // Also not in a call any more that the kernel would make again.
      thread.tracee().setGeneral(machine.syscall(thread.registers(), NOWHERE, harmless));
    }
  }
}
