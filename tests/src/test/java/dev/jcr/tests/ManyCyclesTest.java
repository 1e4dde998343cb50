package dev.jcr.tests;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// The register targets through many cycles of dump and restore. They compare all their registers
/// all the time and end at the first wrong one.
class ManyCyclesTest {
  @Tag("process")
  @Timeout(300)
  @ParameterizedTest
  @ValueSource(strings = {"spin", "nanosleep", "futex", "poll"})
  void aFew(String mode) throws Exception {
    Cycles.run(target(mode), 25);
  }

  @Tag("soak")
  @Timeout(7200)
  @ParameterizedTest
  @ValueSource(strings = {"spin", "nanosleep", "futex", "poll"})
  void aThousand(String mode) throws Exception {
    Cycles.run(target(mode), 1000);
  }

  private static TargetProgramsTest.Case target(String mode) {
    return TargetProgramsTest.Case.of("torture_regs", mode).toldBy("USR1");
  }
}
