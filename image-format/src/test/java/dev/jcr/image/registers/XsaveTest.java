package dev.jcr.image.registers;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.registers.Xsave.Layout;
import dev.jcr.image.v1.X8664Registers;
import dev.jcr.image.v1.XstateComponent;
import dev.jcr.image.v1.XstateData;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

class XsaveTest {
  private static XstateComponent at(int feature, int offset, int size) {
    return XstateComponent.newBuilder().setFeature(feature).setOffset(offset).setSize(size).build();
  }

  /// Sapphire Rapids: AVX-512 behind the dead MPX hole, PKRU, AMX behind another hole.
  private static final Layout INTEL =
      new Layout(
          0x602e7,
          11008,
          List.of(
              at(2, 576, 256),
              at(5, 1088, 64),
              at(6, 1152, 512),
              at(7, 1664, 1024),
              at(9, 2688, 8),
              at(17, 2752, 64),
              at(18, 2816, 8192)));

  /// Zen 4: no hole before the opmask.
  private static final Layout AMD =
      new Layout(
          0x2e7,
          2440,
          List.of(
              at(2, 576, 256), at(5, 832, 64), at(6, 896, 512), at(7, 1408, 1024), at(9, 2432, 8)));

  private static final Layout AVX2 = new Layout(0x7, 832, List.of(at(2, 576, 256)));

  /// With APX in the MPX hole: feature 19 lies before feature 5.
  private static final Layout APX =
      new Layout(
          0x2e7 | 1L << 19,
          2696,
          List.of(
              at(2, 576, 256),
              at(19, 960, 128),
              at(5, 1088, 64),
              at(6, 1152, 512),
              at(7, 1664, 1024),
              at(9, 2688, 8)));

  private static byte[] area(Layout layout, int... features) {
    byte[] area = new byte[layout.size()];
    ByteBuffer bytes = ByteBuffer.wrap(area).order(ByteOrder.LITTLE_ENDIAN);
    for (int i = 0; i < 416; i++) {
      area[i] = (byte) (i * 7 + 1);
    }
    bytes.putInt(28, 0x2ffff);
    bytes.putLong(464, layout.features());
    long used = 3;
    for (int feature : features) {
      XstateComponent c = layout.component(feature).orElseThrow();
      Arrays.fill(area, c.getOffset(), c.getOffset() + c.getSize(), (byte) (feature + 1));
      used |= 1L << feature;
    }
    bytes.putLong(512, used);
    return area;
  }

  private static X8664Registers parse(byte[] area, Layout layout) throws CheckpointException {
    X8664Registers.Builder into = X8664Registers.newBuilder();
    Xsave.parse(area, layout, into);
    return into.build();
  }

  private static byte[] written(byte[] area) {
    byte[] copy = area.clone();
    Arrays.fill(copy, 464, 512, (byte) 0);
    Arrays.fill(copy, 28, 32, (byte) 0);
    return copy;
  }

  @Test
  void everyLayoutRoundTrips() throws Exception {
    for (Layout layout : List.of(INTEL, AMD, AVX2, APX)) {
      int[] features = layout.components().stream().mapToInt(XstateComponent::getFeature).toArray();
      byte[] area = area(layout, features);
      X8664Registers registers = parse(area, layout);
      assertThat(registers.getFxsave().size()).isEqualTo(464);
      assertThat(registers.getComponentsList())
          .extracting(XstateData::getFeature)
          .isSorted()
          .hasSize(features.length);
      assertThat(Xsave.build(registers, layout.features(), layout)).isEqualTo(written(area));
    }
  }

  @Test
  void intelToAmdMovesComponents() throws Exception {
    X8664Registers registers = parse(area(INTEL, 2, 5, 6, 7, 9), INTEL);
    assertThat(Xsave.build(registers, INTEL.features(), AMD))
        .isEqualTo(written(area(AMD, 2, 5, 6, 7, 9)));
  }

  @Test
  void initialComponentsAreDropped() throws Exception {
    byte[] area = area(INTEL, 2, 5, 18);
    Arrays.fill(area, 1088, 1152, (byte) 0);
    Arrays.fill(area, 2816, 11008, (byte) 0);
    X8664Registers registers = parse(area, INTEL);
    assertThat(registers.getXstateBv()).isEqualTo(7);
    assertThat(Xsave.uses(registers, Xsave.TILEDATA)).isFalse();
    assertThat(Xsave.build(registers, INTEL.features(), AVX2)).hasSize(832);
  }

  @Test
  void componentsInUseThatTheHostLacksAreRefusedByName() throws Exception {
    X8664Registers registers = parse(area(INTEL, 2, 17, 18), INTEL);
    assertThatThrownBy(() -> Xsave.build(registers, INTEL.features(), AMD))
        .isInstanceOfSatisfying(
            CheckpointException.class, e -> assertThat(e.outcome()).isEqualTo(Outcome.IMAGE))
        .hasMessage(
            "cannot restore registers: TILECFG is in use and this CPU or kernel does not have it;"
                + " restore on a host that has it");
  }

  @Test
  void pkruIsAlwaysWritten() throws Exception {
    X8664Registers open = parse(area(INTEL, 2), INTEL);
    ByteBuffer zero =
        ByteBuffer.wrap(Xsave.build(open, INTEL.features(), AMD)).order(ByteOrder.LITTLE_ENDIAN);
    assertThat(zero.getLong(512)).isEqualTo(0x207);
    assertThat(zero.getInt(2432)).isZero();
    X8664Registers without = parse(area(AVX2, 2), AVX2);
    ByteBuffer defaulted =
        ByteBuffer.wrap(Xsave.build(without, AVX2.features(), INTEL))
            .order(ByteOrder.LITTLE_ENDIAN);
    assertThat(defaulted.getLong(512)).isEqualTo(0x207);
    assertThat(defaulted.getInt(2688)).isEqualTo(0x55555554);
  }

  @Test
  void mxcsrSurvivesWhenNothingIsInUse() throws Exception {
    byte[] area = new byte[832];
    ByteBuffer bytes = ByteBuffer.wrap(area).order(ByteOrder.LITTLE_ENDIAN);
    bytes.putShort(0, (short) 0x37f);
    bytes.putInt(24, 0x1fa0);
    bytes.putLong(464, 7);
    byte[] built = Xsave.build(parse(area, AVX2), 7, AVX2);
    assertThat(ByteBuffer.wrap(built).order(ByteOrder.LITTLE_ENDIAN).getLong(512)).isEqualTo(3);
    assertThat(ByteBuffer.wrap(built).order(ByteOrder.LITTLE_ENDIAN).getInt(24)).isEqualTo(0x1fa0);
  }

  @Test
  void oddAreasAreRefused() {
    byte[] compacted = area(AVX2, 2);
    compacted[527] = (byte) 0x80;
    assertThatThrownBy(() -> parse(compacted, AVX2)).hasMessageContaining("compacted");
    byte[] unknown = area(AVX2, 2);
    unknown[513] = 2;
    assertThatThrownBy(() -> parse(unknown, AVX2)).hasMessageContaining("PKRU");
    assertThatThrownBy(() -> new Layout(7, 600, List.of(at(2, 576, 256))))
        .isInstanceOf(IllegalArgumentException.class);
  }

  @Test
  void sizesMustAgree() throws Exception {
    X8664Registers registers =
        parse(area(AVX2, 2), AVX2).toBuilder()
            .setComponents(
                0,
                XstateData.newBuilder()
                    .setFeature(2)
                    .setData(ByteString.copyFrom(new byte[] {1, 2, 3})))
            .build();
    assertThatThrownBy(() -> Xsave.build(registers, 7, AVX2))
        .hasMessageContaining("AVX has 3 bytes in the image and 256 on this CPU");
  }
}
