package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// arm64: the register sets that no other tool restores, in targets that compare all the time.
@Tag("arm64")
class Arm64RegistersTest {
  static Stream<TargetProgramsTest.Case> cases() {
    List<TargetProgramsTest.Case> cases = new ArrayList<>();
    for (String mode : List.of("spin", "nanosleep", "futex", "poll", "handler", "pending")) {
      cases.add(TargetProgramsTest.Case.of("torture_regs", mode));
    }
    cases.add(TargetProgramsTest.Case.of("torture_regs", "spin", "fp"));
    for (int bytes : List.of(16, 32, 64, 128, 256)) {
      cases.add(TargetProgramsTest.Case.of("torture_regs", "spin", "sve=" + bytes));
      cases.add(
          TargetProgramsTest.Case.of(
              "torture_regs", "spin", "sme=" + bytes, "streaming", "za", "zt0", "tpidr2"));
    }
    cases.add(TargetProgramsTest.Case.of("pac"));
    cases.add(TargetProgramsTest.Case.of("mte"));
    cases.add(TargetProgramsTest.Case.of("gcs"));
    cases.add(TargetProgramsTest.Case.of("x7_live"));
    return cases.stream();
  }

  @ParameterizedTest
  @MethodSource("cases")
  void leftRunning(TargetProgramsTest.Case program) {
    try (Target target = program.start()) {
      Jcr.dump(target.pid(), target.image("r"), "-R").expectExit(0);
      target.expectRunning();
      program.expectPass(target);
    }
  }

  @ParameterizedTest
  @MethodSource("cases")
  void restored(TargetProgramsTest.Case program) {
    cycles(program, 3);
  }

  @Tag("soak")
  @ParameterizedTest
  @MethodSource("cases")
  void restoredAHundredTimes(TargetProgramsTest.Case program) {
    cycles(program, 100);
  }

  @Tag("soak")
  @Test
  void x7StaysThroughAThousandCycles() {
    cycles(TargetProgramsTest.Case.of("x7_live"), 1000);
  }

  @Test
  void x7StaysThroughSomeCycles() {
    cycles(TargetProgramsTest.Case.of("x7_live"), 20);
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

  private static void cycles(TargetProgramsTest.Case program, int count) {
    long begin = System.nanoTime();
    try (Target target = program.start()) {
      Path image = target.image("cycle");
      for (int cycle = 1; cycle <= count; cycle++) {
        assertThat(target.read("result")).as("%s, cycle %d", program, cycle).isEmpty();
        Jcr.dump(target.pid(), image).expectExit(0);
        target.awaitGone();
        Jcr.restore(image).expectExit(0);
        Target.delete(image);
      }
      target.expectRunning();
      program.expectPass(target);
    }
    System.out.printf(
        "%s: %d cycles, 0 mismatches, %.1f s%n", program, count, (System.nanoTime() - begin) / 1e9);
  }
}
