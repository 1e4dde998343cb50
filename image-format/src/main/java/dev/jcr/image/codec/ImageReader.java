package dev.jcr.image.codec;

import com.google.protobuf.Descriptors.Descriptor;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.Parser;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.Errnos;
import dev.jcr.image.pages.PageStore;
import dev.jcr.image.pages.Ranges;
import dev.jcr.image.v1.Manifest;
import dev.jcr.image.v1.PageKind;
import dev.jcr.image.v1.Pagemap;
import dev.jcr.image.v1.Part;
import dev.jcr.image.v1.ProcessState;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Set;

/// An image that was checked: digests, version, encoding and meaning of everything but the page
/// contents, which are checked as they are read or all together by [#verifyPages].
///
/// The metadata is read once into memory, so that what was checked is what is used. Immutable and
/// safe for any thread until [#close].
public final class ImageReader implements AutoCloseable {
  private final Path directory;
  private final Manifest manifest;
  private final ProcessState state;
  private final PageStore pages;

  private ImageReader(Path directory, Manifest manifest, ProcessState state, PageStore pages) {
    this.directory = directory;
    this.manifest = manifest;
    this.state = state;
    this.pages = pages;
  }

  /// Reads and checks everything but the page contents.
  ///
  /// @throws CheckpointException of outcome IMAGE: missing, damaged, another version, or a state no
  ///   process can have; of outcome PERMISSION: may not be read
  public static ImageReader open(Path directory) throws CheckpointException {
    return open(directory, ImageChain::open);
  }

  /// Who opens the memory of an image.
  interface Opener {
    PageStore open(Path directory, Manifest manifest) throws CheckpointException;
  }

  static ImageReader open(Path directory, Opener opener) throws CheckpointException {
    if (!Files.isDirectory(directory)) {
      throw new CheckpointException(
          Outcome.IMAGE,
          "cannot read image "
              + directory
              + (Files.exists(directory)
                  ? ": ENOTDIR (not a directory)"
                  : ": ENOENT (no such file or directory)")
              + "; give the folder jcr dump wrote");
    }
    String manifestFile = directory.resolve(ImageFormat.MANIFEST).toString();
    Manifest manifest = manifest(directory);
    if (isMemoryOnly(manifest)) {
      throw new CheckpointException(
          Outcome.IMAGE,
          "cannot read image "
              + directory
              + ": it holds memory only (jcr pre-dump); give the folder of the jcr dump that"
              + " followed it");
    }
    ProcessState state =
        parse(
            directory,
            manifest.getParts(0),
            ImageFormat.MAX_STATE,
            ProcessState.getDescriptor(),
            ProcessState.parser());
    PageStore pages = opener.open(directory, manifest);
    try {
      String stateFile = directory.resolve(ImageFormat.STATE).toString();
      StateValidator.check(stateFile, state, pages.effective());
      if (manifest.getArch() != state.getHost().getArch()
          || manifest.getPid() != state.getIdentity().getPid()) {
        throw Damage.at(manifestFile, 0, "architecture or pid differ from the state's");
      }
      return new ImageReader(directory, manifest, state, pages);
    } catch (CheckpointException | RuntimeException | Error e) {
      pages.close();
      throw e;
    }
  }

  /// Part of a state from somebody who is not trusted: bounded, known fields only, canonical. Its
  /// meaning is not checked, so nothing may be built from it.
  ///
  /// @param object where it is from, for messages
  public static ProcessState outline(String object, byte[] bytes) throws CheckpointException {
    return decode(object, bytes, ProcessState.getDescriptor(), ProcessState.parser());
  }

  /// The checked manifest of a folder.
  static Manifest manifest(Path directory) throws CheckpointException {
    Path file = directory.resolve(ImageFormat.MANIFEST);
    return ManifestFile.decode(file.toString(), readWhole(file, ManifestFile.MAX_FILE));
  }

  /// Whether it is the image of a pre-dump.
  static boolean isMemoryOnly(Manifest manifest) {
    return manifest.getPartsCount() == ImageFormat.MEMORY_PARTS.size();
  }

  /// The folder as it was given.
  public Path directory() {
    return directory;
  }

  public Manifest manifest() {
    return manifest;
  }

  public ProcessState state() {
    return state;
  }

  /// SHA-256 of the manifest's message, in hexadecimal: tells this image from every other one.
  public String digest() {
    return HexFormat.of().formatHex(ManifestFile.sha256(manifest.toByteArray()));
  }

  /// Which pages there are; those of parent images as if they were in this one.
  public Pagemap pagemap() {
    return pages.effective();
  }

  /// Refuses the last image of a migration whose memory was to follow it.
  ///
  /// @throws CheckpointException of outcome IMAGE: pages stayed with the source
  public void requireWhole() throws CheckpointException {
    long bytes = Ranges.of(pagemap(), kind -> kind == PageKind.PAGE_REMOTE).bytes();
    if (bytes > 0) {
      throw new CheckpointException(
          Outcome.IMAGE,
          "cannot use image %s alone: %d KiB of memory stayed with the source of its migration; run jcr migrate --recover there"
              .formatted(directory, bytes >> 10));
    }
  }

  /// Contents of the pages.
  public PageStore pages() {
    return pages;
  }

  /// Reads all page contents and compares their checksums.
  ///
  /// @throws CheckpointException of outcome IMAGE, naming the offset
  public void verifyPages() throws CheckpointException {
    pages.verify();
  }

  @Override
  public void close() {
    pages.close();
  }

  /// Opens a part that is a file and not a link, pipe or device, and not longer than `max`.
  static FileChannel open(Path file, long max) throws CheckpointException {
    try {
      BasicFileAttributes attributes =
          Files.readAttributes(file, BasicFileAttributes.class, LinkOption.NOFOLLOW_LINKS);
      if (!attributes.isRegularFile()) {
        throw Damage.at(file.toString(), 0, "not a regular file");
      }
      if (attributes.size() > max) {
        throw Damage.at(
            file.toString(), 0, attributes.size() + " bytes, at most " + max + " can be right");
      }
      return FileChannel.open(file, Set.of(StandardOpenOption.READ, LinkOption.NOFOLLOW_LINKS));
    } catch (NoSuchFileException e) {
      throw new CheckpointException(
          Outcome.IMAGE,
          "cannot read "
              + file
              + ": ENOENT (no such file or directory); the folder is not a whole image: give the"
              + " folder jcr dump wrote",
          e);
    } catch (IOException e) {
      throw Errnos.failure(Outcome.IMAGE, "read", file, e, "copy the image again");
    }
  }

  static byte[] readWhole(Path file, int max) throws CheckpointException {
    try (FileChannel channel = open(file, max)) {
      // The size of the open file, which nobody can exchange any more.
      ByteBuffer bytes = ByteBuffer.allocate((int) Math.min(channel.size(), max));
      while (bytes.hasRemaining() && channel.read(bytes) >= 0) {
        // Until full or at the end.
      }
      return bytes.hasRemaining() ? Arrays.copyOf(bytes.array(), bytes.position()) : bytes.array();
    } catch (IOException e) {
      throw Errnos.failure(Outcome.IMAGE, "read", file, e, "copy the image again");
    }
  }

  static <M extends Message> M parse(
      Path directory, Part part, int max, Descriptor type, Parser<M> parser)
      throws CheckpointException {
    Path file = directory.resolve(part.getName());
    byte[] bytes = readWhole(file, max);
    checkSize(file, bytes.length, part);
    if (!MessageDigest.isEqual(ManifestFile.sha256(bytes), part.getSha256().toByteArray())) {
      throw Damage.at(file.toString(), 0, "SHA-256 differs from the manifest's");
    }
    return decode(file.toString(), bytes, type, parser);
  }

  /// Makes a message of bytes from anywhere.
  static <M extends Message> M decode(
      String object, byte[] bytes, Descriptor type, Parser<M> parser) throws CheckpointException {
    Wire.check(object, 0, bytes, type, ImageFormat.MAX_ELEMENTS);
    M message;
    try {
      message = parser.parseFrom(bytes);
    } catch (InvalidProtocolBufferException e) {
      throw Damage.at(object, 0, String.valueOf(e.getMessage()));
    }
    // One state has one encoding: a default written out or an overlong number is not ours.
    if (!Arrays.equals(message.toByteArray(), bytes)) {
      throw Damage.at(object, 0, "not the canonical encoding");
    }
    return message;
  }

  static void checkSize(Path file, long actual, Part part) throws CheckpointException {
    if (actual != part.getSize()) {
      throw Damage.at(
          file.toString(),
          Math.min(actual, part.getSize()),
          actual + " bytes, the manifest says " + part.getSize());
    }
  }
}
