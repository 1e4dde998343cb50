package dev.jcr.image.inspect;

import com.google.protobuf.ByteString;
import com.google.protobuf.Descriptors.EnumValueDescriptor;
import com.google.protobuf.Descriptors.FieldDescriptor;
import dev.jcr.image.registers.Aarch64;
import dev.jcr.image.registers.X8664;
import dev.jcr.image.v1.Arch;
import dev.jcr.image.v1.Options;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.List;

/// How the options of a field want its values shown.
record FieldStyle(
    boolean hex, boolean octal, String flagNames, String unit, boolean text, String elementNames) {

  static FieldStyle of(FieldDescriptor field) {
    var options = field.getOptions();
    return new FieldStyle(
        options.getExtension(Options.hex),
        options.getExtension(Options.octal),
        options.getExtension(Options.flagNames),
        options.getExtension(Options.unit),
        options.getExtension(Options.text),
        options.getExtension(Options.elementNames));
  }

  /// Whether it differs between any two images.
  static boolean isReading(FieldDescriptor field) {
    return field.getOptions().getExtension(Options.reading);
  }

  /// Name of an element of a repeated field: "rip", or its index.
  String element(int index) {
    return switch (elementNames) {
      case "x86_64" -> index < X8664.WORDS ? X8664.label(index) : Integer.toString(index);
      case "aarch64" -> index <= Aarch64.ORIG_X7 ? Aarch64.label(index) : Integer.toString(index);
      default -> Integer.toString(index);
    };
  }

  boolean hasElementNames() {
    return !elementNames.isEmpty();
  }

  /// Whether a first field is a number by which an element of a list can be known.
  static boolean isKey(FieldDescriptor first) {
    return !first.isRepeated()
        && switch (first.getJavaType()) {
          case INT, LONG -> true;
          case STRING, BYTE_STRING, MESSAGE, BOOLEAN, ENUM, FLOAT, DOUBLE -> false;
        };
  }

  List<String> flags(FieldDescriptor field, Object value, Arch arch) {
    return FlagNames.of(flagNames, bits(field, value), arch);
  }

  /// A number as 64 bits, without the sign of an unsigned one of 32.
  static long bits(FieldDescriptor field, Object value) {
    return switch (value) {
      case Integer number ->
          switch (field.getType()) {
            case INT32, SINT32, SFIXED32 -> number;
            default -> Integer.toUnsignedLong(number);
          };
      case Long number -> number;
      default -> throw new IllegalArgumentException(field + " is not a number");
    };
  }

  static boolean isSigned(FieldDescriptor field) {
    return switch (field.getType()) {
      case INT32, SINT32, SFIXED32, INT64, SINT64, SFIXED64 -> true;
      default -> false;
    };
  }

  /// The value for people, on one line.
  String line(FieldDescriptor field, Object value, Arch arch) {
    return switch (value) {
      case String string -> string;
      case Boolean flag -> flag ? "yes" : "no";
      case EnumValueDescriptor constant -> constant.getName();
      case ByteString bytes -> text && isPrintable(bytes) ? string(bytes) : preview(bytes);
      case Integer _, Long _ -> number(field, value, arch);
      default -> String.valueOf(value);
    };
  }

  private String number(FieldDescriptor field, Object value, Arch arch) {
    long bits = bits(field, value);
    if (!flagNames.isEmpty()) {
      List<String> names = flags(field, value, arch);
      if (names.isEmpty()) {
        return "0";
      }
      String plain = FlagNames.isSingle(flagNames) ? Long.toString(bits) : hex(bits);
      return plain + " " + String.join("|", names);
    }
    if (hex) {
      return hex(bits);
    }
    if (octal) {
      return octal(bits);
    }
    String plain = isSigned(field) ? Long.toString(bits) : Long.toUnsignedString(bits);
    return unit.isEmpty() ? plain : plain + " " + unit;
  }

  static String hex(long bits) {
    return "0x" + Long.toHexString(bits);
  }

  static String octal(long bits) {
    return bits == 0 ? "0" : "0" + Long.toOctalString(bits);
  }

  static boolean isPrintable(ByteString bytes) {
    for (int i = 0; i < bytes.size(); i++) {
      byte each = bytes.byteAt(i);
      if (each < 0x20 || each == 0x7f) {
        return false;
      }
    }
    return true;
  }

  static String string(ByteString bytes) {
    return bytes.toString(StandardCharsets.US_ASCII);
  }

  static String hexBytes(ByteString bytes) {
    return HexFormat.of().formatHex(bytes.toByteArray());
  }

  private static String preview(ByteString bytes) {
    int shown = 32;
    return bytes.size() <= shown
        ? hexBytes(bytes)
        : hexBytes(bytes.substring(0, shown)) + "... (" + bytes.size() + " bytes)";
  }
}
