package dev.jcr.parasite.remote;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.registers.Aarch64;
import dev.jcr.image.registers.ArmRegset;
import dev.jcr.image.v1.Aarch64Registers;
import dev.jcr.parasite.arch.Aarch64Machine;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.ptrace.Regsets;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.Map;

/// All register sets of an aarch64 thread, read and written in the order of [ArmRegset].
///
/// Only in an event stop: in a stop of PTRACE_SYSCALL x7 is not the program's, read or written.
public final class ArmState {
  private final Regsets thread;

  private ArmState(Regsets thread) {
    this.thread = thread;
  }

  public static ArmState of(Regsets thread) {
    return new ArmState(thread);
  }

  /// One set in the form of an image; empty where the thread, the CPU or the kernel has none.
  public byte[] read(ArmRegset regset) throws CheckpointException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment buffer = arena.allocate(regset.capacity(), 16);
      long length = thread.getRegset(regset.note(), buffer);
      if (length == -Errno.EINVAL || length == -Errno.ENODEV) {
        return new byte[0];
      }
      if (length < 0) {
        throw failed("read", regset.label(), length);
      }
      return regset.trim(buffer.toArray(JAVA_BYTE), length);
    }
  }

  /// Every set, as it goes into an image.
  ///
  /// @param general the words to store (already rewound for a restart)
  public Aarch64Registers collect(long[] general) throws CheckpointException {
    Aarch64Registers.Builder registers = Aarch64Registers.newBuilder();
    for (long word : Aarch64Machine.withoutSingleStep(general)) {
      registers.addGeneral(word);
    }
    Map<ArmRegset, byte[]> contents = new EnumMap<>(ArmRegset.class);
    for (ArmRegset regset : ArmRegset.values()) {
      contents.put(regset, read(regset));
    }
    if (!ArmRegset.hasRegisters(contents.getOrDefault(ArmRegset.ZA, new byte[0]))) {
      // Reads as zeros, and writing it would turn ZA on.
      contents.remove(ArmRegset.ZT);
    }
    ArmRegset.put(contents, registers);
    return registers.build();
  }

  /// Writes everything, the general registers last.
  ///
  /// @param general the words to load, which differ from the image's while a call is resumed
  public void load(Aarch64Registers registers, long[] general) throws CheckpointException {
    for (ArmRegset.Write write : ArmRegset.writes(registers)) {
      try (Arena arena = Arena.ofConfined()) {
        long result =
            thread.setRegset(write.regset().note(), arena.allocateFrom(JAVA_BYTE, write.bytes()));
        if (result < 0) {
          throw failed("write", write.regset().label(), result);
        }
      }
    }
    writeGeneral(general);
  }

  /// Kernels whose `struct user_pt_regs` ends with pstate may refuse orig_x0 and orig_x7 behind it.
  private void writeGeneral(long[] general) throws CheckpointException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment words = arena.allocateFrom(JAVA_LONG, general);
      long result = thread.setRegset(ArmRegset.GENERAL_NOTE, words);
      if (result == -Errno.EINVAL && general.length > Aarch64.WORDS) {
        result =
            thread.setRegset(
                ArmRegset.GENERAL_NOTE, words.asSlice(0, (long) Aarch64.WORDS * Long.BYTES));
      }
      if (result < 0) {
        throw failed("write", "NT_PRSTATUS", result);
      }
    }
  }

  /// The general registers, as many words as the kernel gives.
  private long[] general() throws CheckpointException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment words = arena.allocate(JAVA_LONG, Aarch64.ORIG_X7 + 1);
      long length = thread.getRegset(ArmRegset.GENERAL_NOTE, words);
      if (length < 0) {
        throw failed("read", "NT_PRSTATUS", length);
      }
      return words.asSlice(0, length).toArray(JAVA_LONG);
    }
  }

  /// Compares what the kernel shows with what was loaded.
  public void verify(Aarch64Registers registers, long[] general) throws CheckpointException {
    long[] now = general();
    for (int i = 0; i < Math.min(now.length, general.length); i++) {
      if (now[i] != general[i]) {
        throw unproven(
            "%s is 0x%x, the image has 0x%x".formatted(Aarch64.label(i), now[i], general[i]));
      }
    }
    Map<ArmRegset, byte[]> wanted = ArmRegset.contents(registers);
    Map<ArmRegset, byte[]> found = ArmRegset.contents(collect(general));
    for (ArmRegset regset : ArmRegset.values()) {
      byte[] want = wanted.getOrDefault(regset, new byte[0]);
      byte[] have = found.getOrDefault(regset, new byte[0]);
      if (want.length > 0 && !Arrays.equals(want, have)) {
        throw unproven(differs(regset, want, have));
      }
    }
  }

  private static String differs(ArmRegset regset, byte[] want, byte[] have) {
    int wantedLength = ArmRegset.vectorLength(want);
    int length = ArmRegset.vectorLength(have);
    boolean vectors = regset == ArmRegset.SVE || regset == ArmRegset.SSVE || regset == ArmRegset.ZA;
    if (vectors && wantedLength != length) {
      return "%s has vectors of %d bytes, the image of %d"
          .formatted(regset.label(), length, wantedLength);
    }
    int at = Arrays.mismatch(want, have);
    return "%s differs at byte %d".formatted(regset.label(), at);
  }

  private CheckpointException unproven(String what) {
    return new CheckpointException(
        Outcome.FAILED, "cannot prove thread " + thread.tid() + ": " + what);
  }

  private CheckpointException failed(String verb, String what, long result) {
    return new CheckpointException(
        result == -Errno.ESRCH ? Outcome.TARGET_LOST : Outcome.FAILED,
        "cannot %s %s of thread %d: %s"
            .formatted(verb, what, thread.tid(), Errno.describe((int) -result)));
  }
}
