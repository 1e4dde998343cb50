package dev.jcr.parasite.arch;

import dev.jcr.image.v1.Arch;
import java.util.List;

/// The pure facts of an architecture that injection needs: which registers carry a system call, and
/// machine code that puts a thread back. No process, no host question; both architectures can be
/// asked on any host.
public sealed interface Machine permits X8664Machine, Aarch64Machine {
  static Machine of(Arch arch) {
    return switch (arch) {
      case ARCH_X86_64 -> new X8664Machine();
      case ARCH_AARCH64 -> new Aarch64Machine();
      case ARCH_UNSPECIFIED, UNRECOGNIZED ->
          throw new IllegalArgumentException("no injection on " + arch);
    };
  }

  Arch arch();

  /// Words of the general register set, at most.
  int words();

  long pc(long[] registers);

  long sp(long[] registers);

  /// `base` with what is needed to run the system call instruction at `pc`.
  long[] syscall(long[] base, long pc, int number, long... arguments);

  /// `registers` with another program counter.
  long[] withPc(long[] registers, long pc);

  /// `registers` with a value in the register that injected code takes its one argument from: one
  /// that no system call uses.
  long[] withCodeArgument(long[] registers, long value);

  /// `registers` with another stack pointer.
  long[] withStack(long[] registers, long stack);

  /// Registers with which a thread resumes an interrupted call by itself, without the kernel's help
  /// at the stop: `live` as the kernel would rewind it (restart_syscall where it keeps the end of a
  /// sleep), else `resume`.
  long[] restartInPlace(long[] live, long[] resume);

  /// `registers` with another value of a system call argument.
  long[] withArgument(long[] registers, int argument, long value);

  /// From `resume`, which would start call `number` again: registers after the call returned
  /// `result`. A result that means "restart" is left for the kernel to act on at the stop.
  long[] afterCall(long[] resume, long number, long result);

  /// What the kernel returned.
  long result(long[] registers);

  /// The system call instruction.
  byte[] syscallInstruction();

  /// A system call and a return from a function.
  byte[] syscallReturn();

  /// What a signal trampoline looks like: the call of rt_sigreturn(2).
  List<byte[]> signalReturns();

  /// Places of instructions are multiples of this.
  int instructionAlignment();

  /// `registers`, which are at [#syscallReturn], such that the return leads to the trampoline at
  /// `signalReturn`, which finds the frame at `frame`.
  long[] withReturn(long[] registers, long frame, long signalReturn);

  /// A signal frame that leads back to a thread's own registers, for the place where it will lie.
  @FunctionalInterface
  interface FrameAt {
    /// The frame's bytes.
    ///
    /// @param offset of the frame behind the start of the code
    byte[] at(int offset);
  }

  /// Machine code of three parts: a loop that runs the calls of a batch and then sends the thread a
  /// signal; at [#syscallOffset] a system call instruction, which is also the last one of the loop;
  /// behind it code that sets the signal mask and loads `resume` as the thread's registers. A
  /// thread left alone in it (its tracer was killed) finds its own way back. Position-independent;
  /// does not use the stack.
  ///
  /// @param frame for architectures where only rt_sigreturn(2) can load all registers at once
  byte[] returningCode(long[] resume, long signalMask, FrameAt frame);

  /// The first two parts of [#returningCode] alone, ending in a trap: for a process that has
  /// nothing to return to.
  byte[] batchCode();

  /// Code for the beginning of a function that leads to another one, which gets the same arguments
  /// and returns to the same caller.
  byte[] jump(long function);

  /// Code of a function that makes a system call with its own arguments, three at most, and returns
  /// what the kernel does: 0 or a result, or an error as a negative number.
  byte[] callingFunction(int number);

  /// Offset in [#returningCode] of the instruction for single calls.
  int syscallOffset();

  /// `base` with what is needed to run `count` records ([dev.jcr.parasite.remote.Batch#RECORD]
  /// bytes each: number, six arguments, result) at `records` by the code at `code`, and to be sent
  /// `signal` afterwards.
  long[] batch(long[] base, long code, long records, int count, int pid, int tid, int signal);
}
