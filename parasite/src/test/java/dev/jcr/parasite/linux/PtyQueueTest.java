package dev.jcr.parasite.linux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/// A look into a pseudo-terminal leaves everything in it, in both directions and modes.
class PtyQueueTest {
  private static final int OPEN = Fd.O_RDWR | OpenFlags.O_NOCTTY | OpenFlags.O_NONBLOCK;

  private Fd master;
  private Fd slave;

  @BeforeEach
  void open() throws IOException {
    Optional<FileStat> ptmx = FileStat.find("/dev/ptmx");
    assumeThat(ptmx).as("this machine has pseudo-terminals").isPresent();
    master = Fd.open("/dev/ptmx", OPEN, 0);
    FdCalls.ioctlSet(master.number(), Fcntl.TIOCSPTLCK, new byte[4]);
    int index = FdCalls.ioctlInt(master.number(), Fcntl.TIOCGPTN).orElseThrow();
    slave = Fd.open("/dev/pts/" + index, OPEN, 0);
  }

  @AfterEach
  void close() {
    slave.close();
    master.close();
  }

  private static void write(Fd fd, String text) throws SyscallException {
    try (Arena arena = Arena.ofConfined()) {
      byte[] bytes = text.getBytes(StandardCharsets.ISO_8859_1);
      MemorySegment segment = arena.allocateFrom(ValueLayout.JAVA_BYTE, bytes);
      Kernel.call("write", Syscall.WRITE, fd.number(), segment.address(), bytes.length);
    }
  }

  /// "" at end of file, "-" when nothing waits.
  private static String read(Fd fd) throws SyscallException {
    FdCalls.poll(fd.number(), 1);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment segment = arena.allocate(4096);
      long count = Kernel.raw(Syscall.READ, fd.number(), segment.address(), 4096);
      if (count == -Errno.EAGAIN) {
        return "-";
      }
      return new String(
          segment.asSlice(0, count).toArray(ValueLayout.JAVA_BYTE), StandardCharsets.ISO_8859_1);
    }
  }

  private void mode(int localFlags) {
    byte[] termios =
        FdCalls.ioctl(slave.number(), Fcntl.TCGETS2, Fcntl.SIZEOF_TERMIOS2).orElseThrow();
    termios[12] = (byte) localFlags;
    termios[13] = 0;
    FdCalls.ioctlSet(slave.number(), Fcntl.TCSETS2, termios);
  }

  private byte[] termios() {
    return FdCalls.ioctl(slave.number(), Fcntl.TCGETS2, Fcntl.SIZEOF_TERMIOS2).orElseThrow();
  }

  @Test
  void linesAnEndOfFileAndALineNotYetEnded() throws SyscallException {
    mode(2); // ICANON
    byte[] before = termios();
    write(master, "one\n");
    write(master, "two\n");
    write(master, "cut\u0004");
    write(master, "\u0004");
    write(master, "part");
    write(slave, "output\n");

    PtyQueue queue = PtyQueue.copy(master.number(), slave.number());

    assertThat(queue.lines().stream().map(line -> new String(line, StandardCharsets.US_ASCII)))
        .containsExactly("one\n", "two\n", "cut", "");
    assertThat(queue.rest()).asString().isEqualTo("part");
    assertThat(queue.output()).asString().isEqualTo("output\r\n");
    assertThat(termios()).isEqualTo(before);
    assertThat(read(slave)).isEqualTo("one\n");
    assertThat(read(slave)).isEqualTo("two\n");
    assertThat(read(slave)).isEqualTo("cut");
    assertThat(read(slave)).isEmpty();
    assertThat(read(slave)).isEqualTo("-");
    write(master, "ial\n");
    assertThat(read(slave)).isEqualTo("partial\n");
    assertThat(read(master)).isEqualTo("output\r\n");
  }

  @Test
  void rawInputKeepsBytesThatMeanSomethingElsewhere() throws SyscallException {
    mode(0);
    String bytes = "a\u0003\u0004\r\u0000\u007f\u00ff";
    byte[] raw = termios();
    raw[0] = 0; // c_iflag
    raw[1] = 0;
    FdCalls.ioctlSet(slave.number(), Fcntl.TCSETS2, raw);
    write(master, bytes);
    PtyQueue queue = PtyQueue.copy(master.number(), slave.number());
    assertThat(queue.lines()).isEmpty();
    assertThat(queue.rest()).isEqualTo(bytes.getBytes(StandardCharsets.ISO_8859_1));
    assertThat(read(slave)).isEqualTo(bytes);
  }

  @Test
  void anIdleTerminalStaysAsItIs() throws SyscallException {
    byte[] before = termios();
    assertThat(PtyQueue.copy(master.number(), slave.number()).isEmpty()).isTrue();
    assertThat(termios()).isEqualTo(before);
    assertThat(read(slave)).isEqualTo("-");
    assertThat(read(master)).isEqualTo("-");
  }
}
