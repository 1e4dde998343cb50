package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// The register targets can fail, and say what this CPU lets them cover.
@Tag("process")
@Timeout(60)
class RegistersTest {
  static List<String> registers() {
    return Arm64.IS_HOST
        ? List.of(
            "x7",
            "x23",
            "tpidr_el0",
            "tpidr2_el0",
            "fpsr",
            "v",
            "z",
            "p",
            "ffr",
            "za",
            "zt0",
            "fpmr")
        : List.of("rbx", "r15", "fs_base", "mxcsr", "x87", "xmm", "ymm");
  }

  @ParameterizedTest
  @MethodSource("registers")
  void oneFlippedBitIsNoticed(String register) {
    // The poke hits the window of the program nearly always; the rest of the loop reloads.
    String result = "";
    for (int attempt = 0; attempt < 20 && !result.startsWith("FAIL"); attempt++) {
      // A system call drops what SVE has more than the registers of before it.
      try (Target target = Target.start("torture_regs", Arm64.IS_HOST ? "spin" : "nanosleep")) {
        Command.Result poked =
            Command.of(Programs.compiled("poke").toString(), Long.toString(target.pid()), register)
                .run();
        Assumptions.assumeFalse(
            Arm64.IS_HOST && poked.err().contains("getregset"),
            "this CPU or kernel has no " + register);
        if (poked.exitCode() == 3) {
          continue; // Not live at this moment.
        }
        poked.expectExit(0);
        Target.nap(Arm64.IS_HOST ? 1000 : 60);
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
