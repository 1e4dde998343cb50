package dev.jcr.image.registers;

import dev.jcr.image.v1.X8664Registers;
import java.util.List;
import java.util.Locale;

/// General registers of one x86_64 thread: `struct user_regs_struct` of `<sys/user.h>`, 27 words. A
/// value: [#with] gives another one.
public final class X8664 {
  /// The words in the kernel's order.
  public enum Word {
    R15(0),
    R14(1),
    R13(2),
    R12(3),
    RBP(4),
    RBX(5),
    R11(6),
    R10(7),
    R9(8),
    R8(9),
    RAX(10),
    RCX(11),
    RDX(12),
    RSI(13),
    RDI(14),
    /// The system call's number, or -1 when the thread did not enter by one.
    ORIG_RAX(15),
    RIP(16),
    CS(17),
    EFLAGS(18),
    RSP(19),
    SS(20),
    FS_BASE(21),
    GS_BASE(22),
    DS(23),
    ES(24),
    FS(25),
    GS(26);

    private final int index;

    Word(int index) {
      this.index = index;
    }

    /// Place in the structure, in words of 8 bytes.
    public int index() {
      return index;
    }

    /// As the kernel writes it: "orig_rax".
    public String label() {
      return name().toLowerCase(Locale.ROOT);
    }
  }

  private static final List<Word> ALL = List.of(Word.values());

  /// Number of words.
  public static final int WORDS = ALL.size();

  private final X8664Registers registers;

  private X8664(X8664Registers registers) {
    this.registers = registers;
  }

  /// Wraps registers of an image or of a thread.
  ///
  /// @throws IllegalArgumentException not 27 words
  public static X8664 of(X8664Registers registers) {
    if (registers.getGeneralCount() != WORDS) {
      throw new IllegalArgumentException(registers.getGeneralCount() + " general registers");
    }
    return new X8664(registers);
  }

  /// "r15" for 0, "gs" for 26.
  public static String label(int index) {
    return ALL.get(index).label();
  }

  public long get(Word word) {
    return registers.getGeneral(word.index());
  }

  /// The same registers but for one.
  public X8664 with(Word word, long value) {
    return new X8664(registers.toBuilder().setGeneral(word.index(), value).build());
  }

  /// The message, with all that is not a general register untouched.
  public X8664Registers registers() {
    return registers;
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof X8664 that && registers.equals(that.registers);
  }

  @Override
  public int hashCode() {
    return registers.hashCode();
  }

  @Override
  public String toString() {
    StringBuilder text = new StringBuilder();
    for (Word word : ALL) {
      text.append(text.isEmpty() ? "" : " ")
          .append(word.label())
          .append("=0x")
          .append(Long.toHexString(get(word)));
    }
    return text.toString();
  }
}
