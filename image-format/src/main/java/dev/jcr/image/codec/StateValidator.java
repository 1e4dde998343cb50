package dev.jcr.image.codec;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.v1.Pagemap;
import dev.jcr.image.v1.ProcessState;

/// Refuses states that no process can have: everything a restore trusts is bounded here.
public final class StateValidator {
  private StateValidator() {}

  /// Checks every field that a restore uses.
  ///
  /// @param object the file, for messages
  /// @throws CheckpointException of outcome IMAGE, naming the field
  public static void check(String object, ProcessState state, Pagemap pagemap)
      throws CheckpointException {
    if (state.getHost().getPageSize() != pagemap.getPageSize()) {
      throw ManifestFile.damaged(object, 0, "host.page_size differs from the pagemap's");
    }
  }
}
