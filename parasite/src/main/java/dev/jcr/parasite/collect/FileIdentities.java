package dev.jcr.parasite.collect;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import com.google.protobuf.ByteString;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.v1.FileIdentity;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FileStatus;
import dev.jcr.parasite.linux.SyscallException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Optional;

/// Files outside the image: described at the dump, recognized at the restore.
public final class FileIdentities {
  private static final int HEADER = 64 * 1024;
  private static final int S_IFMT = 0xf000;
  private static final int S_IFREG = 0x8000;
  private static final int PT_NOTE = 4;
  private static final int NT_GNU_BUILD_ID = 3;
  private static final int GNU = 0x00554e47;

  private FileIdentities() {}

  /// A file as stat(2) sees it now, with the build id of an ELF file.
  ///
  /// Throws UNSUPPORTED when it cannot be reached by its path.
  public static FileIdentity of(String path) throws CheckpointException {
    try {
      FileStatus status = FileStatus.of(path);
      FileIdentity.Builder file =
          FileIdentity.newBuilder()
              .setPath(path)
              .setSize(status.size())
              .setMtimeSeconds(status.mtimeSeconds())
              .setMtimeNanos(status.mtimeNanos())
              .setMode(status.mode());
      if ((status.mode() & S_IFMT) == S_IFREG) {
        file.setBuildId(buildId(path));
      }
      return file.build();
    } catch (IOException e) {
      throw new CheckpointException(
          Outcome.UNSUPPORTED,
          e.getMessage() + "; the file must be reachable by its path to be opened again",
          e);
    }
  }

  /// What is wrong with a file that must be as it was: empty when nothing is. The same build id and
  /// size count as the same file, whatever its time.
  public static Optional<String> changed(FileIdentity wanted) {
    FileStatus status;
    try {
      status = FileStatus.of(wanted.getPath());
    } catch (SyscallException e) {
      return Optional.of(dev.jcr.parasite.linux.Errno.describe(e.errno()));
    }
    if ((status.mode() & S_IFMT) != (wanted.getMode() & S_IFMT)) {
      return Optional.of("it is of another type now");
    }
    if (status.size() != wanted.getSize()) {
      return Optional.of("it has %d bytes, it had %d".formatted(status.size(), wanted.getSize()));
    }
    boolean sameTime =
        status.mtimeSeconds() == wanted.getMtimeSeconds()
            && status.mtimeNanos() == wanted.getMtimeNanos();
    if (sameTime) {
      return Optional.empty();
    }
    if (!wanted.getBuildId().isEmpty()) {
      try {
        if (buildId(wanted.getPath()).equals(wanted.getBuildId())) {
          return Optional.empty();
        }
      } catch (IOException e) {
        return Optional.of(String.valueOf(e.getMessage()));
      }
      return Optional.of("it has another build id");
    }
    return Optional.of("it was modified since the dump");
  }

  /// What is wrong with a file that may have been written to since: empty when nothing is.
  public static Optional<String> missing(FileIdentity wanted) {
    try {
      FileStatus status = FileStatus.of(wanted.getPath());
      if ((status.mode() & S_IFMT) != (wanted.getMode() & S_IFMT)) {
        return Optional.of("it is of another type now");
      }
      return status.size() < wanted.getSize()
          ? Optional.of("it has %d bytes, it had %d".formatted(status.size(), wanted.getSize()))
          : Optional.empty();
    } catch (SyscallException e) {
      return Optional.of(dev.jcr.parasite.linux.Errno.describe(e.errno()));
    }
  }

  /// SHA-256 of the content, if the file is as described and was while it was read.
  public static Optional<ByteString> digest(FileIdentity file) {
    byte[] buffer = new byte[HEADER];
    try (FileChannel channel = FileChannel.open(Path.of(file.getPath()), StandardOpenOption.READ)) {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      ByteBuffer bytes = ByteBuffer.wrap(buffer);
      long left = file.getSize();
      while (left > 0 && channel.read(bytes.clear()) > 0) {
        left -= bytes.position();
        digest.update(bytes.flip());
      }
      FileStatus status = FileStatus.of(file.getPath());
      boolean same =
          left == 0
              && status.size() == file.getSize()
              && status.mtimeSeconds() == file.getMtimeSeconds()
              && status.mtimeNanos() == file.getMtimeNanos();
      return same ? Optional.of(ByteString.copyFrom(digest.digest())) : Optional.empty();
    } catch (IOException _) {
      return Optional.empty();
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
  }

  /// GNU build id from the notes of a 64-bit little-endian ELF file (elf(5)); empty for any other
  /// file. Only the first 64 KiB are looked at, where linkers put notes.
  static ByteString buildId(String path) throws SyscallException {
    byte[] bytes;
    try (Fd fd = Fd.open(path, Fd.O_RDONLY, 0);
        Arena arena = Arena.ofConfined()) {
      MemorySegment head = arena.allocate(HEADER, 8);
      long read = fd.readFully(head, 0);
      bytes = head.asSlice(0, read).toArray(JAVA_BYTE);
    }
    ByteBuffer elf = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    if (bytes.length < 64 || elf.getInt(0) != 0x464c457f || bytes[4] != 2 || bytes[5] != 1) {
      return ByteString.EMPTY;
    }
    long table = elf.getLong(32);
    int entrySize = Short.toUnsignedInt(elf.getShort(54));
    int count = Short.toUnsignedInt(elf.getShort(56));
    for (int i = 0; i < count && entrySize >= 56; i++) {
      long entry = table + (long) i * entrySize;
      if (entry < 0 || entry > bytes.length - 56) {
        break;
      }
      if (elf.getInt((int) entry) == PT_NOTE) {
        ByteString id = note(elf, elf.getLong((int) entry + 8), elf.getLong((int) entry + 32));
        if (!id.isEmpty()) {
          return id;
        }
      }
    }
    return ByteString.EMPTY;
  }

  private static ByteString note(ByteBuffer elf, long start, long size) {
    if (start < 0 || size < 0 || start > elf.capacity()) {
      return ByteString.EMPTY;
    }
    long at = start;
    long end = Math.min(start + Math.min(size, elf.capacity()), elf.capacity());
    while (at + 16 <= end) {
      int nameSize = elf.getInt((int) at);
      int valueSize = elf.getInt((int) at + 4);
      int type = elf.getInt((int) at + 8);
      long value = at + 12 + ((nameSize + 3L) & ~3L);
      if (nameSize < 0 || valueSize < 0 || value + valueSize > end) {
        break;
      }
      if (type == NT_GNU_BUILD_ID && nameSize == 4 && elf.getInt((int) at + 12) == GNU) {
        byte[] id = new byte[valueSize];
        elf.get((int) value, id);
        return ByteString.copyFrom(id);
      }
      at = value + ((valueSize + 3L) & ~3L);
    }
    return ByteString.EMPTY;
  }
}
