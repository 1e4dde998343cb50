package dev.jcr.restore;

import dev.jcr.image.registers.ArmFeatures;
import dev.jcr.image.registers.ArmRegset;
import dev.jcr.image.v1.Arch;
import dev.jcr.image.v1.Host;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.Thread;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/// Whether a CPU has everything that code and registers of an image may rely on: libraries and
/// compilers of the process asked its first CPU once, and remember. Pure.
///
/// @param missing what this host lacks, by the names of /proc/cpuinfo; sorted
/// @param same it is a CPU like the first in all that jcr knows of it
record CpuVerdict(Set<String> missing, boolean same) {
  static CpuVerdict of(ProcessState state, Host host) {
    Host first = state.getHost();
    Set<String> missing = features(first);
    missing.removeAll(features(host));
    if (host.getArch() == Arch.ARCH_AARCH64) {
      for (Thread thread : state.getThreadsList()) {
        Map<ArmRegset, byte[]> contents = ArmRegset.contents(thread.getRegisters().getAarch64());
        length(
            contents.get(ArmRegset.SVE), "SVE", host.getArm().getSveVectorLengthsList(), missing);
        length(contents.get(ArmRegset.ZA), "SME", host.getArm().getSmeVectorLengthsList(), missing);
      }
    }
    return new CpuVerdict(
        missing, first.getArm().equals(host.getArm()) && first.getX86().equals(host.getX86()));
  }

  /// Features as people know them.
  private static Set<String> features(Host host) {
    return host.getArch() == Arch.ARCH_AARCH64
        ? ArmFeatures.names(host.getArm())
        : new TreeSet<>(host.getX86().getFlagsList());
  }

  /// A vector length that a thread has must be offered. A host that could not be asked is found out
  /// when the registers are written.
  private static void length(
      byte @Nullable [] contents, String what, List<Integer> offered, Set<String> missing) {
    int bytes = contents == null ? 0 : ArmRegset.vectorLength(contents);
    if (bytes != 0 && !offered.isEmpty() && !offered.contains(bytes)) {
      missing.add(what + " vectors of " + bytes * 8 + " bits");
    }
  }

  /// "same", "compatible" or "refused".
  @Override
  public String toString() {
    return !missing.isEmpty() ? "refused" : same ? "same" : "compatible";
  }
}
