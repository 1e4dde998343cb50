package dev.jcr.restore.files;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

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
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/// Files with a path that are in the image: small ones that the process maps, in case they are
/// gone, and embedded ones, of which only those are left that are to be made. Files that are there
/// stay as they are.
public final class FileCopies implements AutoCloseable {
  private static final int O_CREAT = 0x40;
  private static final int O_EXCL = 0x80;
  private static final int PERMISSIONS = 0xfff;
  private static final int OWNER_ONLY = 0600;
  private static final long UTIME_OMIT = 0x3ffffffe;

  private final List<String> made = new ArrayList<>();
  private final List<String> passing = new ArrayList<>();
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
    return object.getKind() == SharedObject.Kind.KIND_FILE_COPY || isEmbedded(object);
  }

  private static boolean isEmbedded(SharedObject object) {
    return object.getKind() == SharedObject.Kind.KIND_EMBEDDED_FILE;
  }

  /// Makes the files that are missing, with owner, mode and, of embedded ones, time as they were.
  public void make(List<SharedObject> copies, Content content) throws CheckpointException {
    for (SharedObject copy : copies) {
      if (isEmbedded(copy)) {
        create(copy, content);
      } else {
        try {
          FileStatus.of(copy.getName());
        } catch (SyscallException _) {
          create(copy, content);
        }
      }
    }
  }

  private void create(SharedObject copy, Content content) throws CheckpointException {
    String path = copy.getName();
    try (Fd fd = Fd.open(path, Fd.O_RDWR | O_CREAT | O_EXCL, OWNER_ONLY);
        Arena arena = Arena.ofConfined()) {
      made.add(path);
      if (copy.getRemoved()) {
        passing.add(path);
      }
      Kernel.call("set the size of " + path, Syscall.FTRUNCATE, fd.number(), copy.getSize());
      content.fill(copy, fd);
      // The owner before the mode: changing it may clear set-user-id bits.
      Kernel.call(
          "change the owner of " + path, Syscall.FCHOWN, fd.number(), copy.getUid(), copy.getGid());
      Kernel.call(
          "change the mode of " + path, Syscall.FCHMOD, fd.number(), copy.getMode() & PERMISSIONS);
      if (isEmbedded(copy)) {
        Kernel.call(
            "set the time of " + path,
            Syscall.UTIMENSAT,
            fd.number(),
            0,
            arena
                .allocateFrom(
                    JAVA_LONG, 0, UTIME_OMIT, copy.getMtimeSeconds(), copy.getMtimeNanos())
                .address(),
            0);
      }
    } catch (SyscallException e) {
      throw new CheckpointException(
          Outcome.FAILED, e.getMessage() + "; its content is in the image", e);
    }
  }

  /// The process lives: its files stay, those that are to have no name lose it. Returns what could
  /// not be removed.
  public List<String> keep() {
    kept = true;
    return remove(passing);
  }

  private static List<String> remove(List<String> paths) {
    List<String> left = new ArrayList<>();
    for (String path : paths) {
      try {
        java.nio.file.Files.deleteIfExists(Path.of(path));
      } catch (IOException _) {
        // What could be made a moment ago and not removed now is somebody else's by now.
        left.add(path);
      }
    }
    return left;
  }

  @Override
  public void close() {
    if (!kept) {
      remove(made);
    }
  }
}
