package dev.jcr.parasite.arch;

import static dev.jcr.parasite.arch.X8664Words.*;

import dev.jcr.image.v1.Arch;
import dev.jcr.parasite.linux.Syscall;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;

/// x86_64: number in rax, arguments in rdi rsi rdx r10 r8 r9; `syscall` destroys rcx and r11.
public record X8664Machine() implements Machine {
  private static final int ERESTART_RESTARTBLOCK = 516;
  private static final int[] ARGUMENTS = {RDI, RSI, RDX, R10, R8, R9};

  /// x86-64 register encodings, by word index; rsp and rax are loaded apart.
  private static final int[][] LOADS = {
    {RBX, 3}, {RCX, 1}, {RDX, 2}, {RSI, 6}, {RDI, 7}, {RBP, 5}, {R8, 8}, {R9, 9}, {R10, 10},
    {R11, 11}, {R12, 12}, {R13, 13}, {R14, 14}, {R15, 15}
  };

  @Override
  public Arch arch() {
    return Arch.ARCH_X86_64;
  }

  @Override
  public int words() {
    return COUNT;
  }

  @Override
  public long pc(long[] registers) {
    return registers[RIP];
  }

  @Override
  public long sp(long[] registers) {
    return registers[RSP];
  }

  @Override
  public long[] syscall(long[] base, long pc, int number, long... arguments) {
    long[] registers = base.clone();
    registers[RIP] = pc;
    registers[RAX] = number;
    // With orig_rax >= 0 the kernel would take a result of -512..-516 in rax for an interrupted
    // call and move rip back by two (arch/x86/kernel/signal.c).
    registers[ORIG_RAX] = -1;
    for (int i = 0; i < ARGUMENTS.length; i++) {
      registers[ARGUMENTS[i]] = i < arguments.length ? arguments[i] : 0;
    }
    return registers;
  }

  @Override
  public long[] withPc(long[] registers, long pc) {
    long[] changed = registers.clone();
    changed[RIP] = pc;
    return changed;
  }

  @Override
  public long[] withCodeArgument(long[] registers, long value) {
    long[] changed = registers.clone();
    changed[RBX] = value;
    return changed;
  }

  @Override
  public long[] withStack(long[] registers, long stack) {
    long[] changed = registers.clone();
    changed[RSP] = stack;
    return changed;
  }

  @Override
  public long[] restartInPlace(long[] live, long[] resume) {
    if (live[ORIG_RAX] < 0 || live[RAX] != -ERESTART_RESTARTBLOCK) {
      return resume;
    }
    long[] registers = live.clone();
    registers[RAX] = Syscall.RESTART_SYSCALL.number(arch());
    registers[RIP] -= 2;
    registers[ORIG_RAX] = -1;
    return registers;
  }

  @Override
  public long[] withArgument(long[] registers, int argument, long value) {
    long[] changed = registers.clone();
    changed[ARGUMENTS[argument]] = value;
    return changed;
  }

  @Override
  public long[] afterCall(long[] resume, long number, long result) {
    long[] registers = resume.clone();
    registers[RIP] += 2;
    registers[RAX] = result;
    registers[ORIG_RAX] = result <= -512 && result >= -ERESTART_RESTARTBLOCK ? number : -1;
    return registers;
  }

  @Override
  public long result(long[] registers) {
    return registers[RAX];
  }

  private static final byte[] SYSCALL_INSTRUCTION = {0x0f, 0x05};

  /// rbx: first record, rbp: end of the records, r12: pid, r13: tid, r14: signal.
  private static final byte[] BATCH = {
    0x48,
    0x39,
    (byte) 0xeb, // 0: cmp rbx, rbp
    0x74,
    0x27, // je 44
    0x48,
    (byte) 0x8b,
    0x03, // mov rax, [rbx]
    0x48,
    (byte) 0x8b,
    0x7b,
    0x08, // mov rdi, [rbx+8]
    0x48,
    (byte) 0x8b,
    0x73,
    0x10, // mov rsi, [rbx+16]
    0x48,
    (byte) 0x8b,
    0x53,
    0x18, // mov rdx, [rbx+24]
    0x4c,
    (byte) 0x8b,
    0x53,
    0x20, // mov r10, [rbx+32]
    0x4c,
    (byte) 0x8b,
    0x43,
    0x28, // mov r8, [rbx+40]
    0x4c,
    (byte) 0x8b,
    0x4b,
    0x30, // mov r9, [rbx+48]
    0x0f,
    0x05, // syscall
    0x48,
    (byte) 0x89,
    0x43,
    0x38, // mov [rbx+56], rax
    0x48,
    (byte) 0x83,
    (byte) 0xc3,
    0x40, // add rbx, 64
    (byte) 0xeb,
    (byte) 0xd4, // jmp 0
    (byte) 0xb8,
    (byte) 0xea,
    0,
    0,
    0, // 44: mov eax, 234 (tgkill)
    0x4c,
    (byte) 0x89,
    (byte) 0xe7, // mov rdi, r12
    0x4c,
    (byte) 0x89,
    (byte) 0xee, // mov rsi, r13
    0x4c,
    (byte) 0x89,
    (byte) 0xf2 // mov rdx, r14
  };

  @Override
  public byte[] syscallInstruction() {
    return SYSCALL_INSTRUCTION.clone();
  }

  @Override
  public byte[] syscallReturn() {
    return new byte[] {0x0f, 0x05, (byte) 0xc3};
  }

  /// mov rax, 15 or mov eax, 15; syscall.
  @Override
  public List<byte[]> signalReturns() {
    return List.of(
        new byte[] {0x48, (byte) 0xc7, (byte) 0xc0, 15, 0, 0, 0, 0x0f, 0x05},
        new byte[] {(byte) 0xb8, 15, 0, 0, 0, 0x0f, 0x05});
  }

  @Override
  public int instructionAlignment() {
    return 1;
  }

  /// The frame begins with the address to return to.
  @Override
  public long[] withReturn(long[] registers, long frame, long signalReturn) {
    return withStack(registers, frame);
  }

  @Override
  public byte[] batchCode() {
    return ByteBuffer.allocate(BATCH.length + 3)
        .put(BATCH)
        .put(SYSCALL_INSTRUCTION)
        .put((byte) 0xcc) // int3
        .array();
  }

  /// By rax, which no argument is passed in; a function of the vDSO returns its result there.
  @Override
  public byte[] jump(long function) {
    ByteBuffer code = ByteBuffer.allocate(12).order(ByteOrder.LITTLE_ENDIAN);
    load(code, 0, function);
    return code.put(new byte[] {(byte) 0xff, (byte) 0xe0}).array(); // jmp rax
  }

  @Override
  public byte[] callingFunction(int number) {
    return ByteBuffer.allocate(8)
        .order(ByteOrder.LITTLE_ENDIAN)
        .put((byte) 0xb8) // mov eax, number
        .putInt(number)
        .put(SYSCALL_INSTRUCTION)
        .put((byte) 0xc3) // ret
        .array();
  }

  @Override
  public int syscallOffset() {
    return BATCH.length;
  }

  @Override
  public long[] batch(
      long[] base, long code, long records, int count, int pid, int tid, int signal) {
    long[] registers = base.clone();
    registers[RIP] = code;
    registers[ORIG_RAX] = -1;
    registers[RBX] = records;
    registers[RBP] = records + 64L * count;
    registers[R12] = pid;
    registers[R13] = tid;
    registers[R14] = signal;
    return registers;
  }

  @Override
  public byte[] returningCode(long[] resume, long signalMask, FrameAt frame) {
    ByteBuffer code = ByteBuffer.allocate(512).order(ByteOrder.LITTLE_ENDIAN);
    code.put(BATCH);
    code.put(SYSCALL_INSTRUCTION);
    // The stack first: from the moment the mask is set, a handler may run on it.
    load(code, 4, resume[RSP]);
    load(code, 0, Syscall.RT_SIGPROCMASK.number(arch())); // rax
    load(code, 7, 2); // rdi = SIG_SETMASK
    code.put(new byte[] {0x48, (byte) 0x8d, 0x35}); // lea rsi, [rip + mask]
    int maskOperand = code.position();
    code.putInt(0);
    code.put(new byte[] {0x31, (byte) 0xd2}); // xor edx, edx
    load(code, 10, 8); // r10 = sizeof(sigset_t)
    code.put(SYSCALL_INSTRUCTION);
    long flags = resume[EFLAGS];
    // OF by an addition, the rest by sahf, which leaves OF alone; no stack, so no popf.
    code.put(new byte[] {(byte) 0xb0, (byte) ((flags & 0x800) != 0 ? 0x7f : 0)}); // mov al, ..
    code.put(new byte[] {0x04, 0x01}); // add al, 1
    code.put((byte) ((flags & 0x400) != 0 ? 0xfd : 0xfc)); // std / cld
    code.put(new byte[] {(byte) 0xb4, (byte) flags}); // mov ah, flags
    code.put((byte) 0x9e); // sahf
    for (int[] load : LOADS) {
      load(code, load[1], resume[load[0]]);
    }
    load(code, 0, resume[RAX]);
    code.put(new byte[] {(byte) 0xff, 0x25, 0, 0, 0, 0}); // jmp [rip + 0]
    code.putLong(resume[RIP]);
    int mask = code.position();
    code.putLong(signalMask);
    code.putInt(maskOperand, mask - (maskOperand + 4));
    byte[] bytes = new byte[code.position()];
    code.get(0, bytes);
    return bytes;
  }

  /// mov r64, imm64.
  private static void load(ByteBuffer code, int register, long value) {
    code.put((byte) (register >= 8 ? 0x49 : 0x48));
    code.put((byte) (0xb8 | (register & 7)));
    code.putLong(value);
  }
}
