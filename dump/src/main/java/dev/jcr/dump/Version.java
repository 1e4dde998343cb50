package dev.jcr.dump;

/// The version that is written into images.
final class Version {
  static final String VERSION = "0.1.0";

  private Version() {}
}
