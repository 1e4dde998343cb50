package dev.jcr.image.codec;

import static dev.jcr.image.codec.Rules.that;
import static dev.jcr.image.codec.Rules.upTo;

import com.google.protobuf.CodedInputStream;
import com.google.protobuf.Descriptors.Descriptor;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.WireFormat;
import dev.jcr.image.codec.Rules.Invalid;
import dev.jcr.image.v1.FileIdentity;
import java.io.IOException;

/// Rules for kinds of fields wherever they are in a message.
///
/// Walks the encoded bytes, because a dump checks its state while the process is stopped, and
/// protobuf's reflection over the messages is slow at the first use of each of their types.
final class FieldRules {
  /// Longest string of an image, in UTF-16 units; paths have at most 4096 bytes.
  private static final int MAX_STRING = 1 << 16;

  private static final Descriptor FILE = FileIdentity.getDescriptor();

  private final CodedInputStream in;

  private FieldRules(byte[] bytes) {
    this.in = CodedInputStream.newInstance(bytes);
  }

  /// @param bytes a whole message of this type, as protobuf writes it
  static void check(byte[] bytes, Descriptor type) throws Invalid {
    try {
      new FieldRules(bytes).message(type, bytes.length);
    } catch (IOException e) {
      throw new Invalid("is no message: " + e.getMessage());
    }
  }

  private void message(Descriptor type, int end) throws IOException, Invalid {
    if (type.equals(FILE)) {
      file(FileIdentity.parseFrom(in));
      return;
    }
    int previous = 0;
    int index = 0;
    while (in.getTotalBytesRead() < end) {
      int tag = in.readTag();
      int number = WireFormat.getTagFieldNumber(tag);
      index = number == previous ? index + 1 : 0;
      previous = number;
      FieldDescriptor field = type.findFieldByNumber(number);
      if (field != null && field.getType() == FieldDescriptor.Type.STRING) {
        if (!isString(in.readString())) {
          throw new Invalid(
              field.isRepeated()
                  ? field.getName() + "[" + index + "] has a value that cannot be"
                  : field.getName() + " is too long or has a NUL");
        }
      } else if (field != null && field.getType() == FieldDescriptor.Type.MESSAGE) {
        int length = in.readRawVarint32();
        int limit = in.pushLimit(length);
        try {
          message(field.getMessageType(), in.getTotalBytesRead() + length);
        } catch (Invalid e) {
          throw e.within(field.getName() + (field.isRepeated() ? "[" + index + "]" : ""));
        }
        in.popLimit(limit);
      } else {
        in.skipField(tag);
      }
    }
  }

  private static void file(FileIdentity file) throws Invalid {
    that(isString(file.getPath()), "path is too long or has a NUL");
    that(file.getPath().startsWith("/"), "path is not absolute");
    that(upTo(file.getMtimeNanos(), 999_999_999), "mtime_nanos is not below one second");
    that(upTo(file.getMode(), 0xffff), "mode has unknown bits");
    that(file.getBuildId().size() <= 64, "build_id is too long");
  }

  private static boolean isString(String text) {
    return text.length() <= MAX_STRING && text.indexOf(0) < 0;
  }
}
