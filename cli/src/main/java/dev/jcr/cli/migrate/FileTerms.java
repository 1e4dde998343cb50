package dev.jcr.cli.migrate;

import com.google.protobuf.ByteString;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.v1.FileIdentity;
import dev.jcr.restore.FileChanges.Twin;
import dev.jcr.restore.HostFiles.Differing;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// What a destination says when it takes a process up: how fast it is, and what it has of the
/// process's files, by their paths there.
///
/// @param rebuilding nanoseconds that it needs for a process of hardly any memory; 0: not known yet
/// @param same of the same content, but with another time
/// @param differing to be sent along
record FileTerms(long rebuilding, List<Same> same, List<Other> differing) {
  private static final int DIGEST = 32;
  private static final long MOST_REBUILDING = 1_000_000_000_000L;

  /// In place of a digest: the file changes, or cannot be read.
  private static final ByteString UNKNOWN = ByteString.copyFrom(new byte[DIGEST]);

  /// @param seconds its time there, with `nanos`
  record Same(String path, long seconds, int nanos) {
    static Same of(Twin twin) {
      return new Same(twin.to().getPath(), twin.to().getMtimeSeconds(), twin.to().getMtimeNanos());
    }
  }

  /// @param missing nothing is at its path
  /// @param written the process may write to it
  record Other(String path, boolean missing, boolean written, String reason) {
    static Other of(Differing file) {
      return new Other(file.path(), file.missing(), file.written(), file.reason());
    }

    /// Sent along, it would be made beside the one that is there, without a name.
    boolean isInTheWay() {
      return written && !missing;
    }
  }

  FileTerms {
    same = List.copyOf(same);
    differing = List.copyOf(differing);
  }

  byte[] encoded() throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    DataOutputStream out = new DataOutputStream(bytes);
    out.writeLong(rebuilding);
    out.writeInt(same.size());
    for (Same file : same) {
      out.writeUTF(file.path());
      out.writeLong(file.seconds());
      out.writeInt(file.nanos());
    }
    out.writeInt(differing.size());
    for (Other file : differing) {
      out.writeUTF(file.path());
      out.writeBoolean(file.missing());
      out.writeBoolean(file.written());
      out.writeUTF(file.reason());
    }
    return bytes.toByteArray();
  }

  /// Throws when it is not whole. Lists grow as they are read, whatever their length is said to be.
  static FileTerms decode(byte[] bytes) throws CheckpointException {
    try (DataInputStream in = new DataInputStream(new ByteArrayInputStream(bytes))) {
      long rebuilding = in.readLong();
      if (rebuilding < 0 || rebuilding > MOST_REBUILDING) {
        throw Link.strange("a time of " + rebuilding + " ns");
      }
      List<Same> same = new ArrayList<>();
      for (int left = in.readInt(); left > 0; left--) {
        same.add(new Same(in.readUTF(), in.readLong(), in.readInt()));
      }
      List<Other> differing = new ArrayList<>();
      for (int left = in.readInt(); left > 0; left--) {
        differing.add(new Other(in.readUTF(), in.readBoolean(), in.readBoolean(), in.readUTF()));
      }
      return new FileTerms(rebuilding, same, differing);
    } catch (IOException e) {
      throw Link.strange("terms that are none");
    }
  }

  static byte[] paths(List<String> paths) throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    DataOutputStream out = new DataOutputStream(bytes);
    for (String path : paths) {
      out.writeUTF(path);
    }
    return bytes.toByteArray();
  }

  static List<String> paths(byte[] bytes) throws CheckpointException {
    List<String> paths = new ArrayList<>();
    try (DataInputStream in = new DataInputStream(new ByteArrayInputStream(bytes))) {
      while (in.available() > 0) {
        paths.add(in.readUTF());
      }
    } catch (IOException e) {
      throw Link.strange("names that are none");
    }
    return paths;
  }

  /// One after the other.
  static byte[] digests(List<Optional<ByteString>> digests) {
    return ByteString.copyFrom(digests.stream().map(each -> each.orElse(UNKNOWN)).toList())
        .toByteArray();
  }

  static List<Optional<ByteString>> digests(byte[] bytes, int count) throws CheckpointException {
    if (bytes.length != (long) count * DIGEST) {
      throw Link.strange(bytes.length + " bytes of digests of " + count + " files");
    }
    List<Optional<ByteString>> digests = new ArrayList<>();
    for (int at = 0; at < bytes.length; at += DIGEST) {
      digests.add(
          Optional.of(ByteString.copyFrom(bytes, at, DIGEST))
              .filter(each -> !each.equals(UNKNOWN)));
    }
    return digests;
  }

  /// The time that a file has there.
  static FileIdentity there(FileIdentity wanted, Same same) {
    return wanted.toBuilder().setMtimeSeconds(same.seconds()).setMtimeNanos(same.nanos()).build();
  }
}
