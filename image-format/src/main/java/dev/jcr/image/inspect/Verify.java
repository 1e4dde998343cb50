package dev.jcr.image.inspect;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.codec.ImageReader;
import dev.jcr.image.v1.Manifest;
import dev.jcr.image.v1.Part;
import dev.jcr.image.v1.ProcessState;
import java.nio.file.Path;

/// Checks a whole image: everything [ImageReader#open] checks, and all page contents.
public final class Verify {
  private Verify() {}

  /// What was found whole.
  ///
  /// @param bytes of all parts but the manifest
  /// @param images of the chain, 1 without a parent
  /// @param storedPages pages whose contents are in the image
  /// @param zeroPages pages known to be all zero
  public record Report(
      Manifest manifest,
      long bytes,
      int chunks,
      int images,
      long storedPages,
      long zeroPages,
      int threads,
      int vmas,
      int descriptors) {}

  /// Reads everything.
  ///
  /// @throws CheckpointException of outcome IMAGE or PERMISSION, with file, offset and remedy
  public static Report run(Path directory) throws CheckpointException {
    try (ImageReader reader = ImageReader.open(directory)) {
      reader.requireWhole();
      reader.verifyPages();
      ProcessState state = reader.state();
      long[] pages = new long[2];
      reader
          .pagemap()
          .getSpacesList()
          .forEach(space ->
              space
                  .getRunsList()
                  .forEach(run -> {
                    switch (run.getKind()) {
                      case PAGE_STORED -> pages[0] += run.getPages();
                      case PAGE_ZERO -> pages[1] += run.getPages();
                      case PAGE_PARENT, PAGE_REMOTE, PAGE_UNSPECIFIED, UNRECOGNIZED -> {}
                    }
                  }));
      return new Report(
          reader.manifest(),
          reader.manifest().getPartsList().stream().mapToLong(Part::getSize).sum(),
          reader.pages().chunks(),
          reader.pages().depth(),
          pages[0],
          pages[1],
          state.getThreadsCount(),
          state.getMemory().getVmasCount(),
          state.getFiles().getDescriptorsCount());
    }
  }
}
