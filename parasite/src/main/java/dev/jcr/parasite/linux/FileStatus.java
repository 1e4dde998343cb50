package dev.jcr.parasite.linux;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// What statx(2) tells of a file; `struct statx` has one layout on all architectures.
///
/// @param mode type and permission bits
/// @param device major number in the upper, minor in the lower 32 bits
public record FileStatus(
    int mode,
    long inode,
    long size,
    int links,
    int uid,
    int gid,
    long mtimeSeconds,
    int mtimeNanos,
    long device) {
  private static final int STATX_BASIC_STATS = 0x7ff;
  private static final int AT_EMPTY_PATH = 0x1000;
  private static final int SIZE = 256;

  /// Follows symbolic links.
  public static FileStatus of(String path) throws SyscallException {
    return statx("stat " + path, Fd.AT_FDCWD, path, 0);
  }

  /// Of an open file.
  public static FileStatus of(int fd) throws SyscallException {
    return statx("stat fd " + fd, fd, "", AT_EMPTY_PATH);
  }

  private static FileStatus statx(String what, int folder, String path, int flags)
      throws SyscallException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment buffer = arena.allocate(SIZE, 8);
      Kernel.call(
          what,
          Syscall.STATX,
          folder,
          FileName.allocate(arena, path).address(),
          flags,
          STATX_BASIC_STATS,
          buffer.address());
      return new FileStatus(
          Short.toUnsignedInt(buffer.get(JAVA_SHORT, 28)),
          buffer.get(JAVA_LONG, 32),
          buffer.get(JAVA_LONG, 40),
          buffer.get(JAVA_INT, 16),
          buffer.get(JAVA_INT, 20),
          buffer.get(JAVA_INT, 24),
          buffer.get(JAVA_LONG, 112),
          buffer.get(JAVA_INT, 120),
          (long) buffer.get(JAVA_INT, 136) << 32 | (buffer.get(JAVA_INT, 140) & 0xffffffffL));
    }
  }
}
