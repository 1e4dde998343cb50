package dev.jcr.parasite.remote;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.parasite.arch.Machine;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.ptrace.Tracee;
import java.lang.foreign.MemorySegment;

/// A thread of a process that jcr is building: system calls run at any instruction that suits,
/// nothing has to be put back, and the whole process dies with its tracer (`PTRACE_O_EXITKILL`).
public final class OwnedProcess implements RemoteCalls {
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

  /// To a stop in which registers are final.
  public void toEventStop() throws CheckpointException {
    SyscallStep.toEventStop(tracee);
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
