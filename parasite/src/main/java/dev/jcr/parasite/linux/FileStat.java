package dev.jcr.parasite.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Optional;

/// What statx(2) says about a file.
///
/// @param mode type and permissions; 0 in the type bits for anonymous inodes
/// @param size bytes
public record FileStat(
    int mode,
    int links,
    int uid,
    int gid,
    long size,
    int deviceMajor,
    int deviceMinor,
    long inode,
    int rdevMajor,
    int rdevMinor,
    long mtimeSeconds,
    int mtimeNanos,
    int blockSize) {

  /// Of the file at a path; symbolic links are followed.
  public static FileStat of(String path) throws SyscallException {
    return call(Fd.AT_FDCWD, path, 0);
  }

  /// Of the link itself where the path is a symbolic link.
  public static FileStat ofLink(String path) throws SyscallException {
    return call(Fd.AT_FDCWD, path, Fcntl.AT_SYMLINK_NOFOLLOW);
  }

  /// Empty when nothing is there (ENOENT, ENOTDIR).
  public static Optional<FileStat> find(String path) throws SyscallException {
    try {
      return Optional.of(of(path));
    } catch (SyscallException e) {
      if (e.errno() == Errno.ENOENT || e.errno() == Errno.ENOTDIR) {
        return Optional.empty();
      }
      throw e;
    }
  }

  /// Of an open file.
  public static FileStat of(int fd) throws SyscallException {
    return call(fd, "", Fcntl.AT_EMPTY_PATH);
  }

  private static FileStat call(int directory, String path, int flags) throws SyscallException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment statx = arena.allocate(Fcntl.SIZEOF_STATX, 8);
      Kernel.call(
          path.isEmpty() ? "stat fd " + directory : "stat " + path,
          Syscall.STATX,
          directory,
          FileName.allocate(arena, path).address(),
          flags,
          Fcntl.STATX_BASIC_STATS,
          statx.address());
      return new FileStat(
          Short.toUnsignedInt(statx.get(ValueLayout.JAVA_SHORT, 28)),
          statx.get(ValueLayout.JAVA_INT, 16),
          statx.get(ValueLayout.JAVA_INT, 20),
          statx.get(ValueLayout.JAVA_INT, 24),
          statx.get(ValueLayout.JAVA_LONG, 40),
          statx.get(ValueLayout.JAVA_INT, 136),
          statx.get(ValueLayout.JAVA_INT, 140),
          statx.get(ValueLayout.JAVA_LONG, 32),
          statx.get(ValueLayout.JAVA_INT, 128),
          statx.get(ValueLayout.JAVA_INT, 132),
          statx.get(ValueLayout.JAVA_LONG, 112),
          statx.get(ValueLayout.JAVA_INT, 120),
          statx.get(ValueLayout.JAVA_INT, 4));
    }
  }

  /// One of the `S_IF*` values.
  public int type() {
    return mode & Fcntl.S_IFMT;
  }

  public boolean is(int type) {
    return type() == type;
  }

  /// Same device and inode.
  public boolean sameFile(FileStat other) {
    return inode == other.inode
        && deviceMajor == other.deviceMajor
        && deviceMinor == other.deviceMinor;
  }

  /// Device number as the kernel packs it for user space (`new_encode_dev`).
  public static int device(int major, int minor) {
    return (minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12);
  }
}
