package dev.jcr.parasite.arch;

import static dev.jcr.image.registers.Aarch64.ORIG_X0;
import static dev.jcr.image.registers.Aarch64.ORIG_X7;
import static dev.jcr.image.registers.Aarch64.PC;
import static dev.jcr.image.registers.Aarch64.PSTATE;
import static dev.jcr.image.registers.Aarch64.SP;

import dev.jcr.image.v1.Arch;
import dev.jcr.parasite.linux.Syscall;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;

/// aarch64: number in x8, arguments in x0 to x5, result in x0; a call destroys no other general
/// register. Registers are `struct user_pt_regs`, 34 words or, with orig_x0 and orig_x7, 36.
///
/// At an event stop the kernel has rewound an interrupted call already (arch/arm64/kernel/signal.c,
/// do_signal): the program counter is at `svc`, x0 is the first argument.
public record Aarch64Machine() implements Machine {
  /// `svc #0`.
  public static final int SVC = 0xd4000001;

  /// PSTATE.SS: the kernel's own, for single-stepping.
  private static final long PSTATE_SS = 1L << 21;

  /// PSTATE.BTYPE: set between an indirect branch and its target, where a guarded page wants a
  /// landing pad.
  private static final long PSTATE_BTYPE = 3L << 10;

  private static final int NUMBER = 8;
  private static final int LINK = 30;
  private static final long ERESTARTSYS = 512;
  private static final long ERESTARTNOHAND = 514;
  private static final long ERESTART_RESTARTBLOCK = 516;

  private static final int BRK = 0xd4200000;
  private static final int RET = 0xd65f03c0;

  /// A hint: no operation to a CPU that does not guard.
  private static final int BTI_C = 0xd503245f;

  private static final int NOP = 0xd503201f;

  /// ldr x16, at an offset of words in bits 5 and up.
  private static final int LOAD_X16 = 0x58000010;

  private static final int BR_X16 = 0xd61f0200;

  /// First record, end of the records, pid, tid, signal: registers that no call uses.
  private static final int RECORD = 19;

  private static final int END = 20;
  private static final int PID = 21;
  private static final int TID = 22;
  private static final int SIGNAL = 23;

  private static final int FRAME_ALIGNMENT = 16;

  @Override
  public Arch arch() {
    return Arch.ARCH_AARCH64;
  }

  @Override
  public int words() {
    return ORIG_X7 + 1;
  }

  /// Registers without what only a debugger puts into them.
  public static long[] withoutSingleStep(long[] registers) {
    long[] changed = registers.clone();
    changed[PSTATE] &= ~PSTATE_SS;
    return changed;
  }

  @Override
  public long pc(long[] registers) {
    return registers[PC];
  }

  @Override
  public long sp(long[] registers) {
    return registers[SP];
  }

  private static long[] at(long[] base, long pc) {
    long[] registers = base.clone();
    registers[PC] = pc;
    registers[PSTATE] &= ~(PSTATE_SS | PSTATE_BTYPE);
    return registers;
  }

  @Override
  public long[] syscall(long[] base, long pc, int number, long... arguments) {
    long[] registers = at(base, pc);
    registers[NUMBER] = number;
    for (int i = 0; i < 6; i++) {
      registers[i] = i < arguments.length ? arguments[i] : 0;
    }
    if (registers.length > ORIG_X0) {
      registers[ORIG_X0] = registers[0];
    }
    return registers;
  }

  @Override
  public long[] withPc(long[] registers, long pc) {
    long[] changed = registers.clone();
    changed[PC] = pc;
    return changed;
  }

  @Override
  public long[] withCodeArgument(long[] registers, long value) {
    long[] changed = registers.clone();
    changed[RECORD] = value;
    return changed;
  }

  @Override
  public long[] withStack(long[] registers, long stack) {
    long[] changed = registers.clone();
    changed[SP] = stack;
    return changed;
  }

  @Override
  public long[] withReturn(long[] registers, long frame, long signalReturn) {
    long[] changed = withStack(registers, frame);
    changed[LINK] = signalReturn;
    return changed;
  }

  /// What the kernel would do at the stop is in `live` already: nothing is left to it.
  @Override
  public long[] restartInPlace(long[] live, long[] resume) {
    return live;
  }

  @Override
  public long[] withArgument(long[] registers, int argument, long value) {
    long[] changed = registers.clone();
    changed[argument] = value;
    return changed;
  }

  /// In the event stop nothing of the kernel's is left that would restart the call, so the
  /// registers do: restart_syscall(2) where the kernel keeps the end of a sleep, else the call
  /// itself.
  @Override
  public long[] afterCall(long[] resume, long number, long result) {
    long[] registers = resume.clone();
    if (result == -ERESTART_RESTARTBLOCK) {
      registers[NUMBER] = Syscall.RESTART_SYSCALL.number(arch());
    } else if (result > -ERESTARTSYS || result < -ERESTARTNOHAND) {
      registers[0] = result;
      registers[PC] += Integer.BYTES;
    }
    return registers;
  }

  @Override
  public long result(long[] registers) {
    return registers[0];
  }

  @Override
  public byte[] syscallInstruction() {
    return code(SVC);
  }

  @Override
  public byte[] syscallReturn() {
    return code(SVC, RET);
  }

  /// mov x8, 139; svc: the C library has none, the vDSO has it.
  @Override
  public List<byte[]> signalReturns() {
    return List.of(code(move(NUMBER, Syscall.RT_SIGRETURN.number(arch())), SVC));
  }

  @Override
  public int instructionAlignment() {
    return Integer.BYTES;
  }

  /// By x16, which linkers' veneers use in the same way; `br x16` may land on the `bti c` that a
  /// function begins with, and `bti c` does nothing where nobody guards.
  @Override
  public byte[] jump(long function) {
    return code(
        BTI_C,
        LOAD_X16 | 3 << 5, // from three instructions on
        BR_X16,
        NOP,
        (int) function,
        (int) (function >>> 32));
  }

  @Override
  public byte[] callingFunction(int number) {
    return code(BTI_C, move(NUMBER, number), SVC, RET);
  }

  private static byte[] code(int... instructions) {
    ByteBuffer bytes =
        ByteBuffer.allocate(instructions.length * Integer.BYTES).order(ByteOrder.LITTLE_ENDIAN);
    for (int instruction : instructions) {
      bytes.putInt(instruction);
    }
    return bytes.array();
  }

  /// movz xN, immediate.
  private static int move(int register, int immediate) {
    return 0xd2800000 | immediate << 5 | register;
  }

  /// mov xN, xM.
  private static int copy(int register, int from) {
    return 0xaa0003e0 | from << 16 | register;
  }

  /// ldp xN, xN+1, [RECORD, offset].
  private static int loadPair(int register, int offset) {
    return 0xa9400000 | (offset / 8) << 15 | (register + 1) << 10 | RECORD << 5 | register;
  }

  private static final int[] BATCH = {
    0xeb00001f | END << 16 | RECORD << 5, // 0: cmp RECORD, END
    0x54000000 | 9 << 5, // b.eq 10
    0xf9400000 | RECORD << 5 | NUMBER, // ldr x8, [RECORD]
    loadPair(0, 8),
    loadPair(2, 24),
    loadPair(4, 40),
    SVC,
    0xf9000000 | (56 / 8) << 10 | RECORD << 5, // str x0, [RECORD, 56]
    0x91000000 | 64 << 10 | RECORD << 5 | RECORD, // add RECORD, RECORD, 64
    0x14000000 | (-9 & 0x3ffffff), // b 0
    move(NUMBER, 131), // 10: tgkill
    copy(0, PID),
    copy(1, TID),
    copy(2, SIGNAL),
    SVC
  };

  @Override
  public byte[] batchCode() {
    return ByteBuffer.allocate((BATCH.length + 1) * Integer.BYTES)
        .put(code(BATCH))
        .put(code(BRK))
        .array();
  }

  @Override
  public int syscallOffset() {
    return (BATCH.length - 1) * Integer.BYTES;
  }

  @Override
  public long[] batch(
      long[] base, long code, long records, int count, int pid, int tid, int signal) {
    long[] registers = at(base, code);
    registers[RECORD] = records;
    registers[END] = records + 64L * count;
    registers[PID] = pid;
    registers[TID] = tid;
    registers[SIGNAL] = signal;
    return registers;
  }

  /// No instruction jumps without a register that names the place, so rt_sigreturn(2) does it: it
  /// loads mask and registers at once from a frame that lies behind the code.
  @Override
  public byte[] returningCode(long[] resume, long signalMask, FrameAt frame) {
    int[] back = {
      0, // adr x9, frame
      0x9100013f, // mov sp, x9
      move(NUMBER, Syscall.RT_SIGRETURN.number(arch())),
      SVC
    };
    int adrAt = BATCH.length * Integer.BYTES;
    int length = adrAt + back.length * Integer.BYTES;
    int frameAt = (length + FRAME_ALIGNMENT - 1) & -FRAME_ALIGNMENT;
    int distance = frameAt - adrAt;
    back[0] = 0x10000009 | (distance & 3) << 29 | (distance >> 2) << 5;
    byte[] bytes = frame.at(frameAt);
    return ByteBuffer.allocate(frameAt + bytes.length)
        .put(code(BATCH))
        .put(code(back))
        .position(frameAt)
        .put(bytes)
        .array();
  }
}
