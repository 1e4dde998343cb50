package dev.jcr.dump.files;

import java.util.List;

/// Which files that the process has open or mapped go into the image.
///
/// @param paths files, or folders for all regular files in them; absolute and without symbolic
///   links
/// @param limit no file may have more bytes
public record Embedding(List<String> paths, long limit) {
  public static final long USUAL_LIMIT = 64L << 20;

  public static final Embedding NONE = new Embedding(List.of(), USUAL_LIMIT);

  public Embedding {
    paths = List.copyOf(paths);
  }

  public boolean isEmpty() {
    return paths.isEmpty();
  }

  /// Whether the path is asked for by itself.
  boolean names(String path) {
    return paths.contains(path);
  }

  /// Whether the path is asked for, by itself or by a folder it lies in.
  public boolean covers(String path) {
    return paths.stream().anyMatch(each -> isIn(path, each));
  }

  /// Those under which none of these lies.
  List<String> without(List<String> found) {
    return paths.stream()
        .filter(each -> found.stream().noneMatch(path -> isIn(path, each)))
        .toList();
  }

  private static boolean isIn(String path, String fileOrFolder) {
    return path.equals(fileOrFolder)
        || path.startsWith(fileOrFolder.endsWith("/") ? fileOrFolder : fileOrFolder + "/");
  }
}
