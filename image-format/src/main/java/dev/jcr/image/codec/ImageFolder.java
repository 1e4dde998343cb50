package dev.jcr.image.codec;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.Errnos;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.DirectoryStream;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/// A folder that appears under its name whole or not at all.
///
/// Files are written to the sibling `.NAME.PID.tmp`, which only the owner may enter, and renamed at
/// the end. Its file "lock" is open and locked all the time: a temporary folder whose "lock" can be
/// locked belongs to nobody any more, whatever its process id says (ids repeat in containers).
/// Nothing else opens that file: closing any descriptor of a file gives up a process's locks on it
/// (fcntl(2)).
final class ImageFolder implements ImageOutput {
  private static final String LOCK = "lock";
  private static final String REMEDY = "choose another folder with -D";

  private final Path target;
  private final Path temporary;
  private final boolean durable;
  private final FileChannel lock;
  private final FileChannel pages;
  private boolean published;

  private ImageFolder(
      Path target, Path temporary, boolean durable, FileChannel lock, FileChannel pages) {
    this.target = target;
    this.temporary = temporary;
    this.durable = durable;
    this.lock = lock;
    this.pages = pages;
  }

  static ImageFolder create(Path directory, boolean durable) throws CheckpointException {
    Path target = resolve(directory);
    Path parent = parent(target);
    String prefix = "." + target.getFileName() + ".";
    removeLeftovers(parent, prefix);
    Path temporary = parent.resolve(prefix + ProcessHandle.current().pid() + ".tmp");
    try {
      Files.createDirectory(
          temporary,
          PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
    } catch (FileAlreadyExistsException e) {
      throw new CheckpointException(
          Outcome.FAILED,
          "cannot create "
              + temporary
              + ": EEXIST (file exists); another dump is writing "
              + target
              + ": wait for it or "
              + REMEDY,
          e);
    } catch (IOException e) {
      throw Errnos.failure(Outcome.FAILED, "create", temporary, e, REMEDY);
    }
    FileChannel lock = null;
    FileChannel pages = null;
    try {
      lock = create(temporary.resolve(LOCK));
      if (lock.tryLock() == null) {
        throw new IOException("locked by another process");
      }
      pages = create(temporary.resolve(ImageFormat.PAGES));
      return new ImageFolder(target, temporary, durable, lock, pages);
    } catch (IOException e) {
      closeQuietly(pages);
      remove(temporary);
      closeQuietly(lock);
      throw Errnos.failure(Outcome.FAILED, "create a file in", temporary, e, REMEDY);
    }
  }

  /// The folder's real place; checks that it can become an image.
  private static Path resolve(Path directory) throws CheckpointException {
    try {
      if (!Files.exists(directory, LinkOption.NOFOLLOW_LINKS)) {
        Path absolute = directory.toAbsolutePath().normalize();
        if (absolute.getFileName() == null) {
          throw new NotDirectoryException(directory.toString());
        }
        return parent(absolute).toRealPath().resolve(absolute.getFileName());
      }
      Path real = directory.toRealPath();
      try (DirectoryStream<Path> entries = Files.newDirectoryStream(real)) {
        if (entries.iterator().hasNext()) {
          throw new CheckpointException(
              Outcome.FAILED,
              "cannot write image "
                  + directory
                  + ": ENOTEMPTY (directory not empty); remove it or "
                  + REMEDY);
        }
      }
      Path parent = real.getParent();
      // Not Files.getFileStore: that wants a mount table, which a chroot may not have.
      if (parent == null
          || !Files.getAttribute(parent, "unix:dev").equals(Files.getAttribute(real, "unix:dev"))) {
        throw new CheckpointException(
            Outcome.FAILED,
            "cannot write image "
                + directory
                + ": EBUSY (the folder is a mount point and cannot be replaced); use a new folder"
                + " inside it with -D");
      }
      return real;
    } catch (NoSuchFileException e) {
      throw new CheckpointException(
          Outcome.FAILED,
          "cannot create "
              + directory
              + ": ENOENT (no such file or directory); create the folder above it first or "
              + REMEDY,
          e);
    } catch (IOException e) {
      throw Errnos.failure(Outcome.FAILED, "create", directory, e, REMEDY);
    }
  }

  private static Path parent(Path path) {
    Path parent = path.getParent();
    return parent == null ? path : parent;
  }

  /// Temporary folders of writers that were killed.
  private static void removeLeftovers(Path parent, String prefix) throws CheckpointException {
    Pattern name = Pattern.compile(Pattern.quote(prefix) + "([0-9]{1,10})\\.tmp");
    try (DirectoryStream<Path> siblings =
        Files.newDirectoryStream(
            parent, path -> name.matcher(String.valueOf(path.getFileName())).matches())) {
      for (Path sibling : siblings) {
        var matcher = name.matcher(String.valueOf(sibling.getFileName()));
        if (matcher.matches() && isLeftover(sibling, Long.parseLong(matcher.group(1)))) {
          remove(sibling);
        }
      }
    } catch (IOException e) {
      throw Errnos.failure(Outcome.FAILED, "read", parent, e, REMEDY);
    }
  }

  private static boolean isLeftover(Path folder, long pid) {
    if (!Files.isDirectory(folder, LinkOption.NOFOLLOW_LINKS)) {
      return false;
    }
    try (FileChannel channel =
        FileChannel.open(
            folder.resolve(LOCK), StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS)) {
      return channel.tryLock() != null;
    } catch (OverlappingFileLockException _) {
      return false;
    } catch (NoSuchFileException _) {
      // Killed between the two steps of create.
      return pid == ProcessHandle.current().pid() || ProcessHandle.of(pid).isEmpty();
    } catch (IOException _) {
      return false;
    }
  }

  /// Only names jcr writes; anything else keeps the folder where it is.
  private static void remove(Path folder) {
    try {
      for (String part :
          List.of(
              ImageFormat.MANIFEST,
              ImageFormat.STATE,
              ImageFormat.PAGEMAP,
              ImageFormat.PAGES,
              LOCK)) {
        Files.deleteIfExists(folder.resolve(part));
      }
      Files.deleteIfExists(folder);
    } catch (IOException _) {
      // It is only in the way on disk: a name of its own never blocks a later dump.
    }
  }

  private static FileChannel create(Path file) throws IOException {
    return FileChannel.open(
        file,
        Set.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS),
        PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
  }

  @Override
  public FileChannel pages() {
    return pages;
  }

  @Override
  public Path path(String part) {
    return temporary.resolve(part);
  }

  @Override
  public Path target() {
    return target;
  }

  /// The folder the parts are in now.
  Path temporary() {
    return temporary;
  }

  @Override
  public void write(String part, byte[] bytes) throws CheckpointException {
    Path file = path(part);
    try (FileChannel channel = create(file)) {
      ByteBuffer buffer = ByteBuffer.wrap(bytes);
      while (buffer.hasRemaining()) {
        channel.write(buffer);
      }
      sync(channel);
    } catch (IOException e) {
      throw Errnos.failure(Outcome.FAILED, "write", file, e, REMEDY);
    }
  }

  /// Makes everything durable if asked to, and renames the folder to its name.
  @Override
  public void publish() throws CheckpointException {
    try {
      sync(pages);
      pages.close();
    } catch (IOException e) {
      throw Errnos.failure(Outcome.FAILED, "write", path(ImageFormat.PAGES), e, REMEDY);
    }
    try {
      // From here to the rename the process id must do.
      Files.delete(temporary.resolve(LOCK));
    } catch (IOException e) {
      throw Errnos.failure(Outcome.FAILED, "write", temporary, e, REMEDY);
    }
    syncFolder(temporary);
    try {
      Files.move(temporary, target, StandardCopyOption.ATOMIC_MOVE);
    } catch (DirectoryNotEmptyException | FileAlreadyExistsException e) {
      throw new CheckpointException(
          Outcome.FAILED,
          "cannot write image "
              + target
              + ": ENOTEMPTY (directory not empty); something was put there meanwhile: "
              + REMEDY,
          e);
    } catch (IOException e) {
      throw Errnos.failure(Outcome.FAILED, "rename " + temporary + " to", target, e, REMEDY);
    }
    published = true;
    syncFolder(parent(target));
  }

  /// Makes a published image durable that was not written so.
  static void sync(Path image) throws CheckpointException {
    try {
      for (String part :
          List.of(
              ImageFormat.PAGES, ImageFormat.PAGEMAP, ImageFormat.STATE, ImageFormat.MANIFEST)) {
        if (Files.exists(image.resolve(part))) {
          force(image.resolve(part));
        }
      }
      force(image);
      force(parent(image.toAbsolutePath()));
    } catch (IOException e) {
      throw Errnos.failure(Outcome.FAILED, "sync", image, e, REMEDY);
    }
  }

  private static void force(Path path) throws IOException {
    try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
      channel.force(true);
    }
  }

  private void sync(FileChannel channel) throws IOException {
    if (durable) {
      channel.force(true);
    }
  }

  private void syncFolder(Path folder) throws CheckpointException {
    if (!durable) {
      return;
    }
    try {
      force(folder);
    } catch (IOException e) {
      throw Errnos.failure(Outcome.FAILED, "sync", folder, e, REMEDY);
    }
  }

  private static void closeQuietly(@Nullable FileChannel channel) {
    try {
      if (channel != null) {
        channel.close();
      }
    } catch (IOException _) {
      // What was in it is being thrown away.
    }
  }

  /// Removes the temporary folder unless it was published.
  @Override
  public void close() {
    if (!published) {
      remove(temporary);
    }
    closeQuietly(pages);
    closeQuietly(lock);
  }
}
