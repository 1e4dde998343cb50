package dev.jcr.image.codec;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;

/// The refusals of an image.
final class Damage {
  private static final String AGAIN = "copy the image again or dump again";

  private Damage() {}

  /// @param object the file
  static CheckpointException at(String object, long offset, String problem) {
    return at(object, offset, problem, AGAIN);
  }

  static CheckpointException at(String object, long offset, String problem, String remedy) {
    return new CheckpointException(
        Outcome.IMAGE,
        "cannot read " + object + " at offset " + offset + ": " + problem + "; " + remedy);
  }

  /// For what has no one place in the file.
  static CheckpointException in(String object, String problem) {
    return new CheckpointException(
        Outcome.IMAGE, "cannot read " + object + ": " + problem + "; " + AGAIN);
  }
}
