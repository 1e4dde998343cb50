package dev.jcr.restore.lazy;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.codec.ImageReader;
import dev.jcr.image.pages.PageStore;
import dev.jcr.image.pages.PageStore.Piece;
import dev.jcr.image.pages.PageStore.Slice;
import dev.jcr.image.pages.PageWriter;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/// The chunks of an image and of those it continues; each is checked by its sums as it is read.
public final class ImageBlocks implements PageBlocks {
  private final ImageReader image;
  private final PageStore store;
  private final TreeMap<Long, Piece> byStart = new TreeMap<>();

  /// Takes the image over.
  public ImageBlocks(ImageReader image) {
    this.image = image;
    this.store = image.pages();
    for (Piece piece : store.pieces(0)) {
      piece.slices().forEach(slice -> byStart.put(slice.start(), piece));
    }
  }

  @Override
  public int pageSize() {
    return store.pageSize();
  }

  @Override
  public int blockBytes() {
    return PageWriter.CHUNK_BYTES;
  }

  @Override
  public List<Slice> read(long address, boolean demanded, ByteBuffer into)
      throws CheckpointException {
    Map.Entry<Long, Piece> entry = byStart.floorEntry(address);
    if (entry == null) {
      throw new IllegalArgumentException("no page 0x" + Long.toHexString(address));
    }
    Piece piece = entry.getValue();
    piece.reader().read(piece.chunk().chunk(), into.clear());
    return piece.slices();
  }

  @Override
  public String remedy(int pid) {
    return "put the image right and go on with jcr restore DIR --resume %d, or kill it"
        .formatted(pid);
  }

  @Override
  public void close() {
    image.close();
  }
}
