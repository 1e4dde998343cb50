package dev.jcr.cli.migrate;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Map;
import java.util.TreeMap;

/// A few words about one migration that survive a crash: `name=value` lines in a file that is
/// replaced as a whole and is on the disk when [#set] returns. Not thread-safe.
final class Journal {
  private final Path file;
  private final Map<String, String> values;

  private Journal(Path file, Map<String, String> values) {
    this.file = file;
    this.values = values;
  }

  static Journal create(Path file) {
    return new Journal(file, new TreeMap<>());
  }

  static Journal read(Path file) throws IOException {
    Map<String, String> values = new TreeMap<>();
    for (String line : Files.readAllLines(file)) {
      int equals = line.indexOf('=');
      if (equals > 0) {
        values.put(line.substring(0, equals), line.substring(equals + 1));
      }
    }
    return new Journal(file, values);
  }

  Path file() {
    return file;
  }

  String get(String name) {
    return values.getOrDefault(name, "");
  }

  long number(String name) {
    String value = get(name);
    return value.matches("[0-9]{1,18}") ? Long.parseLong(value) : 0;
  }

  /// For the next [#set].
  Journal with(String name, Object value) {
    values.put(name, value.toString().replaceAll("[\\r\\n]", " "));
    return this;
  }

  /// Sets the state and writes everything.
  void set(String state) throws IOException {
    values.put("state", state);
    StringBuilder text = new StringBuilder();
    values.forEach((name, value) -> text.append(name).append('=').append(value).append('\n'));
    Path temporary = file.resolveSibling("." + file.getFileName() + ".new");
    try (FileChannel channel =
        FileChannel.open(
            temporary,
            StandardOpenOption.CREATE,
            StandardOpenOption.TRUNCATE_EXISTING,
            StandardOpenOption.WRITE)) {
      ByteBuffer bytes = ByteBuffer.wrap(text.toString().getBytes(StandardCharsets.UTF_8));
      while (bytes.hasRemaining()) {
        channel.write(bytes);
      }
      channel.force(true);
    }
    Files.move(
        temporary, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    Path folder = file.getParent();
    if (folder != null) {
      try (FileChannel channel = FileChannel.open(folder, StandardOpenOption.READ)) {
        channel.force(true);
      }
    }
  }

  String state() {
    return get("state");
  }

  @Override
  public String toString() {
    return values.toString();
  }
}
