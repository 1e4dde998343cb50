package dev.jcr.parasite.stub;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import dev.jcr.image.v1.Arch;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Spawn;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;

/// A static ELF program that jcr writes itself: it keeps one descriptor open for as long as another
/// process lives, and does nothing else. It needs one page of memory and no processor time.
///
/// It leaves session and folder of whoever started jcr, and closes every other descriptor; it ends
/// when the process ends, or when it is killed, which harms nobody.
public final class KeeperProgram {
  /// The first word of its command line.
  public static final String NAME = "jcr-keeper";

  private static final long BASE = 16 << 20;
  private static final int DATA = 0x78;
  private static final int CODE = 0x90;
  private static final int PAGE = 4096;
  private static final int POLLIN = 1;
  private static final int MFD_CLOEXEC = 1;

  /// Descriptors below may be in use by jcr and are inherited where they lack close-on-exec.
  private static final int FIRST_FD = 512;

  /// A system call with constant arguments.
  @SuppressWarnings("ArrayRecordComponent") // never compared
  record Call(Syscall number, long... arguments) {}

  private KeeperProgram() {}

  /// Starts it.
  ///
  /// @param kept what to keep open
  /// @param pidFd of the process at whose end the keeper ends
  /// @param words its command line behind [#NAME], by which it is found again
  /// @return its pid; a child of jcr
  public static int start(Fd kept, Fd pidFd, List<String> words) throws SyscallException {
    try (Fd inheritedKept = inheritable(kept);
        Fd inheritedPid = inheritable(pidFd);
        Arena arena = Arena.ofConfined();
        Fd file =
            new Fd(
                (int)
                    Kernel.call(
                        "create the keeper program",
                        Syscall.MEMFD_CREATE,
                        arena.allocateFrom(NAME).address(),
                        MFD_CLOEXEC))) {
      byte[] elf = elf(Kernel.HOST, inheritedKept.number(), inheritedPid.number());
      file.writeFully(arena.allocateFrom(JAVA_BYTE, elf), 0);
      String[] line = new String[words.size() + 1];
      line[0] = NAME;
      for (int i = 0; i < words.size(); i++) {
        line[i + 1] = words.get(i);
      }
      return Spawn.program("/proc/self/fd/" + file.number(), line);
    }
  }

  private static Fd inheritable(Fd fd) throws SyscallException {
    return new Fd(
        (int)
            Kernel.call(
                "duplicate a descriptor", Syscall.FCNTL, fd.number(), Fcntl.F_DUPFD, FIRST_FD));
  }

  /// The program as bytes, for one that is started from a file.
  ///
  /// @param kept number of a descriptor to keep open
  /// @param watched number of a descriptor at whose first input it ends
  public static byte[] bytes(int kept, int watched) {
    return elf(Kernel.HOST, kept, watched);
  }

  /// The ELF file (elf(5)): header, one program header, struct pollfd and "/", code.
  static byte[] elf(Arch arch, int kept, int pidFd) {
    int low = Math.min(kept, pidFd);
    int high = Math.max(kept, pidFd);
    List<Call> before =
        List.of(
            new Call(Syscall.SETSID),
            new Call(Syscall.CHDIR, BASE + DATA + 8),
            new Call(Syscall.CLOSE_RANGE, 0, low - 1, 0),
            new Call(Syscall.CLOSE_RANGE, low + 1L, high - 1L, 0),
            new Call(Syscall.CLOSE_RANGE, high + 1L, 0xffffffffL, 0));
    Call wait = new Call(Syscall.PPOLL, BASE + DATA, 1, 0, 0, 8);
    Call end = new Call(Syscall.EXIT, 0);
    // ppoll(2) writes into the page.
    ByteBuffer elf = ByteBuffer.allocate(PAGE).order(ByteOrder.LITTLE_ENDIAN);
    ElfHeader.put(elf, arch, BASE, CODE, ElfHeader.ALL, PAGE);
    boolean arm = arch == Arch.ARCH_AARCH64;
    elf.position(DATA).putInt(pidFd).putShort((short) POLLIN).putShort((short) 0);
    elf.put((byte) '/').put((byte) 0);
    elf.position(CODE);
    before.forEach(call -> code(arm, arch, call, elf));
    int loop = elf.position();
    code(arm, arch, wait, elf);
    if (arm) {
      elf.putInt(0xf100041f); // cmp x0, #1
      elf.putInt(0x54000001 | ((loop - elf.position()) / 4 & 0x7ffff) << 5); // b.ne loop
    } else {
      elf.put(new byte[] {0x48, (byte) 0x83, (byte) 0xf8, 1}); // cmp rax, 1
      elf.put((byte) 0x75).put((byte) (loop - elf.position() - 1)); // jne loop
    }
    code(arm, arch, end, elf);
    return elf.array();
  }

  static void code(boolean arm, Arch arch, Call call, ByteBuffer to) {
    if (arm) {
      for (int i = 0; i < call.arguments.length; i++) {
        move(i, call.arguments[i], to);
      }
      move(8, call.number.number(arch), to);
      to.putInt(0xd4000001); // svc #0
      return;
    }
    // mov r64, imm64 to rdi, rsi, rdx, r10, r8, r9
    byte[][] registers = {
      {0x48, (byte) 0xbf}, {0x48, (byte) 0xbe}, {0x48, (byte) 0xba},
      {0x49, (byte) 0xba}, {0x49, (byte) 0xb8}, {0x49, (byte) 0xb9}
    };
    for (int i = 0; i < call.arguments.length; i++) {
      to.put(registers[i]).putLong(call.arguments[i]);
    }
    to.put((byte) 0xb8).putInt(call.number.number(arch)); // mov eax
    to.put((byte) 0x0f).put((byte) 0x05); // syscall
  }

  /// movz, then movk for the upper halves.
  static void move(int register, long value, ByteBuffer to) {
    for (int half = 0; half < 4; half++) {
      int bits = (int) ((value >>> (16 * half)) & 0xffff);
      int operation = half == 0 ? 0xd2800000 : 0xf2800000;
      to.putInt(operation | half << 21 | bits << 5 | register);
    }
  }
}
