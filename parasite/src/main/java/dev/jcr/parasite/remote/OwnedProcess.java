package dev.jcr.parasite.remote;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.parasite.arch.Machine;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.ptrace.Tracee;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// A thread of a process that jcr is building: system calls run at any instruction that suits,
/// nothing has to be put back, and the whole process dies with its tracer (`PTRACE_O_EXITKILL`).
public final class OwnedProcess implements RemoteCalls {
  private static final int RECORDS = Batch.MOST_CALLS * Batch.RECORD;

  /// Ignored by default, and taken away by the tracer.
  private static final int SIGURG = 23;

  private final Machine machine;
  private final Tracee tracee;
  private final ProcessMemory memory;
  private final long[] base;
  private long syscallAt;
  private long scratch;
  private int scratchSize;

  /// @param base registers to run with: the thread's own at its first stop
  /// @param syscallAt address of a system call instruction
  public OwnedProcess(
      Machine machine, Tracee tracee, ProcessMemory memory, long[] base, long syscallAt) {
    this.machine = machine;
    this.tracee = tracee;
    this.memory = memory;
    this.base = base.clone();
    this.syscallAt = syscallAt;
  }

  public Tracee tracee() {
    return tracee;
  }

  public ProcessMemory memory() {
    return memory;
  }

  public long[] base() {
    return base.clone();
  }

  /// Where calls run from now on, and which memory they may use.
  public void moveTo(long syscallAt, long scratch, int scratchSize) {
    this.syscallAt = syscallAt;
    this.scratch = scratch;
    this.scratchSize = scratchSize;
  }

  public long syscallAt() {
    return syscallAt;
  }

  @Override
  public int tid() {
    return tracee.tid();
  }

  @Override
  public long call(Syscall call, long... arguments) throws CheckpointException {
    SyscallStep.run(
        tracee, machine.syscall(base, syscallAt, call.number(machine.arch()), arguments));
    return machine.result(tracee.general(machine.words()));
  }

  @Override
  public long require(String what, Syscall call, long... arguments) throws CheckpointException {
    long result = call(call, arguments);
    if (Kernel.isError(result)) {
      throw new CheckpointException(
          result == -Errno.EPERM || result == -Errno.EACCES ? Outcome.PERMISSION : Outcome.FAILED,
          "cannot " + what + ": " + Errno.describe((int) -result));
    }
    return result;
  }

  /// An empty batch for this thread.
  public Batch batch() {
    return new Batch(scratch + RECORDS, scratchSize - RECORDS);
  }

  /// Runs the calls of a batch with one stop. Needs the code of [Machine#batchCode] before
  /// [#syscallAt], all signals blocked, and none of the process's own pending yet.
  public Batch.Results run(Batch batch) throws CheckpointException {
    int count = batch.calls().size();
    long[] values = new long[count];
    byte[] input = batch.input();
    long code = syscallAt - machine.syscallOffset();
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment records = arena.allocateFrom(JAVA_LONG, batch.records(machine.arch()));
      memory.write(scratch, records);
      if (input.length > 0) {
        memory.write(batch.data(), arena.allocateFrom(JAVA_BYTE, input));
      }
      long[] registers =
          machine.batch(base, code, scratch, count, memory.pid(), tracee.tid(), SIGURG);
      tracee.setSignalMask(~(1L << (SIGURG - 1)));
      SyscallStep.runUntilSignal(
          tracee, registers, SIGURG, syscallAt + machine.syscallInstruction().length, machine);
      tracee.setSignalMask(-1L);
      memory.read(scratch, records);
      for (int i = 0; i < count; i++) {
        values[i] = records.get(JAVA_LONG, (long) i * Batch.RECORD + 56);
      }
    }
    byte[] filled = batch.used() == 0 ? new byte[0] : memory.bytes(batch.data(), batch.used());
    return new Batch.Results(batch, values, filled);
  }

  /// Makes `argument` what the thread's last call began with (orig_x0 of arm64), for kernels that
  /// do not take it with the registers.
  public void lastCallBegunWith(long argument) throws CheckpointException {
    SyscallStep.runAsBegunWith(
        tracee,
        machine.syscall(base, syscallAt, Syscall.GETPID.number(machine.arch())),
        argument,
        machine);
  }

  /// To a stop in which registers are final.
  public void toEventStop() throws CheckpointException {
    SyscallStep.toEventStop(tracee);
  }

  /// Takes a SIGSTOP that was sent to the process, and stops with it; calls can be run all the
  /// same.
  public void toGroupStop() throws CheckpointException {
    SyscallStep.toGroupStop(tracee);
  }

  /// Runs code that ends in a system call, with `argument` in the register for a code's own use.
  void runCode(long code, long argument, Syscall last) throws CheckpointException {
    SyscallStep.run(
        tracee,
        machine.withCodeArgument(
            machine.syscall(base, code, last.number(machine.arch())), argument));
  }

  @Override
  public long scratch() {
    return scratch;
  }

  @Override
  public int scratchSize() {
    return scratchSize;
  }

  @Override
  public void write(long address, MemorySegment bytes) throws CheckpointException {
    memory.write(address, bytes);
  }

  @Override
  public void read(long address, MemorySegment into) throws CheckpointException {
    memory.read(address, into);
  }
}
