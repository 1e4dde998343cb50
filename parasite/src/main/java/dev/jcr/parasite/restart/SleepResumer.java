package dev.jcr.parasite.restart;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.v1.Arch;
import dev.jcr.parasite.arch.Machine;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.procfs.BlockedIn;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.ptrace.Tracee;
import dev.jcr.parasite.ptrace.WaitStatus;
import dev.jcr.parasite.remote.ProcessMemory;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;

/// Resumes sleeps with the time they had left, for threads of a stopped process.
///
/// Calls that the kernel restarts from its restart block are started anew with the time left and
/// interrupted at once: the kernel then holds the right end of the sleep, and the program's own
/// arguments and memory stay as they were. Calls that fail with EINTR have no such memory: a
/// timeout in a register is replaced, one in memory or in a socket is replaced until the thread has
/// gone to sleep.
public final class SleepResumer {
  private static final long NANOS = 1_000_000_000L;
  private static final long NANOS_PER_MILLI = 1_000_000L;
  private static final long NANOS_PER_MICRO = 1000;
  private static final long POLL_NANOS = 20_000;
  private static final long PATIENCE_NANOS = 100_000_000;

  private final Machine machine;
  private final ProcessMemory memory;
  private final Proc proc;

  public SleepResumer(Machine machine, ProcessMemory memory) {
    this.machine = machine;
    this.memory = memory;
    this.proc = Proc.of(memory.pid());
  }

  /// A sleep to be resumed.
  ///
  /// @param number the call
  /// @param arguments as the program made it
  /// @param remaining nanoseconds, at least 1
  @SuppressWarnings("ArrayRecordComponent") // arguments as registers hold them; never compared
  public record Sleep(long number, long[] arguments, long remaining) {
    /// The kernel keeps the end of this sleep, so that it has to be primed.
    ///
    /// On aarch64 only for a process that stays stopped: there restart_syscall(2) leaves its own
    /// number in x8, where the program, which every other call leaves it to, would see it.
    public boolean isHeldByKernel(Arch arch, boolean stopped) {
      return (arch != Arch.ARCH_AARCH64 || stopped)
          && timed(arch)
              .filter(timed -> timed.restart() == TimedCall.Restart.RESTART_BLOCK)
              .isPresent();
    }

    /// The time left has to stand in the program's memory while the call begins.
    boolean isLent(Arch arch) {
      return !isHeldByKernel(arch, false)
          && timed(arch).filter(timed -> timed.form() == TimedCall.Form.TIMESPEC).isPresent();
    }

    /// The call's row, if it has a relative timeout.
    public Optional<TimedCall> timed(Arch arch) {
      return remaining <= 0 ? Optional.empty() : TimedCall.of(arch, number, arguments);
    }
  }

  /// Lets the kernel hold the end of a restart-block sleep. The thread is in an event stop
  /// afterwards.
  ///
  /// @param base registers to run the call with
  /// @param syscallAt a system call instruction
  /// @param scratch 16 bytes of the process's memory for the time left
  /// @param resume registers that would start the call again
  /// @return registers for this stop: the interrupted call, or its result if it did not sleep
  public long[] prime(
      Tracee tracee, Sleep sleep, long[] base, long syscallAt, long scratch, long[] resume)
      throws CheckpointException {
    TimedCall timed =
        sleep
            .timed(machine.arch())
            .orElseThrow(() -> new IllegalArgumentException("no timeout in " + sleep.number()));
    long[] arguments = sleep.arguments().clone();
    switch (timed.form()) {
      case MILLISECONDS -> arguments[timed.argument()] = millis(sleep.remaining());
      case TIMESPEC -> {
        writeTimespec(scratch, sleep.remaining());
        arguments[timed.argument()] = scratch;
      }
      case SOCKET_RECEIVE, SOCKET_SEND ->
          throw new IllegalArgumentException("no restart block in " + sleep.number());
    }
    tracee.setGeneral(machine.syscall(base, syscallAt, (int) sleep.number(), arguments));
    tracee.resumeToSyscall(0);
    tracee.await(); // the entry
    tracee.resumeToSyscall(0);
    long deadline = System.nanoTime() + PATIENCE_NANOS;
    Optional<WaitStatus> stop = tracee.poll();
    while (stop.isEmpty() && !asleep(tracee.tid()) && System.nanoTime() < deadline) {
      LockSupport.parkNanos(POLL_NANOS);
      stop = tracee.poll();
    }
    if (stop.isEmpty()) {
      tracee.interrupt();
      tracee.await();
    }
    // In the exit stop; the next one is an event stop before any instruction of the program.
    long result = machine.result(tracee.general(machine.words()));
    eventStop(tracee);
    return machine.afterCall(resume, sleep.number(), result);
  }

  private static void eventStop(Tracee tracee) throws CheckpointException {
    tracee.interrupt();
    tracee.resume(0);
    WaitStatus status = tracee.await();
    while (!(status instanceof WaitStatus.EventStop || status instanceof WaitStatus.GroupStop)) {
      if (status.ended()) {
        throw new CheckpointException(
            CheckpointException.Outcome.TARGET_LOST,
            "cannot resume the sleep of thread " + tracee.tid() + ": it ended");
      }
      tracee.interrupt();
      tracee.resume(0);
      status = tracee.await();
    }
  }

  private boolean asleep(int tid) {
    try {
      return proc.stat(tid).state() == 'S';
    } catch (IOException _) {
      return true;
    }
  }

  /// `resume` with a timeout that lies in a register replaced.
  public long[] withTimeLeft(long[] resume, Sleep sleep) {
    Optional<TimedCall> timed = sleep.timed(machine.arch());
    if (timed.isEmpty()
        || timed.get().restart() != TimedCall.Restart.EINTR
        || timed.get().form() != TimedCall.Form.MILLISECONDS) {
      return resume;
    }
    return machine.withArgument(resume, timed.get().argument(), millis(sleep.remaining()));
  }

  /// Takes `nanos` off the time left that the kernel wrote into the caller's memory when it
  /// interrupted the call: select(2), pselect6(2), ppoll(2) read it from there when they restart.
  public void shortenWritten(Sleep sleep, long nanos) throws CheckpointException {
    Optional<Syscall> call = Syscall.of(machine.arch(), sleep.number());
    if (call.isEmpty()) {
      return;
    }
    switch (call.get()) {
      case PPOLL -> shorten(sleep.arguments()[2], nanos, 1);
      case PSELECT6 -> shorten(sleep.arguments()[4], nanos, 1);
      case SELECT -> shorten(sleep.arguments()[4], nanos, NANOS_PER_MICRO);
      default -> {}
    }
  }

  /// Seconds and a rest in units of `unit` nanoseconds; nothing at NULL.
  private void shorten(long address, long nanos, long unit) throws CheckpointException {
    if (address == 0) {
      return;
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment time = arena.allocate(JAVA_LONG, 2);
      memory.read(address, time);
      long seconds = time.getAtIndex(JAVA_LONG, 0);
      if (seconds > Long.MAX_VALUE / NANOS - 1) {
        return;
      }
      long left = Math.max(0, seconds * NANOS + time.getAtIndex(JAVA_LONG, 1) * unit - nanos);
      time.setAtIndex(JAVA_LONG, 0, left / NANOS);
      time.setAtIndex(JAVA_LONG, 1, left % NANOS / unit);
      memory.write(address, time);
    }
  }

  /// Detaches from a thread. If its call reads its timeout from memory, the time left stands there
  /// until the thread sleeps; all other threads must still be stopped.
  public void release(Tracee tracee, Sleep sleep) throws CheckpointException {
    Optional<TimedCall> timed = sleep.timed(machine.arch());
    if (timed.isPresent() && timed.get().form().isSocket()) {
      releaseInSocket(tracee, sleep, timed.get());
      return;
    }
    if (timed.isEmpty() || !sleep.isLent(machine.arch())) {
      tracee.detach(0);
      return;
    }
    long address = sleep.arguments()[timed.get().argument()];
    byte[] own = memory.bytes(address, 16);
    writeTimespec(address, sleep.remaining());
    byte[] lent = memory.bytes(address, 16);
    try {
      detachIntoSleep(tracee, sleep);
    } finally {
      // The call may have ended at once, and the memory be in use for something else by now.
      if (Arrays.equals(memory.bytes(address, 16), lent)) {
        memory.writeForced(address, own);
      }
    }
  }

  /// The time left stands in the socket's option until the thread sleeps.
  private void releaseInSocket(Tracee tracee, Sleep sleep, TimedCall timed)
      throws CheckpointException {
    boolean receive = timed.form() == TimedCall.Form.SOCKET_RECEIVE;
    try (SocketTimeout socket =
        SocketTimeout.of(memory.anchor(), sleep.arguments()[timed.argument()], receive)
            .orElse(null)) {
      Optional<byte[]> own = socket == null ? Optional.empty() : socket.timeval();
      if (socket == null || own.isEmpty()) {
        tracee.detach(0);
        return;
      }
      try {
        socket.set(sleep.remaining());
        detachIntoSleep(tracee, sleep);
      } finally {
        socket.set(own.get());
      }
    }
  }

  private void detachIntoSleep(Tracee tracee, Sleep sleep) throws CheckpointException {
    tracee.detach(0);
    long deadline = System.nanoTime() + PATIENCE_NANOS;
    while (!blockedIn(tracee.tid(), sleep.number()) && System.nanoTime() < deadline) {
      LockSupport.parkNanos(POLL_NANOS);
    }
  }

  private boolean blockedIn(int tid, long number) {
    try {
      BlockedIn in = proc.blockedIn(tid);
      return !in.running() && in.number() == number && asleep(tid);
    } catch (IOException _) {
      return true;
    }
  }

  private void writeTimespec(long address, long nanos) throws CheckpointException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment timespec = arena.allocate(JAVA_LONG, 2);
      timespec.setAtIndex(JAVA_LONG, 0, nanos / NANOS);
      timespec.setAtIndex(JAVA_LONG, 1, nanos % NANOS);
      memory.writeForced(address, timespec);
    }
  }

  /// Rounded up: never early.
  private static long millis(long nanos) {
    return Math.min(Integer.MAX_VALUE, (nanos + NANOS_PER_MILLI - 1) / NANOS_PER_MILLI);
  }
}
