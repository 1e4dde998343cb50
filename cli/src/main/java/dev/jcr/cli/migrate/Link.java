package dev.jcr.cli.migrate;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;

/// One connection: messages of a kind and some bytes, and images between them.
///
/// ```
/// 1  kind
/// 4  length, big endian
/// n  bytes
///    after ROUND and FINAL: an image stream (image-format, ImageStream)
/// ```
///
/// HELLO says version, migration, process and outline; ACCEPT or REFUSE. Then ROUND and GOT, many
/// times; FINAL and PREPARED; COMMIT and RUNNING, or ABORT and ABORTED. Instead of HELLO, RESOLVE
/// says how a migration that was cut off ended.
final class Link {
  static final int VERSION = 1;

  /// Kinds of messages; the place in this list is what is sent.
  enum Kind {
    HELLO,
    ACCEPT,
    REFUSE,
    ROUND,
    GOT,
    FINAL,
    PREPARED,
    COMMIT,
    RUNNING,
    ABORT,
    ABORTED,
    RESOLVE
  }

  /// Longest message: an outline of a process with many mappings.
  private static final int MOST_BYTES = 16 << 20;

  private static final List<Kind> KINDS = List.of(Kind.values());
  private static final int BUFFER = 1 << 16;

  @SuppressWarnings("ArrayRecordComponent") // never compared
  record Message(Kind kind, byte[] bytes) {
    String text() {
      return new String(bytes, StandardCharsets.UTF_8);
    }
  }

  private final DataInputStream in;
  private final DataOutputStream out;

  Link(InputStream in, OutputStream out) {
    this.in = new DataInputStream(new BufferedInputStream(in, BUFFER));
    this.out = new DataOutputStream(new BufferedOutputStream(out, BUFFER));
  }

  /// For an image behind a message.
  InputStream in() {
    return in;
  }

  /// For an image behind a message.
  OutputStream out() {
    return out;
  }

  void send(Kind kind, byte[] bytes) throws IOException {
    out.writeByte(KINDS.indexOf(kind));
    out.writeInt(bytes.length);
    out.write(bytes);
    out.flush();
  }

  void send(Kind kind, String text) throws IOException {
    send(kind, text.getBytes(StandardCharsets.UTF_8));
  }

  /// The next message, whatever it is. Bytes are taken as they come, so that a length that is a lie
  /// costs no memory.
  Message receive() throws IOException, CheckpointException {
    int kind = in.readUnsignedByte();
    int length = in.readInt();
    if (kind >= KINDS.size() || length < 0 || length > MOST_BYTES) {
      throw strange("message " + kind + " of " + Integer.toUnsignedString(length) + " bytes");
    }
    byte[] bytes = in.readNBytes(length);
    if (bytes.length < length) {
      throw new EOFException();
    }
    return new Message(KINDS.get(kind), bytes);
  }

  /// The next message, which must be of this kind; a refusal is thrown.
  Message expect(Kind kind) throws IOException, CheckpointException {
    Message message = receive();
    if (message.kind() == Kind.REFUSE) {
      throw new CheckpointException(
          Outcome.FAILED, "cannot migrate: the destination refuses: " + message.text());
    }
    if (message.kind() != kind) {
      throw strange(message.kind() + " instead of " + kind);
    }
    return message;
  }

  static CheckpointException strange(String problem) {
    return new CheckpointException(
        Outcome.FAILED,
        "cannot migrate: the other side sent " + problem + "; use the same jcr on both hosts");
  }
}
