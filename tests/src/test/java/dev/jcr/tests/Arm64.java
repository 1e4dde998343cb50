package dev.jcr.tests;

/// What differs when the tests run in the arm64 machine of `tests/run --arm64`.
final class Arm64 {
  static final boolean IS_HOST = System.getProperty("os.arch").equals("aarch64");

  private Arm64() {}
}
