package dev.jcr.image.codec;

import com.google.protobuf.CodedInputStream;
import com.google.protobuf.Descriptors.Descriptor;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.WireFormat;
import dev.jcr.image.CheckpointException;
import java.io.IOException;

/// Walks encoded bytes before any message is made of them: fields and enum values this version does
/// not know, and longer lists than a process can have, are refused with their place.
final class Wire {
  private final String object;
  private final long base;
  private final CodedInputStream in;
  private int elements;

  private Wire(String object, long base, byte[] bytes, int elements) {
    this.object = object;
    this.base = base;
    this.in = CodedInputStream.newInstance(bytes);
    this.elements = elements;
  }

  /// @param base offset of `bytes` in the file, for messages
  /// @param elements most messages, strings and byte fields in lists
  static void check(String object, long base, byte[] bytes, Descriptor type, int elements)
      throws CheckpointException {
    Wire wire = new Wire(object, base, bytes, elements);
    try {
      wire.message(type, type.getName(), bytes.length);
    } catch (IOException e) {
      throw wire.refuse(String.valueOf(e.getMessage()));
    }
  }

  private void message(Descriptor type, String path, int end)
      throws IOException, CheckpointException {
    int previous = 0;
    while (in.getTotalBytesRead() < end) {
      int tag = in.readTag();
      int number = WireFormat.getTagFieldNumber(tag);
      FieldDescriptor field = type.findFieldByNumber(number);
      if (field == null) {
        throw refuse("field " + number + " of " + path + " is not known to this jcr");
      }
      // Ascending numbers, once each unless repeated: what protobuf's own writer gives.
      if (number < previous || (number == previous && !field.isRepeated())) {
        throw refuse("field " + path + "." + field.getName() + " is out of order or twice");
      }
      if (number == previous && field.isPacked()) {
        throw refuse("field " + path + "." + field.getName() + " is in two pieces");
      }
      previous = number;
      field(field, tag, path, end);
    }
    if (in.getTotalBytesRead() != end) {
      throw refuse(path + " runs over its end");
    }
  }

  private void field(FieldDescriptor field, int tag, String path, int end)
      throws IOException, CheckpointException {
    int expected =
        field.isPacked() ? WireFormat.WIRETYPE_LENGTH_DELIMITED : field.getLiteType().getWireType();
    if (WireFormat.getTagWireType(tag) != expected) {
      throw refuse("field " + path + "." + field.getName() + " has another wire type");
    }
    if (field.getType() == FieldDescriptor.Type.ENUM && !field.isPacked()) {
      int value = in.readEnum();
      if (field.getEnumType().findValueByNumber(value) == null) {
        throw refuse(
            "value " + value + " of " + path + "." + field.getName() + " is not known to this jcr");
      }
      return;
    }
    boolean message = field.getType() == FieldDescriptor.Type.MESSAGE;
    if ((message || (field.isRepeated() && !field.isPacked())) && --elements < 0) {
      throw refuse("more elements than an image can have");
    }
    if (field.isPacked()) {
      int start = in.getTotalBytesRead();
      in.skipField(tag);
      if (in.getTotalBytesRead() - start > ImageFormat.MAX_NUMBERS) {
        throw refuse("field " + path + "." + field.getName() + " is too long a list");
      }
      return;
    }
    if (!message) {
      in.skipField(tag);
      return;
    }
    int length = in.readRawVarint32();
    if (length < 0 || length > end - in.getTotalBytesRead()) {
      throw refuse("field " + path + "." + field.getName() + " is longer than what holds it");
    }
    int old = in.pushLimit(length);
    message(field.getMessageType(), path + "." + field.getName(), in.getTotalBytesRead() + length);
    in.popLimit(old);
  }

  private CheckpointException refuse(String problem) {
    return Damage.at(object, base + in.getTotalBytesRead(), problem);
  }
}
