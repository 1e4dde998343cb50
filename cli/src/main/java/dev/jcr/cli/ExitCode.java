package dev.jcr.cli;

/// The exit codes that are not an [dev.jcr.image.CheckpointException.Outcome].
final class ExitCode {
  static final int OK = 0;

  /// The operation failed; the target is as it was. Also "the images differ" of `jcr diff`.
  static final int FAILED = 1;

  static final int USAGE = 2;

  /// `EX_SOFTWARE` of `<sysexits.h>`: a bug in jcr.
  static final int BUG = 70;

  private ExitCode() {}
}
