package dev.jcr.parasite.host;

import dev.jcr.image.CheckpointException;
import dev.jcr.parasite.arch.Machine;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Prctl;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.ptrace.Ptrace;
import dev.jcr.parasite.ptrace.Tracee;
import dev.jcr.parasite.ptrace.TracerThread;
import dev.jcr.parasite.remote.OwnedProcess;
import dev.jcr.parasite.remote.ProcessMemory;
import dev.jcr.parasite.stub.StubProgram;
import java.util.ArrayList;
import java.util.List;

/// Vector lengths that a CPU and kernel offer. Only setting one tells (prctl(2), PR_SVE_SET_VL),
/// and a change of its own would break the JVM's compiled code, so a throw-away process is asked.
///
/// @param sve bytes, ascending; empty without SVE
/// @param sme the same of streaming mode
record VectorLengths(List<Integer> sve, List<Integer> sme) {
  private static final long STUB_BASE = 16 << 20;
  private static final int SIGKILL = 9;

  /// Multiples of 128 bits, to the architecture's 2048.
  private static final int STEP = 16;

  private static final int MOST = 256;

  /// Asks. Both are empty when that fails: a restore finds out by writing registers.
  static VectorLengths probe() {
    try {
      return TracerThread.run(VectorLengths::ask);
    } catch (CheckpointException _) {
      return new VectorLengths(List.of(), List.of());
    }
  }

  private static VectorLengths ask() throws CheckpointException {
    int pid;
    try {
      pid = StubProgram.start(STUB_BASE);
    } catch (SyscallException _) {
      return new VectorLengths(List.of(), List.of());
    }
    try (ProcessMemory memory = ProcessMemory.open(pid)) {
      Machine machine = Machine.of(Kernel.HOST);
      Tracee stub = Tracee.seize(pid, Ptrace.O_TRACESYSGOOD | Ptrace.O_EXITKILL).orElse(null);
      if (stub == null || !stub.interrupt() || stub.await().ended()) {
        return new VectorLengths(List.of(), List.of());
      }
      OwnedProcess inside =
          new OwnedProcess(
              machine,
              stub,
              memory,
              stub.general(machine.words()),
              StubProgram.syscallAddress(STUB_BASE));
      return new VectorLengths(
          offered(inside, Prctl.SVE_SET_VL), offered(inside, Prctl.SME_SET_VL));
    } finally {
      Kernel.raw(Syscall.KILL, pid, SIGKILL);
      Kernel.raw(Syscall.WAIT4, pid, 0, Ptrace.WALL, 0);
    }
  }

  /// The kernel answers with the greatest length that is not greater.
  private static List<Integer> offered(OwnedProcess inside, int option) throws CheckpointException {
    List<Integer> lengths = new ArrayList<>();
    for (int length = STEP; length <= MOST; length += STEP) {
      long result = inside.call(Syscall.PRCTL, option, length);
      if (Kernel.isError(result)) {
        return lengths;
      }
      if ((result & 0xffff) == length) {
        lengths.add(length);
      }
    }
    return lengths;
  }
}
