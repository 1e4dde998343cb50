package dev.jcr.restore.files;

import java.util.Map;

/// What to do about open regular files that are not as they were at the dump.
///
/// @param byDefault for all that are not named
/// @param byPath for those that are, by their path of now
public record ChangedFiles(Policy byDefault, Map<String, Policy> byPath) {
  public static final ChangedFiles NONE = new ChangedFiles(Policy.SAME, Map.of());

  /// What is accepted.
  public enum Policy {
    /// Size and time are those of the dump; a file open for appending only may have grown.
    SAME,
    /// It may have grown.
    APPEND,
    /// It may have grown, and is cut to the size it had.
    TRUNCATE,
    /// Whatever is there.
    ANY
  }

  public ChangedFiles {
    byPath = Map.copyOf(byPath);
  }

  /// Of a file, by its path of now.
  public Policy of(String path) {
    return byPath.getOrDefault(path, byDefault);
  }

  /// Whether a mapped file, which is to be the same, is accepted as it is: only by its name.
  public boolean acceptsMapped(String path) {
    return byPath.get(path) == Policy.ANY;
  }
}
