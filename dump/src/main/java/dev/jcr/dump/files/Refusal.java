package dev.jcr.dump.files;

/// A descriptor cannot be carried over. Its reason and remedy become a
/// [dev.jcr.image.CheckpointException.Problem].
final class Refusal extends Exception {
  private static final long serialVersionUID = 1L;

  private final String remedy;

  Refusal(String reason, String remedy) {
    super(reason, null, false, false);
    this.remedy = remedy;
  }

  String reason() {
    return String.valueOf(getMessage());
  }

  String remedy() {
    return remedy;
  }
}
