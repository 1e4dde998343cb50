package dev.jcr.image.inspect;

import com.google.protobuf.ByteString;
import com.google.protobuf.Descriptors.EnumValueDescriptor;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import dev.jcr.image.v1.Arch;
import dev.jcr.image.v1.Host;
import dev.jcr.image.v1.ProcessState;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/// Shows any message of an image: as an indented tree for people or as JSON for programs. Fields at
/// their default are not shown.
///
/// In JSON a set of flags is an array of names, what is hexadecimal for people is a string `0x...`,
/// a file mode a string `0...`, bytes are hexadecimal digits unless they are text, and whole
/// numbers beyond 2^53 are strings.
public final class Describe {
  private static final long EXACT = 1L << 53;

  private final StringBuilder out = new StringBuilder();
  private final Arch arch;

  private Describe(Arch arch) {
    this.arch = arch;
  }

  /// The tree, each line ended.
  public static String text(Message message) {
    return text(message, archOf(message));
  }

  /// The tree of a part of a state.
  ///
  /// @param arch where the state is from: some flags differ
  public static String text(Message message, Arch arch) {
    Describe describe = new Describe(arch);
    describe.tree(message, 0);
    return describe.out.toString();
  }

  /// One JSON object on one line, without a line end.
  public static String json(Message message) {
    return json(message, archOf(message));
  }

  /// JSON of a part of a state.
  ///
  /// @param arch where the state is from: some flags differ
  public static String json(Message message, Arch arch) {
    Describe describe = new Describe(arch);
    describe.object(message);
    return describe.out.toString();
  }

  static Arch archOf(Message message) {
    return switch (message) {
      case ProcessState state -> state.getHost().getArch();
      case Host host -> host.getArch();
      default -> Arch.ARCH_X86_64;
    };
  }

  /// The fields that are set, and the first one anyway where it is a number: fd 0 is a name.
  private static Map<FieldDescriptor, Object> fields(Message message) {
    Map<FieldDescriptor, Object> set = message.getAllFields();
    FieldDescriptor first = message.getDescriptorForType().findFieldByNumber(1);
    if (first == null || !FieldStyle.isKey(first) || set.containsKey(first)) {
      return set;
    }
    Map<FieldDescriptor, Object> fields = new TreeMap<>(set);
    fields.put(first, message.getField(first));
    return fields;
  }

  private void tree(Message message, int depth) {
    for (Map.Entry<FieldDescriptor, Object> entry : fields(message).entrySet()) {
      FieldDescriptor field = entry.getKey();
      FieldStyle style = FieldStyle.of(field);
      if (!field.isRepeated()) {
        node(field, style, field.getName(), entry.getValue(), depth);
        continue;
      }
      List<?> values = (List<?>) entry.getValue();
      if (field.getJavaType() == FieldDescriptor.JavaType.MESSAGE) {
        for (int i = 0; i < values.size(); i++) {
          node(field, style, field.getName() + "[" + i + "]", values.get(i), depth);
        }
      } else if (style.hasElementNames()) {
        indent(depth).append(field.getName()).append('\n');
        for (int i = 0; i < values.size(); i++) {
          node(field, style, style.element(i), values.get(i), depth + 1);
        }
      } else {
        indent(depth).append(field.getName()).append(':');
        for (Object value : values) {
          out.append(' ').append(visible(style.line(field, value, arch)));
        }
        out.append('\n');
      }
    }
  }

  private void node(FieldDescriptor field, FieldStyle style, String name, Object value, int depth) {
    indent(depth).append(name);
    if (value instanceof Message child) {
      out.append('\n');
      tree(child, depth + 1);
    } else {
      out.append(": ").append(visible(style.line(field, value, arch))).append('\n');
    }
  }

  private StringBuilder indent(int depth) {
    return out.repeat("  ", depth);
  }

  /// With control characters as escapes: a hostile name must not move the cursor of a terminal.
  public static String visible(String text) {
    StringBuilder result = new StringBuilder(text.length());
    text.codePoints()
        .forEach(c -> {
          if (Character.isISOControl(c) || Character.getType(c) == Character.FORMAT) {
            result.append("\\u").append(String.format("%04x", c));
          } else {
            result.appendCodePoint(c);
          }
        });
    return result.toString();
  }

  private void object(Message message) {
    out.append('{');
    String separator = "";
    for (Map.Entry<FieldDescriptor, Object> entry : fields(message).entrySet()) {
      FieldDescriptor field = entry.getKey();
      FieldStyle style = FieldStyle.of(field);
      out.append(separator);
      separator = ",";
      string(field.getName());
      out.append(':');
      if (!field.isRepeated()) {
        value(field, style, entry.getValue());
        continue;
      }
      List<?> values = (List<?>) entry.getValue();
      boolean named = style.hasElementNames();
      out.append(named ? '{' : '[');
      for (int i = 0; i < values.size(); i++) {
        out.append(i == 0 ? "" : ",");
        if (named) {
          string(style.element(i));
          out.append(':');
        }
        value(field, style, values.get(i));
      }
      out.append(named ? '}' : ']');
    }
    out.append('}');
  }

  private void value(FieldDescriptor field, FieldStyle style, Object value) {
    switch (value) {
      case Message child -> object(child);
      case String text -> string(text);
      case Boolean flag -> out.append(flag);
      case EnumValueDescriptor constant -> string(constant.getName());
      case ByteString bytes ->
          string(
              style.text() && FieldStyle.isPrintable(bytes)
                  ? FieldStyle.string(bytes)
                  : FieldStyle.hexBytes(bytes));
      case Integer _, Long _ -> number(field, style, value);
      default -> throw new IllegalArgumentException(field + " has a " + value.getClass());
    }
  }

  private void number(FieldDescriptor field, FieldStyle style, Object value) {
    long bits = FieldStyle.bits(field, value);
    if (!style.flagNames().isEmpty()) {
      List<String> names = style.flags(field, value, arch);
      if (FlagNames.isSingle(style.flagNames())) {
        string(String.join("", names));
        return;
      }
      out.append('[');
      for (int i = 0; i < names.size(); i++) {
        out.append(i == 0 ? "" : ",");
        string(names.get(i));
      }
      out.append(']');
    } else if (style.hex()) {
      string(FieldStyle.hex(bits));
    } else if (style.octal()) {
      string(FieldStyle.octal(bits));
    } else if (bits <= EXACT && bits >= (FieldStyle.isSigned(field) ? -EXACT : 0)) {
      out.append(bits);
    } else {
      string(FieldStyle.isSigned(field) ? Long.toString(bits) : Long.toUnsignedString(bits));
    }
  }

  private void string(String text) {
    out.append('"');
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      switch (c) {
        case '"' -> out.append("\\\"");
        case '\\' -> out.append("\\\\");
        default -> {
          if (c < 0x20 || c == 0x7f || Character.isSurrogate(c)) {
            out.append(String.format("\\u%04x", (int) c));
          } else {
            out.append(c);
          }
        }
      }
    }
    out.append('"');
  }
}
