package dev.jcr.parasite.restart;

import static dev.jcr.parasite.arch.X8664Words.COUNT;
import static dev.jcr.parasite.arch.X8664Words.ORIG_RAX;
import static dev.jcr.parasite.arch.X8664Words.R10;
import static dev.jcr.parasite.arch.X8664Words.R8;
import static dev.jcr.parasite.arch.X8664Words.R9;
import static dev.jcr.parasite.arch.X8664Words.RAX;
import static dev.jcr.parasite.arch.X8664Words.RDI;
import static dev.jcr.parasite.arch.X8664Words.RDX;
import static dev.jcr.parasite.arch.X8664Words.RIP;
import static dev.jcr.parasite.arch.X8664Words.RSI;
import static dev.jcr.parasite.arch.X8664Words.RSP;
import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.image.v1.Arch;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.procfs.BlockedIn;
import dev.jcr.parasite.restart.InterruptedCall.Handler;
import dev.jcr.parasite.restart.InterruptedCall.Kind;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/// arch/x86/kernel/signal.c, arch_do_signal_or_restart and handle_signal, row by row.
class InterruptedCallTest {
  private static final long EINTR = -4;
  private static final Optional<Handler> NONE = Optional.empty();
  private static final Optional<Handler> RESTARTS = Optional.of(new Handler(true));
  private static final Optional<Handler> INTERRUPTS = Optional.of(new Handler(false));

  /// Registers of a stop: all different, in call `number`, whose result is `result`.
  private static long[] stopped(long number, long result) {
    long[] registers = new long[COUNT];
    for (int i = 0; i < COUNT; i++) {
      registers[i] = 0x10_0000L + i;
    }
    registers[ORIG_RAX] = number;
    registers[RAX] = result;
    return registers;
  }

  private static long[] again(long[] stopped, long number) {
    long[] registers = stopped.clone();
    registers[RAX] = number;
    registers[RIP] -= 2;
    registers[ORIG_RAX] = -1;
    return registers;
  }

  private static long[] finished(long[] stopped, long result) {
    long[] registers = stopped.clone();
    registers[RAX] = result;
    registers[ORIG_RAX] = -1;
    return registers;
  }

  private static InterruptedCall decide(long[] stopped, Optional<Handler> handler) {
    return InterruptedCall.x8664(stopped, Optional.empty(), handler, "");
  }

  private static Optional<BlockedIn> sameCall(long[] stopped) {
    return blocked(stopped[ORIG_RAX], stopped[RSP], stopped[RIP]);
  }

  private static Optional<BlockedIn> blocked(long number, long sp, long pc) {
    return Optional.of(new BlockedIn(false, number, new long[6], sp, pc));
  }

  private static void check(
      InterruptedCall call, Kind kind, long number, long[] resume, long[] live) {
    assertThat(call.kind()).isEqualTo(kind);
    assertThat(call.number()).isEqualTo(number);
    assertThat(call.resume()).containsExactly(resume);
    assertThat(call.live()).containsExactly(live);
  }

  @Test
  void argumentsAreThoseOfTheCall() {
    long[] stopped = stopped(0, -512);
    assertThat(decide(stopped, NONE).arguments())
        .containsExactly(
            stopped[RDI], stopped[RSI], stopped[RDX], stopped[R10], stopped[R8], stopped[R9]);
  }

  @Test
  void userMode() {
    // rax is the program's own here, whatever it looks like.
    long[] stopped = stopped(-1, -512);
    check(decide(stopped, NONE), Kind.USER_MODE, -1, stopped, stopped);
    check(decide(stopped, INTERRUPTS), Kind.USER_MODE, -1, stopped, stopped);
  }

  @Test
  void theGivenRegistersStayAsTheyAre() {
    long[] stopped = stopped(0, -512);
    long[] before = stopped.clone();
    InterruptedCall call = decide(stopped, NONE);
    call.live()[RIP] = 0;
    assertThat(stopped).containsExactly(before);
  }

  @ParameterizedTest
  @ValueSource(longs = {-512, -513, -514})
  void restartsWithoutHandler(long result) {
    long[] stopped = stopped(7, result);
    check(decide(stopped, NONE), Kind.RESTART, 7, again(stopped, 7), stopped);
  }

  /// Result, SA_RESTART, whether the call starts again behind the handler.
  @ParameterizedTest
  @CsvSource({
    "-512, true, true",
    "-512, false, false",
    "-513, true, true",
    "-513, false, true",
    "-514, true, false",
    "-514, false, false",
    "-516, true, false",
    "-516, false, false"
  })
  void handlerIsPending(long result, boolean saRestart, boolean restarts) {
    long[] stopped = stopped(35, result);
    InterruptedCall call = decide(stopped, saRestart ? RESTARTS : INTERRUPTS);
    if (restarts) {
      check(call, Kind.RESTART, 35, again(stopped, 35), stopped);
    } else {
      check(call, Kind.SIGNALLED, 35, finished(stopped, EINTR), stopped);
    }
  }

  @Test
  void restartBlockStartsTheOriginalCallInAnotherProcess() {
    long[] stopped = stopped(35, -516);
    check(decide(stopped, NONE), Kind.RESTART_BLOCK, 35, again(stopped, 35), stopped);
  }

  /// Where the thread slept, first argument, the call that restart_syscall(2) goes on with.
  @ParameterizedTest
  @CsvSource({
    "hrtimer_nanosleep, 0x7f0000001000, 35",
    "hrtimer_nanosleep, 0x1, 230",
    "hrtimer_nanosleep, 0x0, 230",
    "do_syscall_64, 0x7f0000001000, 35",
    "do_syscall_64, 0x0, 230",
    "x64_sys_call, 0x7f0000001000, 35",
    "__x64_sys_restart_syscall, 0x7f0000001000, 35",
    "posix_cpu_nsleep_restart, 0x2, 230",
    "do_cpu_nanosleep, 0x2, 230",
    "do_cpu_nanosleep, 0xfffffffa, 230", // the clock of a process: an int below 0
    "futex_do_wait, 0x7f0000001000, 202",
    "futex_wait_queue, 0x7f0000001000, 202",
    "do_sys_poll, 0x7f0000001000, 7",
    "poll_schedule_timeout.constprop.0, 0x7f0000001000, 7"
  })
  void restartSyscallIsRecoveredByItsPlace(String wchan, long first, long number) {
    long[] stopped = stopped(219, -516);
    stopped[RDI] = first;
    check(
        InterruptedCall.x8664(stopped, Optional.empty(), NONE, wchan),
        Kind.RESTART_BLOCK,
        number,
        again(stopped, number),
        stopped);
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "0", "schedule", "folio_wait_bit_common", "do_signal_stop"})
  void restartSyscallInAnUnknownPlaceFailsWithEintrElsewhere(String wchan) {
    long[] stopped = stopped(219, -516);
    check(
        InterruptedCall.x8664(stopped, Optional.empty(), NONE, wchan),
        Kind.UNKNOWN,
        -1,
        finished(stopped, EINTR),
        stopped);
    assertThat(InterruptedCall.x8664(stopped, Optional.empty(), NONE, wchan).isUnknown()).isTrue();
    assertThat(decide(stopped(35, -516), NONE).isUnknown()).isFalse();
  }

  @ParameterizedTest
  @EnumSource(
      value = Syscall.class,
      names = {
        "EPOLL_WAIT",
        "EPOLL_PWAIT",
        "EPOLL_PWAIT2",
        "RT_SIGTIMEDWAIT",
        "SEMOP",
        "SEMTIMEDOP",
        "IO_GETEVENTS",
        "IO_PGETEVENTS",
        "MSGRCV",
        "MSGSND",
        "READ",
        "WRITE",
        "ACCEPT",
        "ACCEPT4",
        "CONNECT",
        "RECVFROM",
        "RECVMSG",
        "RECVMMSG",
        "SENDTO",
        "SENDMSG"
      })
  void eintrOfTheStopIsPutBack(Syscall call) {
    long number = call.number(Arch.ARCH_X86_64);
    long[] stopped = stopped(number, EINTR);
    long[] again = again(stopped, number);
    // The kernel would leave EINTR where it is, so the live thread is rewound by hand as well.
    check(
        InterruptedCall.x8664(stopped, sameCall(stopped), NONE, "ep_poll"),
        Kind.PUT_BACK,
        number,
        again,
        again);
  }

  @Test
  void eintrStaysUnlessTheThreadWasBlockedInThatCallAndNoHandlerIsPending() {
    long[] stopped = stopped(232, EINTR);
    long sp = stopped[RSP];
    long pc = stopped[RIP];
    eintrStays(stopped, Optional.empty(), NONE);
    eintrStays(stopped, Optional.of(new BlockedIn(true, -1, new long[0], 0, 0)), NONE);
    eintrStays(stopped, blocked(0, sp, pc), NONE);
    eintrStays(stopped, blocked(232, sp + 8, pc), NONE);
    eintrStays(stopped, blocked(232, sp, pc + 2), NONE);
    eintrStays(stopped, sameCall(stopped), RESTARTS);
    eintrStays(stopped, sameCall(stopped), INTERRUPTS);
  }

  @ParameterizedTest
  @ValueSource(longs = {34, 35, 130, 61, 202, 9999})
  void eintrOfAnyOtherCallIsTheProgramsOwn(long number) {
    long[] stopped = stopped(number, EINTR);
    eintrStays(stopped, sameCall(stopped), NONE);
  }

  private static void eintrStays(
      long[] stopped, Optional<BlockedIn> before, Optional<Handler> handler) {
    check(
        InterruptedCall.x8664(stopped, before, handler, ""),
        Kind.COMPLETED,
        stopped[ORIG_RAX],
        finished(stopped, EINTR),
        stopped);
  }

  @ParameterizedTest
  @ValueSource(longs = {0, 1, 4096, -11, -511, -515, -517})
  void completed(long result) {
    long[] stopped = stopped(232, result);
    check(
        InterruptedCall.x8664(stopped, sameCall(stopped), NONE, "ep_poll"),
        Kind.COMPLETED,
        232,
        finished(stopped, result),
        stopped);
  }
}
