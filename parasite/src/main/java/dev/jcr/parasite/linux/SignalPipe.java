package dev.jcr.parasite.linux;

import dev.jcr.image.v1.Arch;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayDeque;
import java.util.Deque;

/// Signals sent to jcr, as data instead of as interruptions: any number of any kinds, also those
/// that the JVM keeps for itself (SIGQUIT, SIGUSR2), which `sun.misc.Signal` refuses.
///
/// The handler is a few instructions that write the start of the siginfo_t to a pipe and return. It
/// needs no stack, touches nothing of the thread it interrupts, and so may run on any of them. (A
/// signalfd would need the signals blocked in every thread, and those of the JVM unblock them.)
public final class SignalPipe implements AutoCloseable {
  /// A signal, and whether the kernel raised it for a key pressed on the terminal.
  public record Received(int number, boolean fromTerminal) {}

  private record Previous(int signal, MemorySegment action) {}

  /// si_signo, si_errno, si_code and padding: what the handler writes.
  private static final int RECORD_BYTES = 16;

  /// `struct kernel_sigaction`: handler, flags, restorer, mask. The same on both architectures.
  private static final int ACTION_BYTES = 32;

  private static final int MASK_BYTES = 8;
  private static final long SA_SIGINFO = 4;
  private static final long SA_RESTORER = 0x04000000;
  private static final long SA_ONSTACK = 0x08000000;
  private static final long SA_RESTART = 0x10000000;
  private static final int SI_KERNEL = 0x80;
  private static final long SIG_IGN = 1;

  private static final int MFD_CLOEXEC = 1;
  private static final int PROT_READ = 1;
  private static final int PROT_EXEC = 4;
  private static final int MAP_PRIVATE = 2;
  private static final int CODE_BYTES = 4096;

  /// Where in the code the way back from the handler lies.
  private static final int RESTORER_OFFSET = 32;

  private final Arena arena = Arena.ofShared();
  private final MemorySegment buffer = arena.allocate(RECORD_BYTES);
  private final Deque<Previous> previous = new ArrayDeque<>();
  private final Fd readEnd;
  private final Fd writeEnd;
  private final long code;

  /// Catches `signals` until [#close], but for those that jcr was told to ignore (nohup, a shell's
  /// background job).
  public SignalPipe(int... signals) throws SyscallException {
    MemorySegment ends = arena.allocate(ValueLayout.JAVA_INT, 2);
    Kernel.call("make a pipe", Syscall.PIPE2, ends.address(), Fd.O_CLOEXEC);
    readEnd = new Fd(ends.getAtIndex(ValueLayout.JAVA_INT, 0));
    writeEnd = new Fd(ends.getAtIndex(ValueLayout.JAVA_INT, 1));
    // A handler must not wait: a pipe that is full loses signals, as a full queue of the kernel
    // would.
    Kernel.call(
        "set flags of a pipe",
        Syscall.FCNTL,
        writeEnd.number(),
        Fcntl.F_SETFL,
        OpenFlags.O_NONBLOCK);
    code = load(handler(writeEnd.number()));
    MemorySegment action = arena.allocate(ACTION_BYTES, 8);
    action.set(ValueLayout.JAVA_LONG, 0, code);
    action.set(ValueLayout.JAVA_LONG, 8, SA_SIGINFO | SA_RESTORER | SA_ONSTACK | SA_RESTART);
    action.set(ValueLayout.JAVA_LONG, 16, code + RESTORER_OFFSET);
    for (int signal : signals) {
      MemorySegment old = arena.allocate(ACTION_BYTES, 8);
      String what = "catch signal " + signal;
      Kernel.call(what, Syscall.RT_SIGACTION, signal, 0, old.address(), MASK_BYTES);
      if (old.get(ValueLayout.JAVA_LONG, 0) == SIG_IGN) {
        continue;
      }
      Kernel.call(what, Syscall.RT_SIGACTION, signal, action.address(), 0, MASK_BYTES);
      previous.push(new Previous(signal, old));
    }
  }

  /// The handler for this machine, and at [#RESTORER_OFFSET] the way back from it.
  static ByteBuffer handler(int fd) {
    ByteBuffer bytes = ByteBuffer.allocate(48).order(ByteOrder.LITTLE_ENDIAN);
    if (Kernel.HOST == Arch.ARCH_X86_64) {
      bytes.put((byte) 0xb8).putInt(Syscall.WRITE.number(Kernel.HOST)); // mov eax, write
      bytes.put((byte) 0xbf).putInt(fd); // mov edi, fd
      bytes.put((byte) 0xba).putInt(RECORD_BYTES); // mov edx, 16; rsi is the siginfo_t
      bytes.put((byte) 0x0f).put((byte) 0x05); // syscall
      bytes.put((byte) 0xc3); // ret
      bytes.position(RESTORER_OFFSET);
      bytes.put((byte) 0xb8).putInt(Syscall.RT_SIGRETURN.number(Kernel.HOST)); // mov eax, sigreturn
      bytes.put((byte) 0x0f).put((byte) 0x05); // syscall
    } else {
      bytes.putInt(0x52800000 | fd << 5); // mov w0, #fd; x1 is the siginfo_t
      bytes.putInt(0x52800002 | RECORD_BYTES << 5); // mov w2, #16
      bytes.putInt(0x52800008 | Syscall.WRITE.number(Kernel.HOST) << 5); // mov w8, #write
      bytes.putInt(0xd4000001); // svc #0
      bytes.putInt(0xd65f03c0); // ret
      bytes.position(RESTORER_OFFSET);
      bytes.putInt(
          0x52800008 | Syscall.RT_SIGRETURN.number(Kernel.HOST) << 5); // mov w8, #sigreturn
      bytes.putInt(0xd4000001); // svc #0
    }
    return bytes.position(0);
  }

  /// Maps `bytes` as code, by way of a file in memory: no page is ever writable and executable.
  private static long load(ByteBuffer bytes) throws SyscallException {
    try (Arena scratch = Arena.ofConfined()) {
      MemorySegment source = scratch.allocate(bytes.remaining());
      source.copyFrom(MemorySegment.ofBuffer(bytes));
      try (Fd file =
          new Fd(
              (int)
                  Kernel.call(
                      "make a file in memory",
                      Syscall.MEMFD_CREATE,
                      scratch.allocateFrom("jcr signals").address(),
                      MFD_CLOEXEC))) {
        file.writeFully(source, 0);
        return Kernel.call(
            "map a signal handler",
            Syscall.MMAP,
            0,
            CODE_BYTES,
            PROT_READ | PROT_EXEC,
            MAP_PRIVATE,
            file.number(),
            0);
      }
    }
  }

  /// Waits for the next signal. One thread at a time.
  public Received take() throws SyscallException {
    while (true) {
      long count = Kernel.raw(Syscall.READ, readEnd.number(), buffer.address(), buffer.byteSize());
      if (count == RECORD_BYTES) {
        return new Received(
            buffer.get(ValueLayout.JAVA_INT, 0), buffer.get(ValueLayout.JAVA_INT, 8) == SI_KERNEL);
      }
      if (count != -Errno.EINTR) {
        throw new SyscallException("read signals", Syscall.READ, (int) Math.max(-count, Errno.EIO));
      }
    }
  }

  /// Makes a [#take] on another thread return a signal of number 0.
  public void wake() {
    try (Arena scratch = Arena.ofConfined()) {
      long nothing = scratch.allocate(RECORD_BYTES).address();
      Kernel.raw(Syscall.WRITE, writeEnd.number(), nothing, RECORD_BYTES);
    }
  }

  /// Puts the former handlers back. No thread may be in [#take].
  @Override
  public void close() {
    while (!previous.isEmpty()) {
      Previous last = previous.pop();
      Kernel.raw(Syscall.RT_SIGACTION, last.signal, last.action.address(), 0, MASK_BYTES);
    }
    // A handler may still be about to return on another thread: its page stays.
    writeEnd.close();
    readEnd.close();
    arena.close();
  }
}
