package dev.jcr.parasite.host;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.registers.ArmRegset;
import dev.jcr.parasite.arch.Machine;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Prctl;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.ptrace.Ptrace;
import dev.jcr.parasite.ptrace.Tracee;
import dev.jcr.parasite.ptrace.TracerThread;
import dev.jcr.parasite.remote.ArmState;
import dev.jcr.parasite.remote.OwnedProcess;
import dev.jcr.parasite.remote.ProcessMemory;
import dev.jcr.parasite.stub.StubProgram;
import java.util.ArrayList;
import java.util.List;

/// What of an arm64 CPU and kernel only a process can tell. Vector lengths are found by setting
/// them (prctl(2), PR_SVE_SET_VL), and a change of its own would break the JVM's compiled code; the
/// bits of a pointer that hold a signature are told to tracers. So a throw-away process is asked.
///
/// @param sve bytes, ascending; empty without SVE
/// @param sme the same of streaming mode
/// @param dataMask NT_ARM_PAC_MASK for data; 0 without pointer authentication
/// @param codeMask the same for code
record ArmProbe(List<Integer> sve, List<Integer> sme, long dataMask, long codeMask) {
  private static final ArmProbe UNKNOWN = new ArmProbe(List.of(), List.of(), 0, 0);

  private static final long STUB_BASE = 16 << 20;
  private static final int SIGKILL = 9;

  /// Multiples of 128 bits, to the architecture's 2048.
  private static final int STEP = 16;

  private static final int MOST = 256;

  /// Asks. All are empty when that fails: a restore finds out by writing registers.
  static ArmProbe probe() {
    try {
      return TracerThread.run(ArmProbe::ask);
    } catch (CheckpointException _) {
      return UNKNOWN;
    }
  }

  private static ArmProbe ask() throws CheckpointException {
    int pid;
    try {
      pid = StubProgram.start(STUB_BASE);
    } catch (SyscallException _) {
      return UNKNOWN;
    }
    try (ProcessMemory memory = ProcessMemory.open(pid)) {
      Machine machine = Machine.of(Kernel.HOST);
      Tracee stub = Tracee.seize(pid, Ptrace.O_TRACESYSGOOD | Ptrace.O_EXITKILL).orElse(null);
      if (stub == null || !stub.interrupt() || stub.await().ended()) {
        return UNKNOWN;
      }
      byte[] masks = ArmState.of(stub).read(ArmRegset.PAC_MASK);
      OwnedProcess inside =
          new OwnedProcess(
              machine,
              stub,
              memory,
              stub.general(machine.words()),
              StubProgram.syscallAddress(STUB_BASE));
      return new ArmProbe(
          offered(inside, Prctl.SVE_SET_VL),
          offered(inside, Prctl.SME_SET_VL),
          ArmRegset.word(masks, 0),
          ArmRegset.word(masks, 1));
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
