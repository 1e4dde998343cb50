package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/// The verdict on the CPU, where people and programs read it.
@Tag("process")
class VerdictTest {
  @Test
  void thisCpuIsTheSame() {
    try (Target target = Target.start("counter")) {
      Path image = target.image("1");
      Jcr.dump(target.pid(), image).expectExit(0);
      target.awaitGone();
      Command.Result plan = Jcr.run("restore", image.toString(), "--dry-run").expectExit(0);
      assertThat(plan.err()).isEqualTo("jcr: CPU: same\n");
      assertThat(plan.out()).doesNotContain("CPU").contains("registers of 1 threads");
      assertThat(Jcr.run("restore", image.toString(), "--dry-run", "--json").expectExit(0).out())
          .startsWith("{\"cpu\":\"same\",\"cpu_lacks\":[],\"steps\":[");
      Command.Result restored = Jcr.run("restore", image.toString(), "-d", "--json").expectExit(0);
      assertThat(restored.err()).contains(" (CPU: same)\n");
      assertThat(restored.out()).startsWith("{\"cpu\":\"same\",\"cpu_lacks\":[],\"pid\":");
      target.expectRunning();
      target.expectPass();
    }
  }
}
