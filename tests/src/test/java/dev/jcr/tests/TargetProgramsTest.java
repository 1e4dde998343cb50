package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Every self-checking target: undisturbed, dumped with `-R`, dumped and restored, and that three
/// times in a row. Each time what /proc shows must be the same before and after.
@Tag("process")
@Timeout(180)
class TargetProgramsTest {
  /// A target program, its arguments, and the signal that tells it to check (empty: the file).
  record Case(String program, List<String> arguments, String signal) {
    static Case of(String program, String... arguments) {
      return new Case(program, List.of(arguments), "");
    }

    Case toldBy(String newSignal) {
      return new Case(program, arguments, newSignal);
    }

    Target start() {
      return Target.start(program, arguments.toArray(String[]::new));
    }

    void expectPass(Target target) {
      if (signal.isEmpty()) {
        target.expectPass();
      } else {
        target.expectPassAfterSignal(signal);
      }
    }

    @Override
    public String toString() {
      return program + (arguments.isEmpty() ? "" : " " + String.join(" ", arguments));
    }
  }

  static Stream<Case> cases() {
    return Stream.of(
        Case.of("counter"),
        Case.of("torture_regs", "spin").toldBy("USR1"),
        Case.of("torture_regs", "nanosleep").toldBy("USR1"),
        Case.of("torture_regs", "futex").toldBy("USR1"),
        Case.of("torture_regs", "poll").toldBy("USR1"),
        Case.of("threads"),
        Case.of("signals"),
        Case.of("in_handler"),
        Case.of("timers"),
        Case.of("memory"),
        Case.of("identity", "root"),
        Case.of("identity", "user"),
        Case.of("rseq"),
        Case.of("files"),
        Case.of("pipes", "pipe"),
        Case.of("pipes", "fifo"),
        Case.of("pipes", "eventfd"),
        Case.of("pipes", "timerfd"),
        Case.of("pipes", "signalfd"),
        Case.of("pipes", "epoll"),
        Case.of("pipes", "memfd"),
        Case.of("sockets", "pairs"),
        Case.of("sockets", "tcp"),
        Case.of("sockets", "udp"),
        Case.of("pty"));
  }

  @ParameterizedTest
  @MethodSource("cases")
  void plain(Case program) {
    try (Target target = program.start()) {
      target.expectRunning();
      program.expectPass(target);
    }
  }

  @Tag("next")
  @ParameterizedTest
  @MethodSource("cases")
  void leaveRunning(Case program) {
    try (Target target = program.start()) {
      VisibleState before = VisibleState.of(target.proc());
      Jcr.dump(target.pid(), target.image("r"), "-R").expectExit(0);
      target.expectRunning();
      assertThat(before.differences(VisibleState.of(target.proc()))).isEmpty();
      program.expectPass(target);
    }
  }

  @Tag("next")
  @ParameterizedTest
  @MethodSource("cases")
  void dumpAndRestore(Case program) {
    try (Target target = program.start()) {
      cycle(target, "1");
      program.expectPass(target);
    }
  }

  @Tag("next")
  @ParameterizedTest
  @MethodSource("cases")
  void threeTimesInARow(Case program) {
    try (Target target = program.start()) {
      for (String which : List.of("1", "2", "3")) {
        cycle(target, which);
      }
      program.expectPass(target);
    }
  }

  static void cycle(Target target, String which) {
    VisibleState before = VisibleState.of(target.proc());
    Path image = target.image(which);
    Jcr.dump(target.pid(), image).expectExit(0);
    target.awaitGone();
    Jcr.restore(image).expectExit(0);
    target.expectRunning();
    assertThat(before.differences(VisibleState.of(target.proc()))).isEmpty();
  }
}
