package dev.jcr.image.codec;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.SampleStates;
import dev.jcr.image.pages.PageBuffer;
import dev.jcr.image.pages.PageWriter;
import dev.jcr.image.v1.Compression;
import dev.jcr.image.v1.Creation;
import dev.jcr.image.v1.Manifest;
import dev.jcr.image.v1.ProcessState;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;

/// Small images for tests.
final class TestImages {
  private TestImages() {}

  static ProcessState state() {
    return SampleStates.x8664();
  }

  /// Pages `first` to `first + pages - 1` of `space`: page n is zero when n is a multiple of 4,
  /// text when n is odd, noise otherwise.
  static void pages(PageWriter writer, int space, int first, int pages) throws CheckpointException {
    int page = first;
    while (page < first + pages) {
      PageBuffer buffer = writer.take();
      while (buffer.room() > 0 && page < first + pages) {
        int offset = buffer.offset();
        buffer.add(space, (space == 0 ? 0x10000L : 0) + page * 4096L, 1);
        buffer.data().put(offset, page(page));
        page++;
      }
      writer.submit(buffer);
    }
  }

  static byte[] page(int number) {
    byte[] bytes = new byte[4096];
    if (number % 4 == 0) {
      return bytes;
    }
    if (number % 2 == 1) {
      Arrays.fill(bytes, (byte) number);
      bytes[4095] = 7;
    } else {
      new Random(number).nextBytes(bytes);
    }
    return bytes;
  }

  static Manifest write(Path directory, Compression compression, int pages)
      throws CheckpointException {
    try (ImageWriter writer = ImageWriter.create(directory, compression, 1, true)) {
      pages(writer.pages(4096), 0, 0, pages);
      pages(writer.pages(4096), 1, 0, 16);
      writer.pages(4096).zero(0, 0x7000_0000, 5);
      writer.state(state());
      return writer.commit(42, "test", Creation.getDefaultInstance());
    }
  }
}
