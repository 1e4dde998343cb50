package dev.jcr.cli.migrate;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.pages.PageWriter;
import dev.jcr.image.pages.Ranges;
import java.nio.ByteBuffer;
import java.util.List;

/// What a WANT says, big endian: 1 how urgent, 8 window, then for each range 8 start and 8 end.
///
/// @param window names the answer
/// @param ranges whole pages, at most a chunk of them
record PageRequest(Urgency urgency, long window, Ranges ranges) {
  private static final int HEADER = 9;
  private static final List<Urgency> URGENCIES = List.of(Urgency.values());

  /// The place in this list is what is sent.
  enum Urgency {
    /// Nobody waits yet.
    AHEAD,
    /// Somebody waits.
    NOW,
    /// Was asked for ahead, and now somebody waits.
    HURRY
  }

  byte[] bytes() {
    ByteBuffer bytes = ByteBuffer.allocate(HEADER + 16 * ranges.size());
    bytes.put((byte) URGENCIES.indexOf(urgency)).putLong(window);
    for (int i = 0; i < ranges.size(); i++) {
      bytes.putLong(ranges.start(i)).putLong(ranges.end(i));
    }
    return bytes.array();
  }

  static PageRequest of(byte[] message) throws CheckpointException {
    ByteBuffer bytes = ByteBuffer.wrap(message);
    if (message.length < HEADER || (message.length - HEADER) % 16 != 0) {
      throw Link.strange("a WANT of " + message.length + " bytes");
    }
    int urgency = bytes.get();
    if (urgency < 0 || urgency >= URGENCIES.size()) {
      throw Link.strange("a WANT of urgency " + urgency);
    }
    long window = bytes.getLong();
    Ranges ranges = new Ranges();
    long last = 0;
    while (bytes.hasRemaining()) {
      long start = bytes.getLong();
      long end = bytes.getLong();
      if (start < last || end <= start || end - start > PageWriter.CHUNK_BYTES) {
        throw Link.strange("a WANT of 0x%x to 0x%x".formatted(start, end));
      }
      ranges.add(start, end);
      last = end;
    }
    if (ranges.bytes() > PageWriter.CHUNK_BYTES) {
      throw Link.strange("a WANT of " + ranges.bytes() + " bytes");
    }
    return new PageRequest(URGENCIES.get(urgency), window, ranges);
  }
}
