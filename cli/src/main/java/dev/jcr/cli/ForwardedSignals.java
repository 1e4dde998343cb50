package dev.jcr.cli;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.SignalPipe;
import dev.jcr.parasite.linux.SignalPipe.Received;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.restore.RestoredProcess;

/// While open, signals to jcr go on to the restored process, as if it were itself the shell's job.
final class ForwardedSignals implements AutoCloseable {
  // Numbers of <asm-generic/signal.h>, the same on both architectures.
  private static final int SIGHUP = 1;
  private static final int SIGINT = 2;
  private static final int SIGQUIT = 3;
  private static final int SIGUSR1 = 10;
  private static final int SIGUSR2 = 12;
  private static final int SIGTERM = 15;
  private static final int SIGCONT = 18;
  private static final int SIGSTOP = 19;
  private static final int SIGTSTP = 20;
  private static final int SIGWINCH = 28;

  private final SignalPipe pipe;
  private final RestoredProcess process;
  private final Thread thread;

  private ForwardedSignals(SignalPipe pipe, RestoredProcess process) {
    this.pipe = pipe;
    this.process = process;
    this.thread = Thread.ofPlatform().daemon().name("signals").unstarted(this::forward);
  }

  static ForwardedSignals to(RestoredProcess process) throws CheckpointException {
    SignalPipe pipe;
    try {
      pipe =
          new SignalPipe(
              SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGTERM, SIGCONT, SIGTSTP, SIGWINCH);
    } catch (SyscallException e) {
      throw new CheckpointException(
          Outcome.FAILED,
          e.getMessage() + "; process " + process.pid() + " runs, but gets no signals from jcr",
          e);
    }
    ForwardedSignals signals = new ForwardedSignals(pipe, process);
    signals.thread.start();
    return signals;
  }

  private void forward() {
    try {
      while (true) {
        Received received = pipe.take();
        if (received.number() == 0) {
          return;
        }
        // A key pressed on the terminal went to its whole foreground group already.
        if (!(received.fromTerminal() && inOurGroup())) {
          process.signal(received.number());
        }
        if (received.number() == SIGTSTP) {
          // The shell wants its terminal back.
          Kernel.raw(Syscall.KILL, ProcessHandle.current().pid(), SIGSTOP);
        }
      }
    } catch (SyscallException | CheckpointException e) {
      // It ended meanwhile; waitFor() reports how.
      return;
    }
  }

  private boolean inOurGroup() {
    return Kernel.raw(Syscall.GETPGID, process.pid()) == Kernel.raw(Syscall.GETPGID, 0);
  }

  @Override
  public void close() {
    pipe.wake();
    try {
      thread.join();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    pipe.close();
  }
}
