package dev.jcr.restore;

import dev.jcr.image.CheckpointException;
import java.util.List;

/// Restores one process. The entry point of the module.
public final class Restore {
  private Restore() {}

  /// Rebuilds the process, proves it against the image, and lets it run. On any exception nothing
  /// of the new process is left and the image is untouched.
  public static RestoredProcess run(RestoreOptions options) throws CheckpointException {
    throw new CheckpointException(
        CheckpointException.Outcome.FAILED, "cannot restore " + options.directory());
  }

  /// The steps that [#run] would execute, one line each, without touching any process.
  public static List<String> describePlan(RestoreOptions options) throws CheckpointException {
    throw new CheckpointException(
        CheckpointException.Outcome.FAILED, "cannot plan " + options.directory());
  }
}
