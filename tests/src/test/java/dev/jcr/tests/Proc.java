package dev.jcr.tests;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/// What /proc says about a process. Read by plain file operations, independent of the parsers that
/// jcr itself uses, so that an error in those is not shared by its judge.
record Proc(long pid) {
  Path path() {
    return Path.of("/proc", Long.toString(pid));
  }

  boolean exists() {
    Jcr.collect(this);
    return Files.exists(path());
  }

  long parent() {
    return Long.parseLong(status().getOrDefault("PPid", "0"));
  }

  /// One of R S D T t Z X, or X when the process is gone. Of one whose first thread has ended, that
  /// of another.
  char state() {
    return state(sharing().read("stat"));
  }

  private static char state(String stat) {
    return stat.isEmpty() ? 'X' : stat.charAt(stat.lastIndexOf(')') + 2);
  }

  /// Where what all threads share is to be seen: memory, descriptors, folders. The first thread
  /// shows nothing of it when it has ended while others go on.
  Proc sharing() {
    if (state(read("stat")) == 'Z') {
      for (String tid : threads()) {
        if (state(read("task/" + tid + "/stat")) != 'Z') {
          return new Proc(Long.parseLong(tid));
        }
      }
    }
    return this;
  }

  long tracer() {
    String tracer = sharing().status().getOrDefault("TracerPid", "0");
    return Long.parseLong(tracer);
  }

  /// Nanoseconds on a processor, of all threads.
  long processorTime() {
    long sum = 0;
    for (String tid : threads()) {
      String line = read("task/" + tid + "/schedstat");
      if (!line.isEmpty()) {
        sum += Long.parseLong(line.substring(0, line.indexOf(' ')));
      }
    }
    return sum;
  }

  List<String> threads() {
    return names("task");
  }

  /// Entry names of a folder below /proc/PID in numeric order.
  List<String> names(String folder) {
    List<String> names = new ArrayList<>();
    try (DirectoryStream<Path> entries = Files.newDirectoryStream(path().resolve(folder))) {
      for (Path entry : entries) {
        names.add(String.valueOf(entry.getFileName()));
      }
    } catch (IOException e) {
      return List.of();
    }
    names.sort((a, b) -> a.length() == b.length() ? a.compareTo(b) : a.length() - b.length());
    return Collections.unmodifiableList(names);
  }

  Map<String, String> status() {
    return fields("status");
  }

  /// `name: value` lines of a file.
  Map<String, String> fields(String file) {
    Map<String, String> fields = new TreeMap<>();
    for (String line : read(file).split("\n", -1)) {
      int colon = line.indexOf(':');
      if (colon > 0) {
        fields.put(line.substring(0, colon).strip(), line.substring(colon + 1).strip());
      }
    }
    return fields;
  }

  /// The text of a file, empty when it cannot be read.
  String read(String file) {
    try {
      return new String(
          Files.readAllBytes(path().resolve(file)), java.nio.charset.StandardCharsets.ISO_8859_1);
    } catch (IOException e) {
      return "";
    }
  }

  String link(String file) {
    try {
      return Files.readSymbolicLink(path().resolve(file)).toString();
    } catch (NoSuchFileException e) {
      return "";
    } catch (IOException e) {
      return "unreadable";
    }
  }

  /// Whether it is a program of the tests that runs in this folder; guards against a reused pid.
  boolean belongsTo(Path folder) {
    return sharing().isIn(folder);
  }

  private boolean isIn(Path folder) {
    return link("cwd").startsWith(folder.toString())
        || read("cmdline").contains(folder.toString())
        || read("environ").contains(folder.toString())
        || link("fd/1").startsWith(folder.toString())
        || link("fd/2").startsWith(folder.toString());
  }

  /// For failure messages.
  String summary() {
    return "status:\n"
        + read("status")
        + "stack:\n"
        + read("stack")
        + "syscall: "
        + read("syscall");
  }
}
