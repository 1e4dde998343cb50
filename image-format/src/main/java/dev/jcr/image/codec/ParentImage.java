package dev.jcr.image.codec;

import com.google.protobuf.ByteString;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.v1.Manifest;
import dev.jcr.image.v1.Pagemap;
import dev.jcr.image.v1.Parent;
import java.nio.file.Files;
import java.nio.file.Path;

/// An image that a new one continues: what it has, and how the new one names it.
///
/// @param reference for the new image's manifest
/// @param pagemap every page of the process at that time, wherever its content is
public record ParentImage(Parent reference, Manifest manifest, Pagemap pagemap) {
  /// How an image names a parent that lies on another host.
  ///
  /// @param path relative to the new image's folder there
  public static ParentImage sent(String path, Manifest manifest) {
    return new ParentImage(
        Parent.newBuilder()
            .setPath(path)
            .setManifestSha256(
                ByteString.copyFrom(ManifestFile.sha256(ManifestFile.encode(manifest))))
            .setDepth(manifest.getParent().getDepth() + 1)
            .build(),
        manifest,
        Pagemap.getDefaultInstance());
  }

  /// Reads and checks manifest and index; the pages are not looked at.
  ///
  /// @param directory the new image's folder, which may not exist yet
  /// @param path relative to that folder, or absolute (as CRIU's --prev-images-dir)
  /// @throws CheckpointException of outcome IMAGE: missing or damaged; of outcome FAILED: the chain
  ///   is too long
  public static ParentImage open(Path directory, Path path) throws CheckpointException {
    Path folder = directory.resolve(path).normalize();
    if (!Files.isDirectory(folder)) {
      throw new CheckpointException(
          Outcome.IMAGE,
          "cannot read image "
              + folder
              + ": ENOENT (no such file or directory); --prev-images-dir is relative to the new"
              + " image's folder");
    }
    Path file = folder.resolve(ImageFormat.MANIFEST);
    byte[] bytes = ImageReader.readWhole(file, ManifestFile.MAX_FILE);
    Manifest manifest = ManifestFile.decode(file.toString(), bytes);
    int depth = manifest.getParent().getDepth() + 1;
    if (depth >= ImageFormat.MAX_CHAIN) {
      throw new CheckpointException(
          Outcome.FAILED,
          "cannot continue image "
              + folder
              + ": its chain has "
              + depth
              + " images; dump without --prev-images-dir, or flatten it with jcr merge");
    }
    Pagemap pagemap = ImageChain.pagemap(folder, manifest);
    return new ParentImage(
        Parent.newBuilder()
            .setPath(path.toString())
            .setManifestSha256(ByteString.copyFrom(ManifestFile.sha256(bytes)))
            .setDepth(depth)
            .build(),
        manifest,
        pagemap);
  }
}
