package dev.jcr.image.inspect;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.codec.ImageReader;
import dev.jcr.image.v1.Arch;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/// Compares two states, field by field, and two images with their page contents.
///
/// Elements of a list are matched by their first field where that is a number and unique (a tid, an
/// address, a descriptor), so that one more thread is one difference; otherwise by place.
public final class Diff {
  private static final String ABSENT = "-";

  private final List<Difference> found = new ArrayList<>();
  private final Arch arch;

  private Diff(Arch arch) {
    this.arch = arch;
  }

  /// One field that differs.
  ///
  /// @param path "threads[tid=42].registers.x86_64.general[rip]"
  /// @param left value on one line, "-" where there is none
  public record Difference(String path, String left, String right) {
    @Override
    public String toString() {
      return path + ": " + left + " != " + right;
    }
  }

  /// What differs between two images.
  public record Result(List<Difference> fields, List<PageDifference> pages) {
    public Result {
      fields = List.copyOf(fields);
      pages = List.copyOf(pages);
    }

    public boolean isEmpty() {
      return fields.isEmpty() && pages.isEmpty();
    }
  }

  /// Compares states and page contents; the manifests' facts about the making do not count.
  ///
  /// @throws CheckpointException of outcome IMAGE: pages cannot be read
  public static Result of(ImageReader left, ImageReader right) throws CheckpointException {
    return new Result(
        of(left.state(), right.state()), PageDifference.between(left.pages(), right.pages()));
  }

  /// Compares two messages of one type.
  public static List<Difference> of(Message left, Message right) {
    if (left.getDescriptorForType() != right.getDescriptorForType()) {
      throw new IllegalArgumentException("messages of two types");
    }
    Diff diff = new Diff(Describe.archOf(left));
    diff.messages("", left, right);
    return List.copyOf(diff.found);
  }

  private void messages(String path, Message left, Message right) {
    TreeSet<FieldDescriptor> fields = new TreeSet<>(left.getAllFields().keySet());
    fields.addAll(right.getAllFields().keySet());
    for (FieldDescriptor field : fields) {
      if (FieldStyle.isReading(field)) {
        continue;
      }
      String name = path.isEmpty() ? field.getName() : path + "." + field.getName();
      if (field.isRepeated()) {
        lists(name, field, (List<?>) left.getField(field), (List<?>) right.getField(field));
      } else if (field.getJavaType() == FieldDescriptor.JavaType.MESSAGE
          && left.hasField(field)
          && right.hasField(field)) {
        messages(name, (Message) left.getField(field), (Message) right.getField(field));
      } else {
        boolean presence = field.hasPresence();
        values(
            name,
            field,
            presence && !left.hasField(field) ? null : left.getField(field),
            presence && !right.hasField(field) ? null : right.getField(field));
      }
    }
  }

  private void lists(String path, FieldDescriptor field, List<?> left, List<?> right) {
    if (left.equals(right)) {
      return;
    }
    boolean messages = field.getJavaType() == FieldDescriptor.JavaType.MESSAGE;
    FieldDescriptor key = messages ? key(field) : null;
    Map<Object, Object> lefts = key == null ? null : byKey(key, left);
    Map<Object, Object> rights = key == null ? null : byKey(key, right);
    if (key == null || lefts == null || rights == null) {
      FieldStyle style = FieldStyle.of(field);
      for (int i = 0; i < Math.max(left.size(), right.size()); i++) {
        pair(
            path + "[" + style.element(i) + "]",
            field,
            i < left.size() ? left.get(i) : null,
            i < right.size() ? right.get(i) : null);
      }
      return;
    }
    Map<Object, Object> all = new LinkedHashMap<>(lefts);
    rights.forEach(all::putIfAbsent);
    FieldStyle style = FieldStyle.of(key);
    for (Object each : all.keySet()) {
      String name = path + "[" + key.getName() + "=" + style.line(key, each, arch) + "]";
      pair(name, field, lefts.get(each), rights.get(each));
    }
  }

  private void pair(
      String path, FieldDescriptor field, @Nullable Object left, @Nullable Object right) {
    if (left instanceof Message l && right instanceof Message r) {
      messages(path, l, r);
    } else {
      values(path, field, left, right);
    }
  }

  private void values(
      String path, FieldDescriptor field, @Nullable Object left, @Nullable Object right) {
    if (!Objects.equals(left, right)) {
      found.add(new Difference(path, show(field, left), show(field, right)));
    }
  }

  private String show(FieldDescriptor field, @Nullable Object value) {
    return switch (value) {
      case null -> ABSENT;
      case Message message -> Describe.json(message, arch);
      default -> Describe.visible(FieldStyle.of(field).line(field, value, arch));
    };
  }

  private static @Nullable FieldDescriptor key(FieldDescriptor list) {
    FieldDescriptor first = list.getMessageType().findFieldByNumber(1);
    return first == null || !FieldStyle.isKey(first) ? null : first;
  }

  private static @Nullable Map<Object, Object> byKey(FieldDescriptor key, List<?> elements) {
    Map<Object, Object> result = new LinkedHashMap<>();
    for (Object element : elements) {
      if (result.put(((Message) element).getField(key), element) != null) {
        return null;
      }
    }
    return result;
  }
}
