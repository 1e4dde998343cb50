package dev.jcr.image.codec;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.Errnos;
import dev.jcr.image.pages.PageReader;
import dev.jcr.image.pages.PageStore;
import dev.jcr.image.v1.Manifest;
import dev.jcr.image.v1.Pagemap;
import dev.jcr.image.v1.Part;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.List;

/// Opens an image's memory together with that of the images it continues.
///
/// A parent is told by the digest of its manifest, so a chain has no loops, and what was checked
/// against the newest image's manifest is what the dump was made on.
final class ImageChain {
  private ImageChain() {}

  /// The pages of the image in `directory` and of its parents.
  ///
  /// @throws CheckpointException of outcome IMAGE: a parent is missing, damaged, another image or
  ///   of another process
  static PageStore open(Path directory, Manifest manifest) throws CheckpointException {
    List<PageReader> layers = new ArrayList<>();
    PageStore store = null;
    try {
      Path folder = directory;
      Manifest at = manifest;
      layers.add(layer(folder, at));
      while (at.hasParent()) {
        Path parent = folder.resolve(at.getParent().getPath());
        Manifest below = parent(folder, parent, at);
        if (layers.size() == ImageFormat.MAX_CHAIN
            || below.getParent().getDepth() != at.getParent().getDepth() - 1) {
          throw Damage.in(
              parent.resolve(ImageFormat.MANIFEST).toString(), "the chain of images is too long");
        }
        folder = parent;
        at = below;
        layers.add(layer(folder, at));
      }
      store = new PageStore(directory.resolve(ImageFormat.PAGEMAP).toString(), layers);
      return store;
    } finally {
      if (store == null) {
        layers.forEach(PageReader::close);
      }
    }
  }

  /// Checks the pages of one image, and that its parent is there, without those further down.
  static void verifyNewest(Path directory, Manifest manifest) throws CheckpointException {
    if (manifest.hasParent()) {
      parent(directory, directory.resolve(manifest.getParent().getPath()), manifest);
    }
    try (PageReader pages = layer(directory, manifest)) {
      pages.verify();
    }
  }

  private static Manifest parent(Path folder, Path parent, Manifest child)
      throws CheckpointException {
    if (!Files.isDirectory(parent)) {
      throw new CheckpointException(
          Outcome.IMAGE,
          "cannot read image "
              + folder
              + ": its parent image "
              + parent
              + " is not there; put it back, or dump again without --prev-images-dir");
    }
    Path file = parent.resolve(ImageFormat.MANIFEST);
    byte[] bytes = ImageReader.readWhole(file, ManifestFile.MAX_FILE);
    if (!MessageDigest.isEqual(
        ManifestFile.sha256(bytes), child.getParent().getManifestSha256().toByteArray())) {
      throw new CheckpointException(
          Outcome.IMAGE,
          "cannot read image "
              + folder
              + ": "
              + parent
              + " is another image than the one it was made on; put that one back");
    }
    Manifest manifest = ManifestFile.decode(file.toString(), bytes);
    if (manifest.getPid() != child.getPid() || manifest.getArch() != child.getArch()) {
      throw Damage.in(file.toString(), "it is an image of another process");
    }
    return manifest;
  }

  /// The pages of one image.
  static PageReader layer(Path folder, Manifest manifest) throws CheckpointException {
    int parts = manifest.getPartsCount();
    Pagemap pagemap = pagemap(folder, manifest);
    Part pagesPart = manifest.getParts(parts - 1);
    Path pagesFile = folder.resolve(ImageFormat.PAGES);
    FileChannel channel = ImageReader.open(pagesFile, Long.MAX_VALUE);
    boolean done = false;
    try {
      ImageReader.checkSize(pagesFile, channel.size(), pagesPart);
      PageReader reader =
          new PageReader(
              channel, pagesFile, pagemap, folder.resolve(ImageFormat.PAGEMAP).toString());
      done = true;
      return reader;
    } catch (IOException e) {
      throw Errnos.failure(Outcome.IMAGE, "read", pagesFile, e, "copy the image again");
    } finally {
      if (!done) {
        closeQuietly(channel);
      }
    }
  }

  static Pagemap pagemap(Path folder, Manifest manifest) throws CheckpointException {
    return ImageReader.parse(
        folder,
        manifest.getParts(manifest.getPartsCount() - 2),
        ImageFormat.MAX_PAGEMAP,
        Pagemap.getDescriptor(),
        Pagemap.parser());
  }

  private static void closeQuietly(FileChannel channel) {
    try {
      channel.close();
    } catch (IOException _) {
      // Only read from.
    }
  }
}
