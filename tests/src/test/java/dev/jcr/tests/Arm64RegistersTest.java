package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// arm64: the register sets that no other tool restores, in targets that compare all the time.
@Tag("arm64")
class Arm64RegistersTest {
  static Stream<TargetProgramsTest.Case> cases() {
    return cases(List.of(16, 256));
  }

  /// Some of them by the system property `jcr.cases`: all take longer than a machine has to live.
  static Stream<TargetProgramsTest.Case> allLengths() {
    return cases(List.of(16, 32, 64, 128, 256)).filter(TargetProgramsTest.Case::isWanted);
  }

  private static Stream<TargetProgramsTest.Case> cases(List<Integer> lengths) {
    List<TargetProgramsTest.Case> cases = new ArrayList<>();
    for (String mode : List.of("spin", "nanosleep", "futex", "poll", "handler", "pending")) {
      cases.add(TargetProgramsTest.Case.of("torture_regs", mode));
    }
    cases.add(TargetProgramsTest.Case.of("torture_regs", "spin", "fp"));
    for (int bytes : lengths) {
      cases.add(TargetProgramsTest.Case.of("torture_regs", "spin", "sve=" + bytes));
      cases.add(
          TargetProgramsTest.Case.of(
              "torture_regs", "spin", "sme=" + bytes, "streaming", "za", "zt0", "fpmr", "tpidr2"));
    }
    cases.add(TargetProgramsTest.Case.of("pac"));
    cases.add(TargetProgramsTest.Case.of("mte"));
    cases.add(TargetProgramsTest.Case.of("gcs"));
    cases.add(TargetProgramsTest.Case.of("x7_live"));
    return cases.stream();
  }

  /// The kernel resumes a sleep that a stop interrupts by restart_syscall(2), and leaves its number
  /// in x8 (arch/arm64/kernel/signal.c, setup_restart_syscall): SIGSTOP does that as well.
  static Stream<TargetProgramsTest.Case> leftRunningCases() {
    return cases()
        .map(program ->
            program.arguments().stream().anyMatch(Set.of("nanosleep", "futex")::contains)
                ? TargetProgramsTest.Case.of(
                    program.program(), program.arguments().getFirst(), "stopped")
                : program);
  }

  @ParameterizedTest
  @MethodSource("leftRunningCases")
  void leftRunning(TargetProgramsTest.Case program) {
    try (Target target = program.start()) {
      Jcr.dump(target.pid(), target.image("r"), "-R").expectExit(0);
      target.expectRunning();
      program.expectPass(target);
    }
  }

  @ParameterizedTest
  @MethodSource("cases")
  void restored(TargetProgramsTest.Case program) throws Exception {
    Cycles.run(program, 2);
  }

  @Tag("soak")
  @ParameterizedTest
  @MethodSource("allLengths")
  void restoredAHundredTimes(TargetProgramsTest.Case program) throws Exception {
    Cycles.run(program, 100);
  }

  @Tag("soak")
  @Test
  void x7StaysThroughAThousandCycles() throws Exception {
    Cycles.run(TargetProgramsTest.Case.of("x7_live"), 1000);
  }

  @Test
  void x7StaysThroughSomeCycles() throws Exception {
    Cycles.run(TargetProgramsTest.Case.of("x7_live"), 10);
  }

  /// The textbook way takes and puts registers at syscall-stops, and loses x7: the target notices.
  @Test
  void naiveTracerLosesX7() {
    try (Target target = Target.start("x7_live")) {
      String result = "";
      for (int attempt = 0; attempt < 10 && result.isEmpty(); attempt++) {
        Command.Result naive =
            Command.of(Programs.compiled("naive").toString(), Long.toString(target.pid()))
                .run()
                .expectExit(0);
        System.out.print("naive tracer: " + naive.out());
        Target.nap(500);
        result = target.read("result");
      }
      System.out.println("naive tracer: " + result);
      assertThat(result).startsWith("FAIL").contains("x7: want").contains("is 0,");
    }
  }
}
