package dev.jcr.restore.threads;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.registers.Aarch64;
import dev.jcr.image.registers.Xsave;
import dev.jcr.image.v1.Host;
import dev.jcr.image.v1.Registers;
import dev.jcr.image.v1.Thread;
import dev.jcr.image.v1.X8664Registers;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.ptrace.Tracee;
import dev.jcr.parasite.remote.ArmState;
import dev.jcr.parasite.remote.Xstate;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalLong;

/// Writes the complete registers of a thread in an event stop, and reads them back.
public final class RegisterLoader {
  /// offsetof(struct user, u_debugreg).
  private static final int DEBUG_REGISTERS = 848;

  private final long imageFeatures;
  private final Xsave.Layout layout;

  /// @param image the host the image was made on
  /// @param host this host, whose layout the registers take
  public RegisterLoader(Host image, Host host) {
    this.imageFeatures = image.getX86().getXfeatures();
    this.layout = Xsave.Layout.of(host.getX86());
  }

  /// Extended state first, general registers last.
  ///
  /// @param general the words to load, which differ from the image's while a call is resumed
  public void load(Thread thread, Tracee tracee, long[] general) throws CheckpointException {
    if (thread.getRegisters().hasAarch64()) {
      ArmState.of(tracee).load(thread.getRegisters().getAarch64(), general);
      return;
    }
    X8664Registers registers = thread.getRegisters().getX8664();
    if (!registers.getFxsave().isEmpty()) {
      byte[] image = image(registers);
      long result = Xstate.write(tracee, image);
      if (result < 0) {
        throw new CheckpointException(
            Outcome.FAILED,
            "cannot write the extended registers of thread "
                + thread.getTid()
                + ": "
                + Errno.describe((int) -result));
      }
    }
    for (int i = 0; i < registers.getDebugCount(); i++) {
      int number = i < 4 ? i : i + 2;
      long result = tracee.pokeUser(DEBUG_REGISTERS + 8L * number, registers.getDebug(i));
      if (result < 0) {
        throw new CheckpointException(
            Outcome.FAILED,
            "cannot write debug register %d of thread %d: %s"
                .formatted(number, thread.getTid(), Errno.describe((int) -result)));
      }
    }
    tracee.setGeneral(general);
  }

  private byte[] image(X8664Registers registers) throws CheckpointException {
    return Xsave.build(registers, imageFeatures, layout);
  }

  /// Compares what the kernel shows with the image.
  ///
  /// @param general what was loaded
  public void verify(Thread thread, Tracee tracee, long[] general) throws CheckpointException {
    if (thread.getRegisters().hasAarch64()) {
      ArmState.of(tracee).verify(thread.getRegisters().getAarch64(), general);
      return;
    }
    long[] now = tracee.general(general.length);
    for (int i = 0; i < general.length; i++) {
      if (now[i] != general[i]) {
        throw new CheckpointException(
            Outcome.FAILED,
            "cannot prove thread %d: register word %d is 0x%x, the image has 0x%x"
                .formatted(thread.getTid(), i, now[i], general[i]));
      }
    }
    X8664Registers registers = thread.getRegisters().getX8664();
    if (registers.getFxsave().isEmpty()) {
      return;
    }
    X8664Registers.Builder back = X8664Registers.newBuilder();
    Xsave.parse(Xstate.read(tracee), layout, back);
    if (!Arrays.equals(image(back.build()), image(registers))) {
      throw new CheckpointException(
          Outcome.FAILED,
          "cannot prove thread " + thread.getTid() + ": its extended registers differ");
    }
  }

  /// orig_x0 of an aarch64 image that has it: with what a thread's last `svc` must have begun where
  /// the kernel does not take it with the registers.
  public static OptionalLong lastArgument(Thread thread) {
    List<Long> words = thread.getRegisters().getAarch64().getGeneralList();
    return words.size() > Aarch64.ORIG_X0
        ? OptionalLong.of(words.get(Aarch64.ORIG_X0))
        : OptionalLong.empty();
  }

  /// The general registers of the image as words.
  public static long[] words(Thread thread) {
    Registers registers = thread.getRegisters();
    List<Long> words =
        registers.hasAarch64()
            ? registers.getAarch64().getGeneralList()
            : registers.getX8664().getGeneralList();
    return words.stream().mapToLong(Long::longValue).toArray();
  }
}
