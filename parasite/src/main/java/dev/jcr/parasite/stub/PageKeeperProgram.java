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

/// A static ELF program that jcr writes itself: it keeps descriptors open, and makes system calls
/// for whoever rings. Descriptors that such a call makes (a userfaultfd of a forked child) are then
/// the keeper's: they last when jcr is killed in that very instant.
///
/// It shares memory with who rings (offsets from its start):
///
/// ```
///  64  struct pollfd: a pidfd at whose input it ends; a negative number for none
///  72  struct pollfd: the doorbell, an eventfd
///  80  4  number of the eventfd on which it answers
/// 128  56 number and six arguments of the call
/// 184  8  its result
/// ```
public final class PageKeeperProgram {
  /// The first word of its command line.
  public static final String NAME = "jcr-page-keeper";

  /// Where the shared memory is in the keeper.
  public static final long SHARED = 1L << 32;

  public static final int WATCHED = 64;
  public static final int DOORBELL = 72;
  public static final int ANSWER = 80;
  public static final int CALL = 128;
  public static final int RESULT = 184;

  private static final int SCRATCH = 192;
  private static final int ONE = 200;
  private static final short POLLIN = 1;
  private static final long BASE = 16 << 20;
  private static final int DATA = 0x78;
  private static final int CODE = 0xa0;
  private static final int PAGE = 4096;
  private static final int MFD_CLOEXEC = 1;

  /// Descriptors below may be in use by jcr and are inherited where they lack close-on-exec.
  private static final int FIRST_FD = 512;

  /// Seconds after which it looks at the shared memory again.
  private static final int SECONDS = 1;

  private PageKeeperProgram() {}

  /// What it keeps, as the numbers that the descriptors have in it.
  ///
  /// @param kept the first of them
  /// @param pid of the keeper, a child of jcr
  public record Started(int pid, int kept, int shared, int process, int doorbell, int answer) {}

  /// Starts it.
  ///
  /// @param kept what to keep open
  /// @param shared a file of `size` bytes, the shared memory; its first 256 bytes are set up
  /// @param process pidfd of a process at whose end the keeper ends
  /// @param words its command line behind [#NAME]
  public static Started start(
      Fd kept, Fd shared, long size, Fd process, Fd doorbell, Fd answer, List<String> words)
      throws SyscallException {
    try (Fd one = above(kept, FIRST_FD);
        Fd two = above(shared, one.number() + 1);
        Fd three = above(process, two.number() + 1);
        Fd four = above(doorbell, three.number() + 1);
        Fd five = above(answer, four.number() + 1);
        Arena arena = Arena.ofConfined();
        Fd file =
            new Fd(
                (int)
                    Kernel.call(
                        "create the page keeper program",
                        Syscall.MEMFD_CREATE,
                        arena.allocateFrom(NAME).address(),
                        MFD_CLOEXEC))) {
      int[] numbers = {one.number(), two.number(), three.number(), four.number(), five.number()};
      byte[] header =
          ByteBuffer.allocate(CALL - WATCHED)
              .order(ByteOrder.LITTLE_ENDIAN)
              .putInt(numbers[2])
              .putInt(POLLIN)
              .putInt(numbers[3])
              .putInt(POLLIN)
              .putInt(numbers[4])
              .array();
      shared.writeFully(arena.allocateFrom(JAVA_BYTE, header), WATCHED);
      shared.writeFully(arena.allocateFrom(JAVA_BYTE, new byte[] {1, 0, 0, 0, 0, 0, 0, 0}), ONE);
      file.writeFully(arena.allocateFrom(JAVA_BYTE, elf(Kernel.HOST, numbers, size)), 0);
      String[] line = new String[words.size() + 1];
      line[0] = NAME;
      for (int i = 0; i < words.size(); i++) {
        line[i + 1] = words.get(i);
      }
      int pid = Spawn.program("/proc/self/fd/" + file.number(), line);
      return new Started(pid, numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]);
    }
  }

  private static Fd above(Fd fd, int lowest) throws SyscallException {
    return new Fd(
        (int)
            Kernel.call(
                "duplicate a descriptor", Syscall.FCNTL, fd.number(), Fcntl.F_DUPFD, lowest));
  }

  /// The ELF file (elf(5)): header, one program header, struct timespec and "/", code. The page is
  /// not writable, so that ppoll(2) cannot write the time left into its timeout.
  ///
  /// @param kept ascending numbers of the descriptors to keep; the second is the shared memory
  static byte[] elf(Arch arch, int[] kept, long size) {
    boolean arm = arch == Arch.ARCH_AARCH64;
    ByteBuffer elf = ByteBuffer.allocate(PAGE).order(ByteOrder.LITTLE_ENDIAN);
    ElfHeader.put(elf, arch, BASE, CODE, ElfHeader.READ_EXECUTE, PAGE);
    elf.position(DATA).putLong(SECONDS).putLong(0).put((byte) '/').put((byte) 0);
    elf.position(CODE);
    call(arch, elf, Syscall.SETSID);
    call(arch, elf, Syscall.CHDIR, BASE + DATA + 16);
    int from = 0;
    for (int fd : kept) {
      if (fd > from) {
        call(arch, elf, Syscall.CLOSE_RANGE, from, fd - 1L, 0);
      }
      from = fd + 1;
    }
    call(arch, elf, Syscall.CLOSE_RANGE, from, 0xffffffffL, 0);
    // PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED
    call(arch, elf, Syscall.MMAP, SHARED, size, 3, 0x11, kept[1], 0);
    if (arm) {
      serveAarch64(elf);
    } else {
      serveX8664(elf);
    }
    return elf.array();
  }

  private static void serveX8664(ByteBuffer to) {
    put(to, 0x48, 0xbb).putLong(SHARED); // mov rbx
    int loop = to.position();
    put(to, 0x48, 0x8d, 0x7b, WATCHED); // lea rdi, [rbx + WATCHED]
    put(to, 0xbe).putInt(2); // mov esi
    put(to, 0x48, 0xba).putLong(BASE + DATA); // mov rdx
    put(to, 0x45, 0x31, 0xd2); // xor r10d, r10d
    put(to, 0x41, 0xb8).putInt(8); // mov r8d
    x8664Call(Syscall.PPOLL, to);
    put(to, 0xf6, 0x43, DOORBELL + 6, POLLIN); // test byte [rbx + revents], POLLIN
    put(to, 0x75, 0); // jnz rung
    int rung = to.position();
    put(to, 0x66, 0x83, 0x7b, WATCHED + 6, 0); // cmp word [rbx + revents], 0
    put(to, 0x74, loop - to.position() - 2); // je loop
    put(to, 0x31, 0xff); // xor edi, edi
    x8664Call(Syscall.EXIT_GROUP, to);
    to.put(rung - 1, (byte) (to.position() - rung));
    put(to, 0x8b, 0x7b, DOORBELL); // mov edi, [rbx + DOORBELL]
    put(to, 0x48, 0x8d, 0xb3).putInt(SCRATCH); // lea rsi, [rbx + SCRATCH]
    put(to, 0xba).putInt(8); // mov edx
    x8664Call(Syscall.READ, to);
    put(to, 0x66, 0xc7, 0x43, DOORBELL + 6, 0, 0); // mov word [rbx + revents], 0
    put(to, 0x48, 0x8b, 0x83).putInt(CALL); // mov rax, [rbx + CALL]
    int[][] registers = {
      {0x48, 0x8b, 0xbb}, {0x48, 0x8b, 0xb3}, {0x48, 0x8b, 0x93}, // rdi, rsi, rdx
      {0x4c, 0x8b, 0x93}, {0x4c, 0x8b, 0x83}, {0x4c, 0x8b, 0x8b} // r10, r8, r9
    };
    for (int i = 0; i < registers.length; i++) {
      put(to, registers[i]).putInt(CALL + 8 + 8 * i);
    }
    put(to, 0x0f, 0x05); // syscall
    put(to, 0x48, 0x89, 0x83).putInt(RESULT); // mov [rbx + RESULT], rax
    put(to, 0x8b, 0x7b, ANSWER); // mov edi, [rbx + ANSWER]
    put(to, 0x48, 0x8d, 0xb3).putInt(ONE); // lea rsi, [rbx + ONE]
    put(to, 0xba).putInt(8); // mov edx
    x8664Call(Syscall.WRITE, to);
    put(to, 0xe9).putInt(loop - to.position() - 4); // jmp loop
  }

  private static void x8664Call(Syscall call, ByteBuffer to) {
    put(to, 0xb8).putInt(call.number(Arch.ARCH_X86_64)); // mov eax
    put(to, 0x0f, 0x05); // syscall
  }

  private static void serveAarch64(ByteBuffer to) {
    move(19, SHARED, to);
    int loop = to.position();
    to.putInt(0x91000000 | WATCHED << 10 | 19 << 5); // add x0, x19, #WATCHED
    move(1, 2, to);
    move(2, BASE + DATA, to);
    move(3, 0, to);
    move(4, 8, to);
    aarch64Call(Syscall.PPOLL, to);
    to.putInt(0x79400000 | offset(DOORBELL + 6, 2) | 9); // ldrh w9, [x19, #revents]
    int rung = to.position();
    to.putInt(0); // tbnz w9, #0, rung
    to.putInt(0x79400000 | offset(WATCHED + 6, 2) | 9); // ldrh w9, [x19, #revents]
    to.putInt(0x34000000 | ((loop - to.position()) / 4 & 0x7ffff) << 5 | 9); // cbz w9, loop
    move(0, 0, to);
    aarch64Call(Syscall.EXIT_GROUP, to);
    to.putInt(rung, 0x37000000 | ((to.position() - rung) / 4) << 5 | 9);
    to.putInt(0xb9400000 | offset(DOORBELL, 4)); // ldr w0, [x19, #DOORBELL]
    to.putInt(0x91000000 | SCRATCH << 10 | 19 << 5 | 1); // add x1, x19, #SCRATCH
    move(2, 8, to);
    aarch64Call(Syscall.READ, to);
    to.putInt(0x79000000 | offset(DOORBELL + 6, 2) | 31); // strh wzr, [x19, #revents]
    to.putInt(0xf9400000 | offset(CALL, 8) | 8); // ldr x8, [x19, #CALL]
    for (int i = 0; i < 6; i++) {
      to.putInt(0xf9400000 | offset(CALL + 8 + 8 * i, 8) | i); // ldr xI, [x19, #argument]
    }
    to.putInt(0xd4000001); // svc #0
    to.putInt(0xf9000000 | offset(RESULT, 8)); // str x0, [x19, #RESULT]
    to.putInt(0xb9400000 | offset(ANSWER, 4)); // ldr w0, [x19, #ANSWER]
    to.putInt(0x91000000 | ONE << 10 | 19 << 5 | 1); // add x1, x19, #ONE
    move(2, 8, to);
    aarch64Call(Syscall.WRITE, to);
    to.putInt(0x14000000 | ((loop - to.position()) / 4 & 0x3ffffff)); // b loop
  }

  /// Of a load or store, from x19.
  private static int offset(int bytes, int unit) {
    return (bytes / unit) << 10 | 19 << 5;
  }

  private static void aarch64Call(Syscall call, ByteBuffer to) {
    move(8, call.number(Arch.ARCH_AARCH64), to);
    to.putInt(0xd4000001); // svc #0
  }

  private static ByteBuffer put(ByteBuffer to, int... bytes) {
    for (int each : bytes) {
      to.put((byte) each);
    }
    return to;
  }

  /// A system call with constant arguments.
  private static void call(Arch arch, ByteBuffer to, Syscall number, long... arguments) {
    KeeperProgram.code(
        arch == Arch.ARCH_AARCH64, arch, new KeeperProgram.Call(number, arguments), to);
  }

  private static void move(int register, long value, ByteBuffer to) {
    KeeperProgram.move(register, value, to);
  }
}
