package dev.jcr.image;

import dev.jcr.image.CheckpointException.Outcome;
import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.FileSystemLoopException;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;

/// Turns an [IOException] of the JDK, which hides the errno, back into `ERRNO (text)`.
public final class Errnos {
  /// strerror(3) of the C locale to the name in `<errno.h>`.
  private static final Map<String, String> NAMES =
      Map.ofEntries(
          Map.entry("operation not permitted", "EPERM"),
          Map.entry("no such file or directory", "ENOENT"),
          Map.entry("input/output error", "EIO"),
          Map.entry("permission denied", "EACCES"),
          Map.entry("device or resource busy", "EBUSY"),
          Map.entry("file exists", "EEXIST"),
          Map.entry("invalid cross-device link", "EXDEV"),
          Map.entry("not a directory", "ENOTDIR"),
          Map.entry("is a directory", "EISDIR"),
          Map.entry("invalid argument", "EINVAL"),
          Map.entry("too many open files", "EMFILE"),
          Map.entry("too many open files in system", "ENFILE"),
          Map.entry("file too large", "EFBIG"),
          Map.entry("no space left on device", "ENOSPC"),
          Map.entry("read-only file system", "EROFS"),
          Map.entry("broken pipe", "EPIPE"),
          Map.entry("connection reset by peer", "ECONNRESET"),
          Map.entry("file name too long", "ENAMETOOLONG"),
          Map.entry("directory not empty", "ENOTEMPTY"),
          Map.entry("too many levels of symbolic links", "ELOOP"),
          Map.entry("disk quota exceeded", "EDQUOT"),
          Map.entry("stale file handle", "ESTALE"),
          Map.entry("cannot allocate memory", "ENOMEM"));

  private Errnos() {}

  /// `ENOSPC (no space left on device)`, or the plain text where the errno is not known (another
  /// locale, an exception the JDK made itself).
  public static String describe(IOException e) {
    String text =
        switch (e) {
          case AccessDeniedException _ -> "permission denied";
          case NoSuchFileException _ -> "no such file or directory";
          case FileAlreadyExistsException _ -> "file exists";
          case DirectoryNotEmptyException _ -> "directory not empty";
          case NotDirectoryException _ -> "not a directory";
          case FileSystemLoopException _ -> "too many levels of symbolic links";
          case FileSystemException f when f.getReason() != null -> f.getReason();
          default -> e.getMessage() == null ? e.getClass().getSimpleName() : e.getMessage();
        };
    // "Too many levels of symbolic links or unable to access attributes of symbolic link" is the
    // JDK's text for ELOOP of open(O_NOFOLLOW).
    int more = text.indexOf(" or unable to");
    String plain = (more > 0 ? text.substring(0, more) : text).toLowerCase(Locale.ROOT);
    String name = NAMES.get(plain);
    return name == null ? plain : name + " (" + plain + ")";
  }

  /// `cannot <verb> <object>: ERRNO (text); <remedy>`. Missing permissions become
  /// [Outcome#PERMISSION] and a full disk gets its own remedy; everything else keeps `outcome`.
  public static CheckpointException failure(
      Outcome outcome, String verb, Path object, IOException e, String remedy) {
    String errno = describe(e);
    String name = errno.split(" ", 2)[0];
    Outcome actual = name.equals("EACCES") || name.equals("EPERM") ? Outcome.PERMISSION : outcome;
    String advice =
        switch (name) {
          case "ENOSPC", "EDQUOT" -> "free space there or choose another folder with -D";
          case "EROFS" -> "choose another folder with -D";
          case "EACCES", "EPERM" -> "run jcr as the owner of this path or as root";
          default -> remedy;
        };
    return new CheckpointException(
        actual, "cannot " + verb + " " + object + ": " + errno + "; " + advice, e);
  }
}
