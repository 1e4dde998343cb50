package dev.jcr.parasite.restart;

import static dev.jcr.parasite.arch.X8664Words.COUNT;
import static dev.jcr.parasite.arch.X8664Words.R10;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.v1.Arch;
import dev.jcr.parasite.arch.Machine;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.remote.ProcessMemory;
import dev.jcr.parasite.restart.SleepResumer.Sleep;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// What needs no thread to be stopped; the test's own memory is the process's.
@EnabledIfSystemProperty(named = "os.arch", matches = "amd64|x86_64")
class SleepResumerTest {
  private static final Machine MACHINE = Machine.of(Arch.ARCH_X86_64);

  private ProcessMemory memory;
  private SleepResumer sleeps;

  @BeforeEach
  void open() throws CheckpointException {
    memory = ProcessMemory.open((int) ProcessHandle.current().pid());
    sleeps = new SleepResumer(MACHINE, memory);
  }

  @AfterEach
  void close() {
    memory.close();
  }

  private static Sleep sleep(Syscall call, long remaining, long... arguments) {
    long[] six = new long[6];
    System.arraycopy(arguments, 0, six, 0, arguments.length);
    return new Sleep(call.number(Arch.ARCH_X86_64), six, remaining);
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1",
    "1000000, 1",
    "1000001, 2",
    "1500000000, 1500",
    "9000000000000000, 2147483647"
  })
  void millisecondsAreRoundedUp(long remaining, long milliseconds) {
    long[] resume = new long[COUNT];
    long[] expected = resume.clone();
    expected[R10] = milliseconds;
    assertThat(sleeps.withTimeLeft(resume, sleep(Syscall.EPOLL_WAIT, remaining)))
        .containsExactly(expected);
    assertThat(resume).containsOnly(0);
  }

  @Test
  void registersStayWhereTheTimeoutIsElsewhereOrUnknown() {
    long[] resume = new long[COUNT];
    assertThat(sleeps.withTimeLeft(resume, sleep(Syscall.EPOLL_WAIT, 0))).isSameAs(resume);
    assertThat(sleeps.withTimeLeft(resume, sleep(Syscall.EPOLL_PWAIT2, 5))).isSameAs(resume);
    // The kernel keeps the end of this one.
    assertThat(sleeps.withTimeLeft(resume, sleep(Syscall.POLL, 5))).isSameAs(resume);
    assertThat(sleeps.withTimeLeft(resume, sleep(Syscall.READ, 5))).isSameAs(resume);
  }

  @Test
  void aSocketsOwnTimeoutCounts() throws Exception {
    try (Fd file = Fd.open("/dev/null", Fd.O_RDONLY, 0)) {
      long[] none = {file.number(), 0, 0, 0, 0, 0};
      TimedCall receive =
          TimedCall.of(Arch.ARCH_X86_64, Syscall.RECVFROM.number(Arch.ARCH_X86_64), none)
              .orElseThrow();
      assertThat(receive.timeout(none, memory)).isEmpty();
    }
    long number = Kernel.call("make a socket", Syscall.SOCKET, 1, 2, 0);
    try (Fd socket = new Fd((int) number)) {
      long[] arguments = {socket.number(), 0, 0, 0, 0, 0};
      TimedCall receive =
          TimedCall.of(Arch.ARCH_X86_64, Syscall.RECVMSG.number(Arch.ARCH_X86_64), arguments)
              .orElseThrow();
      assertThat(receive.timeout(arguments, memory)).isEmpty();
      try (SocketTimeout timeout =
          SocketTimeout.of(memory.anchor(), socket.number(), true).orElseThrow()) {
        timeout.set(2_400_000_001L);
      }
      // Jiffies: rounded up by the kernel.
      assertThat(receive.timeout(arguments, memory).orElseThrow())
          .isBetween(2_400_000_000L, 2_420_000_000L);
      TimedCall send =
          TimedCall.of(Arch.ARCH_X86_64, Syscall.SENDMSG.number(Arch.ARCH_X86_64), arguments)
              .orElseThrow();
      assertThat(send.timeout(arguments, memory)).isEmpty();
    }
  }

  @Test
  void theKernelKeepsTheEndOfSomeSleeps() {
    assertThat(sleep(Syscall.POLL, 5).isHeldByKernel(Arch.ARCH_X86_64, false)).isTrue();
    assertThat(sleep(Syscall.POLL, 0).isHeldByKernel(Arch.ARCH_X86_64, false)).isFalse();
    assertThat(sleep(Syscall.EPOLL_WAIT, 5).isHeldByKernel(Arch.ARCH_X86_64, false)).isFalse();
    assertThat(sleep(Syscall.READ, 5).isHeldByKernel(Arch.ARCH_X86_64, false)).isFalse();
    Sleep arm = new Sleep(Syscall.NANOSLEEP.number(Arch.ARCH_AARCH64), new long[6], 5);
    assertThat(arm.isHeldByKernel(Arch.ARCH_AARCH64, false)).isFalse();
    assertThat(arm.isLent(Arch.ARCH_AARCH64)).isTrue();
    assertThat(arm.isHeldByKernel(Arch.ARCH_AARCH64, true)).isTrue();
    assertThat(sleep(Syscall.NANOSLEEP, 5).isLent(Arch.ARCH_X86_64)).isFalse();
    assertThat(sleep(Syscall.RT_SIGTIMEDWAIT, 5).isLent(Arch.ARCH_X86_64)).isTrue();
  }

  @Test
  void theFrozenTimeIsTakenOffWhatTheKernelWrote() throws CheckpointException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment time = arena.allocate(JAVA_LONG, 2);
      long at = time.address();

      set(time, 1, 500_000_000);
      sleeps.shortenWritten(sleep(Syscall.PPOLL, 0, 0, 0, at), 600_000_000);
      check(time, 0, 900_000_000);

      set(time, 7, 0);
      sleeps.shortenWritten(sleep(Syscall.PSELECT6, 0, 0, 0, 0, 0, at), 1);
      check(time, 6, 999_999_999);

      // struct timeval: microseconds
      set(time, 2, 250_000);
      sleeps.shortenWritten(sleep(Syscall.SELECT, 0, 0, 0, 0, 0, at), 500_000_000);
      check(time, 1, 750_000);

      set(time, 0, 5);
      sleeps.shortenWritten(sleep(Syscall.PPOLL, 0, 0, 0, at), 600_000_000);
      check(time, 0, 0);

      set(time, Long.MAX_VALUE, 0);
      sleeps.shortenWritten(sleep(Syscall.PPOLL, 0, 0, 0, at), 1);
      check(time, Long.MAX_VALUE, 0);

      // Not theirs: poll has no pointer there.
      set(time, 1, 0);
      sleeps.shortenWritten(sleep(Syscall.POLL, 0, 0, 0, at), 600_000_000);
      check(time, 1, 0);
    }
    sleeps.shortenWritten(sleep(Syscall.PPOLL, 0, 0, 0, 0), 1); // NULL waits for ever
    sleeps.shortenWritten(new Sleep(-1, new long[0], 0), 1);
  }

  private static void set(MemorySegment time, long seconds, long rest) {
    time.setAtIndex(JAVA_LONG, 0, seconds);
    time.setAtIndex(JAVA_LONG, 1, rest);
  }

  private static void check(MemorySegment time, long seconds, long rest) {
    assertThat(time.toArray(JAVA_LONG)).containsExactly(seconds, rest);
  }
}
