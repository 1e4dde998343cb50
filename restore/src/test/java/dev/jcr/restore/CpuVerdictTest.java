package dev.jcr.restore;

import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.image.registers.ArmRegset;
import dev.jcr.image.v1.Aarch64Registers;
import dev.jcr.image.v1.Arch;
import dev.jcr.image.v1.ArmCpu;
import dev.jcr.image.v1.Host;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.Registers;
import dev.jcr.image.v1.Thread;
import dev.jcr.image.v1.X86Cpu;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class CpuVerdictTest {
  /// AT_HWCAP: fp, asimd, sve, paca.
  private static final long BASE = 1 | 1 << 1 | 1 << 22 | 1 << 30;

  private static Host arm(long hwcap, long hwcap2, Integer... lengths) {
    return Host.newBuilder()
        .setArch(Arch.ARCH_AARCH64)
        .setArm(
            ArmCpu.newBuilder()
                .setHwcap(hwcap)
                .setHwcap2(hwcap2)
                .addAllSveVectorLengths(List.of(lengths)))
        .build();
  }

  private static Host x86(String... flags) {
    return Host.newBuilder()
        .setArch(Arch.ARCH_X86_64)
        .setX86(X86Cpu.newBuilder().addAllFlags(List.of(flags)))
        .build();
  }

  private static CpuVerdict verdict(Host image, Host host, Thread... threads) {
    return CpuVerdict.of(
        ProcessState.newBuilder().setHost(image).addAllThreads(List.of(threads)).build(), host);
  }

  /// A thread whose SVE registers have this length.
  private static Thread withVectors(int bytes) {
    byte[] header = new byte[16];
    header[0] = 16;
    header[8] = (byte) bytes;
    header[9] = (byte) (bytes >> 8);
    Aarch64Registers.Builder registers = Aarch64Registers.newBuilder();
    ArmRegset.put(Map.of(ArmRegset.SVE, header), registers);
    return Thread.newBuilder().setRegisters(Registers.newBuilder().setAarch64(registers)).build();
  }

  @Test
  void theSame() {
    CpuVerdict verdict = verdict(arm(BASE, 2), arm(BASE, 2));
    assertThat(verdict).hasToString("same");
    assertThat(verdict.missing()).isEmpty();
    assertThat(verdict(x86("avx", "fpu"), x86("avx", "fpu"))).hasToString("same");
  }

  @Test
  void compatible() {
    assertThat(verdict(arm(BASE, 0), arm(BASE, 1 << 18))).hasToString("compatible");
    assertThat(verdict(x86("fpu"), x86("avx", "fpu"))).hasToString("compatible");
  }

  @Test
  void refusedByName() {
    CpuVerdict verdict = verdict(arm(BASE | 1L << 32, 1L << 37), arm(BASE, 0));
    assertThat(verdict).hasToString("refused");
    assertThat(verdict.missing()).containsExactly("gcs", "sme2");
    assertThat(verdict(arm(BASE | 1L << 63, 0), arm(BASE, 0)).missing())
        .containsExactly("hwcap bit 63");
    assertThat(verdict(x86("avx512f", "fpu"), x86("fpu")).missing()).containsExactly("avx512f");
  }

  @Test
  void vectorLengthsThatThreadsHave() {
    Host image = arm(BASE, 0, 16, 32, 64);
    assertThat(verdict(image, arm(BASE, 0, 16, 32, 64), withVectors(64))).hasToString("same");
    assertThat(verdict(image, arm(BASE, 0, 16, 32), withVectors(32)))
        .describedAs("the length that it has is there")
        .hasToString("compatible");
    assertThat(verdict(image, arm(BASE, 0, 16, 32), withVectors(64)).missing())
        .containsExactly("SVE vectors of 512 bits");
    assertThat(verdict(image, arm(BASE, 0, 256), withVectors(256)).missing()).isEmpty();
    assertThat(verdict(image, arm(BASE, 0), withVectors(64)).missing())
        .describedAs("a host that did not say")
        .isEmpty();
  }
}
