package dev.jcr.parasite.procfs;

import dev.jcr.parasite.linux.FileName;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/// A left-to-right reader of one line. Every complaint is an IllegalArgumentException that quotes
/// the line.
final class Scan {
  private final String line;
  private int at;

  Scan(String line) {
    this.line = line;
  }

  /// Lines without their newlines; an empty last one is dropped.
  static List<String> lines(String text) {
    List<String> lines = new ArrayList<>();
    int start = 0;
    while (start < text.length()) {
      int end = text.indexOf('\n', start);
      if (end < 0) {
        end = text.length();
      }
      lines.add(text.substring(start, end));
      start = end + 1;
    }
    return lines;
  }

  /// Words separated by blanks or tabs; none for a blank text.
  static List<String> words(String text) {
    List<String> words = new ArrayList<>();
    int length = text.length();
    int at = 0;
    while (at < length) {
      if (text.charAt(at) == ' ' || text.charAt(at) == '\t') {
        at++;
        continue;
      }
      int end = at;
      while (end < length && text.charAt(end) != ' ' && text.charAt(end) != '\t') {
        end++;
      }
      words.add(text.substring(at, end));
      at = end;
    }
    return words;
  }

  /// Bytes held one per character become text as of [FileName]. Text that is no such sequence of
  /// bytes is returned as it is.
  static String name(String bytes) {
    boolean plain = true;
    for (int i = 0; i < bytes.length(); i++) {
      char c = bytes.charAt(i);
      if (c > 0xff) {
        return bytes;
      }
      plain &= c < 0x80;
    }
    return plain ? bytes : FileName.text(bytes.getBytes(StandardCharsets.ISO_8859_1));
  }

  static IllegalArgumentException bad(String expected, String line) {
    return new IllegalArgumentException("expected " + expected + " in line '" + line + "'");
  }

  IllegalArgumentException bad(String expected) {
    return bad(expected, line);
  }

  boolean atEnd() {
    return at >= line.length();
  }

  void skipBlanks() {
    while (at < line.length() && (line.charAt(at) == ' ' || line.charAt(at) == '\t')) {
      at++;
    }
  }

  /// True, and moved past it, when `text` comes next.
  boolean take(String text) {
    if (line.startsWith(text, at)) {
      at += text.length();
      return true;
    }
    return false;
  }

  void expect(String text) {
    if (!take(text)) {
      throw bad("'" + text + "'");
    }
  }

  char character() {
    if (atEnd()) {
      throw bad("a character");
    }
    return line.charAt(at++);
  }

  /// Up to the next blank, not empty.
  String word() {
    skipBlanks();
    int start = at;
    while (at < line.length() && line.charAt(at) != ' ' && line.charAt(at) != '\t') {
      at++;
    }
    if (start == at) {
      throw bad("a word");
    }
    return line.substring(start, at);
  }

  String rest() {
    String rest = line.substring(at);
    at = line.length();
    return rest;
  }

  long hex() {
    return unsigned(16);
  }

  long octal() {
    return unsigned(8);
  }

  /// Blanks are skipped; a sign is allowed; values up to 2^64-1 wrap to negative.
  long decimal() {
    skipBlanks();
    boolean negative = take("-");
    long value = unsigned(10);
    return negative ? -value : value;
  }

  int integer() {
    long value = decimal();
    if (value < Integer.MIN_VALUE || value > 0xffffffffL) {
      throw bad("a number of 32 bits");
    }
    return (int) value;
  }

  private long unsigned(int radix) {
    skipBlanks();
    int start = at;
    while (at < line.length() && Character.digit(line.charAt(at), radix) >= 0) {
      at++;
    }
    try {
      return Long.parseUnsignedLong(line, start, at, radix);
    } catch (NumberFormatException e) {
      throw bad("a number");
    }
  }
}
