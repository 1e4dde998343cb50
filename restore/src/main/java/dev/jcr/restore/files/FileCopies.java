package dev.jcr.restore.files;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.v1.Files;
import dev.jcr.image.v1.SharedObject;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FileStatus;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/// Small files that the process maps and that are in the image in case they are gone. Those that
/// are there stay as they are.
public final class FileCopies implements AutoCloseable {
  private static final int O_CREAT = 0x40;
  private static final int O_EXCL = 0x80;
  private static final int PERMISSIONS = 0xfff;

  private final List<String> made = new ArrayList<>();
  private boolean kept;

  /// How [#make] fills a new file.
  @FunctionalInterface
  public interface Content {
    void fill(SharedObject object, Fd fd) throws CheckpointException;
  }

  /// `files` without the copies, which are no descriptors.
  public static Files without(Files files) {
    Files.Builder rest = files.toBuilder().clearObjects();
    files.getObjectsList().stream().filter(o -> !isCopy(o)).forEach(rest::addObjects);
    return rest.build();
  }

  /// The copies.
  public static Stream<SharedObject> of(Files files) {
    return files.getObjectsList().stream().filter(FileCopies::isCopy);
  }

  private static boolean isCopy(SharedObject object) {
    return object.getKind() == SharedObject.Kind.KIND_FILE_COPY;
  }

  /// Makes the files that are missing, with owner and mode as they were.
  public void make(List<SharedObject> copies, Content content) throws CheckpointException {
    for (SharedObject copy : copies) {
      try {
        FileStatus.of(copy.getName());
      } catch (SyscallException _) {
        create(copy, content);
      }
    }
  }

  private void create(SharedObject copy, Content content) throws CheckpointException {
    try (Fd fd =
        Fd.open(copy.getName(), Fd.O_RDWR | O_CREAT | O_EXCL, copy.getMode() & PERMISSIONS)) {
      made.add(copy.getName());
      Kernel.call(
          "change the owner of " + copy.getName(),
          Syscall.FCHOWN,
          fd.number(),
          copy.getUid(),
          copy.getGid());
      Kernel.call(
          "change the mode of " + copy.getName(),
          Syscall.FCHMOD,
          fd.number(),
          copy.getMode() & PERMISSIONS);
      Kernel.call(
          "set the size of " + copy.getName(), Syscall.FTRUNCATE, fd.number(), copy.getSize());
      content.fill(copy, fd);
    } catch (SyscallException e) {
      throw new CheckpointException(
          Outcome.FAILED, e.getMessage() + "; it is mapped and was missing", e);
    }
  }

  /// The process lives: its files stay.
  public void keep() {
    kept = true;
  }

  @Override
  public void close() {
    if (!kept) {
      for (String path : made) {
        try {
          java.nio.file.Files.deleteIfExists(Path.of(path));
        } catch (IOException _) {
          // What could be made a moment ago and not removed now is somebody else's by now.
        }
      }
    }
  }
}
