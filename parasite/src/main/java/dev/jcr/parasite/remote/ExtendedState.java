package dev.jcr.parasite.remote;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.registers.ArmRegset;
import dev.jcr.parasite.arch.Aarch64Frame;
import dev.jcr.parasite.arch.Aarch64Machine;
import dev.jcr.parasite.arch.GuardedStack;
import dev.jcr.parasite.arch.Machine;
import dev.jcr.parasite.arch.X8664Machine;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.ptrace.Tracee;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.util.Optional;

/// Registers beyond the general ones that injected calls must bring back: read before the first
/// call of a thread.
sealed interface ExtendedState {
  /// Of a thread in an event stop.
  static ExtendedState read(Machine machine, Tracee tracee) throws CheckpointException {
    return switch (machine) {
      case X8664Machine _ -> new X8664(tracee);
      case Aarch64Machine _ -> {
        ArmState state = ArmState.of(tracee);
        byte[] streaming = state.read(ArmRegset.SSVE);
        boolean isStreaming = ArmRegset.hasRegisters(streaming);
        byte[] vector = isStreaming ? streaming : state.read(ArmRegset.SVE);
        yield new Aarch64(
            state.read(ArmRegset.FPSIMD),
            ArmRegset.hasRegisters(vector) ? vector : new byte[0],
            isStreaming,
            isStreaming ? state.read(ArmRegset.FPMR) : new byte[0],
            GuardedStack.of(state.read(ArmRegset.GCS)));
      }
    };
  }

  /// A frame at `address` by which rt_sigreturn(2) loads these, `registers` and the mask.
  ///
  /// @param returnTo the signal trampoline, where the frame itself names it
  byte[] signalFrame(long address, long returnTo, long[] registers, long signalMask);

  /// Puts back what a system call destroyed. The thread is in an event stop.
  void putBack(Tracee tracee) throws CheckpointException;

  /// Where returns are checked: what they are checked against.
  Optional<GuardedStack> guarded();

  /// Writes another pointer, or the thread's own again. The thread is in an event stop.
  static void guard(Tracee tracee, GuardedStack stack) throws CheckpointException {
    Aarch64.write(tracee, ArmRegset.GCS, stack.regset());
  }

  /// No call changes these, so they are read when a frame is wanted.
  record X8664(Tracee tracee) implements ExtendedState {
    @Override
    public byte[] signalFrame(long address, long returnTo, long[] registers, long signalMask) {
      return SignalFrame.build(address, returnTo, registers, signalMask, Xstate.read(tracee));
    }

    @Override
    public void putBack(Tracee tracee) {}

    /// A process with a shadow stack is refused before the stop.
    @Override
    public Optional<GuardedStack> guarded() {
      return Optional.empty();
    }
  }

  /// A call zeroes what of Z0 to Z31 lies above 128 bits, all of P0 to P15 and FFR, and leaves
  /// streaming mode, which zeroes FPMR (Documentation/arch/arm64/sve.rst, sme.rst; seen on 7.2).
  ///
  /// @param vector NT_ARM_SVE or NT_ARM_SSVE with registers; empty where only V0 to V31 are in use
  @SuppressWarnings("ArrayRecordComponent") // never compared
  record Aarch64(
      byte[] fpsimd, byte[] vector, boolean streaming, byte[] fpmr, Optional<GuardedStack> guarded)
      implements ExtendedState {
    @Override
    public byte[] signalFrame(long address, long returnTo, long[] registers, long signalMask) {
      return Aarch64Frame.build(
          address, registers, signalMask, fpsimd, vector, streaming, fpmr, guarded);
    }

    @Override
    public void putBack(Tracee tracee) throws CheckpointException {
      if (vector.length == 0) {
        return;
      }
      write(tracee, streaming ? ArmRegset.SSVE : ArmRegset.SVE, vector);
      if (fpmr.length > 0) {
        write(tracee, ArmRegset.FPMR, fpmr);
      }
    }

    private static void write(Tracee tracee, ArmRegset regset, byte[] bytes)
        throws CheckpointException {
      try (Arena arena = Arena.ofConfined()) {
        long result =
            tracee.setRegset(regset.note(), arena.allocateFrom(ValueLayout.JAVA_BYTE, bytes));
        if (result < 0) {
          throw new CheckpointException(
              Outcome.TARGET_DOUBTFUL,
              "cannot put back %s of thread %d: %s"
                  .formatted(regset.label(), tracee.tid(), Errno.describe((int) -result)));
        }
      }
    }
  }
}
