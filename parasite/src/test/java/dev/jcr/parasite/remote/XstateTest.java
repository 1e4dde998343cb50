package dev.jcr.parasite.remote;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import org.junit.jupiter.api.Test;

/// `struct _fpx_sw_bytes` at 464 of a frame's area (`<asm/sigcontext.h>`): magic1, extended_size,
/// xfeatures, xstate_size; magic2 behind the area.
class XstateTest {
  private static final int AMX_SIZE = 11008;
  private static final long X87_SSE_AVX = 7;
  private static final long AMX = 0x60000;

  /// An area as the regset has it: bytes that tell where they are, `features` at 464, `used` at
  /// 512.
  private static ByteBuffer area(int size, long features, long used) {
    byte[] bytes = new byte[size];
    for (int i = 0; i < 464; i++) {
      bytes[i] = (byte) (i + 1);
    }
    return ByteBuffer.wrap(bytes)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putLong(464, features)
        .putLong(512, used);
  }

  private static void check(ByteBuffer frame, int size, long features) {
    assertThat(frame.capacity()).isEqualTo(size + 4);
    assertThat(frame.getInt(464)).isEqualTo(0x46505853);
    assertThat(frame.getInt(468)).describedAs("extended_size").isEqualTo(size + 4);
    assertThat(frame.getLong(472)).describedAs("xfeatures").isEqualTo(features);
    assertThat(frame.getInt(480)).describedAs("xstate_size").isEqualTo(size);
    assertThat(frame.getInt(size)).isEqualTo(0x46505845);
  }

  private static byte[] bytes(ByteBuffer buffer) {
    byte[] bytes = new byte[buffer.capacity()];
    buffer.get(0, bytes);
    return bytes;
  }

  private static ByteBuffer frame(ByteBuffer area) {
    return ByteBuffer.wrap(Xstate.signalFrame(bytes(area))).order(ByteOrder.LITTLE_ENDIAN);
  }

  @Test
  void wholeArea() {
    ByteBuffer area = area(832, X87_SSE_AVX, X87_SSE_AVX);
    area.putLong(824, 0x1234_5678_9abc_def0L);
    ByteBuffer frame = frame(area);
    check(frame, 832, X87_SSE_AVX);
    assertThat(Arrays.copyOf(bytes(frame), 464)).containsExactly(Arrays.copyOf(bytes(area), 464));
    assertThat(frame.getLong(512)).isEqualTo(X87_SSE_AVX);
    assertThat(frame.getLong(824)).isEqualTo(0x1234_5678_9abc_def0L);
  }

  @Test
  void tilesInTheirInitialStateAreCut() {
    ByteBuffer area = area(AMX_SIZE, 0x2e7 | AMX, 0x2e7);
    area.putInt(2688, 0x55555554);
    ByteBuffer frame = frame(area);
    check(frame, 2752, 0x2e7);
    assertThat(frame.getInt(2688)).isEqualTo(0x55555554);
  }

  @Test
  void withoutPkruTheAreaStillReachesBehindIt() {
    check(frame(area(AMX_SIZE, 0x2e7 | AMX, 3)), 2696, 0x2e7);
  }

  @Test
  void tilesInUseStay() {
    ByteBuffer area = area(AMX_SIZE, 0x2e7 | AMX, 0x2e7 | AMX);
    area.put(AMX_SIZE - 1, (byte) 9);
    ByteBuffer frame = frame(area);
    check(frame, AMX_SIZE, 0x2e7 | AMX);
    assertThat(frame.get(AMX_SIZE - 1)).isEqualTo((byte) 9);
  }
}
