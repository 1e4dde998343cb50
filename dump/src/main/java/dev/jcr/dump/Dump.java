package dev.jcr.dump;

import dev.jcr.image.CheckpointException;

/// Checkpoints one process. The entry point of the module.
public final class Dump {
  private Dump() {}

  /// Dumps and returns a report. On any exception the process is as it was, except where the
  /// outcome is `TARGET_DOUBTFUL`.
  public static DumpReport run(DumpOptions options, DumpListener listener)
      throws CheckpointException {
    throw new CheckpointException(
        CheckpointException.Outcome.FAILED, "cannot dump process " + options.pid());
  }
}
