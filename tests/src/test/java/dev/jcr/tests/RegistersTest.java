package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// The register targets can fail, and say what this CPU lets them cover.
@Tag("process")
@Timeout(60)
class RegistersTest {
  @ParameterizedTest
  @ValueSource(strings = {"rbx", "r15", "fs_base", "mxcsr", "x87", "xmm", "ymm"})
  void oneFlippedBitIsNoticed(String register) {
    // The poke hits the window of the program nearly always; the rest of the loop reloads.
    String result = "";
    for (int attempt = 0; attempt < 20 && !result.startsWith("FAIL"); attempt++) {
      try (Target target = Target.start("torture_regs", "nanosleep")) {
        Command.of(Programs.compiled("poke").toString(), Long.toString(target.pid()), register)
            .run()
            .expectExit(0);
        Target.nap(60);
        if (target.proc().exists()) {
          target.kill("USR1");
        }
        result = target.await("result");
      }
    }
    assertThat(result).startsWith("FAIL");
  }

  @Test
  void avx512IsCovered() {
    expectFeature("avx512", "AVX-512 (opmask and ZMM registers)");
  }

  @Test
  void protectionKeysAreCovered() {
    expectFeature("pku", "memory protection keys (PKRU)");
  }

  @Test
  void amxIsCovered() {
    expectFeature("amx", "AMX tiles");
  }

  private static void expectFeature(String word, String name) {
    try (Target target = Target.start("torture_regs", "spin")) {
      Assumptions.assumeTrue(
          target.read("features").contains(word + "=1"), "this CPU has no " + name);
      target.expectPassAfterSignal("USR1");
    }
  }
}
