package dev.jcr.image.codec;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.pages.PageBuffer;
import dev.jcr.image.pages.PageStore;
import dev.jcr.image.pages.PageWriter;
import dev.jcr.image.v1.Compression;
import dev.jcr.image.v1.Creation;
import dev.jcr.image.v1.Manifest;
import dev.jcr.image.v1.PageKind;
import dev.jcr.image.v1.PageRun;
import dev.jcr.image.v1.PageSpace;
import java.nio.file.Path;

/// Makes one image of a chain: the same process, no parent.
public final class ImageMerge {
  private ImageMerge() {}

  /// Writes the flattened image; the chain is only read.
  ///
  /// @param directory as for [ImageWriter#create]
  /// @throws CheckpointException of outcome IMAGE: a page is damaged; others as for
  ///   [ImageWriter#create]
  public static Manifest run(ImageReader image, Path directory, Compression compression, int level)
      throws CheckpointException {
    image.requireWhole();
    PageStore store = image.pages();
    try (ImageWriter writer = ImageWriter.create(directory, compression, level, true)) {
      PageWriter pages = writer.pages(store.pageSize());
      PageStore.Walk walk = store.walk();
      for (PageSpace space : store.effective().getSpacesList()) {
        PageBuffer buffer = pages.take();
        for (PageRun run : space.getRunsList()) {
          if (run.getKind() == PageKind.PAGE_ZERO) {
            pages.zero(space.getId(), run.getStart(), run.getPages());
            continue;
          }
          for (long page = 0; page < run.getPages(); page++) {
            long address = run.getStart() + page * store.pageSize();
            int offset = buffer.offset();
            buffer.add(space.getId(), address, 1);
            buffer.data().put(offset, walk.page(space.getId(), address), 0, store.pageSize());
            if (buffer.room() == 0) {
              pages.submit(buffer);
              buffer = pages.take();
            }
          }
        }
        pages.submit(buffer);
      }
      writer.state(image.state());
      Creation creation = image.manifest().getCreation();
      return writer.commit(
          image.manifest().getPid(),
          image.manifest().getComm(),
          creation.toBuilder()
              .setStatistics(creation.getStatistics().toBuilder().clearPagesParent())
              .build());
    }
  }
}
