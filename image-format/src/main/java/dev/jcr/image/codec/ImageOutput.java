package dev.jcr.image.codec;

import dev.jcr.image.CheckpointException;
import java.nio.channels.GatheringByteChannel;
import java.nio.file.Path;

/// Where an image is written to: a folder, or a stream to another host. First the pages, then the
/// other parts, then [#publish].
interface ImageOutput extends AutoCloseable {
  /// The part "pages", empty at first.
  GatheringByteChannel pages();

  /// A name for a part, for messages.
  Path path(String part);

  /// The name the image will have.
  Path target();

  void write(String part, byte[] bytes) throws CheckpointException;

  /// The image is whole.
  void publish() throws CheckpointException;

  /// Removes what was not published.
  @Override
  void close();
}
