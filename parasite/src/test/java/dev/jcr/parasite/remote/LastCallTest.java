package dev.jcr.parasite.remote;

import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.parasite.arch.Machine;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.ptrace.Ptrace;
import dev.jcr.parasite.ptrace.Tracee;
import dev.jcr.parasite.ptrace.TracerThread;
import dev.jcr.parasite.stub.StubProgram;
import org.junit.jupiter.api.Test;

/// What a call began with, on a stub: by PTRACE_SET_SYSCALL_INFO where this kernel has it, and
/// without it.
class LastCallTest {
  private static final long BASE = 48 << 20;
  private static final long ARGUMENT = 0x1234_5678_9abc_def0L;
  private static final int SIGKILL = 9;

  @FunctionalInterface
  private interface Body {
    long[] run(Tracee tracee, long[] registers, Machine machine) throws Exception;
  }

  private static long[] inStub(Body body) throws Exception {
    return TracerThread.run(() -> {
      int pid = StubProgram.start(BASE);
      try {
        Machine machine = Machine.of(Kernel.HOST);
        Tracee stub = Tracee.seize(pid, Ptrace.O_TRACESYSGOOD | Ptrace.O_EXITKILL).orElseThrow();
        stub.interrupt();
        stub.await();
        long[] registers =
            machine.syscall(
                stub.general(machine.words()),
                StubProgram.syscallAddress(BASE),
                Syscall.GETPID.number(machine.arch()));
        return body.run(stub, registers, machine);
      } finally {
        Kernel.raw(Syscall.KILL, pid, SIGKILL);
        Kernel.raw(Syscall.WAIT4, pid, 0, Ptrace.WALL, 0);
      }
    });
  }

  @Test
  void theKernelRemembersTheArgument() throws Exception {
    long[] call =
        inStub((tracee, registers, machine) -> {
          SyscallStep.runAsBegunWith(tracee, registers, ARGUMENT, machine);
          assertThat(machine.result(tracee.general(machine.words())))
              .describedAs("getpid(2)")
              .isEqualTo(tracee.tid());
          assertThat(tracee.call()).describedAs("in an exit stop").isEmpty();
          SyscallStep.toEventStop(tracee);
          return new long[] {tracee.tid()};
        });
    assertThat(call).hasSize(1);
  }

  @Test
  void whatIsSetIsShown() throws Exception {
    long[] call =
        inStub((tracee, registers, machine) -> {
          tracee.setGeneral(registers);
          tracee.resumeToSyscall(0);
          tracee.await();
          long[] begun = tracee.call();
          boolean there = tracee.trySetCall(begun[0], ARGUMENT, 0, 0, 0, 0, 0);
          System.out.println("PTRACE_SET_SYSCALL_INFO: " + (there ? "there" : "not there"));
          long[] set = tracee.call();
          assertThat(set[0]).isEqualTo(Syscall.GETPID.number(machine.arch()));
          assertThat(set[1]).isEqualTo(there ? ARGUMENT : begun[1]);
          return set;
        });
    assertThat(call).hasSize(7);
  }

  @Test
  void withoutTheRequestTheCallBeginsWithIt() throws Exception {
    long[] call =
        inStub((tracee, registers, machine) -> {
          tracee.setGeneral(machine.withArgument(registers, 0, ARGUMENT));
          tracee.resumeToSyscall(0);
          tracee.await();
          return tracee.call();
        });
    assertThat(call[1]).isEqualTo(ARGUMENT);
  }
}
