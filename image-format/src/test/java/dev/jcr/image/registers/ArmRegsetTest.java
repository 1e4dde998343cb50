package dev.jcr.image.registers;

import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.image.v1.Aarch64Registers;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/// Sets as kernels gave them (6.12 and 7.2) and the order in which they are written.
class ArmRegsetTest {
  /// `struct user_sve_header`: size, max_size, vl, max_vl, flags.
  private static byte[] header(
      ArmRegset regset, int size, int maxSize, int length, int maxLength, int flags) {
    byte[] bytes = new byte[regset.capacity()];
    for (int i = ArmRegset.HEADER; i < size; i++) {
      bytes[i] = (byte) (i % 251);
    }
    ByteBuffer.wrap(bytes)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putInt(0, size)
        .putInt(4, maxSize)
        .putShort(8, (short) length)
        .putShort(10, (short) maxLength)
        .putShort(12, (short) flags);
    return bytes;
  }

  private static int word(byte[] bytes, int at) {
    return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).getInt(at);
  }

  @Test
  void everyNoteHasOneRow() {
    assertThat(ArmRegset.byNote()).extracting(ArmRegset::note).isSorted().doesNotHaveDuplicates();
    for (ArmRegset regset : ArmRegset.values()) {
      assertThat(ArmRegset.of(regset.note())).contains(regset);
    }
    assertThat(ArmRegset.of(0x499)).isEmpty();
    assertThat(ArmRegset.SVE.label()).isEqualTo("NT_ARM_SVE");
    assertThat(ArmRegset.FPSIMD.label()).isEqualTo("NT_PRFPREG");
  }

  @Test
  void vectorsNotInUseAreTheirLengthAlone() {
    // Idle, with V0 to V31 in it.
    byte[] idle = ArmRegset.SVE.trim(header(ArmRegset.SVE, 544, 8768, 64, 256, 0), 8768);
    assertThat(idle).hasSize(16);
    assertThat(ArmRegset.hasRegisters(idle)).isFalse();
    assertThat(ArmRegset.vectorLength(idle)).isEqualTo(64);
    assertThat(word(idle, 0)).describedAs("size").isEqualTo(16);
    assertThat(word(idle, 4)).describedAs("max_size, the host's").isZero();
    assertThat(idle[10]).describedAs("max_vl, the host's").isZero();
    // The same state on a host with longer vectors.
    assertThat(ArmRegset.SVE.trim(header(ArmRegset.SVE, 544, 592, 64, 64, 0), 592)).isEqualTo(idle);
    assertThat(ArmRegset.ZA.trim(header(ArmRegset.ZA, 16, 1040, 32, 256, 2), 65552)).hasSize(16);
    assertThat(ArmRegset.SSVE.trim(header(ArmRegset.SSVE, 16, 8768, 32, 256, 0), 8768)).hasSize(16);
  }

  @Test
  void vectorsInUse() {
    byte[] live = ArmRegset.SVE.trim(header(ArmRegset.SVE, 2224, 8768, 64, 256, 3), 8768);
    assertThat(live).hasSize(2224);
    assertThat(live[12]).describedAs("registers, inherited length").isEqualTo((byte) 3);
    assertThat(live[2000]).isEqualTo((byte) (2000 % 251));
    assertThat(ArmRegset.ZA.trim(header(ArmRegset.ZA, 1040, 1040, 32, 256, 0), 65552))
        .hasSize(1040);
  }

  @Test
  void aHeaderThatPromisesMoreThanThereIsHasNoRegisters() {
    assertThat(ArmRegset.SVE.trim(header(ArmRegset.SVE, 544, 8768, 64, 256, 1), 500)).hasSize(16);
    byte[] huge = header(ArmRegset.SVE, 544, 0, 64, 0, 1);
    ByteBuffer.wrap(huge).order(ByteOrder.LITTLE_ENDIAN).putInt(0, -1);
    assertThat(ArmRegset.SVE.trim(huge, 8768)).hasSize(16);
    assertThat(ArmRegset.SVE.trim(huge, 8)).isEmpty();
    assertThat(ArmRegset.vectorLength(new byte[0])).isZero();
  }

  @Test
  void debugSlotsInUse() {
    byte[] slots = new byte[264];
    slots[0] = 6;
    slots[1] = 0xa;
    assertThat(ArmRegset.HW_BREAK.trim(slots, 264)).describedAs("none is set").isEmpty();
    slots[8 + 3 * 16] = 4;
    // Writing more than the slots is ENOSPC.
    assertThat(ArmRegset.HW_BREAK.trim(slots, 264)).hasSize(8 + 6 * 16);
    slots[0] = (byte) 0xff;
    assertThat(ArmRegset.HW_BREAK.trim(slots, 264)).hasSize(264);
    assertThat(ArmRegset.HW_BREAK.trim(new byte[264], 0)).isEmpty();
  }

  private static Aarch64Registers registers(Map<ArmRegset, byte[]> contents) {
    Aarch64Registers.Builder registers = Aarch64Registers.newBuilder();
    ArmRegset.put(contents, registers);
    return registers.build();
  }

  private static Map<ArmRegset, byte[]> everything() {
    Map<ArmRegset, byte[]> all = new EnumMap<>(ArmRegset.class);
    for (ArmRegset regset : ArmRegset.values()) {
      byte[] bytes = new byte[Math.min(regset.capacity(), 64)];
      bytes[0] = 1;
      all.put(regset, bytes);
    }
    for (ArmRegset regset : List.of(ArmRegset.SVE, ArmRegset.SSVE, ArmRegset.ZA)) {
      all.put(regset, regset.trim(header(regset, 16, 0, 32, 0, 2), 16));
    }
    return all;
  }

  private static List<String> order(Map<ArmRegset, byte[]> contents) {
    return ArmRegset.writes(registers(contents)).stream()
        .map(write -> write.regset() + (write.bytes().length == 16 ? " 16" : ""))
        .toList();
  }

  @Test
  void inAnImageTheyAreSortedByNote() {
    assertThat(registers(everything()).getRegsetsList())
        .extracting(regset -> regset.getNote())
        .isSorted()
        .hasSize(ArmRegset.values().length);
    assertThat(ArmRegset.contents(registers(everything()))).hasSize(ArmRegset.values().length);
  }

  @Test
  void onlyV0ToV31InUse() {
    assertThat(order(everything()))
        .containsExactly(
            "TAGGED_ADDR_CTRL",
            "PACA_KEYS",
            "PACG_KEYS 16",
            "PAC_ENABLED_KEYS",
            "SVE 16",
            "ZA 16",
            "FPSIMD",
            "FPMR",
            "TLS 16",
            "POE",
            "GCS",
            "HW_BREAK",
            "HW_WATCH",
            "SYSTEM_CALL");
  }

  @Test
  void vectorsInsteadOfV0ToV31() {
    Map<ArmRegset, byte[]> all = everything();
    all.put(ArmRegset.SVE, ArmRegset.SVE.trim(header(ArmRegset.SVE, 1136, 0, 32, 0, 1), 8768));
    assertThat(order(all))
        .containsSubsequence("SVE 16", "ZA 16", "SVE", "FPMR")
        .doesNotContain("FPSIMD", "ZA", "ZT", "SSVE");
  }

  @Test
  void streamingWithAnArray() {
    Map<ArmRegset, byte[]> all = everything();
    all.put(ArmRegset.SSVE, ArmRegset.SSVE.trim(header(ArmRegset.SSVE, 1136, 0, 32, 0, 1), 8768));
    all.put(ArmRegset.ZA, ArmRegset.ZA.trim(header(ArmRegset.ZA, 1040, 0, 32, 0, 0), 65552));
    assertThat(order(all))
        .containsSubsequence("SVE 16", "ZA 16", "ZA", "ZT", "SSVE", "FPMR")
        .doesNotContain("FPSIMD", "SVE");
  }

  @Test
  void lengthsAloneSwitchNothingOn() {
    Map<ArmRegset, byte[]> all = everything();
    all.put(ArmRegset.SVE, ArmRegset.SVE.trim(header(ArmRegset.SVE, 1136, 0, 32, 0, 3), 8768));
    byte[] first = ArmRegset.writes(registers(all)).get(4).bytes();
    assertThat(word(first, 0)).isEqualTo(16);
    assertThat(first[12]).describedAs("inherited, without registers").isEqualTo((byte) 2);
  }

  @Test
  void aShadowStackThatIsOffIsNotWritten() {
    Map<ArmRegset, byte[]> all = everything();
    all.put(ArmRegset.GCS, new byte[24]);
    assertThat(order(all)).doesNotContain("GCS");
  }
}
