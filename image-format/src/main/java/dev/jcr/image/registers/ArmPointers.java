package dev.jcr.image.registers;

import dev.jcr.image.v1.ArmCpu;
import java.util.List;
import java.util.Optional;

/// How an arm64 CPU signs pointers, from the identification registers that the kernel shows (Arm
/// ARM, ID_AA64ISAR1_EL1, ID_AA64ISAR2_EL1). A signature that one CPU made another one only takes
/// if both compute it in the same way.
public final class ArmPointers {
  /// Places in [ArmCpu#getIdRegistersList].
  private static final int MIDR = 0;

  private static final int ISAR1 = 6;
  private static final int ISAR2 = 7;

  /// Lowest bits of four-bit fields.
  private static final int APA = 4;

  private static final int API = 8;
  private static final int APA3 = 12;
  private static final int IMPLEMENTER = 24;

  /// FEAT_PAuth2: the signature is combined with the pointer's upper bits in another way.
  private static final int ENHANCED = 3;

  private ArmPointers() {}

  /// "QARMA5", "QARMA3 (enhanced)", "an algorithm of implementer 0x41"; empty without pointer
  /// authentication, or where the kernel does not tell.
  public static Optional<String> algorithm(ArmCpu cpu) {
    List<Long> registers = cpu.getIdRegistersList();
    if (registers.size() <= ISAR2) {
      return Optional.empty();
    }
    int qarma5 = field(registers.get(ISAR1), APA);
    int own = field(registers.get(ISAR1), API);
    int qarma3 = field(registers.get(ISAR2), APA3);
    if (qarma5 == 0 && own == 0 && qarma3 == 0) {
      return Optional.empty();
    }
    String name =
        qarma5 != 0
            ? "QARMA5"
            : qarma3 != 0
                ? "QARMA3"
                : "an algorithm of implementer 0x%x"
                    .formatted(registers.get(MIDR) >>> IMPLEMENTER & 0xff);
    boolean enhanced = Math.max(qarma5, Math.max(own, qarma3)) >= ENHANCED;
    return Optional.of(enhanced ? name + " (enhanced)" : name);
  }

  private static int field(long register, int lowest) {
    return (int) (register >>> lowest & 0xf);
  }
}
