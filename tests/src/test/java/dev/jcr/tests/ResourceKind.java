package dev.jcr.tests;

import dev.jcr.image.v1.Description.KindCase;
import java.util.Arrays;
import java.util.List;
import java.util.Set;

/// Everything one process can hold, what becomes of it, and the target programs that prove it. The
/// table in tests/RESOURCES.md is made from this.
@SuppressWarnings("ImmutableEnumChecker") // both are unmodifiable
enum ResourceKind {
  ANONYMOUS_MEMORY("memory", "private anonymous memory", "zoo mem_none", "zoo mem_sparse"),
  SHARED_MEMORY("memory", "shared anonymous memory", "zoo mem_shared", "zoo mem_shared_twice"),
  FILE_MAPPING("memory", "file mappings", "zoo mem_file_private", "zoo mem_file_shared"),
  BEYOND_END("memory", "mappings beyond the end of a file", "zoo mem_beyond_end"),
  MEMFD("memory", "memfd with seals", "zoo mem_memfd", "zoo mem_memfd_sealed"),
  POSIX_SHM("memory", "POSIX shared memory", "zoo mem_posix_shm"),
  SYSV_SHM("memory", "System V shared memory", "ranges sysv", "ranges sysvgone"),
  GUARD_REGIONS("memory", "guard regions (MADV_GUARD_INSTALL)", "ranges guard", "ranges guardfile"),
  SEALED("memory", "sealed mappings (mseal)", "ranges sealed"),
  LOCKED("memory", "locked memory", "zoo mem_locked"),
  LOCK_FUTURE("memory", "mlockall", "ranges lockfuture", "ranges lockonfault"),
  GROWS_DOWN("memory", "mappings that grow down", "zoo mem_growsdown"),
  ADVICE("memory", "advice: fork, dump, wipe, order", "zoo mem_advice"),
  HUGE_PAGES("memory", "transparent huge pages", "zoo mem_huge"),
  MERGEABLE("memory", "mergeable memory (KSM)", "zoo mem_merge"),
  NAMES("memory", "names of mappings", "zoo mem_named"),
  OTHER_VDSO("memory", "vDSO of another kernel build", "vdso"),
  HEAP_STACK("memory", "heap and stack", "zoo mem_brk", "zoo mem_deep_stack"),
  HUGE_TLB("memory", "huge TLB pages", "huge private", "huge shared", "huge memfd"),
  HUGE_TLB_FILES(
      "memory",
      "huge TLB pages of files",
      "huge TLB pages of a file or a System V segment are not supported yet"),
  SECRET_MEMORY("memory", "memfd_secret", "objects secret", "objects secretclosed"),
  USERFAULTFD("memory", "userfaultfd", "a userfaultfd is not restorable"),
  NUMA_POLICY("memory", "NUMA policies", "huge policies"),
  PROTECTION_KEYS("memory", "protection keys", "it has a protection key, not supported yet"),
  REGULAR_FILE("files", "regular files", Set.of(KindCase.REGULAR), "files", "zoo file_append"),
  UNLINKED_FILE("files", "removed files", "zoo file_unlinked_hole", "zoo file_tmpfile"),
  DIRECTORY("files", "directories half read", Set.of(KindCase.DIRECTORY), "zoo file_directory"),
  PATH_ONLY(
      "files", "O_PATH", Set.of(KindCase.PATH_ONLY), "zoo file_path_only", "zoo file_symlink"),
  DEVICE("files", "/dev/null and its like", Set.of(KindCase.DEVICE), "zoo file_devices"),
  FIFO("files", "FIFOs with content", "pipes fifo", "zoo pipe_one_fd"),
  LOCKS("files", "flock, record and description locks", "locks", "zoo file_record_locks"),
  LEASES("files", "leases", "objects lease"),
  OWNERS("files", "owners and signals of descriptors", "zoo file_owner"),
  SHARED_OFFSETS(
      "files", "shared offsets, close-on-exec", "zoo file_shared_offset", "zoo file_cloexec"),
  TERMINAL(
      "files",
      "terminals and ptys",
      Set.of(KindCase.TERMINAL),
      "pty quiet",
      "pty many",
      "pty queued"),
  INHERITED("files", "standard descriptors from outside", Set.of(KindCase.INHERITED), "files"),
  BLOCK_DEVICE("files", "block devices", "a block device is not restorable"),
  PIPE(
      "kernel objects",
      "pipes, packets too",
      Set.of(KindCase.PIPE),
      "pipes pipe",
      "zoo pipe_packets"),
  EVENTFD("kernel objects", "eventfd", Set.of(KindCase.EVENTFD), "pipes eventfd", "zoo event_full"),
  TIMERFD(
      "kernel objects", "timerfd", Set.of(KindCase.TIMERFD), "pipes timerfd", "zoo timer_cancel"),
  SIGNALFD("kernel objects", "signalfd", Set.of(KindCase.SIGNALFD), "zoo signalfd_pending"),
  EPOLL(
      "kernel objects",
      "epoll",
      Set.of(KindCase.EPOLL),
      "pipes epoll",
      "zoo epoll_nested",
      "zoo epoll_spent"),
  MEMORY_FILE("kernel objects", "memfd descriptors", Set.of(KindCase.MEMFD), "pipes memfd"),
  INOTIFY(
      "kernel objects",
      "inotify",
      Set.of(KindCase.INOTIFY),
      "objects inotify",
      "objects inotifyfile"),
  PIDFD(
      "kernel objects",
      "pidfds of processes that live",
      Set.of(KindCase.PIDFD),
      "objects pidfd",
      "objects pidfdother"),
  MESSAGE_QUEUE(
      "kernel objects", "POSIX message queues", Set.of(KindCase.MESSAGE_QUEUE), "objects mq"),
  INOTIFY_EVENTS(
      "kernel objects",
      "unread inotify events, as one that says there were more",
      "objects overflow"),
  FANOTIFY("kernel objects", "fanotify", Set.of(KindCase.FANOTIFY), "objects fanotify"),
  FANOTIFY_EVENTS(
      "kernel objects",
      "unread fanotify events, groups that give permissions",
      "a fanotify group with unread events"),
  IO_URING("kernel objects", "io_uring", "an io_uring instance is not restorable"),
  AIO("kernel objects", "asynchronous I/O contexts", "an asynchronous I/O context (io_setup)"),
  PERF("kernel objects", "perf events", "a perf event is not restorable"),
  OTHER_ANONYMOUS("kernel objects", "other anonymous inodes", "refused by their name in /proc"),
  UNIX_PAIR(
      "sockets", "unix socket pairs with queues", Set.of(KindCase.UNIX_SOCKET), "sockets pairs"),
  UNIX_BOUND(
      "sockets", "bound and listening unix sockets", "zoo unix_listener", "zoo unix_abstract"),
  UNIX_CONNECTION(
      "sockets",
      "unix connections by way of a listener",
      "unixes path",
      "unixes abstract",
      "unixes unlinked",
      "unixes seqpacket",
      "unixes boundclient",
      "unixes nolistener"),
  UNIX_BACKLOG("sockets", "own unix connections not accepted yet", "unixes backlog"),
  UNIX_HALF(
      "sockets",
      "unix connections with one end",
      "unixes clientgone",
      "unixes servergone",
      "external gone"),
  UNIX_DATAGRAM_OUTSIDE(
      "sockets", "unix datagram sockets connected to outside", "external datagram"),
  UNIX_OUTSIDE(
      "sockets",
      "unix connections to outside (`--ext-unix-sk`: new ones, or closed)",
      "external stream",
      "external seqpacket",
      "external abstract",
      "external unread",
      "external server",
      "external waiting"),
  UNIX_DESCRIPTORS(
      "sockets",
      "descriptors in unix queues",
      "passing stream",
      "passing datagram",
      "passing seqpacket",
      "passing nested",
      "passing itself",
      "passing pipe",
      "passing closed",
      "passing many",
      "passing large"),
  UNIX_CREDENTIALS("sockets", "credentials in unix queues", "passing credentials"),
  TCP_LISTEN(
      "sockets", "listening TCP", Set.of(KindCase.INET_SOCKET), "sockets tcp", "tcp options"),
  TCP_CONNECTION("sockets", "established TCP", "tcp queues4", "tcp queues6", "tcp queuesmapped"),
  TCP_CLOSING("sockets", "half-closed and closing TCP", "tcp half", "tcp closing"),
  TCP_CONNECTING("sockets", "TCP that is connecting", "tcp connecting"),
  TCP_OUTSIDE("sockets", "TCP with a peer outside", "tcp peer4", "tcp peer6", "tcp peermapped"),
  NOT_ACCEPTED(
      "sockets",
      "TCP and outside unix connections not accepted yet (`--skip-in-flight`: reset)",
      "inflight"),
  TCP_KEYS("sockets", "TCP that signs (MD5, AO)", "a TCP socket that signs its packets"),
  TCP_ULP("sockets", "TLS and the like in the kernel", "in the kernel is not restorable"),
  UDP("sockets", "UDP with its queue", "sockets udp", "objects udpqueue", "objects udpqueue6"),
  RAW("sockets", "raw and ping sockets", "objects raw", "objects ping"),
  NETLINK(
      "sockets",
      "netlink",
      Set.of(KindCase.NETLINK_SOCKET),
      "objects netlink",
      "objects netlinkgroup"),
  SOCKET_FILTER("sockets", "classic socket filters", "objects filter"),
  MULTICAST("sockets", "multicast memberships", "objects multicast", "objects multicast6"),
  PACKET(
      "sockets",
      "packet sockets",
      Set.of(KindCase.PACKET_SOCKET),
      "packets raw",
      "packets datagram",
      "packets unbound",
      "packets silent",
      "packets all"),
  FANOUT("sockets", "packet sockets that share what comes (fanout)", "packets fanout"),
  PACKET_QUEUE(
      "sockets", "unread packets of packet sockets (`--skip-in-flight`: lost)", "packets queued"),
  PACKET_RING("sockets", "packet sockets with rings (tcpdump)", "a packet socket with a ring"),
  OTHER_SOCKETS("sockets", "sockets of other families", "a socket of family"),
  REGISTERS("threads", "registers", "torture_regs spin", "torture_regs futex"),
  BREAKPOINTS("threads", "hardware breakpoints", "odd breakpoint"),
  THREADS("threads", "threads, names, local storage", "threads", "zoo thread_hundred"),
  FUTEXES("threads", "mutexes, conditions, robust lists", "zoo thread_mutex", "zoo thread_robust"),
  RSEQ("threads", "restartable sequences", "rseq"),
  BLOCKED_CALLS("threads", "blocked system calls", "zoo wait_poll", "zoo wait_sigwait"),
  SECCOMP("threads", "seccomp filters", "seccomp filter", "seccomp threads", "seccomp privileged"),
  SECCOMP_STRICT("threads", "strict seccomp mode", "odd strict"),
  IN_VDSO("threads", "threads inside the vDSO", "odd vdso"),
  DISPATCH("threads", "syscall user dispatch", "odd dispatch"),
  DISPATCHING(
      "threads",
      "syscall user dispatch that is in the way of jcr's calls",
      "syscall user dispatch gives its system calls to a handler of its own"),
  WITHOUT_LEADER(
      "threads", "a process whose leader thread has ended", "leaderless", "leaderless status"),
  SCHEDULING("threads", "scheduling, affinity, I/O priority", "zoo id_fifo", "zoo id_ioprio"),
  SIGNALS("signals", "actions, masks, pending signals", "signals", "zoo sig_queue"),
  SIGTRAP(
      "signals",
      "SIGTRAP blocked, ignored, handled",
      "odd trapblocked",
      "odd trapignored",
      "odd traphandled"),
  STOP_SIGNALS("signals", "stop signals that wait", "odd stoppending"),
  SIGNAL_STACK("signals", "alternate stacks", "zoo sig_stack"),
  HANDLER("signals", "running in a handler", "in_handler"),
  TIMERS("signals", "interval and POSIX timers", "timers", "zoo timer_posix", "zoo timer_thread"),
  CLOCKS("signals", "clocks that count from the start of the host", "clocks"),
  CREDENTIALS("identity", "ids, groups, capabilities", "identity root", "zoo id_capabilities"),
  LIMITS("identity", "resource limits", "zoo id_limits"),
  SETTINGS("identity", "prctl settings", "zoo id_slack", "zoo id_thp", "zoo id_mdwe"),
  DIRECTORIES("identity", "working directory, umask", "zoo id_cwd", "zoo id_umask"),
  LOGIN("identity", "login uid, nice value of the autogroup", "zoo id_login", "zoo id_autogroup"),
  CHROOT("identity", "changed root directory", "odd chroot"),
  JOINED("identity", "other mnt, net, uts, ipc, cgroup namespaces than jcr's", "namespaces joined"),
  PIDS("identity", "ids, also in another pid namespace than jcr's", "pids"),
  NAMESPACES("identity", "other user namespaces", "it is not the one jcr runs in"),
  CHILDREN("identity", "child processes, vfork", "process trees are not supported"),
  ZOMBIES("identity", "children that have ended", "odd zombies", "odd zombieleft"),
  CGROUP("identity", "control groups", "counter"),
  KEYRINGS("identity", "session keyring, Landlock", "not looked at");

  final String group;
  final String title;
  final Set<KindCase> descriptions;

  /// Cases of [TargetProgramsTest]; or one text: why not.
  final List<String> proofs;

  ResourceKind(String group, String title, String... proofs) {
    this(group, title, Set.of(), proofs);
  }

  ResourceKind(String group, String title, Set<KindCase> descriptions, String... proofs) {
    this.group = group;
    this.title = title;
    this.descriptions = descriptions;
    this.proofs = List.of(proofs);
  }

  /// Restored; else refused, or not looked at.
  boolean isRestored(Set<String> cases) {
    return Arrays.stream(proofs.toArray(String[]::new)).allMatch(cases::contains);
  }

  boolean isIgnored() {
    return proofs.getFirst().equals("not looked at");
  }
}
