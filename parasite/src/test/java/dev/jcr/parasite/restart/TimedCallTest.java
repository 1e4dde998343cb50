package dev.jcr.parasite.restart;

import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.v1.Arch;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.remote.ProcessMemory;
import dev.jcr.parasite.restart.TimedCall.Form;
import dev.jcr.parasite.restart.TimedCall.Restart;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class TimedCallTest {
  private static final TimedCall POLL = new TimedCall(2, Form.MILLISECONDS, Restart.RESTART_BLOCK);
  private static final TimedCall NANOSLEEP = new TimedCall(0, Form.TIMESPEC, Restart.RESTART_BLOCK);

  private static Optional<TimedCall> row(Syscall call, long... arguments) {
    long[] six = new long[6];
    System.arraycopy(arguments, 0, six, 0, arguments.length);
    return TimedCall.of(Arch.ARCH_X86_64, call.number(Arch.ARCH_X86_64), six);
  }

  @ParameterizedTest
  @CsvSource({
    "NANOSLEEP, 0, TIMESPEC, RESTART_BLOCK",
    "CLOCK_NANOSLEEP, 2, TIMESPEC, RESTART_BLOCK",
    "POLL, 2, MILLISECONDS, RESTART_BLOCK",
    "FUTEX, 3, TIMESPEC, RESTART_BLOCK",
    "EPOLL_WAIT, 3, MILLISECONDS, EINTR",
    "EPOLL_PWAIT, 3, MILLISECONDS, EINTR",
    "EPOLL_PWAIT2, 3, TIMESPEC, EINTR",
    "RT_SIGTIMEDWAIT, 2, TIMESPEC, EINTR",
    "SEMTIMEDOP, 3, TIMESPEC, EINTR",
    "IO_GETEVENTS, 4, TIMESPEC, EINTR",
    "IO_PGETEVENTS, 4, TIMESPEC, EINTR"
  })
  void relativeTimeouts(Syscall call, int argument, Form form, Restart restart) {
    assertThat(row(call)).contains(new TimedCall(argument, form, restart));
  }

  /// Absolute ones are exact by themselves; of the others the kernel writes the rest to memory.
  @ParameterizedTest
  @EnumSource(
      value = Syscall.class,
      names = {"SELECT", "PSELECT6", "PPOLL", "PAUSE", "SEMOP", "RESTART_SYSCALL"})
  void nothingToShorten(Syscall call) {
    assertThat(row(call)).isEmpty();
  }

  @Test
  void absoluteSleepsAreNotListed() {
    assertThat(row(Syscall.CLOCK_NANOSLEEP, 1, 1)).isEmpty();
    // FUTEX_WAIT | FUTEX_PRIVATE_FLAG, FUTEX_WAIT_BITSET, FUTEX_LOCK_PI
    assertThat(row(Syscall.FUTEX, 0x1000, 0x80)).isPresent();
    assertThat(row(Syscall.FUTEX, 0x1000, 9)).isEmpty();
    assertThat(row(Syscall.FUTEX, 0x1000, 0x80 | 9)).isEmpty();
    assertThat(row(Syscall.FUTEX, 0x1000, 6)).isEmpty();
  }

  @Test
  void numbersAreThoseOfTheArchitecture() {
    long[] arguments = new long[6];
    assertThat(TimedCall.of(Arch.ARCH_AARCH64, 101, arguments))
        .contains(new TimedCall(0, Form.TIMESPEC, Restart.RESTART_BLOCK));
    assertThat(TimedCall.of(Arch.ARCH_X86_64, 101, arguments)).isEmpty();
    assertThat(TimedCall.of(Arch.ARCH_X86_64, -1, arguments)).isEmpty();
  }

  @Test
  void milliseconds() throws CheckpointException {
    try (ProcessMemory memory = ownMemory()) {
      assertThat(POLL.timeout(new long[] {0, 0, 1500}, memory)).hasValue(1_500_000_000L);
      assertThat(POLL.timeout(new long[] {0, 0, 0}, memory)).hasValue(0);
      assertThat(POLL.timeout(new long[] {0, 0, -1}, memory)).isEmpty();
      // An int: the upper half of the register is not the caller's business.
      assertThat(POLL.timeout(new long[] {0, 0, 0xffff_ffffL}, memory)).isEmpty();
      assertThat(POLL.timeout(new long[] {0, 0, 0x7fff_ffffL}, memory))
          .hasValue(0x7fff_ffffL * 1_000_000);
    }
  }

  @Test
  void timespecs() throws CheckpointException {
    try (ProcessMemory memory = ownMemory();
        Arena arena = Arena.ofConfined()) {
      MemorySegment time = arena.allocate(JAVA_LONG, 2);
      long[] arguments = {time.address()};
      set(time, 2, 5);
      assertThat(NANOSLEEP.timeout(arguments, memory)).hasValue(2_000_000_005L);
      set(time, -1, 0);
      assertThat(NANOSLEEP.timeout(arguments, memory)).isEmpty();
      set(time, Long.MAX_VALUE, 0);
      assertThat(NANOSLEEP.timeout(arguments, memory)).isEmpty();
      assertThat(NANOSLEEP.timeout(new long[] {0}, memory)).isEmpty();
      assertThat(NANOSLEEP.timeout(new long[] {16}, memory)).isEmpty();
    }
  }

  private static void set(MemorySegment time, long seconds, long nanos) {
    time.setAtIndex(JAVA_LONG, 0, seconds);
    time.setAtIndex(JAVA_LONG, 1, nanos);
  }

  private static ProcessMemory ownMemory() throws CheckpointException {
    return ProcessMemory.open((int) ProcessHandle.current().pid());
  }
}
