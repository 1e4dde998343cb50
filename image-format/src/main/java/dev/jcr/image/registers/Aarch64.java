package dev.jcr.image.registers;

import dev.jcr.image.v1.Aarch64Registers;

/// General registers of one aarch64 thread: `struct user_pt_regs` of `<asm/ptrace.h>`, 34 words,
/// and orig_x0 and orig_x7 behind it on kernels whose regset is longer than 272 bytes. A value:
/// [#with] gives another one.
public final class Aarch64 {
  public static final int SP = 31;
  public static final int PC = 32;
  public static final int PSTATE = 33;
  public static final int ORIG_X0 = 34;
  public static final int ORIG_X7 = 35;

  /// Words every kernel has.
  public static final int WORDS = 34;

  private final Aarch64Registers registers;

  private Aarch64(Aarch64Registers registers) {
    this.registers = registers;
  }

  /// Wraps registers of an image or of a thread.
  ///
  /// @throws IllegalArgumentException neither 34 words nor 36
  public static Aarch64 of(Aarch64Registers registers) {
    int words = registers.getGeneralCount();
    if (words != WORDS && words != ORIG_X7 + 1) {
      throw new IllegalArgumentException(words + " general registers");
    }
    return new Aarch64(registers);
  }

  /// "x0" to "x30", "sp", "pc", "pstate", "orig_x0", "orig_x7".
  public static String label(int word) {
    return switch (word) {
      case SP -> "sp";
      case PC -> "pc";
      case PSTATE -> "pstate";
      case ORIG_X0 -> "orig_x0";
      case ORIG_X7 -> "orig_x7";
      default -> {
        if (word < 0 || word > ORIG_X7) {
          throw new IllegalArgumentException("word " + word);
        }
        yield "x" + word;
      }
    };
  }

  /// Number of words: 34 or 36.
  public int words() {
    return registers.getGeneralCount();
  }

  public long get(int word) {
    return registers.getGeneral(word);
  }

  /// The same registers but for one.
  public Aarch64 with(int word, long value) {
    return new Aarch64(registers.toBuilder().setGeneral(word, value).build());
  }

  /// The message, with all that is not a general register untouched.
  public Aarch64Registers registers() {
    return registers;
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Aarch64 that && registers.equals(that.registers);
  }

  @Override
  public int hashCode() {
    return registers.hashCode();
  }

  @Override
  public String toString() {
    StringBuilder text = new StringBuilder();
    for (int word = 0; word < words(); word++) {
      text.append(text.isEmpty() ? "" : " ")
          .append(label(word))
          .append("=0x")
          .append(Long.toHexString(get(word)));
    }
    return text.toString();
  }
}
