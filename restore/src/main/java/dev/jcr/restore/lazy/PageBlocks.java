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
  /// @param into a direct buffer of [#blockBytes], filled from its start
  /// @return where its pages belong; `first` is a page's number in the buffer
  /// @throws CheckpointException of outcome IMAGE: damaged
  List<Slice> read(long address, ByteBuffer into) throws CheckpointException;

  @Override
  void close();
}
