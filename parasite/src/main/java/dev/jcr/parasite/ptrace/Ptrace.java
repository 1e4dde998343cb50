package dev.jcr.parasite.ptrace;

/// Requests and options of ptrace(2), `<linux/ptrace.h>`, and note types of `<linux/elf.h>`.
public final class Ptrace {
  public static final int CONT = 7;
  public static final int PEEKUSER = 3;
  public static final int POKEUSER = 6;
  public static final int SINGLESTEP = 9;
  public static final int DETACH = 17;
  public static final int SYSCALL = 24;

  /// arm64 only.
  public static final int PEEKMTETAGS = 33;

  public static final int POKEMTETAGS = 34;
  public static final int SETOPTIONS = 0x4200;
  public static final int GETEVENTMSG = 0x4201;
  public static final int GETSIGINFO = 0x4202;
  public static final int GETREGSET = 0x4204;
  public static final int SETREGSET = 0x4205;
  public static final int SEIZE = 0x4206;
  public static final int INTERRUPT = 0x4207;
  public static final int LISTEN = 0x4208;
  public static final int PEEKSIGINFO = 0x4209;
  public static final int GETSIGMASK = 0x420a;
  public static final int SETSIGMASK = 0x420b;
  public static final int SECCOMP_GET_FILTER = 0x420c;
  public static final int SECCOMP_GET_METADATA = 0x420d;
  public static final int GET_SYSCALL_INFO = 0x420e;
  public static final int GET_RSEQ_CONFIGURATION = 0x420f;
  public static final int SET_SYSCALL_USER_DISPATCH_CONFIG = 0x4210;
  public static final int GET_SYSCALL_USER_DISPATCH_CONFIG = 0x4211;
  public static final int SET_SYSCALL_INFO = 0x4212;

  public static final long O_TRACESYSGOOD = 1;
  public static final long O_TRACEFORK = 2;
  public static final long O_TRACECLONE = 8;
  public static final long O_TRACEEXIT = 0x40;
  public static final long O_EXITKILL = 1 << 20;
  public static final long O_SUSPEND_SECCOMP = 1 << 21;

  public static final int NT_PRSTATUS = 1;
  public static final int NT_PRFPREG = 2;
  public static final int NT_X86_XSTATE = 0x202;
  public static final int NT_ARM_SYSTEM_CALL = 0x404;

  /// `__WALL`: wait4 for threads as well.
  public static final long WALL = 0x40000000L;

  public static final int WNOHANG = 1;

  private Ptrace() {}
}
