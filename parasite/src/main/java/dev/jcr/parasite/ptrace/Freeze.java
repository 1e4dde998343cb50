package dev.jcr.parasite.ptrace;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.parasite.arch.Machine;
import dev.jcr.parasite.procfs.Anchor;
import dev.jcr.parasite.procfs.Proc;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.locks.LockSupport;

/// Stops every thread of a process and lets them go again.
///
/// Threads may appear while others are being stopped; the passes over /proc/PID/task end only when
/// one finds nothing new. Whatever is still attached when the tracer thread ends is released by the
/// kernel, so a failure anywhere cannot leave a thread stopped.
public final class Freeze implements AutoCloseable {
  private static final long POLL_NANOS = 20_000;
  private static final long LOOK_NANOS = 2_000_000;

  private final Anchor process;
  private final int pid;
  private final List<StoppedThread> threads = new ArrayList<>();
  private final long begunAt = System.nanoTime();
  private long stoppedAt;
  private boolean released;

  private Freeze(Anchor process) {
    this.process = process;
    this.pid = process.pid();
  }

  /// Seizes and stops all threads within `budgetNanos`, else throws with everything released. A
  /// leader that had ended is left alone: a zombie cannot be seized (EPERM). One that ends only now
  /// ends the attempt.
  public static Freeze stop(Anchor process, Machine machine, long budgetNanos)
      throws CheckpointException {
    Freeze freeze = new Freeze(process);
    boolean done = false;
    try {
      freeze.stopAll(machine, freeze.begunAt + budgetNanos);
      freeze.stoppedAt = System.nanoTime();
      done = true;
      return freeze;
    } finally {
      if (!done) {
        freeze.close();
      }
    }
  }

  private void stopAll(Machine machine, long deadline) throws CheckpointException {
    Set<Integer> known = new HashSet<>();
    List<Tracee> fresh = new ArrayList<>();
    do {
      fresh.clear();
      for (int tid : tasks()) {
        if (known.add(tid)) {
          Optional<Tracee> tracee = Tracee.seize(tid, Ptrace.O_TRACESYSGOOD);
          if (tracee.isPresent() && tracee.get().interrupt()) {
            fresh.add(tracee.get());
          }
        }
      }
      for (Tracee tracee : fresh) {
        Optional<WaitStatus> stop = awaitStop(tracee, deadline);
        if (stop.isPresent()) {
          threads.add(
              new StoppedThread(
                  tracee,
                  stop.get(),
                  tracee.general(machine.words()),
                  tracee.signalMask(),
                  tracee.userDispatch()));
        }
      }
    } while (!fresh.isEmpty());
    threads.sort(Comparator.comparingInt(t -> t.tid() == pid ? 0 : t.tid()));
    if (process.leaderEnded()) {
      requireAnchor();
      return;
    }
    if (threads.isEmpty() || threads.getFirst().tid() != pid) {
      throw new CheckpointException(
          Outcome.TARGET_LOST, "cannot stop process " + pid + ": its leader is gone");
    }
    Tracee leader = threads.getFirst().tracee();
    leader.leads(threads.stream().skip(1).map(StoppedThread::tracee).toList());
  }

  /// By whose id everything was opened.
  private void requireAnchor() throws CheckpointException {
    for (StoppedThread thread : threads) {
      if (thread.tid() == process.tid()) {
        return;
      }
    }
    throw new CheckpointException(
        Outcome.TARGET_LOST,
        "cannot stop process %d: its thread %d has ended meanwhile; try again"
            .formatted(pid, process.tid()));
  }

  private List<Integer> tasks() throws CheckpointException {
    try {
      return Proc.of(pid).tasks();
    } catch (IOException _) {
      throw new CheckpointException(
          Outcome.TARGET_LOST, "cannot stop process " + pid + ": ESRCH (no such process)");
    }
  }

  /// Empty when the task ended meanwhile.
  private Optional<WaitStatus> awaitStop(Tracee tracee, long deadline) throws CheckpointException {
    long look = System.nanoTime() + LOOK_NANOS;
    while (true) {
      Optional<WaitStatus> status = tracee.poll();
      if (status.isEmpty()) {
        // The end of a leader is reported when that of all other threads was taken, which comes
        // later here (Tracee#await).
        if (tracee.tid() == pid && System.nanoTime() > look) {
          if (tracee.isEnding()) {
            return Optional.empty();
          }
          look = System.nanoTime() + LOOK_NANOS;
        }
        if (System.nanoTime() > deadline) {
          throw new CheckpointException(
              Outcome.FAILED,
              "cannot stop thread "
                  + tracee.tid()
                  + " of process "
                  + pid
                  + ": it did not stop in time (uninterruptible sleep?); try again later");
        }
        LockSupport.parkNanos(POLL_NANOS);
        continue;
      }
      switch (status.get()) {
        case WaitStatus.EventStop(int event) when event == WaitStatus.EVENT_STOP -> {
          return status;
        }
        case WaitStatus.GroupStop _ -> {
          return status;
        }
        case WaitStatus.Exited _, WaitStatus.Killed _ -> {
          return Optional.empty();
        }
        case WaitStatus.SignalStop(int signal) -> {
          // Any new trap clears a pending interrupt (kernel/signal.c, ptrace_stop).
          if (!tracee.interrupt()) {
            return Optional.empty();
          }
          tracee.resume(signal);
        }
        case WaitStatus.SyscallStop _, WaitStatus.EventStop _ -> {
          if (!tracee.interrupt()) {
            return Optional.empty();
          }
          tracee.resume(0);
        }
      }
    }
  }

  public int pid() {
    return pid;
  }

  /// System.nanoTime before the first thread was stopped.
  public long begunAt() {
    return begunAt;
  }

  /// System.nanoTime when all threads stood still.
  public long stoppedAt() {
    return stoppedAt;
  }

  /// All threads that go on, the leader first, then by tid.
  public List<StoppedThread> threads() {
    return Collections.unmodifiableList(threads);
  }

  /// Who is asked for what all threads share: the leader, if it has not ended.
  public StoppedThread first() {
    return threads.getFirst();
  }

  /// The signal by which the process is stopped (job control), 0 when it was running.
  public int stoppedBy() {
    for (StoppedThread thread : threads) {
      if (thread.stop() instanceof WaitStatus.GroupStop(int signal)) {
        return signal;
      }
    }
    return 0;
  }

  /// Detaches from every thread: it runs on, or stays in its group stop. The first failure is
  /// thrown after all were tried.
  public void thaw() throws CheckpointException {
    released = true;
    CheckpointException first = null;
    for (StoppedThread thread : threads) {
      try {
        thread.tracee().detach(0);
      } catch (CheckpointException e) {
        if (first == null) {
          first = e;
        }
      }
    }
    if (first != null) {
      throw first;
    }
  }

  /// Nothing to do with these threads any more: they were killed.
  public void forget() {
    released = true;
  }

  @Override
  public void close() throws CheckpointException {
    if (!released) {
      thaw();
    }
  }
}
