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
import java.util.concurrent.locks.ReentrantLock;

/// Messages of a kind and some bytes, and images between them, over one connection ([Line]) or
/// several ([Lasting]).
///
/// ```
/// 1  kind
/// 4  length, big endian
/// n  bytes
///    after ROUND and FINAL: an image stream (image-format, ImageStream)
/// ```
///
/// HELLO says version, migration, space, how long to wait for another connection, how many there
/// will be, and the outline of the process; perhaps COMPARE (names of files) and DIGESTS; ACCEPT
/// ([FileTerms]) or REFUSE. Then ROUND and GOT, many times; FINAL and PREPARED; COMMIT and RUNNING,
/// or ABORT and ABORTED. Instead of HELLO, RESOLVE says how a migration that was cut off ended.
///
/// From behind ACCEPT on, the messages are in the stream of [Lasting], of which that connection is
/// number 0. Others join, or take the place of one that ended, by JOIN (version, migration, number)
/// and JOINED.
///
/// With post-copy (FINAL says so), from FINAL on, in any number and order: WANT ([PageRequest]) and
/// BLOCK (8 window, then a [dev.jcr.image.pages.PageBlock]); behind RUNNING, WHOLE when no page is
/// missing any more.
///
/// One thread receives; any thread sends.
final class Link {
  static final int VERSION = 4;

  /// Text of a FINAL behind which pages are to be asked for.
  static final String POSTCOPY = "postcopy";

  /// Text of a WHOLE: the process is not there any more.
  static final String ENDED = "ended";

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
    RESOLVE,
    WANT,
    BLOCK,
    WHOLE,
    COMPARE,
    DIGESTS,
    JOIN,
    JOINED
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
  private final ReentrantLock sending = new ReentrantLock();

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
    sending.lock();
    try {
      out.writeByte(KINDS.indexOf(kind));
      out.writeInt(bytes.length);
      out.write(bytes);
      out.flush();
    } finally {
      sending.unlock();
    }
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
    return required(receive(), kind);
  }

  static Message required(Message message, Kind kind) throws CheckpointException {
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
