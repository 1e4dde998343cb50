package dev.jcr.parasite.procfs;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.LinkedHashMap;

/// `/proc/PID/auxv`: pairs of 64-bit words, AT_NULL last.
///
/// @param entries value by AT_* type in order, without AT_NULL
/// @param size bytes of the vector including AT_NULL
public record Auxv(LinkedHashMap<Long, Long> entries, int size) {
  public static Auxv parse(byte[] bytes) {
    ByteBuffer buffer = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    LinkedHashMap<Long, Long> entries = new LinkedHashMap<>();
    while (buffer.remaining() >= 16) {
      long type = buffer.getLong();
      long value = buffer.getLong();
      if (type == 0) {
        return new Auxv(entries, buffer.position());
      }
      entries.put(type, value);
    }
    throw new IllegalArgumentException(
        "auxiliary vector of " + bytes.length + " bytes does not end in AT_NULL");
  }
}
