package dev.jcr.parasite.host;

import dev.jcr.image.registers.ArmFeatures;
import dev.jcr.image.v1.Arch;
import dev.jcr.image.v1.ArmCpu;
import dev.jcr.image.v1.Host;
import dev.jcr.image.v1.X86Cpu;
import dev.jcr.image.v1.XstateComponent;
import dev.jcr.parasite.linux.Cpuid;
import dev.jcr.parasite.linux.IdRegisters;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.procfs.Auxv;
import dev.jcr.parasite.procfs.Proc;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/// What of this host the registers and the code of a process depend on.
public final class HostFacts {
  private static final int XSTATE_LEAF = 0xd;
  private static final long AT_PAGESZ = 6;
  private static final long AT_HWCAP = 16;
  private static final long AT_HWCAP2 = 26;
  private static final long AT_HWCAP3 = 29;

  private HostFacts() {}

  /// Without vDSO, which belongs to a process.
  public static Host.Builder read() throws IOException {
    Host.Builder host =
        Host.newBuilder()
            .setArch(Kernel.HOST)
            .setPageSize(pageSize())
            .setKernelRelease(Proc.at("/proc/sys/kernel").text("osrelease").strip());
    if (Kernel.HOST == Arch.ARCH_X86_64) {
      host.setX86(x86());
    } else {
      host.setArm(arm());
    }
    return host;
  }

  private static Auxv auxv() throws IOException {
    return Auxv.parse(Proc.at("/proc/self").bytes("auxv"));
  }

  /// Bytes of a page of this kernel.
  public static int pageSize() throws IOException {
    return auxv().entries().getOrDefault(AT_PAGESZ, 4096L).intValue();
  }

  /// What the kernel told every program of this CPU at its start (getauxval(3)).
  static ArmCpu.Builder armFeatures() throws IOException {
    Map<Long, Long> entries = auxv().entries();
    return ArmCpu.newBuilder()
        .setHwcap(entries.getOrDefault(AT_HWCAP, 0L))
        .setHwcap2(entries.getOrDefault(AT_HWCAP2, 0L))
        .setHwcap3(entries.getOrDefault(AT_HWCAP3, 0L));
  }

  private static ArmCpu arm() throws IOException {
    ArmCpu.Builder cpu = armFeatures();
    Set<String> features = ArmFeatures.names(cpu.build());
    if (features.contains("cpuid")) {
      cpu.addAllIdRegisters(IdRegisters.read());
    }
    if (features.contains("sve") || features.contains("sme") || features.contains("paca")) {
      ArmProbe probe = ArmProbe.probe();
      cpu.addAllSveVectorLengths(probe.sve())
          .addAllSmeVectorLengths(probe.sme())
          .setPacDataMask(probe.dataMask())
          .setPacCodeMask(probe.codeMask());
    }
    return cpu.build();
  }

  private static X86Cpu x86() throws IOException {
    X86Cpu.Builder cpu = X86Cpu.newBuilder();
    for (String line : Proc.at("/proc").text("cpuinfo").lines().toList()) {
      int colon = line.indexOf(':');
      if (colon < 0) {
        break; // the first processor is enough
      }
      String value = line.substring(colon + 1).strip();
      switch (line.substring(0, colon).strip()) {
        case "vendor_id" -> cpu.setVendor(value);
        case "flags" -> cpu.addAllFlags(new TreeSet<>(List.of(value.split(" "))));
        default -> {}
      }
    }
    try (Cpuid cpuid = Cpuid.open()) {
      int[] main = cpuid.query(XSTATE_LEAF, 0);
      cpu.setXfeatures((main[0] & 0xffffffffL) | (long) main[3] << 32);
      cpu.setXstateSize(main[1]);
      cpu.addAllLayout(layout(cpuid, cpu.getXfeatures()));
    }
    return cpu.build();
  }

  /// User components by feature number: sub-leaves 2 and up, size in eax, offset in ebx, and bit 0
  /// of ecx set for supervisor components, which no XSAVE image holds (Intel SDM vol. 1, 13.2).
  private static List<XstateComponent> layout(Cpuid cpuid, long features) {
    List<XstateComponent> layout = new ArrayList<>();
    for (int feature = 2; feature < 63; feature++) {
      if ((features >>> feature & 1) == 0) {
        continue;
      }
      int[] leaf = cpuid.query(XSTATE_LEAF, feature);
      if (leaf[0] != 0 && (leaf[2] & 1) == 0) {
        layout.add(
            XstateComponent.newBuilder()
                .setFeature(feature)
                .setSize(leaf[0])
                .setOffset(leaf[1])
                .setFlags(leaf[2])
                .build());
      }
    }
    return layout;
  }
}
