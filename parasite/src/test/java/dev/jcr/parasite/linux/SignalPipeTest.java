package dev.jcr.parasite.linux;

import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.parasite.linux.SignalPipe.Received;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

final class SignalPipeTest {
  private static final int SIGHUP = 1;
  private static final int SIGINT = 2;
  private static final int SIGQUIT = 3;
  private static final int SIGUSR1 = 10;
  private static final int SIGUSR2 = 12;
  private static final int SIGTERM = 15;
  private static final int SIGCONT = 18;
  private static final int SIGTSTP = 20;
  private static final int SIGWINCH = 28;

  @Test
  @Timeout(20)
  void catchesWhatTheVirtualMachineKeepsForItselfToo() throws SyscallException {
    int[] signals = {
      SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGTERM, SIGCONT, SIGTSTP, SIGWINCH
    };
    long pid = ProcessHandle.current().pid();
    try (SignalPipe pipe = new SignalPipe(signals)) {
      for (int round = 0; round < 50; round++) {
        for (int signal : signals) {
          Kernel.call("send signal " + signal, Syscall.KILL, pid, signal);
          assertThat(pipe.take()).isEqualTo(new Received(signal, false));
        }
      }
    }
    // Closed and opened again.
    try (SignalPipe pipe = new SignalPipe(SIGUSR1)) {
      Kernel.call("send a signal", Syscall.KILL, pid, SIGUSR1);
      assertThat(pipe.take()).isEqualTo(new Received(SIGUSR1, false));
      pipe.wake();
      assertThat(pipe.take().number()).isZero();
    }
  }
}
