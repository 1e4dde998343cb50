package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/// arm64: another tracer stepped a task, or held it in a system call, and let it go right before
/// the dump. Nothing of that is left: no PSTATE.SS, no system call number, no SIGTRAP, and every
/// register is as the program made it. A call whose number a tracer makes -1 is not made.
@Tag("arm64")
class Arm64TracersTest {
  private static final int ROUNDS = 3;

  static Stream<Arguments> ways() {
    return Stream.of(
        Arguments.of("step", "spin"),
        Arguments.of("entry", "poll"),
        Arguments.of("exit", "poll"),
        Arguments.of("pseudo", "poll"),
        Arguments.of("none", "poll"));
  }

  private static String tracer(Target target, String way) {
    return Command.of(Programs.compiled("tracer").toString(), Long.toString(target.pid()), way)
        .run()
        .expectExit(0)
        .out();
  }

  @ParameterizedTest
  @MethodSource("ways")
  void nothingIsLeftOfAnotherTracer(String way, String mode) {
    try (Target target = Target.start("torture_regs", mode)) {
      Path image = target.image("1");
      for (int round = 0; round < ROUNDS; round++) {
        tracer(target, way);
        Jcr.dump(target.pid(), image).expectExit(0);
        target.awaitGone();
        Jcr.restore(image).expectExit(0);
        Target.delete(image);
        assertThat(tracer(target, "show"))
            .as("round %d", round)
            .isEqualTo("stop 8005 SS 0 call -1 signals 0\n");
        assertThat(target.read("result")).isEmpty();
      }
      tracer(target, way);
      Jcr.dump(target.pid(), image, "-R").expectExit(0);
      assertThat(tracer(target, "show")).isEqualTo("stop 8005 SS 0 call -1 signals 0\n");
      target.expectPass();
    }
  }
}
