package dev.jcr.image.registers;

import dev.jcr.image.v1.ArmCpu;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;

/// Names of the bits by which an arm64 kernel tells programs what the CPU has: AT_HWCAP, AT_HWCAP2
/// and AT_HWCAP3 of getauxval(3), `<asm/hwcap.h>`, as /proc/cpuinfo writes them.
public final class ArmFeatures {
  private static final List<String> HWCAP =
      words(
          """
          fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma
          lrcpc dcpop sha3 sm3 sm4 asimddp sha512 sve asimdfhm dit uscat ilrcpc flagm ssbs sb paca
          pacg gcs cmpbr fprcvt f8mm8 f8mm4 svef16mm sveeltperm sveaes2 svebfscale sve2p2 sme2p2
          smesbitperm smeaes smesfexpa smestmop smesmop4
          """);

  private static final List<String> HWCAP2 =
      words(
          """
          dcpodp sve2 sveaes svepmull svebitperm svesha3 svesm4 flagm2 frint svei8mm svef32mm
          svef64mm svebf16 i8mm bf16 dgh rng bti mte ecv afp rpres mte3 sme smei16i64 smef64f64
          smei8i32 smef16f32 smeb16f32 smef32f32 smefa64 wfxt ebf16 sveebf16 cssc rprfm sve2p1 sme2
          sme2p1 smei16i32 smebi32i32 smeb16b16 smef16f16 mops hbc sveb16b16 lrcpc3 lse128 fpmr lut
          faminmax f8cvt f8fma f8dp4 f8dp2 f8e4m3 f8e5m2 smelutv2 smef8f16 smef8f32 smesf8fma
          smesf8dp4 smesf8dp2 poe
          """);

  private static final List<String> HWCAP3 = words("mtefar mtestoreonly lsfe");

  private ArmFeatures() {}

  private static List<String> words(String text) {
    return List.of(text.strip().split("\\s+"));
  }

  /// All features of a CPU, sorted; a bit without a known name as "hwcap2 bit 63".
  public static Set<String> names(ArmCpu cpu) {
    Set<String> names = new TreeSet<>();
    add(names, cpu.getHwcap(), HWCAP, "hwcap");
    add(names, cpu.getHwcap2(), HWCAP2, "hwcap2");
    add(names, cpu.getHwcap3(), HWCAP3, "hwcap3");
    return names;
  }

  private static void add(Set<String> names, long bits, List<String> known, String word) {
    for (int bit = 0; bit < Long.SIZE; bit++) {
      if ((bits >>> bit & 1) != 0) {
        names.add(bit < known.size() ? known.get(bit) : word + " bit " + bit);
      }
    }
  }
}
