package dev.jcr.tests;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// Mapped files that are removed while jcr looks at them, as a JVM removes its own at its end.
@Tag("process")
@Timeout(180)
class FleetingFilesTest {
  private static final int DUMPS = 12;

  @Test
  void dumpsSucceedWhateverIsRemovedMeanwhile() {
    try (Target target = Target.start("fleeting")) {
      for (int i = 0; i < DUMPS; i++) {
        Jcr.dump(target.pid(), target.image("running-" + i), "-R").expectExit(0);
        target.expectRunning();
      }
      for (int i = 0; i < DUMPS / 4; i++) {
        Jcr.dump(target.pid(), target.image("cycle-" + i)).expectExit(0);
        target.awaitGone();
        Jcr.restore(target.image("cycle-" + i)).expectExit(0);
        target.expectRunning();
      }
      target.expectPass();
    }
  }
}
