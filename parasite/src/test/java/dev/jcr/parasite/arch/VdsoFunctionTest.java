package dev.jcr.parasite.arch;

import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.image.CheckpointException;
import dev.jcr.parasite.procfs.MapsEntry;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.remote.ProcessMemory;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;

/// The vDSO of this kernel, whole and damaged.
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class VdsoFunctionTest {
  private byte[] vdso = new byte[0];

  @BeforeAll
  void readOwn() throws CheckpointException, IOException {
    MapsEntry own =
        Proc.at("/proc/self").maps().stream()
            .filter(entry -> entry.path().equals("[vdso]"))
            .findFirst()
            .orElseThrow();
    try (ProcessMemory self = ProcessMemory.open((int) ProcessHandle.current().pid())) {
      vdso = self.bytes(own.start(), (int) (own.end() - own.start()));
    }
  }

  @Test
  void thoseOfThisKernel() {
    List<String> names = VdsoFunction.of(vdso).stream().map(VdsoFunction::name).toList();
    assertThat(names.stream().map(name -> name.replaceFirst("^__(vdso|kernel)_", "")))
        .contains("clock_gettime", "clock_getres", "gettimeofday");
    assertThat(VdsoFunction.of(vdso)).allMatch(f -> f.offset() > 0 && f.offset() < vdso.length);
  }

  @Test
  void whatIsNoElfFileHasNone() {
    assertThat(VdsoFunction.of(new byte[0])).isEmpty();
    assertThat(VdsoFunction.of(new byte[4096])).isEmpty();
    for (int length = 0; length < vdso.length; length += 7) {
      VdsoFunction.of(Arrays.copyOf(vdso, length));
    }
  }

  @Test
  void damageIsNoFailure() {
    RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(1);
    for (int i = 0; i < 5000; i++) {
      byte[] damaged = vdso.clone();
      for (int j = 0; j < 8; j++) {
        damaged[random.nextInt(j < 6 ? 2048 : damaged.length)] = (byte) random.nextInt();
      }
      assertThat(VdsoFunction.of(damaged))
          .allMatch(f -> f.offset() > 0 && f.offset() < damaged.length);
    }
  }
}
