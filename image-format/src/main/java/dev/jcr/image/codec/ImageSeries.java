package dev.jcr.image.codec;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.pages.PageReader;
import dev.jcr.image.pages.PageStore;
import dev.jcr.image.v1.Manifest;
import java.nio.file.Path;
import java.security.MessageDigest;
import org.jspecify.annotations.Nullable;

/// Images that arrive one after another, each continuing the one before: what was read and checked
/// of one stays open for the next, so that each costs what it has itself. Not thread-safe.
public final class ImageSeries implements AutoCloseable {
  private @Nullable Opened last;

  /// The newest image.
  ///
  /// @param digest of its manifest's file
  @SuppressWarnings("ArrayRecordComponent") // never compared
  private record Opened(Path directory, Manifest manifest, byte[] digest, PageStore pages) {}

  /// The memory of the next image together with that of those before it.
  ///
  /// @return good until the next call
  /// @throws CheckpointException as [ImageReader#open]; the images before it are closed
  public PageStore next(Path directory) throws CheckpointException {
    boolean done = false;
    try {
      PageStore pages = next(directory, ImageReader.manifest(directory));
      done = true;
      return pages;
    } finally {
      if (!done) {
        close();
      }
    }
  }

  /// The next image is the last one.
  ///
  /// @return has taken everything over
  /// @throws CheckpointException as [ImageReader#open]; all images are closed
  public ImageReader last(Path directory) throws CheckpointException {
    boolean done = false;
    try {
      ImageReader reader = ImageReader.open(directory, this::next);
      done = true;
      return reader;
    } finally {
      if (done) {
        last = null;
      } else {
        close();
      }
    }
  }

  private PageStore next(Path directory, Manifest manifest) throws CheckpointException {
    byte[] file =
        ImageReader.readWhole(directory.resolve(ImageFormat.MANIFEST), ManifestFile.MAX_FILE);
    PageStore pages;
    if (last != null && continues(directory, manifest, last)) {
      pages = continued(directory, manifest, last.pages());
    } else {
      close();
      pages = ImageChain.open(directory, manifest);
    }
    last = new Opened(directory, manifest, ManifestFile.sha256(file), pages);
    return pages;
  }

  /// Whether its parent is the image before it, by place and by digest. One that is of something
  /// else is opened with all that it names.
  private static boolean continues(Path directory, Manifest manifest, Opened before) {
    return manifest.hasParent()
        && MessageDigest.isEqual(
            before.digest(), manifest.getParent().getManifestSha256().toByteArray())
        && directory
            .resolve(manifest.getParent().getPath())
            .normalize()
            .equals(before.directory().normalize())
        && manifest.getParent().getDepth() == before.manifest().getParent().getDepth() + 1
        && manifest.getParent().getDepth() < ImageFormat.MAX_CHAIN
        && manifest.getPid() == before.manifest().getPid()
        && manifest.getArch() == before.manifest().getArch();
  }

  private static PageStore continued(Path directory, Manifest manifest, PageStore before)
      throws CheckpointException {
    PageReader layer = ImageChain.layer(directory, manifest);
    boolean done = false;
    try {
      PageStore pages =
          before.continuedBy(directory.resolve(ImageFormat.PAGEMAP).toString(), layer);
      done = true;
      return pages;
    } finally {
      if (!done) {
        layer.close();
      }
    }
  }

  @Override
  public void close() {
    if (last != null) {
      last.pages().close();
      last = null;
    }
  }
}
