package dev.jcr.parasite.linux;

import dev.jcr.image.v1.Arch;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/// System call numbers: one row per call, one column per architecture, checked against the kernel's
/// headers by the ABI oracle. The same table serves local calls ([Kernel]) and calls made inside a
/// tracee.
public enum Syscall {
  // x86_64, aarch64
  READ(0, 63),
  WRITE(1, 64),
  OPEN(2, Syscall.NONE),
  CLOSE(3, 57),
  FSTAT(5, 80),
  POLL(7, Syscall.NONE),
  LSEEK(8, 62),
  MMAP(9, 222),
  MPROTECT(10, 226),
  MUNMAP(11, 215),
  BRK(12, 214),
  RT_SIGACTION(13, 134),
  RT_SIGPROCMASK(14, 135),
  RT_SIGRETURN(15, 139),
  IOCTL(16, 29),
  PREAD64(17, 67),
  PWRITE64(18, 68),
  READV(19, 65),
  WRITEV(20, 66),
  PIPE(22, Syscall.NONE),
  SELECT(23, Syscall.NONE),
  MREMAP(25, 216),
  MSYNC(26, 227),
  MINCORE(27, 232),
  MADVISE(28, 233),
  SHMGET(29, 194),
  SHMAT(30, 196),
  SHMCTL(31, 195),
  DUP(32, 23),
  DUP2(33, Syscall.NONE),
  PAUSE(34, Syscall.NONE),
  NANOSLEEP(35, 101),
  GETITIMER(36, 102),
  SETITIMER(38, 103),
  GETPID(39, 172),
  SENDFILE(40, 71),
  SOCKET(41, 198),
  CONNECT(42, 203),
  ACCEPT(43, 202),
  SENDTO(44, 206),
  RECVFROM(45, 207),
  SENDMSG(46, 211),
  RECVMSG(47, 212),
  SHUTDOWN(48, 210),
  BIND(49, 200),
  LISTEN(50, 201),
  GETSOCKNAME(51, 204),
  GETPEERNAME(52, 205),
  SOCKETPAIR(53, 199),
  SETSOCKOPT(54, 208),
  GETSOCKOPT(55, 209),
  CLONE(56, 220),
  EXECVE(59, 221),
  EXIT(60, 93),
  WAIT4(61, 260),
  KILL(62, 129),
  SEMOP(65, 193),
  SHMDT(67, 197),
  MSGSND(69, 189),
  MSGRCV(70, 188),
  FCNTL(72, 25),
  FLOCK(73, 32),
  FSYNC(74, 82),
  FTRUNCATE(77, 46),
  CHDIR(80, 49),
  FCHDIR(81, 50),
  UMASK(95, 166),
  PTRACE(101, 117),
  GETUID(102, 174),
  FSTATFS(138, 44),
  SYSLOG(103, 116),
  GETPPID(110, 173),
  SETPGID(109, 154),
  SETSID(112, 157),
  SETREUID(113, 145),
  SETGROUPS(116, 159),
  SETRESUID(117, 147),
  SETRESGID(119, 149),
  SETFSUID(122, 151),
  SETFSGID(123, 152),
  GETPGID(121, 155),
  GETSID(124, 156),
  CAPGET(125, 90),
  CAPSET(126, 91),
  RT_SIGPENDING(127, 136),
  RT_SIGTIMEDWAIT(128, 137),
  RT_SIGQUEUEINFO(129, 138),
  RT_SIGSUSPEND(130, 133),
  SIGALTSTACK(131, 132),
  PERSONALITY(135, 92),
  SCHED_SETPARAM(142, 118),
  SCHED_SETSCHEDULER(144, 119),
  SETPRIORITY(141, 140),
  GETPRIORITY(140, 141),
  MLOCK(149, 228),
  MLOCKALL(151, 230),
  PRCTL(157, 167),
  GETTIMEOFDAY(96, 169),
  ARCH_PRCTL(158, Syscall.NONE),
  CHROOT(161, 51),
  GETTID(186, 178),
  TKILL(200, 130),
  TIME(201, Syscall.NONE),
  FUTEX(202, 98),
  SCHED_SETAFFINITY(203, 122),
  SCHED_GETAFFINITY(204, 123),
  IO_SETUP(206, 0),
  IO_GETEVENTS(208, 4),
  EPOLL_CREATE(213, Syscall.NONE),
  GETDENTS64(217, 61),
  SET_TID_ADDRESS(218, 96),
  RESTART_SYSCALL(219, 128),
  SEMTIMEDOP(220, 192),
  TIMER_CREATE(222, 107),
  TIMER_SETTIME(223, 110),
  TIMER_GETTIME(224, 108),
  TIMER_GETOVERRUN(225, 109),
  TIMER_DELETE(226, 111),
  CLOCK_GETTIME(228, 113),
  CLOCK_GETRES(229, 114),
  CLOCK_NANOSLEEP(230, 115),
  EXIT_GROUP(231, 94),
  EPOLL_WAIT(232, Syscall.NONE),
  EPOLL_CTL(233, 21),
  TGKILL(234, 131),
  MBIND(237, 235),
  SET_MEMPOLICY(238, 237),
  GET_MEMPOLICY(239, 236),
  MQ_OPEN(240, 180),
  MQ_TIMEDSEND(242, 182),
  MQ_TIMEDRECEIVE(243, 183),
  WAITID(247, 95),
  KEYCTL(250, 219),
  INOTIFY_ADD_WATCH(254, 27),
  INOTIFY_RM_WATCH(255, 28),
  IOPRIO_SET(251, 30),
  IOPRIO_GET(252, 31),
  OPENAT(257, 56),
  NEWFSTATAT(262, 79),
  READLINKAT(267, 78),
  FCHMOD(91, 52),
  FCHOWN(93, 55),
  UNLINKAT(263, 35),
  FCHMODAT(268, 53),
  FCHOWNAT(260, 54),
  PSELECT6(270, 72),
  PPOLL(271, 73),
  UNSHARE(272, 97),
  SET_ROBUST_LIST(273, 99),
  GET_ROBUST_LIST(274, 100),
  SPLICE(275, 76),
  TEE(276, 77),
  VMSPLICE(278, 75),
  UTIMENSAT(280, 88),
  GETCPU(309, 168),
  GETRANDOM(318, 278),
  EPOLL_PWAIT(281, 22),
  SIGNALFD(282, Syscall.NONE),
  TIMERFD_CREATE(283, 85),
  FALLOCATE(285, 47),
  TIMERFD_SETTIME(286, 86),
  TIMERFD_GETTIME(287, 87),
  ACCEPT4(288, 242),
  SIGNALFD4(289, 74),
  EVENTFD2(290, 19),
  EPOLL_CREATE1(291, 20),
  DUP3(292, 24),
  PIPE2(293, 59),
  INOTIFY_INIT1(294, 26),
  FANOTIFY_INIT(300, 262),
  FANOTIFY_MARK(301, 263),
  RT_TGSIGQUEUEINFO(297, 240),
  RECVMMSG(299, 243),
  OPEN_BY_HANDLE_AT(304, 265),
  PRLIMIT64(302, 261),
  SENDMMSG(307, 269),
  SETNS(308, 268),
  PROCESS_VM_READV(310, 270),
  PROCESS_VM_WRITEV(311, 271),
  KCMP(312, 272),
  SCHED_SETATTR(314, 274),
  SCHED_GETATTR(315, 275),
  SECCOMP(317, 277),
  MEMFD_CREATE(319, 279),
  USERFAULTFD(323, 282),
  MEMBARRIER(324, 283),
  MLOCK2(325, 284),
  PKEY_MPROTECT(329, 288),
  PKEY_ALLOC(330, 289),
  PKEY_FREE(331, 290),
  STATX(332, 291),
  IO_PGETEVENTS(333, 292),
  RSEQ(334, 293),
  PIDFD_SEND_SIGNAL(424, 424),
  IO_URING_SETUP(425, 425),
  IO_URING_ENTER(426, 426),
  PIDFD_OPEN(434, 434),
  CLONE3(435, 435),
  CLOSE_RANGE(436, 436),
  OPENAT2(437, 437),
  PIDFD_GETFD(438, 438),
  PROCESS_MADVISE(440, 440),
  EPOLL_PWAIT2(441, 441),
  MEMFD_SECRET(447, 447),
  FUTEX_WAITV(449, 449),
  SET_MEMPOLICY_HOME_NODE(450, 450),
  MAP_SHADOW_STACK(453, 453),
  FUTEX_WAIT(455, 455),
  MSEAL(462, 462);

  private static final int NONE = -1;

  private static final @Nullable Syscall[] BY_X8664 = rows(Arch.ARCH_X86_64);
  private static final @Nullable Syscall[] BY_AARCH64 = rows(Arch.ARCH_AARCH64);

  private final int x8664;
  private final int aarch64;

  Syscall(int x8664, int aarch64) {
    this.x8664 = x8664;
    this.aarch64 = aarch64;
  }

  /// The number on `arch`. Throws IllegalArgumentException where the architecture lacks the call.
  public int number(Arch arch) {
    int number = arch == Arch.ARCH_AARCH64 ? aarch64 : x8664;
    if (number == NONE) {
      throw new IllegalArgumentException(this + " does not exist on " + arch);
    }
    return number;
  }

  public boolean exists(Arch arch) {
    return (arch == Arch.ARCH_AARCH64 ? aarch64 : x8664) != NONE;
  }

  private static @Nullable Syscall[] rows(Arch arch) {
    @Nullable Syscall[] rows = new Syscall[1024];
    for (Syscall call : values()) {
      if (call.exists(arch)) {
        rows[call.number(arch)] = call;
      }
    }
    return rows;
  }

  /// The row with this number on `arch`; empty for calls that jcr has no use for.
  public static Optional<Syscall> of(Arch arch, long number) {
    @Nullable Syscall[] rows = arch == Arch.ARCH_AARCH64 ? BY_AARCH64 : BY_X8664;
    return number < 0 || number >= rows.length
        ? Optional.empty()
        : Optional.ofNullable(rows[(int) number]);
  }
}
