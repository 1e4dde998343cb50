package dev.jcr.parasite.linux;

/// Constants of fcntl(2), `stat`, memfds, kcmp(2), epoll, splice, and descriptor ioctls that jcr
/// uses, under their C names. All are the same on x86_64 and arm64; the ABI oracle checks them
/// against the headers.
public final class Fcntl {
  public static final int F_DUPFD = 0;
  public static final int F_GETFD = 1;
  public static final int F_SETFD = 2;
  public static final int F_GETFL = 3;
  public static final int F_SETFL = 4;
  public static final int F_SETLK = 6;
  public static final int F_SETSIG = 10;
  public static final int F_GETSIG = 11;
  public static final int F_SETOWN_EX = 15;
  public static final int F_GETOWN_EX = 16;
  public static final int F_OFD_GETLK = 36;
  public static final int F_OFD_SETLK = 37;
  public static final int F_GETLEASE = 1025;
  public static final int F_DUPFD_CLOEXEC = 1030;
  public static final int F_SETPIPE_SZ = 1031;
  public static final int F_GETPIPE_SZ = 1032;
  public static final int F_ADD_SEALS = 1033;
  public static final int F_GET_SEALS = 1034;
  public static final int FD_CLOEXEC = 1;

  public static final int F_OWNER_TID = 0;
  public static final int F_OWNER_PID = 1;
  public static final int F_OWNER_PGRP = 2;

  public static final int F_SEAL_SEAL = 1;
  public static final int F_SEAL_SHRINK = 2;
  public static final int F_SEAL_GROW = 4;
  public static final int F_SEAL_WRITE = 8;
  public static final int F_SEAL_FUTURE_WRITE = 16;

  public static final int MFD_CLOEXEC = 1;
  public static final int MFD_ALLOW_SEALING = 2;
  public static final int MFD_HUGETLB = 4;

  public static final int S_IFMT = 0xf000;
  public static final int S_IFSOCK = 0xc000;
  public static final int S_IFLNK = 0xa000;
  public static final int S_IFREG = 0x8000;
  public static final int S_IFBLK = 0x6000;
  public static final int S_IFDIR = 0x4000;
  public static final int S_IFCHR = 0x2000;
  public static final int S_IFIFO = 0x1000;

  public static final int SEEK_SET = 0;
  public static final int SEEK_CUR = 1;
  public static final int SEEK_DATA = 3;
  public static final int SEEK_HOLE = 4;

  public static final int AT_EMPTY_PATH = 0x1000;
  public static final int AT_SYMLINK_NOFOLLOW = 0x100;
  public static final int AT_SYMLINK_FOLLOW = 0x400;

  public static final int STATX_BASIC_STATS = 0x7ff;
  public static final int STATX_MNT_ID = 0x1000;

  public static final int KCMP_FILE = 0;
  public static final int KCMP_EPOLL_TFD = 7;

  public static final int EPOLL_CTL_ADD = 1;
  public static final int EPOLL_CTL_MOD = 3;
  public static final int EPOLL_CLOEXEC = 0x80000;
  public static final int EFD_SEMAPHORE = 1;
  public static final int TFD_TIMER_ABSTIME = 1;
  public static final int TFD_TIMER_CANCEL_ON_SET = 2;

  public static final int SPLICE_F_NONBLOCK = 2;

  public static final int F_SETLEASE = 1024;
  public static final int FIONREAD = 0x541b;
  public static final int TFD_IOC_SET_TICKS = 0x40085400;

  public static final int TCGETS2 = 0x802c542a;
  public static final int TCSETS2 = 0x402c542b;
  public static final int TIOCEXCL = 0x540c;
  public static final int TIOCSCTTY = 0x540e;
  public static final int TIOCGPGRP = 0x540f;
  public static final int TIOCSPGRP = 0x5410;
  public static final int TIOCOUTQ = 0x5411;
  public static final int TIOCGWINSZ = 0x5413;
  public static final int TIOCSWINSZ = 0x5414;
  public static final int TIOCNOTTY = 0x5422;
  public static final int TIOCGSID = 0x5429;
  public static final int TIOCPKT = 0x5420;
  public static final int TIOCGPTN = 0x80045430;
  public static final int TIOCSPTLCK = 0x40045431;
  public static final int TIOCGDEV = 0x80045432;
  public static final int TIOCGPKT = 0x80045438;
  public static final int TIOCGPTLCK = 0x80045439;
  public static final int TIOCGEXCL = 0x80045440;

  public static final int SIZEOF_STATX = 256;
  public static final int SIZEOF_TERMIOS2 = 44;
  public static final int SIZEOF_WINSIZE = 8;
  public static final int SIZEOF_ITIMERSPEC = 32;

  private Fcntl() {}
}
