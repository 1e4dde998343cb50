package dev.jcr.restore.lazy;

import dev.jcr.image.pages.Ranges;

/// Another host that still has pages of the process.
@FunctionalInterface
public interface RemoteMemory {
  /// A way to get them.
  ///
  /// @param pages what is there
  PageBlocks open(Ranges pages, int pageSize);
}
