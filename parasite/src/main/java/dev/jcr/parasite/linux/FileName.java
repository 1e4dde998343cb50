package dev.jcr.parasite.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CoderResult;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;

/// File names are bytes, Java's and the image's strings are not. A name that is UTF-8, as nearly
/// all are, is that text; a byte that is no part of any becomes one of the private characters
/// U+F780 to U+F7FF, and so do the bytes of these characters themselves, so that every name has a
/// text of its own and comes back byte for byte.
public final class FileName {
  private static final char FIRST = '\uf780';
  private static final char LAST = '\uf7ff';
  private static final int BASE = 0xf700;

  private FileName() {}

  public static String text(byte[] name) {
    CharsetDecoder decoder =
        StandardCharsets.UTF_8
            .newDecoder()
            .onMalformedInput(CodingErrorAction.REPORT)
            .onUnmappableCharacter(CodingErrorAction.REPORT);
    ByteBuffer in = ByteBuffer.wrap(name);
    CharBuffer out = CharBuffer.allocate(name.length);
    while (true) {
      CoderResult result = decoder.decode(in, out, true);
      if (!result.isError()) {
        break;
      }
      for (int i = 0; i < result.length(); i++) {
        out.put((char) (BASE + (in.get() & 0xff)));
      }
    }
    String text = out.flip().toString();
    return escapeOwn(text, name);
  }

  /// Characters of the private range that were in the name as such.
  private static String escapeOwn(String text, byte[] name) {
    boolean ambiguous = false;
    for (int i = 0; i + 1 < name.length && !ambiguous; i++) {
      // U+F780-U+F7FF are ef 9e 80 to ef 9f bf.
      ambiguous =
          (name[i] & 0xff) == 0xef
              && ((name[i + 1] & 0xff) == 0x9e || (name[i + 1] & 0xff) == 0x9f);
    }
    if (!ambiguous) {
      return text;
    }
    StringBuilder escaped = new StringBuilder();
    for (byte each : name) {
      escaped.append(each >= 0 ? (char) each : (char) (BASE + (each & 0xff)));
    }
    return escaped.toString();
  }

  public static byte[] bytes(String text) {
    boolean plain = true;
    for (int i = 0; i < text.length() && plain; i++) {
      plain = text.charAt(i) < FIRST || text.charAt(i) > LAST;
    }
    if (plain) {
      return text.getBytes(StandardCharsets.UTF_8);
    }
    ByteBuffer bytes = ByteBuffer.allocate(text.length() * 4);
    int at = 0;
    while (at < text.length()) {
      char c = text.charAt(at);
      if (c >= FIRST && c <= LAST) {
        bytes.put((byte) c);
        at++;
      } else {
        int end = text.offsetByCodePoints(at, 1);
        bytes.put(text.substring(at, end).getBytes(StandardCharsets.UTF_8));
        at = end;
      }
    }
    byte[] result = new byte[bytes.position()];
    bytes.get(0, result);
    return result;
  }

  /// The name with its terminating zero byte, for a system call.
  public static MemorySegment allocate(Arena arena, String text) {
    byte[] bytes = bytes(text);
    MemorySegment segment = arena.allocate(bytes.length + 1L);
    MemorySegment.copy(bytes, 0, segment, ValueLayout.JAVA_BYTE, 0, bytes.length);
    return segment;
  }
}
