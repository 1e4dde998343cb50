package dev.jcr.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.image.CheckpointException;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.restore.CpuVerdict;
import dev.jcr.restore.RestoredProcess;
import dev.jcr.restore.lazy.LazyServer;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

final class ForwardedSignalsTest {
  private static final int SIGQUIT = 3;
  private static final int SIGUSR2 = 12;
  private static final int SIGTERM = 15;

  /// Remembers what it was sent.
  private record Listener(BlockingQueue<Integer> signals) implements RestoredProcess {
    @Override
    public int pid() {
      return 1;
    }

    @Override
    public int ownPid() {
      return 1;
    }

    @Override
    public List<Timing> timings() {
      return List.of();
    }

    @Override
    public List<String> notes() {
      return List.of();
    }

    @Override
    public CpuVerdict cpu() {
      return new CpuVerdict(Set.of(), true);
    }

    @Override
    public long untilItRan() {
      return 1;
    }

    @Override
    public Optional<LazyServer> lazy() {
      return Optional.empty();
    }

    @Override
    public int waitFor() {
      return 0;
    }

    @Override
    public void signal(int number) {
      signals.add(number);
    }
  }

  @Test
  @Timeout(20)
  void signalsToJcrReachTheProcess() throws CheckpointException, InterruptedException {
    Listener process = new Listener(new LinkedBlockingQueue<>());
    try (ForwardedSignals _ = ForwardedSignals.to(process)) {
      for (int signal : new int[] {SIGTERM, SIGQUIT, SIGUSR2}) {
        Kernel.raw(Syscall.KILL, ProcessHandle.current().pid(), signal);
        assertThat(process.signals.poll(10, TimeUnit.SECONDS)).isEqualTo(signal);
      }
    }
  }
}
