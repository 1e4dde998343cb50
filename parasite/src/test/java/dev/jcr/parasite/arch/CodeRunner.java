package dev.jcr.parasite.arch;

import static dev.jcr.parasite.arch.X8664Words.*;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;

/// Interprets the few x86-64 instructions of which jcr makes injected code, from the Intel SDM's
/// encodings (volume 2), and knows no other. The n-th system call returns 1000 + n.
final class CodeRunner {
  /// Word of the registers 0 to 15 in the encoding of instructions.
  static final int[] WORDS = {
    RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15
  };

  /// The flags that jcr puts back: CF, PF, AF, ZF, SF, DF, OF.
  static final long STATUS = 0xcd5;

  private static final int AX = 0;
  private static final int AX_HIGH_SHIFT = 8;
  private static final int CX = 1;
  private static final int DX = 2;
  private static final int SP = 4;
  private static final int SI = 6;
  private static final int DI = 7;
  private static final long ZF = 0x40;
  private static final long DF = 0x400;
  private static final long OF = 0x800;
  private static final long SAHF = 0xd5;

  private final long codeAt;
  private final ByteBuffer code;
  private final long dataAt;
  private final ByteBuffer data;
  private final List<List<Long>> calls = new ArrayList<>();
  private final List<Long> afterCalls = new ArrayList<>();
  private final long[] r = new long[16];
  private long rip;
  private long flags;
  private long stackAtLastCall;
  private boolean trapped;

  CodeRunner(long codeAt, byte[] code, long dataAt, int dataSize) {
    this.codeAt = codeAt;
    this.code = ByteBuffer.wrap(code).order(ByteOrder.LITTLE_ENDIAN);
    this.dataAt = dataAt;
    this.data = ByteBuffer.allocate(dataSize).order(ByteOrder.LITTLE_ENDIAN);
  }

  /// Number and six arguments of a batch's record.
  CodeRunner record(int index, long... words) {
    for (int i = 0; i < words.length; i++) {
      data.putLong(64 * index + 8 * i, words[i]);
    }
    return this;
  }

  long result(int index) {
    return data.getLong(64 * index + 56);
  }

  /// Number and arguments of each call.
  List<List<Long>> calls() {
    return calls;
  }

  /// Program counter behind a call.
  long afterCall(int index) {
    return afterCalls.get(index);
  }

  /// rt_sigprocmask(SIG_SETMASK, the mask in the code, NULL, 8), wherever the mask lies.
  List<Long> maskCall() {
    return List.of(14L, 2L, calls.getLast().get(2), 0L, 8L, r8AtMaskCall(), r9AtMaskCall());
  }

  private long r8AtMaskCall() {
    return calls.getLast().get(5);
  }

  private long r9AtMaskCall() {
    return calls.getLast().get(6);
  }

  /// What the last call's second argument points at.
  long lastMask() {
    return load(calls.getLast().get(2));
  }

  long stackAtLastCall() {
    return stackAtLastCall;
  }

  long[] registers() {
    long[] registers = new long[COUNT];
    for (int i = 0; i < r.length; i++) {
      registers[WORDS[i]] = r[i];
    }
    registers[RIP] = rip;
    registers[EFLAGS] = flags;
    return registers;
  }

  /// Runs from `registers` until the code is left, or to a breakpoint in it.
  void run(long[] registers) {
    for (int i = 0; i < r.length; i++) {
      r[i] = registers[WORDS[i]];
    }
    rip = registers[RIP];
    // What comes back must have been loaded, not left over.
    flags = registers[EFLAGS] ^ STATUS;
    for (int steps = 0; !trapped && rip >= codeAt && rip < codeAt + code.capacity(); steps++) {
      if (steps > 1000) {
        throw new IllegalStateException("no end");
      }
      step();
    }
  }

  private int next() {
    return Byte.toUnsignedInt(code.get(offset(rip++)));
  }

  private byte nextSigned() {
    return (byte) next();
  }

  private int nextInt() {
    int value = code.getInt(offset(rip));
    rip += 4;
    return value;
  }

  private int offset(long address) {
    return Math.toIntExact(address - codeAt);
  }

  private void step() {
    int opcode = next();
    int rex = 0;
    if ((opcode & 0xf0) == 0x40) {
      rex = opcode;
      opcode = next();
    }
    boolean wide = (rex & 8) != 0;
    int regHigh = (rex & 4) << 1;
    int rmHigh = (rex & 1) << 3;
    switch (opcode) {
      case 0x04 -> {
        int sum = (byte) r[AX] + nextSigned();
        flags = sum > 127 || sum < -128 ? flags | OF : flags & ~OF;
        r[AX] = (r[AX] & ~0xffL) | (sum & 0xff);
      }
      case 0x0f -> {
        require(next() == 0x05, "syscall");
        syscall();
      }
      case 0x31 -> {
        int modrm = next();
        require(mode(modrm) == 3 && !wide && reg(modrm, 0) == rm(modrm, 0), "xor r, r");
        r[rm(modrm, 0)] = 0;
        flags = (flags & ~OF) | ZF;
      }
      case 0x39 -> {
        int modrm = next();
        require(mode(modrm) == 3 && wide, "cmp r64, r64");
        boolean equal = r[rm(modrm, rmHigh)] == r[reg(modrm, regHigh)];
        flags = equal ? flags | ZF : flags & ~ZF;
      }
      case 0x74 -> {
        byte distance = nextSigned();
        rip += (flags & ZF) != 0 ? distance : 0;
      }
      case 0x83 -> {
        int modrm = next();
        require(mode(modrm) == 3 && reg(modrm, 0) == 0 && wide, "add r64, imm8");
        r[rm(modrm, rmHigh)] += nextSigned();
      }
      case 0x89 -> {
        require(wide, "mov r/m64, r64");
        int modrm = next();
        long value = r[reg(modrm, regHigh)];
        if (mode(modrm) == 3) {
          r[rm(modrm, rmHigh)] = value;
        } else {
          store(address(modrm, rmHigh), value);
        }
      }
      case 0x8b -> {
        require(wide, "mov r64, m64");
        int modrm = next();
        r[reg(modrm, regHigh)] = load(address(modrm, rmHigh));
      }
      case 0x8d -> {
        int modrm = next();
        require(wide && (modrm & 0xc7) == 0x05, "lea r64, [rip + disp32]");
        int displacement = nextInt();
        r[reg(modrm, regHigh)] = rip + displacement;
      }
      case 0x9e -> flags = (flags & ~SAHF) | ((r[AX] >>> AX_HIGH_SHIFT) & SAHF);
      case 0xb0 -> r[AX] = (r[AX] & ~0xffL) | next();
      case 0xb4 -> r[AX] = (r[AX] & ~0xff00L) | ((long) next() << AX_HIGH_SHIFT);
      case 0xb8, 0xb9, 0xba, 0xbb, 0xbc, 0xbd, 0xbe, 0xbf -> {
        int register = rm(opcode, rmHigh);
        if (wide) {
          r[register] = code.getLong(offset(rip));
          rip += 8;
        } else {
          r[register] = Integer.toUnsignedLong(nextInt());
        }
      }
      case 0xcc -> trapped = true;
      case 0xeb -> {
        byte distance = nextSigned();
        rip += distance;
      }
      case 0xfc -> flags &= ~DF;
      case 0xfd -> flags |= DF;
      case 0xff -> {
        require(next() == 0x25, "jmp [rip + disp32]");
        int displacement = nextInt();
        rip = load(rip + displacement);
      }
      default ->
          throw new IllegalStateException("opcode 0x%x at +%d".formatted(opcode, offset(rip)));
    }
  }

  private static int mode(int modrm) {
    return modrm >> 6;
  }

  private static int reg(int modrm, int high) {
    return ((modrm >> 3) & 7) | high;
  }

  private static int rm(int modrm, int high) {
    return (modrm & 7) | high;
  }

  private long address(int modrm, int rmHigh) {
    int base = rm(modrm, 0);
    boolean displaced = mode(modrm) == 1;
    require(base != 4 && (displaced || (mode(modrm) == 0 && base != 5)), "[r + disp8]");
    return r[base | rmHigh] + (displaced ? nextSigned() : 0);
  }

  private void syscall() {
    calls.add(List.of(r[AX], r[DI], r[SI], r[DX], r[10], r[8], r[9]));
    stackAtLastCall = r[SP];
    afterCalls.add(rip);
    // What the instruction itself destroys.
    r[CX] = rip;
    r[11] = flags;
    r[AX] = 999L + calls.size();
  }

  private long load(long address) {
    return address >= codeAt && address < codeAt + code.capacity()
        ? code.getLong(offset(address))
        : data.getLong(Math.toIntExact(address - dataAt));
  }

  private void store(long address, long value) {
    data.putLong(Math.toIntExact(address - dataAt), value);
  }

  private static void require(boolean condition, String form) {
    if (!condition) {
      throw new IllegalStateException("not of the form " + form);
    }
  }
}
