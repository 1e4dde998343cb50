package dev.jcr.image.codec;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.Errnos;
import dev.jcr.image.v1.Manifest;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.GatheringByteChannel;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;

/// An image as one stream: the same parts in the order in which they are made, big endian as
/// networks are.
///
/// ```
/// 0  8  magic 89 'j' 'c' 's' 0d 0a 1a 0a
/// 8  2  format major
/// 10 2  format minor
/// then for each of pages, pagemap, state, manifest:
///    1  number of the part, 1 to 4
///       pieces: 4 bytes length (1 to 1 MiB), that many bytes
///    4  0, the end of the part
/// ```
///
/// The image of a pre-dump has no state. The stream has no digest of its own: the manifest comes
/// last and covers everything. Nothing after it is read.
public final class ImageStream {
  private static final byte[] MAGIC = {(byte) 0x89, 'j', 'c', 's', 0x0d, 0x0a, 0x1a, 0x0a};
  private static final int PIECE = 1 << 20;
  private static final List<String> ORDER =
      List.of(ImageFormat.PAGES, ImageFormat.PAGEMAP, ImageFormat.STATE, ImageFormat.MANIFEST);

  private ImageStream() {}

  /// Sends an image.
  ///
  /// @param out flushed but not closed
  /// @throws CheckpointException a part cannot be read, or the stream not be written
  public static void write(ImageReader image, OutputStream out) throws CheckpointException {
    if (image.manifest().hasParent()) {
      throw new CheckpointException(
          Outcome.FAILED,
          "cannot send image "
              + image.directory()
              + ": it continues another image; flatten it with jcr merge first");
    }
    try {
      DataOutputStream data = new DataOutputStream(out);
      data.write(MAGIC);
      data.writeShort(ImageFormat.MAJOR);
      data.writeShort(ImageFormat.MINOR);
      byte[] piece = new byte[PIECE];
      for (String part : ORDER) {
        data.writeByte(ORDER.indexOf(part) + 1);
        try (FileChannel channel =
            ImageReader.open(image.directory().resolve(part), Long.MAX_VALUE)) {
          for (int n = fill(channel, piece); n > 0; n = fill(channel, piece)) {
            data.writeInt(n);
            data.write(piece, 0, n);
          }
        }
        data.writeInt(0);
      }
      data.flush();
    } catch (IOException e) {
      throw Errnos.failure(
          Outcome.FAILED, "send image", image.directory(), e, "look at the other side");
    }
  }

  private static int fill(FileChannel channel, byte[] piece) throws IOException {
    ByteBuffer buffer = ByteBuffer.wrap(piece);
    while (buffer.hasRemaining() && channel.read(buffer) >= 0) {
      // Until full or at the end.
    }
    return buffer.position();
  }

  /// Receives an image into a folder, whole and checked or not at all. Of a chain only this image
  /// is checked, and that its parent is the right one.
  ///
  /// @param directory as for [ImageWriter#create]
  /// @param durable whether to wait until everything is on the disk
  /// @throws CheckpointException of outcome IMAGE: not an image, damaged, or the stream ends early;
  ///   others as for [ImageWriter#create]
  public static Manifest read(InputStream in, Path directory, boolean durable)
      throws CheckpointException {
    DataInputStream data = new DataInputStream(in);
    try (ImageFolder folder = ImageFolder.create(directory, durable)) {
      receive(data, folder);
      Manifest manifest = ImageReader.manifest(folder.temporary());
      ImageChain.verifyNewest(folder.temporary(), manifest);
      if (!ImageReader.isMemoryOnly(manifest)) {
        ImageReader.open(folder.temporary()).close();
      }
      folder.publish();
      return manifest;
    }
  }

  /// Receives an image of which only the frame and the manifest are checked here: everything else
  /// is checked where it is used, by [ImageReader] and [dev.jcr.image.pages.PageReader]. For
  /// somebody who uses all of it at once, and cannot wait for it to be read twice.
  ///
  /// @param directory as for [ImageWriter#create]
  /// @return its manifest; the folder is not on the disk before [#sync]
  /// @throws CheckpointException as [#read]
  public static Manifest receive(InputStream in, Path directory) throws CheckpointException {
    try (ImageFolder folder = ImageFolder.create(directory, false)) {
      receive(new DataInputStream(in), folder);
      Manifest manifest = ImageReader.manifest(folder.temporary());
      folder.publish();
      return manifest;
    }
  }

  /// Waits until an image that [#receive] made, or [#read] without `durable`, is on the disk.
  public static void sync(Path image) throws CheckpointException {
    ImageFolder.sync(image);
  }

  private static void receive(DataInputStream in, ImageFolder folder) throws CheckpointException {
    Source source = new Source(in, folder.target());
    byte[] magic = new byte[MAGIC.length];
    source.readFully(magic, magic.length);
    if (!Arrays.equals(magic, MAGIC)) {
      throw source.refuse("not an image stream", "send it with jcr");
    }
    int major = source.readShort();
    int minor = source.readShort();
    if (major != ImageFormat.MAJOR || minor > ImageFormat.MINOR) {
      throw source.refuse(
          "image format "
              + major
              + "."
              + minor
              + ", this jcr reads "
              + ImageFormat.MAJOR
              + "."
              + ImageFormat.MINOR,
          "use the same jcr on both sides");
    }
    byte[] piece = new byte[PIECE];
    int previous = 0;
    while (previous < ORDER.size()) {
      int number = source.readByte();
      // The image of a pre-dump has no state.
      boolean withoutState =
          number == previous + 2 && ORDER.get(previous).equals(ImageFormat.STATE);
      if (number != previous + 1 && !withoutState) {
        throw source.refuse("part " + number + " behind part " + previous, "send it again");
      }
      String part = ORDER.get(number - 1);
      previous = number;
      if (part.equals(ImageFormat.PAGES)) {
        pages(source, folder, piece);
      } else {
        folder.write(part, metadata(source, part, piece));
      }
    }
  }

  private static void pages(Source source, ImageFolder folder, byte[] piece)
      throws CheckpointException {
    for (int n = source.readPiece(piece); n > 0; n = source.readPiece(piece)) {
      ByteBuffer buffer = ByteBuffer.wrap(piece, 0, n);
      try {
        while (buffer.hasRemaining()) {
          folder.pages().write(buffer);
        }
      } catch (IOException e) {
        throw Errnos.failure(
            Outcome.FAILED,
            "write",
            folder.path(ImageFormat.PAGES),
            e,
            "choose another folder with -D");
      }
    }
  }

  private static byte[] metadata(Source source, String part, byte[] piece)
      throws CheckpointException {
    int max =
        switch (part) {
          case ImageFormat.MANIFEST -> ManifestFile.MAX_FILE;
          case ImageFormat.PAGEMAP -> ImageFormat.MAX_PAGEMAP;
          default -> ImageFormat.MAX_STATE;
        };
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    for (int n = source.readPiece(piece); n > 0; n = source.readPiece(piece)) {
      if (n > max - bytes.size()) {
        throw source.refuse(part + " is longer than " + max + " bytes", "send it again");
      }
      bytes.write(piece, 0, n);
    }
    return bytes.toByteArray();
  }

  /// An image on its way to somebody else while it is made.
  static final class Output implements ImageOutput, GatheringByteChannel {
    private final DataOutputStream data;
    private final byte[] piece = new byte[PIECE];
    private int part;
    private boolean failed;

    Output(OutputStream out) {
      data = new DataOutputStream(out);
    }

    @Override
    public GatheringByteChannel pages() {
      return this;
    }

    @Override
    public Path path(String name) {
      return Path.of(name);
    }

    @Override
    public Path target() {
      return Path.of("stream");
    }

    /// Ends the part before, begins the next.
    private void begin(int number) throws IOException {
      if (part == 0) {
        data.write(MAGIC);
        data.writeShort(ImageFormat.MAJOR);
        data.writeShort(ImageFormat.MINOR);
        part = 1;
        data.writeByte(part);
      }
      if (number > part) {
        data.writeInt(0);
        part = number;
        data.writeByte(part);
      }
    }

    @Override
    public long write(ByteBuffer[] sources, int offset, int length) throws IOException {
      long written = 0;
      for (int i = offset; i < offset + length; i++) {
        written += write(sources[i]);
      }
      return written;
    }

    @Override
    public long write(ByteBuffer[] sources) throws IOException {
      return write(sources, 0, sources.length);
    }

    @Override
    public int write(ByteBuffer source) throws IOException {
      begin(1);
      int written = source.remaining();
      while (source.hasRemaining()) {
        int n = Math.min(source.remaining(), PIECE);
        source.get(piece, 0, n);
        data.writeInt(n);
        data.write(piece, 0, n);
      }
      return written;
    }

    @Override
    public void write(String name, byte[] bytes) throws CheckpointException {
      try {
        begin(ORDER.indexOf(name) + 1);
        for (int at = 0; at < bytes.length; at += PIECE) {
          int n = Math.min(PIECE, bytes.length - at);
          data.writeInt(n);
          data.write(bytes, at, n);
        }
      } catch (IOException e) {
        failed = true;
        throw lost(e);
      }
    }

    @Override
    public void publish() throws CheckpointException {
      try {
        data.writeInt(0);
        data.flush();
      } catch (IOException e) {
        failed = true;
        throw lost(e);
      }
    }

    private static CheckpointException lost(IOException e) {
      return new CheckpointException(
          Outcome.FAILED, "cannot send image: " + e.getMessage() + "; look at the other side", e);
    }

    @Override
    public boolean isOpen() {
      return !failed;
    }

    /// The stream is the caller's.
    @Override
    public void close() {}
  }

  /// The incoming stream, with its failures put into words.
  private static final class Source {
    private final DataInputStream in;
    private final Path target;
    private long offset;

    Source(DataInputStream in, Path target) {
      this.in = in;
      this.target = target;
    }

    void readFully(byte[] into, int length) throws CheckpointException {
      try {
        in.readFully(into, 0, length);
        offset += length;
      } catch (EOFException _) {
        throw refuse("the stream ends inside a part", "send it again");
      } catch (IOException e) {
        throw Errnos.failure(Outcome.IMAGE, "receive image", target, e, "send it again");
      }
    }

    int readByte() throws CheckpointException {
      byte[] bytes = new byte[1];
      readFully(bytes, 1);
      return bytes[0];
    }

    int readShort() throws CheckpointException {
      byte[] bytes = new byte[2];
      readFully(bytes, 2);
      return Short.toUnsignedInt(ByteBuffer.wrap(bytes).getShort());
    }

    /// Reads a piece; its length, 0 at the end of the part.
    int readPiece(byte[] into) throws CheckpointException {
      byte[] bytes = new byte[4];
      readFully(bytes, 4);
      int length = ByteBuffer.wrap(bytes).getInt();
      if (length < 0 || length > into.length) {
        throw refuse("a piece of " + Integer.toUnsignedString(length) + " bytes", "send it again");
      }
      readFully(into, length);
      return length;
    }

    CheckpointException refuse(String problem, String remedy) {
      return new CheckpointException(
          Outcome.IMAGE,
          "cannot receive image "
              + target
              + " at offset "
              + offset
              + ": "
              + problem
              + "; "
              + remedy);
    }
  }
}
