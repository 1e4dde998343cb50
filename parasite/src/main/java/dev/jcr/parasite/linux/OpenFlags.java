package dev.jcr.parasite.linux;

import dev.jcr.image.v1.Arch;

/// Flags of open(2) and of `F_GETFL`. Most have one value; four differ by architecture and are
/// asked of [#of].
///
/// @param directory O_DIRECTORY
/// @param noFollow O_NOFOLLOW
/// @param direct O_DIRECT
/// @param largeFile O_LARGEFILE, which the kernel sets by itself in 64-bit processes
public record OpenFlags(int directory, int noFollow, int direct, int largeFile) {
  public static final int O_ACCMODE = 3;
  public static final int O_RDONLY = 0;
  public static final int O_WRONLY = 1;
  public static final int O_RDWR = 2;
  public static final int O_CREAT = 0x40;
  public static final int O_EXCL = 0x80;
  public static final int O_NOCTTY = 0x100;
  public static final int O_TRUNC = 0x200;
  public static final int O_APPEND = 0x400;
  public static final int O_NONBLOCK = 0x800;
  public static final int O_DSYNC = 0x1000;
  public static final int O_ASYNC = 0x2000;
  public static final int O_NOATIME = 0x40000;
  public static final int O_CLOEXEC = 0x80000;
  public static final int O_SYNC = 0x101000;
  public static final int O_PATH = 0x200000;

  /// O_TMPFILE without the O_DIRECTORY that goes with it.
  private static final int TMPFILE_BIT = 0x400000;

  private static final OpenFlags X86_64 = new OpenFlags(0x10000, 0x20000, 0x4000, 0x8000);
  private static final OpenFlags AARCH64 = new OpenFlags(0x4000, 0x8000, 0x10000, 0x20000);

  public static OpenFlags of(Arch arch) {
    return arch == Arch.ARCH_AARCH64 ? AARCH64 : X86_64;
  }

  /// O_TMPFILE.
  public int tmpFile() {
    return TMPFILE_BIT | directory;
  }
}
