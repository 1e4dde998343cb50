package dev.jcr.parasite.stub;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import dev.jcr.image.v1.Arch;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Prctl;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/// A static ELF program that jcr writes itself: PID 1 of a pid namespace that is made for one
/// process, its child. It has one page of memory.
///
/// It waits for children until none is left, its own and those that were orphaned in the namespace,
/// and then ends with the exit code of that process, or 128 + the number of the signal that killed
/// it. What wait(2) says of the process (stops too) it writes to descriptor 0, if that is open. It
/// passes nothing on, and no signal but SIGKILL and SIGSTOP from outside does anything to it; its
/// end is the end of everybody in the namespace.
public final class InitProgram {
  /// The first word of its command line, and its name.
  public static final String NAME = "jcr-init";

  private static final long BASE = 16 << 20;

  /// The wait status; behind it 32 zero bytes, and the name.
  private static final int STATUS = ElfHeader.SIZE;

  private static final int ACTION = STATUS + 8;
  private static final int TITLE = ACTION + 32;
  private static final int CODE = TITLE + 16;
  private static final int PAGE = 4096;
  private static final int MFD_CLOEXEC = 1;
  private static final int SIGCHLD = 17;

  /// WUNTRACED | __WALL
  private static final long WAIT = 0x4000_0002L;

  private InitProgram() {}

  /// The program as a file of jcr's, to be executed by way of `/proc/PID/fd`.
  ///
  /// @param child pid, in the new namespace, of the process that it is made for
  public static Fd file(int child) throws SyscallException {
    try (Arena arena = Arena.ofConfined()) {
      Fd file =
          new Fd(
              (int)
                  Kernel.call(
                      "create the init program",
                      Syscall.MEMFD_CREATE,
                      arena.allocateFrom(NAME).address(),
                      MFD_CLOEXEC));
      file.writeFully(arena.allocateFrom(JAVA_BYTE, elf(Kernel.HOST, child)), 0);
      return file;
    }
  }

  /// The ELF file (elf(5)): header, one program header, data, code.
  static byte[] elf(Arch arch, int child) {
    boolean arm = arch == Arch.ARCH_AARCH64;
    // wait4(2) writes into the page.
    ByteBuffer elf = ByteBuffer.allocate(PAGE).order(ByteOrder.LITTLE_ENDIAN);
    ElfHeader.put(elf, arch, BASE, CODE, ElfHeader.ALL, PAGE);
    for (int i = 0; i < NAME.length(); i++) {
      elf.put(TITLE + i, (byte) NAME.charAt(i));
    }
    elf.position(CODE);
    call(arch, elf, Syscall.PRCTL, Prctl.SET_NAME, BASE + TITLE);
    // Were it ignored, as it may be where jcr was started, nobody could be waited for.
    call(arch, elf, Syscall.RT_SIGACTION, SIGCHLD, BASE + ACTION, 0, 8);
    if (arm) {
      aarch64(elf, child);
    } else {
      x8664(elf, child);
    }
    return elf.array();
  }

  private static void x8664(ByteBuffer to, int child) {
    Arch arch = Arch.ARCH_X86_64;
    put(to, 0x45, 0x31, 0xe4); // xor r12d, r12d
    put(to, 0x48, 0xbb).putLong(BASE + STATUS); // mov rbx
    int loop = to.position();
    call(arch, to, Syscall.WAIT4, -1, BASE + STATUS, WAIT, 0);
    put(to, 0x48, 0x85, 0xc0); // test rax, rax
    put(to, 0x0f, 0x88).putInt(0); // js end
    int failed = to.position();
    put(to, 0x3d).putInt(child); // cmp eax
    put(to, 0x0f, 0x85).putInt(loop - to.position() - 4); // jne loop
    call(arch, to, Syscall.WRITE, 0, BASE + STATUS, 4);
    put(to, 0x8b, 0x03); // mov eax, [rbx]
    put(to, 0x3c, 0x7f); // cmp al, 0x7f: it is stopped
    put(to, 0x0f, 0x84).putInt(loop - to.position() - 4); // je loop
    put(to, 0x41, 0x89, 0xc4); // mov r12d, eax
    put(to, 0x41, 0xc1, 0xec, 8); // shr r12d, 8
    put(to, 0x41, 0x81, 0xe4).putInt(0xff); // and r12d, 0xff
    put(to, 0x83, 0xe0, 0x7f); // and eax, 0x7f: the signal
    put(to, 0x0f, 0x84).putInt(loop - to.position() - 4); // je loop
    put(to, 0x05).putInt(128); // add eax, 128
    put(to, 0x41, 0x89, 0xc4); // mov r12d, eax
    put(to, 0xe9).putInt(loop - to.position() - 4); // jmp loop
    to.putInt(failed - 4, to.position() - failed);
    put(to, 0x44, 0x89, 0xe7); // mov edi, r12d
    put(to, 0xb8).putInt(Syscall.EXIT_GROUP.number(arch)); // mov eax
    put(to, 0x0f, 0x05); // syscall
  }

  private static void aarch64(ByteBuffer to, int child) {
    Arch arch = Arch.ARCH_AARCH64;
    KeeperProgram.move(19, 0, to);
    KeeperProgram.move(20, BASE + STATUS, to);
    int loop = to.position();
    call(arch, to, Syscall.WAIT4, -1, BASE + STATUS, WAIT, 0);
    int failed = to.position();
    to.putInt(0); // tbnz x0, #63, end
    KeeperProgram.move(9, child, to);
    to.putInt(0x6b09001f); // cmp w0, w9
    branch(to, 1, loop); // b.ne loop
    call(arch, to, Syscall.WRITE, 0, BASE + STATUS, 4);
    to.putInt(0xb9400289); // ldr w9, [x20]
    to.putInt(0x12001d2a); // and w10, w9, #0xff
    to.putInt(0x7101fd5f); // cmp w10, #0x7f: it is stopped
    branch(to, 0, loop); // b.eq loop
    to.putInt(0x53083d33); // ubfx w19, w9, #8, #8
    to.putInt(0x7200192a); // ands w10, w9, #0x7f: the signal
    branch(to, 0, loop); // b.eq loop
    to.putInt(0x11020153); // add w19, w10, #128
    to.putInt(0x14000000 | ((loop - to.position()) / 4 & 0x3ffffff)); // b loop
    to.putInt(failed, 0xb7f80000 | ((to.position() - failed) / 4) << 5);
    to.putInt(0x2a1303e0); // mov w0, w19
    KeeperProgram.move(8, Syscall.EXIT_GROUP.number(arch), to);
    to.putInt(0xd4000001); // svc #0
  }

  /// A conditional branch.
  private static void branch(ByteBuffer to, int condition, int target) {
    to.putInt(0x54000000 | ((target - to.position()) / 4 & 0x7ffff) << 5 | condition);
  }

  private static void call(Arch arch, ByteBuffer to, Syscall number, long... arguments) {
    KeeperProgram.code(
        arch == Arch.ARCH_AARCH64, arch, new KeeperProgram.Call(number, arguments), to);
  }

  private static ByteBuffer put(ByteBuffer to, int... bytes) {
    for (int each : bytes) {
      to.put((byte) each);
    }
    return to;
  }
}
