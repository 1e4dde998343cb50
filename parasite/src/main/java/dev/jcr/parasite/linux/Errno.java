package dev.jcr.parasite.linux;

/// Error numbers of `<asm-generic/errno.h>`: the same on x86_64 and arm64.
public final class Errno {
  public static final int EPERM = 1;
  public static final int ENOENT = 2;
  public static final int ESRCH = 3;
  public static final int EINTR = 4;
  public static final int EIO = 5;
  public static final int ENXIO = 6;
  public static final int E2BIG = 7;
  public static final int EBADF = 9;
  public static final int ECHILD = 10;
  public static final int EAGAIN = 11;
  public static final int ENOMEM = 12;
  public static final int EACCES = 13;
  public static final int EFAULT = 14;
  public static final int EBUSY = 16;
  public static final int EEXIST = 17;
  public static final int ENODEV = 19;
  public static final int ENOTDIR = 20;
  public static final int EISDIR = 21;
  public static final int EINVAL = 22;
  public static final int EMFILE = 24;
  public static final int ENOTTY = 25;
  public static final int ETXTBSY = 26;
  public static final int ENOSPC = 28;
  public static final int ESPIPE = 29;
  public static final int EROFS = 30;
  public static final int EPIPE = 32;
  public static final int ENAMETOOLONG = 36;
  public static final int ENOSYS = 38;
  public static final int EPROTONOSUPPORT = 93;
  public static final int EOPNOTSUPP = 95;
  public static final int EADDRINUSE = 98;
  public static final int EADDRNOTAVAIL = 99;
  public static final int ENOTCONN = 107;
  public static final int ETIMEDOUT = 110;
  public static final int EINPROGRESS = 115;
  public static final int EMEDIUMTYPE = 124;

  private static final String[] NAMES = new String[134];
  private static final String[] TEXTS = new String[134];

  static {
    // number, name, text of strerror(3)
    String table =
        """
        1 EPERM operation not permitted
        2 ENOENT no such file or directory
        3 ESRCH no such process
        4 EINTR interrupted system call
        5 EIO input/output error
        6 ENXIO no such device or address
        7 E2BIG argument list too long
        8 ENOEXEC exec format error
        9 EBADF bad file descriptor
        10 ECHILD no child processes
        11 EAGAIN resource temporarily unavailable
        12 ENOMEM cannot allocate memory
        13 EACCES permission denied
        14 EFAULT bad address
        16 EBUSY device or resource busy
        17 EEXIST file exists
        18 EXDEV invalid cross-device link
        19 ENODEV no such device
        20 ENOTDIR not a directory
        21 EISDIR is a directory
        22 EINVAL invalid argument
        23 ENFILE too many open files in system
        24 EMFILE too many open files
        25 ENOTTY inappropriate ioctl for device
        26 ETXTBSY text file busy
        27 EFBIG file too large
        28 ENOSPC no space left on device
        29 ESPIPE illegal seek
        30 EROFS read-only file system
        32 EPIPE broken pipe
        34 ERANGE numerical result out of range
        36 ENAMETOOLONG file name too long
        38 ENOSYS function not implemented
        40 ELOOP too many levels of symbolic links
        75 EOVERFLOW value too large for defined data type
        92 ENOPROTOOPT protocol not available
        93 EPROTONOSUPPORT protocol not supported
        95 EOPNOTSUPP operation not supported
        97 EAFNOSUPPORT address family not supported by protocol
        98 EADDRINUSE address already in use
        99 EADDRNOTAVAIL cannot assign requested address
        104 ECONNRESET connection reset by peer
        105 ENOBUFS no buffer space available
        107 ENOTCONN transport endpoint is not connected
        110 ETIMEDOUT connection timed out
        115 EINPROGRESS operation now in progress
        111 ECONNREFUSED connection refused
        122 EDQUOT disk quota exceeded
        124 EMEDIUMTYPE wrong medium type
        """;
    for (String line : table.lines().toList()) {
      String[] words = line.split(" ", 3);
      int number = Integer.parseInt(words[0]);
      NAMES[number] = words[1];
      TEXTS[number] = words[2];
    }
  }

  private Errno() {}

  /// "ENOENT (no such file or directory)"; an unknown number reads "errno 200".
  public static String describe(int errno) {
    return errno > 0 && errno < NAMES.length && NAMES[errno] != null
        ? NAMES[errno] + " (" + TEXTS[errno] + ")"
        : "errno " + errno;
  }
}
