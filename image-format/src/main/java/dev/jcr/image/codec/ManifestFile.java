package dev.jcr.image.codec;

import com.google.protobuf.InvalidProtocolBufferException;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.v1.Manifest;
import dev.jcr.image.v1.Part;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.List;

/// The file "manifest", little endian:
///
/// ```
///  0  8  magic 89 'j' 'c' 'r' 0d 0a 1a 0a
///  8  2  format major
/// 10  2  format minor
/// 12  4  n, length of the message
/// 16  n  Manifest
/// 16+n 32  SHA-256 of everything before
/// ```
///
/// As in PNG the magic shows a transfer that changed line ends or cut the eighth bit.
final class ManifestFile {
  private static final byte[] MAGIC = {(byte) 0x89, 'j', 'c', 'r', 0x0d, 0x0a, 0x1a, 0x0a};
  private static final int HEADER = 16;
  private static final int DIGEST = 32;
  private static final int TOKEN = 16;

  /// Longest file that can be one.
  static final int MAX_FILE = HEADER + ImageFormat.MAX_MANIFEST + DIGEST;

  private ManifestFile() {}

  static byte[] sha256(byte[] bytes, int offset, int length) {
    try {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      digest.update(bytes, offset, length);
      return digest.digest();
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java has SHA-256", e);
    }
  }

  static byte[] sha256(byte[] bytes) {
    return sha256(bytes, 0, bytes.length);
  }

  static byte[] encode(Manifest manifest) {
    byte[] message = manifest.toByteArray();
    ByteBuffer file =
        ByteBuffer.allocate(HEADER + message.length + DIGEST).order(ByteOrder.LITTLE_ENDIAN);
    file.put(MAGIC);
    file.putShort((short) manifest.getFormatMajor());
    file.putShort((short) manifest.getFormatMinor());
    file.putInt(message.length);
    file.put(message);
    file.put(sha256(file.array(), 0, file.position()));
    return file.array();
  }

  /// @param object the file, for messages
  static Manifest decode(String object, byte[] file) throws CheckpointException {
    if (file.length < HEADER + DIGEST || !Arrays.equals(file, 0, 8, MAGIC, 0, 8)) {
      throw Damage.at(
          object, 0, "not the manifest of a jcr image", "give the folder jcr dump wrote");
    }
    ByteBuffer buffer = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN);
    int major = Short.toUnsignedInt(buffer.getShort(8));
    int minor = Short.toUnsignedInt(buffer.getShort(10));
    if (major != ImageFormat.MAJOR || minor > ImageFormat.MINOR) {
      throw Damage.at(
          object,
          8,
          "image format "
              + major
              + "."
              + minor
              + ", this jcr reads "
              + ImageFormat.MAJOR
              + ".0 to "
              + ImageFormat.MAJOR
              + "."
              + ImageFormat.MINOR,
          "use the jcr that made it or dump again");
    }
    int length = buffer.getInt(12);
    if (length != file.length - HEADER - DIGEST) {
      throw Damage.at(
          object,
          12,
          "length "
              + Integer.toUnsignedString(length)
              + " of the message"
              + " does not fit the file's "
              + file.length
              + " bytes");
    }
    byte[] digest = Arrays.copyOfRange(file, HEADER + length, file.length);
    if (!MessageDigest.isEqual(digest, sha256(file, 0, HEADER + length))) {
      throw Damage.at(object, HEADER + length, "SHA-256 differs");
    }
    byte[] message = Arrays.copyOfRange(file, HEADER, HEADER + length);
    Wire.check(object, HEADER, message, Manifest.getDescriptor(), 64);
    Manifest manifest;
    try {
      manifest = Manifest.parseFrom(message);
    } catch (InvalidProtocolBufferException e) {
      throw Damage.at(object, HEADER, String.valueOf(e.getMessage()));
    }
    validate(object, manifest, major, minor);
    return manifest;
  }

  private static void validate(String object, Manifest manifest, int major, int minor)
      throws CheckpointException {
    if (manifest.getFormatMajor() != major || manifest.getFormatMinor() != minor) {
      throw Damage.at(object, HEADER, "version differs from the header's");
    }
    List<String> parts = manifest.getPartsList().stream().map(Part::getName).toList();
    if (!parts.equals(ImageFormat.PARTS) && !parts.equals(ImageFormat.MEMORY_PARTS)) {
      throw Damage.at(object, HEADER, "parts are not " + ImageFormat.PARTS);
    }
    if (manifest.hasParent()) {
      String path = manifest.getParent().getPath();
      int depth = manifest.getParent().getDepth();
      if (path.isEmpty()
          || path.length() > 4096
          || path.indexOf(0) >= 0
          || manifest.getParent().getManifestSha256().size() != DIGEST
          || depth <= 0
          || depth >= ImageFormat.MAX_CHAIN) {
        throw Damage.at(object, HEADER, "path, digest or depth of the parent image");
      }
    }
    if (manifest.hasTracking()
        && (manifest.getTracking().getKeeper() <= 1
            || manifest.getTracking().getToken().size() != TOKEN)) {
      throw Damage.at(object, HEADER, "keeper or token of the tracking");
    }
    for (Part part : manifest.getPartsList()) {
      int digest = part.getName().equals(ImageFormat.PAGES) ? 0 : DIGEST;
      if (part.getSize() < 0 || part.getSha256().size() != digest) {
        throw Damage.at(object, HEADER, "size or digest of part " + part.getName());
      }
    }
    if (manifest.getComm().getBytes(StandardCharsets.UTF_8).length > 64) {
      throw Damage.at(object, HEADER, "comm is too long");
    }
  }
}
