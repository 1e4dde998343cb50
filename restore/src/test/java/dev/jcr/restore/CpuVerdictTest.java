package dev.jcr.restore;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import dev.jcr.image.registers.ArmRegset;
import dev.jcr.image.v1.Aarch64Registers;
import dev.jcr.image.v1.Arch;
import dev.jcr.image.v1.ArmCpu;
import dev.jcr.image.v1.Host;
import dev.jcr.image.v1.Memory;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.Registers;
import dev.jcr.image.v1.Thread;
import dev.jcr.image.v1.Vma;
import dev.jcr.image.v1.X8664Registers;
import dev.jcr.image.v1.X86Cpu;
import dev.jcr.image.v1.XstateComponent;
import dev.jcr.image.v1.XstateData;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
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

  @Test
  void anotherArchitectureOrPageSize() {
    assertThat(verdict(arm(BASE, 0), x86("fpu")).missing())
        .containsExactly("the architecture of the image, ARCH_AARCH64");
    assertThat(verdict(arm(BASE, 0), x86("fpu"))).hasToString("refused");
    Host large = arm(BASE, 0).toBuilder().setPageSize(16384).build();
    assertThat(verdict(large, large.toBuilder().setPageSize(4096).build()).missing())
        .containsExactly("pages of 16384 bytes");
  }

  @Test
  void vectorRegistersOfX86ThatAreInUse() {
    Host first = x86("avx512f", "fpu");
    XstateData zmm =
        XstateData.newBuilder()
            .setFeature(7)
            .setData(
                ByteString.copyFrom(new byte[1023]).concat(ByteString.copyFrom(new byte[] {1})))
            .build();
    Thread using =
        Thread.newBuilder()
            .setRegisters(
                Registers.newBuilder()
                    .setX8664(X8664Registers.newBuilder().setXstateBv(0x83).addComponents(zmm)))
            .build();
    XstateComponent place =
        XstateComponent.newBuilder().setFeature(7).setSize(1024).setOffset(1664).build();
    Host with =
        first.toBuilder()
            .setX86(
                first.getX86().toBuilder().setXfeatures(0x83).setXstateSize(2688).addLayout(place))
            .build();
    assertThat(verdict(first, with, using)).hasToString("compatible");
    assertThat(verdict(first, first, using).missing())
        .containsExactly("Hi16_ZMM registers of 1024 bytes");
    assertThat(
            verdict(
                    first,
                    with.toBuilder()
                        .setX86(
                            with.getX86().toBuilder().setLayout(0, place.toBuilder().setSize(512)))
                        .build(),
                    using)
                .missing())
        .describedAs("of another size")
        .containsExactly("Hi16_ZMM registers of 1024 bytes");
    assertThat(verdict(first, first, Thread.getDefaultInstance()).missing())
        .describedAs("not in use")
        .isEmpty();
  }

  /// Where signatures are, by how many bits an address has.
  private static Host signing(long mask) {
    return arm(BASE, 0).toBuilder()
        .setArm(arm(BASE, 0).getArm().toBuilder().setPacDataMask(mask).setPacCodeMask(mask))
        .build();
  }

  private static Thread signed(long mask) {
    byte[] masks =
        ByteBuffer.allocate(16).order(ByteOrder.LITTLE_ENDIAN).putLong(mask).putLong(mask).array();
    Aarch64Registers.Builder registers = Aarch64Registers.newBuilder();
    ArmRegset.put(Map.of(ArmRegset.PAC_MASK, masks), registers);
    return Thread.newBuilder().setRegisters(Registers.newBuilder().setAarch64(registers)).build();
  }

  @Test
  void signaturesInOtherBits() {
    long bits48 = 0x007f_0000_0000_0000L;
    long bits52 = 0x0070_0000_0000_0000L;
    assertThat(verdict(signing(bits48), signing(bits48), signed(bits48))).hasToString("same");
    assertThat(verdict(signing(bits48), signing(bits52), signed(bits48)).missing())
        .containsExactly("signatures of pointers in the bits 0x7f000000000000");
    assertThat(verdict(arm(BASE, 0), signing(bits52), signed(bits52)))
        .describedAs("an image that knows of its threads only")
        .hasToString("compatible");
    assertThat(verdict(signing(bits48), arm(BASE, 0), signed(bits48)).missing())
        .describedAs("a host that did not say")
        .isEmpty();
  }

  @Test
  void addressesThatAreNotThere() {
    ProcessState high =
        ProcessState.newBuilder()
            .setHost(signing(0x0070_0000_0000_0000L))
            .setMemory(
                Memory.newBuilder()
                    .addVmas(Vma.newBuilder().setStart(0x1000).setEnd(0x1_0000_0000_0000L))
                    .addVmas(
                        Vma.newBuilder().setStart(0xf_0000_0000_0000L).setEnd(0xf_0000_0001_0000L)))
            .build();
    assertThat(CpuVerdict.of(high, signing(0x0070_0000_0000_0000L))).hasToString("same");
    assertThat(CpuVerdict.of(high, signing(0x007f_0000_0000_0000L)).missing())
        .containsExactly("addresses of 52 bits");
    assertThat(CpuVerdict.of(high, signing(0x007f_ff80_0000_0000L)).missing())
        .containsExactly("addresses of 48 bits", "addresses of 52 bits");
  }

  /// MIDR, then ISAR1 and ISAR2 at their places.
  private static Host identified(long midr, long isar1, long isar2) {
    return arm(BASE, 0).toBuilder()
        .setArm(
            arm(BASE, 0).getArm().toBuilder()
                .addAllIdRegisters(List.of(midr, 0L, 0L, 0L, 0L, 0L, isar1, isar2, 0L, 0L, 0L)))
        .build();
  }

  @Test
  void pointersThatAreSignedInAnotherWay() {
    Host qarma5 = identified(0x410f_d490L, 0x10, 0);
    Host qarma5Faulting = identified(0x410f_d4c0L, 0x20, 0);
    Host enhanced = identified(0x410f_d4c0L, 0x40, 0);
    Host qarma3 = identified(0x410f_d490L, 0, 0x1000);
    Host own = identified(0x610f_0000L, 0x100, 0);
    assertThat(verdict(qarma5, qarma5Faulting)).hasToString("compatible");
    assertThat(verdict(qarma5, qarma3).missing()).containsExactly("pointers signed by QARMA5");
    assertThat(verdict(qarma3, qarma5).missing()).containsExactly("pointers signed by QARMA3");
    assertThat(verdict(enhanced, qarma5).missing())
        .containsExactly("pointers signed by QARMA5 (enhanced)");
    assertThat(verdict(own, qarma5).missing())
        .containsExactly("pointers signed by an algorithm of implementer 0x61");
    assertThat(verdict(own, identified(0x410f_0000L, 0x100, 0)).missing())
        .containsExactly("pointers signed by an algorithm of implementer 0x61");
    assertThat(verdict(identified(0x410f_d490L, 0, 0), qarma5)).hasToString("compatible");
    assertThat(verdict(qarma5, arm(BASE, 0))).hasToString("compatible");
  }
}
