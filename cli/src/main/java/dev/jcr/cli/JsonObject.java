package dev.jcr.cli;

import java.util.List;
import java.util.stream.Collectors;

/// A JSON object being written, its members in the order of the calls. Not thread-safe.
final class JsonObject {
  private final StringBuilder text = new StringBuilder("{");

  JsonObject put(String name, String value) {
    return member(name, quoted(value));
  }

  JsonObject put(String name, long value) {
    return member(name, Long.toString(value));
  }

  JsonObject put(String name, boolean value) {
    return member(name, Boolean.toString(value));
  }

  JsonObject put(String name, JsonObject value) {
    return member(name, value.toString());
  }

  JsonObject put(String name, List<JsonObject> values) {
    return member(name, array(values.stream().map(JsonObject::toString).toList()));
  }

  JsonObject putStrings(String name, List<String> values) {
    return member(name, array(values.stream().map(JsonObject::quoted).toList()));
  }

  private JsonObject member(String name, String value) {
    if (text.length() > 1) {
      text.append(',');
    }
    text.append(quoted(name)).append(':').append(value);
    return this;
  }

  private static String array(List<String> values) {
    return values.stream().collect(Collectors.joining(",", "[", "]"));
  }

  private static String quoted(String value) {
    StringBuilder quoted = new StringBuilder("\"");
    for (int i = 0; i < value.length(); i++) {
      char c = value.charAt(i);
      if (c == '"' || c == '\\') {
        quoted.append('\\').append(c);
      } else if (c < 0x20 || c == 0x7f || Character.isSurrogate(c)) {
        quoted.append(String.format("\\u%04x", (int) c));
      } else {
        quoted.append(c);
      }
    }
    return quoted.append('"').toString();
  }

  @Override
  public String toString() {
    return text + "}";
  }
}
