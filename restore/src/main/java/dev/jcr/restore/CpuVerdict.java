package dev.jcr.restore;

import dev.jcr.image.registers.ArmFeatures;
import dev.jcr.image.registers.ArmPointers;
import dev.jcr.image.registers.ArmRegset;
import dev.jcr.image.registers.Xsave;
import dev.jcr.image.v1.Arch;
import dev.jcr.image.v1.ArmCpu;
import dev.jcr.image.v1.Host;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.Thread;
import dev.jcr.image.v1.Vma;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/// Whether a CPU has everything that code and registers of an image may rely on: libraries and
/// compilers of the process asked its first CPU once, and remember; and whether its registers and
/// signed pointers mean the same here. Pure.
///
/// @param missing what this host lacks, by the names of /proc/cpuinfo where they are features;
///   sorted, none when it will do
/// @param same it is a CPU like the first in all that jcr knows of it
public record CpuVerdict(Set<String> missing, boolean same) {
  public CpuVerdict {
    missing = Collections.unmodifiableSet(new TreeSet<>(missing));
  }

  static CpuVerdict of(ProcessState state, Host host) {
    Host first = state.getHost();
    if (first.getArch() != host.getArch()) {
      return new CpuVerdict(Set.of("the architecture of the image, " + first.getArch()), false);
    }
    Set<String> missing = features(first);
    missing.removeAll(features(host));
    if (first.getPageSize() != host.getPageSize()) {
      missing.add("pages of %d bytes".formatted(first.getPageSize()));
    }
    if (host.getArch() == Arch.ARCH_AARCH64) {
      arm(state, host.getArm(), missing);
    } else {
      Xsave.Layout layout = Xsave.Layout.of(host.getX86());
      for (Thread thread : state.getThreadsList()) {
        missing.addAll(Xsave.missing(thread.getRegisters().getX8664(), layout));
      }
    }
    return new CpuVerdict(
        missing, first.getArm().equals(host.getArm()) && first.getX86().equals(host.getX86()));
  }

  private static void arm(ProcessState state, ArmCpu host, Set<String> missing) {
    for (Thread thread : state.getThreadsList()) {
      Map<ArmRegset, byte[]> contents = ArmRegset.contents(thread.getRegisters().getAarch64());
      length(contents.get(ArmRegset.SVE), "SVE", host.getSveVectorLengthsList(), missing);
      length(contents.get(ArmRegset.ZA), "SME", host.getSmeVectorLengthsList(), missing);
      byte[] masks = contents.getOrDefault(ArmRegset.PAC_MASK, new byte[0]);
      signature(ArmRegset.word(masks, 0), host.getPacDataMask(), missing);
      signature(ArmRegset.word(masks, 1), host.getPacCodeMask(), missing);
    }
    Optional<String> algorithm = ArmPointers.algorithm(state.getHost().getArm());
    Optional<String> own = ArmPointers.algorithm(host);
    if (algorithm.isPresent() && own.isPresent() && !algorithm.equals(own)) {
      missing.add("pointers signed by " + algorithm.get());
    }
    if (host.getPacDataMask() != 0) {
      // The lowest bit of a signature is the first behind an address.
      int bits = Long.numberOfTrailingZeros(host.getPacDataMask());
      for (Vma vma : state.getMemory().getVmasList()) {
        if (vma.getEnd() > 1L << bits) {
          missing.add(
              "addresses of " + (64 - Long.numberOfLeadingZeros(vma.getEnd() - 1)) + " bits");
        }
      }
    }
  }

  /// A signature in other bits would fail, or be lost. A host that could not be asked is found out
  /// when the registers are compared.
  private static void signature(long mask, long host, Set<String> missing) {
    if (mask != 0 && host != 0 && mask != host) {
      missing.add("signatures of pointers in the bits 0x" + Long.toHexString(mask));
    }
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
