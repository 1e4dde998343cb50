package dev.jcr.restore.lazy;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.pages.PageStore.Slice;
import java.nio.ByteBuffer;
import java.util.List;

/// Where the pages on demand come from: an image, or another host. Safe for any thread.
public interface PageBlocks extends AutoCloseable {
  /// Bytes of one page.
  int pageSize();

  /// Most bytes of a block.
  int blockBytes();

  /// Reads the block that has a page, and checks it.
  ///
  /// @param address of the page in the image
  /// @param demanded somebody waits for it; else others may come before
  /// @param into a direct buffer of [#blockBytes], filled from its start
  /// @return where its pages belong; `first` is a page's number in the buffer
  /// @throws CheckpointException of outcome IMAGE: damaged; of outcome FAILED: not to be had now
  List<Slice> read(long address, boolean demanded, ByteBuffer into) throws CheckpointException;

  /// What to do when a page cannot be had.
  String remedy(int pid);

  @Override
  void close();
}
