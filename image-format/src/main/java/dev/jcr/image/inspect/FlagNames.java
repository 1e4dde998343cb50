package dev.jcr.image.inspect;

import dev.jcr.image.v1.Arch;
import java.util.ArrayList;
import java.util.List;

/// Names of bits and signals, from `<linux/*.h>` and `<asm-generic/*.h>`. The tables of both
/// architectures are here, so that every host can show every image.
final class FlagNames {
  private record Bit(long value, String name) {}

  private static final List<Bit> PROTECTION =
      List.of(
          new Bit(1, "PROT_READ"),
          new Bit(2, "PROT_WRITE"),
          new Bit(4, "PROT_EXEC"),
          new Bit(0x10, "PROT_BTI"),
          new Bit(0x20, "PROT_MTE"));

  private static final List<Bit> MAPPING =
      List.of(
          new Bit(0x1, "MAP_SHARED"),
          new Bit(0x2, "MAP_PRIVATE"),
          new Bit(0x8, "MAP_DROPPABLE"),
          new Bit(0x10, "MAP_FIXED"),
          new Bit(0x20, "MAP_ANONYMOUS"),
          new Bit(0x40, "MAP_32BIT"),
          new Bit(0x100, "MAP_GROWSDOWN"),
          new Bit(0x800, "MAP_DENYWRITE"),
          new Bit(0x1000, "MAP_EXECUTABLE"),
          new Bit(0x2000, "MAP_LOCKED"),
          new Bit(0x4000, "MAP_NORESERVE"),
          new Bit(0x8000, "MAP_POPULATE"),
          new Bit(0x10000, "MAP_NONBLOCK"),
          new Bit(0x20000, "MAP_STACK"),
          new Bit(0x40000, "MAP_HUGETLB"),
          new Bit(0x80000, "MAP_SYNC"),
          new Bit(0x100000, "MAP_FIXED_NOREPLACE"));

  private static final List<Bit> OPEN =
      List.of(
          new Bit(01, "O_WRONLY"),
          new Bit(02, "O_RDWR"),
          new Bit(0100, "O_CREAT"),
          new Bit(0200, "O_EXCL"),
          new Bit(0400, "O_NOCTTY"),
          new Bit(01000, "O_TRUNC"),
          new Bit(02000, "O_APPEND"),
          new Bit(04000, "O_NONBLOCK"),
          // O_SYNC is O_DSYNC and one more bit.
          new Bit(04010000, "O_SYNC"),
          new Bit(010000, "O_DSYNC"),
          new Bit(020000, "O_ASYNC"),
          new Bit(01000000, "O_NOATIME"),
          new Bit(02000000, "O_CLOEXEC"),
          new Bit(010000000, "O_PATH"),
          new Bit(020000000, "__O_TMPFILE"));

  private static final List<Bit> OPEN_X86 =
      List.of(
          new Bit(040000, "O_DIRECT"),
          new Bit(0100000, "O_LARGEFILE"),
          new Bit(0200000, "O_DIRECTORY"),
          new Bit(0400000, "O_NOFOLLOW"));

  /// `arch/arm64/include/uapi/asm/fcntl.h`.
  private static final List<Bit> OPEN_ARM =
      List.of(
          new Bit(040000, "O_DIRECTORY"),
          new Bit(0100000, "O_NOFOLLOW"),
          new Bit(0200000, "O_DIRECT"),
          new Bit(0400000, "O_LARGEFILE"));

  private static final List<Bit> ACTION =
      List.of(
          new Bit(0x1, "SA_NOCLDSTOP"),
          new Bit(0x2, "SA_NOCLDWAIT"),
          new Bit(0x4, "SA_SIGINFO"),
          new Bit(0x400, "SA_UNSUPPORTED"),
          new Bit(0x800, "SA_EXPOSE_TAGBITS"),
          new Bit(0x0400_0000, "SA_RESTORER"),
          new Bit(0x0800_0000, "SA_ONSTACK"),
          new Bit(0x1000_0000, "SA_RESTART"),
          new Bit(0x4000_0000, "SA_NODEFER"),
          new Bit(0x8000_0000L, "SA_RESETHAND"));

  private static final List<Bit> EPOLL =
      List.of(
          new Bit(0x1, "EPOLLIN"),
          new Bit(0x2, "EPOLLPRI"),
          new Bit(0x4, "EPOLLOUT"),
          new Bit(0x8, "EPOLLERR"),
          new Bit(0x10, "EPOLLHUP"),
          new Bit(0x20, "EPOLLNVAL"),
          new Bit(0x40, "EPOLLRDNORM"),
          new Bit(0x80, "EPOLLRDBAND"),
          new Bit(0x100, "EPOLLWRNORM"),
          new Bit(0x200, "EPOLLWRBAND"),
          new Bit(0x400, "EPOLLMSG"),
          new Bit(0x2000, "EPOLLRDHUP"),
          new Bit(1L << 28, "EPOLLEXCLUSIVE"),
          new Bit(1L << 29, "EPOLLWAKEUP"),
          new Bit(1L << 30, "EPOLLONESHOT"),
          new Bit(1L << 31, "EPOLLET"));

  private static final List<Bit> INOTIFY =
      List.of(
          new Bit(0x1, "IN_ACCESS"),
          new Bit(0x2, "IN_MODIFY"),
          new Bit(0x4, "IN_ATTRIB"),
          new Bit(0x8, "IN_CLOSE_WRITE"),
          new Bit(0x10, "IN_CLOSE_NOWRITE"),
          new Bit(0x20, "IN_OPEN"),
          new Bit(0x40, "IN_MOVED_FROM"),
          new Bit(0x80, "IN_MOVED_TO"),
          new Bit(0x100, "IN_CREATE"),
          new Bit(0x200, "IN_DELETE"),
          new Bit(0x400, "IN_DELETE_SELF"),
          new Bit(0x800, "IN_MOVE_SELF"),
          new Bit(0x0400_0000, "IN_EXCL_UNLINK"),
          new Bit(0x8000_0000L, "IN_ONESHOT"));

  private static final List<Bit> SEAL =
      List.of(
          new Bit(0x1, "F_SEAL_SEAL"),
          new Bit(0x2, "F_SEAL_SHRINK"),
          new Bit(0x4, "F_SEAL_GROW"),
          new Bit(0x8, "F_SEAL_WRITE"),
          new Bit(0x10, "F_SEAL_FUTURE_WRITE"),
          new Bit(0x20, "F_SEAL_EXEC"));

  /// By bit number.
  private static final List<String> CAPABILITIES =
      List.of(
          "CAP_CHOWN",
          "CAP_DAC_OVERRIDE",
          "CAP_DAC_READ_SEARCH",
          "CAP_FOWNER",
          "CAP_FSETID",
          "CAP_KILL",
          "CAP_SETGID",
          "CAP_SETUID",
          "CAP_SETPCAP",
          "CAP_LINUX_IMMUTABLE",
          "CAP_NET_BIND_SERVICE",
          "CAP_NET_BROADCAST",
          "CAP_NET_ADMIN",
          "CAP_NET_RAW",
          "CAP_IPC_LOCK",
          "CAP_IPC_OWNER",
          "CAP_SYS_MODULE",
          "CAP_SYS_RAWIO",
          "CAP_SYS_CHROOT",
          "CAP_SYS_PTRACE",
          "CAP_SYS_PACCT",
          "CAP_SYS_ADMIN",
          "CAP_SYS_BOOT",
          "CAP_SYS_NICE",
          "CAP_SYS_RESOURCE",
          "CAP_SYS_TIME",
          "CAP_SYS_TTY_CONFIG",
          "CAP_MKNOD",
          "CAP_LEASE",
          "CAP_AUDIT_WRITE",
          "CAP_AUDIT_CONTROL",
          "CAP_SETFCAP",
          "CAP_MAC_OVERRIDE",
          "CAP_MAC_ADMIN",
          "CAP_SYSLOG",
          "CAP_WAKE_ALARM",
          "CAP_BLOCK_SUSPEND",
          "CAP_AUDIT_READ",
          "CAP_PERFMON",
          "CAP_BPF",
          "CAP_CHECKPOINT_RESTORE");

  /// From signal 1.
  private static final List<String> SIGNALS =
      List.of(
          "SIGHUP",
          "SIGINT",
          "SIGQUIT",
          "SIGILL",
          "SIGTRAP",
          "SIGABRT",
          "SIGBUS",
          "SIGFPE",
          "SIGKILL",
          "SIGUSR1",
          "SIGSEGV",
          "SIGUSR2",
          "SIGPIPE",
          "SIGALRM",
          "SIGTERM",
          "SIGSTKFLT",
          "SIGCHLD",
          "SIGCONT",
          "SIGSTOP",
          "SIGTSTP",
          "SIGTTIN",
          "SIGTTOU",
          "SIGURG",
          "SIGXCPU",
          "SIGXFSZ",
          "SIGVTALRM",
          "SIGPROF",
          "SIGWINCH",
          "SIGIO",
          "SIGPWR",
          "SIGSYS");

  private FlagNames() {}

  /// Names of the bits that are set, the rest as one number at the end.
  ///
  /// @param set the `flag_names` option of the field
  /// @throws IllegalArgumentException no such set
  static List<String> of(String set, long value, Arch arch) {
    return switch (set) {
      case "mmap.prot" -> bits(value, PROTECTION, List.of());
      case "mmap.flags" -> mapping(value);
      case "open" -> open(value, arch);
      case "sa" -> bits(value, ACTION, List.of());
      case "epoll" -> bits(value, EPOLL, List.of());
      case "inotify" -> bits(value, INOTIFY, List.of());
      case "seal" -> bits(value, SEAL, List.of());
      case "cap" -> numbered(value, 0);
      case "sigset" -> numbered(value, 1);
      case "signal" -> value == 0 ? List.of() : List.of(signal(value));
      default -> throw new IllegalArgumentException("no flag names " + set);
    };
  }

  /// Whether a value is one name rather than a set.
  static boolean isSingle(String set) {
    return set.equals("signal");
  }

  /// As the C library names it: its SIGRTMIN is 34, it keeps 32 and 33 for itself.
  private static String signal(long number) {
    if (number >= 1 && number <= SIGNALS.size()) {
      return SIGNALS.get((int) number - 1);
    }
    if (number == 34) {
      return "SIGRTMIN";
    }
    return number > 34 && number <= 64 ? "SIGRTMIN+" + (number - 34) : "SIG" + number;
  }

  private static List<String> open(long value, Arch arch) {
    List<String> names = bits(value, OPEN, arch == Arch.ARCH_AARCH64 ? OPEN_ARM : OPEN_X86);
    if ((value & 3) == 0) {
      names.addFirst("O_RDONLY");
    }
    return names;
  }

  private static List<String> mapping(long value) {
    // log2 of the huge page size in bits 26 to 31 (MAP_HUGE_SHIFT).
    long huge = value >>> 26 & 0x3f;
    List<String> names = bits(value & ~(0x3fL << 26), MAPPING, List.of());
    if (huge != 0) {
      names.add("MAP_HUGE_2^" + huge);
    }
    return names;
  }

  private static List<String> bits(long value, List<Bit> table, List<Bit> more) {
    List<String> names = new ArrayList<>();
    long left = value;
    for (List<Bit> each : List.of(table, more)) {
      for (Bit bit : each) {
        if ((left & bit.value) == bit.value) {
          names.add(bit.name);
          left &= ~bit.value;
        }
      }
    }
    if (left != 0) {
      names.add("0x" + Long.toHexString(left));
    }
    return names;
  }

  private static List<String> numbered(long value, int first) {
    List<String> names = new ArrayList<>();
    long unknown = 0;
    for (int bit = 0; bit < 64; bit++) {
      if ((value >>> bit & 1) == 0) {
        continue;
      }
      if (first == 1) {
        names.add(signal(bit + 1L));
      } else if (bit < CAPABILITIES.size()) {
        names.add(CAPABILITIES.get(bit));
      } else {
        unknown |= 1L << bit;
      }
    }
    if (unknown != 0) {
      names.add("0x" + Long.toHexString(unknown));
    }
    return names;
  }
}
