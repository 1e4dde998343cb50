package dev.jcr.parasite.remote;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.parasite.arch.Machine;
import dev.jcr.parasite.ptrace.Tracee;
import dev.jcr.parasite.ptrace.WaitStatus;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;

/// Runs one system call in a stopped task by two `PTRACE_SYSCALL` stops: no signal is involved, so
/// SIGTRAP's disposition stays what it is (a breakpoint would reset an ignored or blocked SIGTRAP
/// for good, kernel/signal.c force_sig_info_to_task).
final class SyscallStep {
  private static final int SIGSTOP = 19;
  private static final long POLL_NANOS = 20_000;

  private SyscallStep() {}

  /// Loads `registers`, which point at a system call instruction, and runs it. The task is then in
  /// the exit stop.
  ///
  /// @return the id, in jcr's pid namespace, of the task that the call has made; 0 for none
  static int run(Tracee tracee, long[] registers) throws CheckpointException {
    tracee.setGeneral(registers);
    toSyscallStop(tracee);
    return toSyscallStop(tracee);
  }

  /// Runs a harmless call that the kernel remembers as begun with `argument` (orig_x0 of arm64):
  /// where it can be set, in the entry stop; else by beginning the call with it. The task is then
  /// in the exit stop.
  ///
  /// @param registers point at a system call instruction, for that call with an argument of zero
  static void runAsBegunWith(Tracee tracee, long[] registers, long argument, Machine machine)
      throws CheckpointException {
    tracee.setGeneral(registers);
    var _ = toSyscallStop(tracee);
    long[] call = tracee.call();
    boolean set = call.length > 0 && tracee.trySetCall(call[0], argument, 0, 0, 0, 0, 0);
    var _ = toSyscallStop(tracee);
    if (!set) {
      var _ = run(tracee, machine.withArgument(registers, 0, argument));
    }
  }

  private static int toSyscallStop(Tracee tracee) throws CheckpointException {
    int made = 0;
    tracee.resumeToSyscall(0);
    while (true) {
      switch (tracee.await()) {
        case WaitStatus.SyscallStop _ -> {
          return made;
        }
        case WaitStatus.EventStop(int event)
            when event == WaitStatus.EVENT_CLONE || event == WaitStatus.EVENT_FORK -> {
          made = (int) tracee.eventMessage();
          tracee.resumeToSyscall(0);
        }
        case WaitStatus.SignalStop(int signal) -> {
          if (signal != SIGSTOP) {
            throw unexpected(tracee, "signal " + signal);
          }
          // Sent by somebody meanwhile; delivering it gives a group stop, which resuming passes.
          tracee.resumeToSyscall(signal);
        }
        case WaitStatus.EventStop _, WaitStatus.GroupStop _ -> tracee.resumeToSyscall(0);
        case WaitStatus.Exited _, WaitStatus.Killed _ ->
            throw new CheckpointException(
                Outcome.TARGET_LOST, "cannot run a call in thread " + tracee.tid() + ": it ended");
      }
    }
  }

  /// Lets a task run that was resumed until it has sent itself `signal`, which is taken from it.
  /// The task is then in a signal-delivery stop. Another signal that comes first is an error: all
  /// others are blocked.
  ///
  /// @param pc behind the call that sends it
  static void awaitSignal(Tracee tracee, int signal, long pc, Machine machine)
      throws CheckpointException {
    while (true) {
      switch (tracee.await()) {
        case WaitStatus.SignalStop(int stopped) -> {
          long at = machine.pc(tracee.general(machine.words()));
          if (stopped == signal && at == pc) {
            return;
          }
          if (stopped != SIGSTOP && stopped != signal) {
            throw unexpected(tracee, "signal " + stopped);
          }
          // Somebody else's of the same number: nobody handles it, so it goes unnoticed.
          tracee.resume(stopped == signal ? 0 : stopped);
        }
        case WaitStatus.SyscallStop _, WaitStatus.EventStop _, WaitStatus.GroupStop _ ->
            tracee.resume(0);
        case WaitStatus.Exited _, WaitStatus.Killed _ ->
            throw new CheckpointException(
                Outcome.TARGET_LOST, "cannot run calls in thread " + tracee.tid() + ": it ended");
      }
    }
  }

  /// From an exit stop to an `PTRACE_EVENT_STOP` without running a user instruction: only there are
  /// registers final (in an exit stop arm64 shows a false x7, and on x86_64 a restored -ERESTART*
  /// result would leak to the program).
  static void toEventStop(Tracee tracee) throws CheckpointException {
    beginEventStop(tracee);
    awaitEventStop(tracee);
  }

  /// The first half of [#toEventStop].
  static void beginEventStop(Tracee tracee) throws CheckpointException {
    tracee.interrupt();
    tracee.resume(0);
  }

  /// The second half of [#toEventStop].
  static void awaitEventStop(Tracee tracee) throws CheckpointException {
    while (true) {
      switch (tracee.await()) {
        case WaitStatus.EventStop(int event) when event == WaitStatus.EVENT_STOP -> {
          return;
        }
        case WaitStatus.GroupStop _ -> {
          return;
        }
        case WaitStatus.SignalStop(int signal) -> {
          tracee.interrupt();
          tracee.resume(signal);
        }
        case WaitStatus.SyscallStop _, WaitStatus.EventStop _ -> {
          tracee.interrupt();
          tracee.resume(0);
        }
        case WaitStatus.Exited _, WaitStatus.Killed _ ->
            throw new CheckpointException(
                Outcome.TARGET_LOST, "cannot stop thread " + tracee.tid() + ": it ended");
      }
    }
  }

  /// Into the group stop that a SIGSTOP makes, which one of the threads takes, with all other
  /// signals blocked; no user instruction is run. An interrupt would come before the signal.
  static void toGroupStop(Tracee tracee) throws CheckpointException {
    tracee.resume(0);
    while (true) {
      switch (tracee.await()) {
        case WaitStatus.GroupStop _ -> {
          return;
        }
        case WaitStatus.SignalStop(int signal) -> tracee.resume(signal);
        case WaitStatus.SyscallStop _, WaitStatus.EventStop _ -> tracee.resume(0);
        case WaitStatus.Exited _, WaitStatus.Killed _ ->
            throw new CheckpointException(
                Outcome.TARGET_LOST, "cannot stop thread " + tracee.tid() + ": it ended");
      }
    }
  }

  /// Lets a task run that was resumed at an exit(2) until it stops in there (`PTRACE_O_TRACEEXIT`).
  /// One that is killed meanwhile may be a leader, whose end is not reported: no blocking wait.
  static void awaitExit(Tracee tracee) throws CheckpointException {
    while (true) {
      Optional<WaitStatus> status = tracee.poll();
      if (status.isEmpty()) {
        if (tracee.isEnding()) {
          throw ended(tracee);
        }
        LockSupport.parkNanos(POLL_NANOS);
        continue;
      }
      switch (status.get()) {
        case WaitStatus.EventStop(int event) when event == WaitStatus.EVENT_EXIT -> {
          return;
        }
        case WaitStatus.SignalStop(int signal) -> tracee.resume(signal);
        case WaitStatus.SyscallStop _, WaitStatus.EventStop _, WaitStatus.GroupStop _ ->
            tracee.resume(0);
        case WaitStatus.Exited _, WaitStatus.Killed _ -> throw ended(tracee);
      }
    }
  }

  private static CheckpointException ended(Tracee tracee) {
    return new CheckpointException(
        Outcome.TARGET_LOST, "cannot run exit in thread " + tracee.tid() + ": it was killed");
  }

  private static CheckpointException unexpected(Tracee tracee, String what) {
    return new CheckpointException(
        Outcome.TARGET_DOUBTFUL,
        "cannot run a call in thread " + tracee.tid() + ": unexpected " + what);
  }
}
