package dev.jcr.parasite.restart;

import static dev.jcr.image.registers.Aarch64.PC;
import static dev.jcr.image.registers.Aarch64.PSTATE;
import static dev.jcr.image.registers.Aarch64.SP;
import static dev.jcr.image.registers.Aarch64.WORDS;
import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.image.v1.Arch;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.procfs.BlockedIn;
import dev.jcr.parasite.restart.InterruptedCall.Handler;
import dev.jcr.parasite.restart.InterruptedCall.Kind;
import java.util.Arrays;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/// arch/arm64/kernel/signal.c, do_signal, row by row: registers as they are at an event stop.
class InterruptedCallAarch64Test {
  private static final int NUMBER = 8;
  private static final int RESTART_SYSCALL = 128;
  private static final long EINTR = -4;
  private static final Optional<Handler> NONE = Optional.empty();
  private static final Optional<Handler> RESTARTS = Optional.of(new Handler(true));
  private static final Optional<Handler> INTERRUPTS = Optional.of(new Handler(false));

  /// Rewound: the program counter is at the instruction.
  private static long[] rewound(int number, long... arguments) {
    long[] registers = new long[WORDS];
    for (int i = 0; i < WORDS; i++) {
      registers[i] = 0x10_0000L + i;
    }
    Arrays.fill(registers, 0, 6, 0);
    System.arraycopy(arguments, 0, registers, 0, arguments.length);
    registers[NUMBER] = number;
    return registers;
  }

  private static long[] rewound(Syscall call, long... arguments) {
    return rewound(call.number(Arch.ARCH_AARCH64), arguments);
  }

  /// /proc/TID/syscall of a thread that sleeps in what these registers would start again.
  private static Optional<BlockedIn> asleep(long[] registers) {
    return Optional.of(
        new BlockedIn(
            false,
            registers[NUMBER],
            Arrays.copyOf(registers, 6),
            registers[SP],
            registers[PC] + 4));
  }

  private static Optional<BlockedIn> inSignalPath(long[] registers) {
    return Optional.of(new BlockedIn(false, -1, new long[0], registers[SP], registers[PC]));
  }

  private static long[] with(long[] registers, int word, long value) {
    long[] changed = registers.clone();
    changed[word] = value;
    return changed;
  }

  private static long[] failed(long[] registers) {
    return with(with(registers, 0, EINTR), PC, registers[PC] + 4);
  }

  private static InterruptedCall decide(long[] stopped, Optional<BlockedIn> before) {
    return InterruptedCall.aarch64(stopped, before, NONE, "", true);
  }

  @Test
  void inUserModeRegistersStayButForADebuggersStep() {
    long[] stopped = rewound(5);
    long[] shown = with(stopped, PSTATE, stopped[PSTATE] | 1L << 21);
    for (Optional<BlockedIn> before :
        java.util.List.of(
            Optional.<BlockedIn>empty(),
            Optional.of(new BlockedIn(true, -1, new long[0], 0, 0)),
            asleep(with(stopped, SP, 5)),
            asleep(with(stopped, 3, 5)),
            asleep(with(stopped, NUMBER, 5000)))) {
      InterruptedCall call = InterruptedCall.aarch64(shown, before, NONE, "", false);
      assertThat(call.kind()).isEqualTo(Kind.USER_MODE);
      assertThat(call.number()).isEqualTo(-1);
      assertThat(call.resume()).containsExactly(with(stopped, PSTATE, shown[PSTATE] & ~(1L << 21)));
      assertThat(call.live()).containsExactly(call.resume());
    }
  }

  @ParameterizedTest
  @EnumSource(
      value = Syscall.class,
      names = {"READ", "WAIT4", "ACCEPT4", "FLOCK", "PPOLL", "PSELECT6", "RT_SIGSUSPEND", "MSGRCV"})
  void callsThatStartAgain(Syscall number) {
    long[] stopped = rewound(number, 3, 4, 5, 6);
    InterruptedCall call = decide(stopped, asleep(stopped));
    assertThat(call.kind()).isEqualTo(Kind.RESTART);
    assertThat(call.number()).isEqualTo(number.number(Arch.ARCH_AARCH64));
    assertThat(call.arguments()).containsExactly(3, 4, 5, 6, 0, 0);
    assertThat(call.resume()).containsExactly(stopped);
    assertThat(call.live()).containsExactly(stopped);
  }

  @ParameterizedTest
  @CsvSource({
    "NANOSLEEP, 1048576, 0, 0, 0, RESTART_BLOCK",
    "CLOCK_NANOSLEEP, 1, 0, 1048576, 0, RESTART_BLOCK",
    "CLOCK_NANOSLEEP, 1, 1, 1048576, 0, RESTART",
    "FUTEX, 1048576, 128, 1, 1048592, RESTART_BLOCK",
    "FUTEX, 1048576, 137, 1, 1048592, RESTART_BLOCK",
    "FUTEX, 1048576, 393, 1, 1048592, RESTART_BLOCK",
    "FUTEX, 1048576, 128, 1, 0, RESTART",
    "FUTEX, 1048576, 134, 1, 1048592, RESTART"
  })
  void sleepsWhoseEndTheKernelHolds(Syscall number, long a, long b, long c, long d, Kind expected) {
    long[] stopped = rewound(number, a, b, c, d);
    InterruptedCall call = decide(stopped, asleep(stopped));
    assertThat(call.kind()).isEqualTo(expected);
    assertThat(call.resume()).describedAs("elsewhere it starts again").containsExactly(stopped);
    assertThat(call.live())
        .containsExactly(
            expected == Kind.RESTART ? stopped : with(stopped, NUMBER, RESTART_SYSCALL));
  }

  @ParameterizedTest
  @CsvSource({
    "hrtimer_nanosleep, 1048576, 0, NANOSLEEP",
    "hrtimer_nanosleep, 1, 0, CLOCK_NANOSLEEP",
    "futex_do_wait, 1048576, 128, FUTEX",
    "futex_wait_queue, 1048576, 128, FUTEX"
  })
  void interruptedBeforeTheOriginalIsToldByThePlace(
      String place, long first, long second, Syscall original) {
    long[] stopped = rewound(RESTART_SYSCALL, first, second, 7, 1048592);
    InterruptedCall call = InterruptedCall.aarch64(stopped, asleep(stopped), NONE, place, true);
    assertThat(call.kind()).isEqualTo(Kind.RESTART_BLOCK);
    int number = original.number(Arch.ARCH_AARCH64);
    assertThat(call.number()).isEqualTo(number);
    assertThat(call.resume()).containsExactly(with(stopped, NUMBER, number));
    assertThat(call.live()).containsExactly(stopped);
  }

  @Test
  void interruptedBeforeAtAnUnknownPlace() {
    long[] stopped = rewound(RESTART_SYSCALL, 1, 2, 3);
    InterruptedCall seen = InterruptedCall.aarch64(stopped, asleep(stopped), NONE, "0", true);
    assertThat(seen.isUnknown()).isTrue();
    assertThat(seen.resume()).describedAs("EINTR elsewhere").containsExactly(failed(stopped));
    assertThat(seen.live()).containsExactly(stopped);
    // Awake when it was looked at.
    assertThat(decide(stopped, Optional.of(new BlockedIn(true, -1, new long[0], 0, 0))).isUnknown())
        .isTrue();
    // 128 in x8 is nothing where no call is about to be made.
    assertThat(InterruptedCall.aarch64(stopped, Optional.empty(), NONE, "", false).isUnknown())
        .isFalse();
  }

  @Test
  void stoppedBySignalBefore() {
    long[] sleep = rewound(Syscall.NANOSLEEP, 1048576, 0);
    InterruptedCall call = decide(sleep, inSignalPath(sleep));
    assertThat(call.kind()).isEqualTo(Kind.RESTART_BLOCK);
    assertThat(call.live()).containsExactly(with(sleep, NUMBER, RESTART_SYSCALL));
    long[] read = rewound(Syscall.READ, 3);
    assertThat(decide(read, inSignalPath(read)).kind()).isEqualTo(Kind.RESTART);
    assertThat(InterruptedCall.aarch64(sleep, inSignalPath(sleep), NONE, "", false).kind())
        .describedAs("not at a call")
        .isEqualTo(Kind.USER_MODE);
  }

  @ParameterizedTest
  @EnumSource(
      value = Syscall.class,
      names = {"EPOLL_PWAIT", "EPOLL_PWAIT2", "RT_SIGTIMEDWAIT", "SEMTIMEDOP", "IO_GETEVENTS"})
  void callsThatTheStopMadeFailAreMadeAgain(Syscall number) {
    long[] again = rewound(number, 9, 8, 7, 6, 5, 4);
    InterruptedCall call = decide(failed(again), asleep(again));
    assertThat(call.kind()).isEqualTo(Kind.PUT_BACK);
    assertThat(call.arguments()).containsExactly(9, 8, 7, 6, 5, 4);
    assertThat(call.resume()).containsExactly(again);
    assertThat(call.live()).containsExactly(again);
  }

  @Test
  void aResultIsTheProgramsOwn() {
    long[] again = rewound(Syscall.EPOLL_PWAIT, 9, 8, 7, 6, 5, 4);
    long[] done = with(failed(again), 0, 2);
    assertThat(decide(done, asleep(again)).kind()).isEqualTo(Kind.USER_MODE);
    assertThat(decide(done, asleep(again)).resume()).containsExactly(done);
    // A handler runs: the program is told of it as without jcr.
    assertThat(InterruptedCall.aarch64(failed(again), asleep(again), RESTARTS, "", false).resume())
        .containsExactly(failed(again));
    long[] write = rewound(Syscall.FSYNC, 3);
    assertThat(decide(failed(write), asleep(write)).kind())
        .describedAs("no call that a stop makes fail")
        .isEqualTo(Kind.USER_MODE);
  }

  @ParameterizedTest
  @CsvSource({
    "READ, true, false",
    "READ, false, true",
    "PPOLL, true, true",
    "RT_SIGSUSPEND, false, true",
    "MSGRCV, true, true",
    "NANOSLEEP, true, true"
  })
  void underAHandlerSomeReturnEintr(Syscall number, boolean restarts, boolean eintr) {
    long[] stopped = rewound(number, 1048576, 1, 2, 3);
    InterruptedCall call =
        InterruptedCall.aarch64(
            stopped, asleep(stopped), restarts ? RESTARTS : INTERRUPTS, "", true);
    assertThat(call.kind()).isEqualTo(eintr ? Kind.SIGNALLED : Kind.RESTART);
    assertThat(call.resume()).containsExactly(eintr ? failed(stopped) : stopped);
    assertThat(call.live())
        .describedAs("the kernel's own knowledge does not outlive an injected call")
        .containsExactly(call.resume());
  }
}
