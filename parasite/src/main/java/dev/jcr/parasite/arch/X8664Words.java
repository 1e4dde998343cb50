package dev.jcr.parasite.arch;

/// Indices of the 27 words of x86_64 `struct user_regs_struct`, `<sys/user.h>`.
public final class X8664Words {
  public static final int R15 = 0;
  public static final int R14 = 1;
  public static final int R13 = 2;
  public static final int R12 = 3;
  public static final int RBP = 4;
  public static final int RBX = 5;
  public static final int R11 = 6;
  public static final int R10 = 7;
  public static final int R9 = 8;
  public static final int R8 = 9;
  public static final int RAX = 10;
  public static final int RCX = 11;
  public static final int RDX = 12;
  public static final int RSI = 13;
  public static final int RDI = 14;
  public static final int ORIG_RAX = 15;
  public static final int RIP = 16;
  public static final int CS = 17;
  public static final int EFLAGS = 18;
  public static final int RSP = 19;
  public static final int SS = 20;
  public static final int FS_BASE = 21;
  public static final int GS_BASE = 22;
  public static final int DS = 23;
  public static final int ES = 24;
  public static final int FS = 25;
  public static final int GS = 26;
  public static final int COUNT = 27;

  private X8664Words() {}
}
