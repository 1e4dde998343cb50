package dev.jcr.dump;

import dev.jcr.dump.identity.NamespaceCollector;
import dev.jcr.dump.threads.EndedLeader;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.CheckpointException.Problem;
import dev.jcr.parasite.host.TimeOffsets;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.FileStat;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.namespace.NamespaceKind;
import dev.jcr.parasite.namespace.Namespaces;
import dev.jcr.parasite.namespace.PidNumbers;
import dev.jcr.parasite.procfs.Anchor;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.procfs.ProcStatus;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;

/// Everything that forbids a dump of a process, found before it is touched.
final class Preflight {
  private static final int CAP_SYS_ADMIN = 21;
  private static final long SIGKILL_BIT = 1L << 8;
  private static final int LOOKS = 5;
  private static final Duration BETWEEN_LOOKS = Duration.ofMillis(10);
  private static final int PF_EXITING = 0x00000004;
  private static final int PF_KTHREAD = 0x00200000;

  private static final String NO_PROC = "it has no /proc of jcr's pid namespace";

  private Preflight() {}

  /// Conditions under which there is no such thing as a dump of `pid`: each has its own outcome.
  static void requireDumpable(int pid) throws CheckpointException {
    if (pid <= 0) {
      throw new CheckpointException(
          Outcome.USAGE, "cannot dump process " + pid + ": a pid is a positive number");
    }
    Proc proc = Proc.of(pid);
    if (!proc.exists()) {
      throw gone(pid);
    }
    if (pid == ProcessHandle.current().pid()) {
      throw new CheckpointException(
          Outcome.USAGE, "cannot dump process " + pid + ": it is jcr itself");
    }
    try {
      ProcStatus status = proc.status();
      if (status.tgid() != pid) {
        throw new CheckpointException(
            Outcome.USAGE,
            "cannot dump process %d: it is a thread of process %d; dump that"
                .formatted(pid, status.tgid()));
      }
      if ((proc.stat().flags() & PF_KTHREAD) != 0) {
        throw new CheckpointException(
            Outcome.UNSUPPORTED,
            "cannot dump process %d (%s): it is a kernel thread".formatted(pid, status.name()));
      }
      Anchor process = Anchor.of(pid);
      if (!process.leaderEnded() && (status.state() == 'Z' || status.state() == 'X')) {
        throw new CheckpointException(
            Outcome.TARGET_LOST,
            "cannot dump process %d (%s): it is a zombie; its parent %d has not waited for it"
                .formatted(pid, status.name(), status.ppid()));
      }
      int tracer = process.proc().status().tracerPid();
      if (tracer != 0) {
        throw new CheckpointException(
            Outcome.FAILED,
            "cannot dump process %d (%s): it is traced by process %d (%s); detach that first"
                .formatted(pid, status.name(), tracer, nameOf(tracer)));
      }
    } catch (IOException e) {
      throw lost(pid, e);
    }
  }

  private static String nameOf(int pid) {
    try {
      return Proc.of(pid).status().name();
    } catch (IOException _) {
      return "?";
    }
  }

  static CheckpointException gone(int pid) {
    return new CheckpointException(
        Outcome.TARGET_LOST, "cannot dump process " + pid + ": ESRCH (no such process)");
  }

  /// What an I/O error while reading /proc/PID means.
  static CheckpointException lost(int pid, IOException e) {
    if (!Proc.of(pid).exists()) {
      return gone(pid);
    }
    if (isEnding(pid)) {
      return new CheckpointException(
          Outcome.TARGET_LOST,
          "cannot dump process %d: it is ending (%s)".formatted(pid, e.getMessage()),
          e);
    }
    if (e instanceof SyscallException s
        && (s.errno() == Errno.EACCES || s.errno() == Errno.EPERM)) {
      return new CheckpointException(
          Outcome.PERMISSION,
          "cannot dump process "
              + pid
              + ": "
              + e.getMessage()
              + "; needs CAP_SYS_PTRACE, or the same uid as the process",
          e);
    }
    return new CheckpointException(
        Outcome.FAILED, "cannot dump process " + pid + ": " + e.getMessage(), e);
  }

  /// Whether it is past the point of no return: descriptors and memory go before the entry in /proc
  /// does, and what is read of them in between fails in many ways. Between taking its SIGKILL and
  /// being marked a thread shows neither (kernel/signal.c, get_signal), so it is looked at again.
  private static boolean isEnding(int pid) {
    for (int look = 0; look < LOOKS; look++) {
      if (everyThreadEnds(pid)) {
        return true;
      }
      LockSupport.parkNanos(BETWEEN_LOOKS.toNanos());
    }
    return false;
  }

  private static boolean everyThreadEnds(int pid) {
    Proc proc = Proc.of(pid);
    try {
      for (int tid : proc.tasks()) {
        try {
          if ((proc.stat(tid).flags() & PF_EXITING) == 0
              && (proc.status(tid).sigPnd() & SIGKILL_BIT) == 0) {
            return false;
          }
        } catch (SyscallException _) {
          // This one has ended.
        }
      }
      return true;
    } catch (IOException _) {
      return true;
    }
  }

  /// State outside memory and descriptors that cannot be carried over, all of it.
  static List<Problem> problems(int pid) throws CheckpointException {
    List<Problem> problems = new ArrayList<>();
    try {
      Anchor process = Anchor.of(pid);
      Proc proc = process.proc();
      problems.addAll(EndedLeader.problems(process, proc.status().state() == 'T'));
      children(proc, problems);
      namespaces(process, problems);
      clocks(proc, problems);
      if (problems.stream().anyMatch(problem -> problem.reason().equals(NO_PROC))) {
        // Nothing else can be looked at.
        Dump.refuse(pid, problems);
      }
      for (int tid : proc.tasks()) {
        try {
          thread(proc, tid, problems);
        } catch (SyscallException e) {
          requireEnded(proc, tid, e);
        }
      }
      if (proc.link("root").endsWith(" (deleted)")) {
        problems.add(
            new Problem(
                "identity",
                "root directory " + proc.link("root"),
                "it was removed",
                "dump the process outside its chroot"));
      }
      if (proc.link("cwd").endsWith(" (deleted)")) {
        problems.add(
            new Problem(
                "identity",
                "working directory " + proc.link("cwd"),
                "it was removed",
                "make the process change its directory"));
      }
      if (proc.link("exe").endsWith(" (deleted)")) {
        problems.add(
            new Problem(
                "identity",
                "executable " + proc.link("exe"),
                "it was removed or replaced",
                "put the same file back and restart the process"));
      }
      byte[] header = proc.bytes("auxv");
      if (header.length % 16 != 0) {
        problems.add(
            new Problem("identity", "process " + pid, "32-bit processes are not supported", ""));
      }
      if (bits32(proc)) {
        problems.add(
            new Problem(
                "identity",
                "process " + pid,
                "it is a 32-bit process",
                "only 64-bit processes can be dumped"));
      }
    } catch (IOException e) {
      throw lost(pid, e);
    }
    return problems;
  }

  /// EI_CLASS of the executable.
  private static boolean bits32(Proc proc) throws IOException {
    try (var exe = dev.jcr.parasite.linux.Fd.open(proc.path("exe"), 0, 0);
        var arena = java.lang.foreign.Arena.ofConfined()) {
      var head = arena.allocate(5);
      return exe.readFully(head, 0) == 5
          && head.get(java.lang.foreign.ValueLayout.JAVA_BYTE, 4) == 1;
    }
  }

  /// Threads of a running process come and go between two looks.
  private static void requireEnded(Proc proc, int tid, SyscallException e) throws IOException {
    if (proc.tasks().contains(tid)) {
      throw e;
    }
  }

  /// Child processes, each a problem, but for those that have ended and only wait to be waited for,
  /// which are returned.
  static List<Integer> children(Proc proc, List<Problem> problems) throws IOException {
    List<Integer> ended = new ArrayList<>();
    for (int tid : proc.tasks()) {
      String children;
      try {
        children = proc.text("task/" + tid + "/children").strip();
      } catch (SyscallException e) {
        requireEnded(proc, tid, e);
        continue;
      }
      for (String child : children.split(" ")) {
        if (child.isEmpty()) {
          continue;
        }
        if (Zombies.isOne(Integer.parseInt(child))) {
          ended.add(Integer.valueOf(child));
        } else {
          problems.add(
              new Problem(
                  "process",
                  "child " + child + " (" + nameOf(Integer.parseInt(child)) + ")",
                  "process trees are not supported",
                  "wait for it to end, or dump it by itself"));
        }
      }
    }
    return ended;
  }

  /// Empty in a kernel without.
  private static Optional<String> ownUserNamespace() throws IOException {
    try {
      return Optional.of(Proc.at("/proc/self").link("ns/user"));
    } catch (SyscallException _) {
      return Optional.empty();
    }
  }

  private static void namespaces(Anchor process, List<Problem> problems) throws IOException {
    Proc proc = process.proc();
    String user = proc.link("ns/user");
    if (!user.equals(ownUserNamespace().orElse(user))) {
      problems.add(
          new Problem(
              "namespace",
              "user namespace " + user,
              "it is not the one jcr runs in",
              // Its capabilities say nothing in a pid namespace that it does not own.
              "run jcr inside it (nsenter); a restore needs a pid namespace of its own too"));
    }
    mounts(process, problems);
    alone(process, problems);
    String pid = proc.link("ns/pid");
    if (!proc.link("ns/pid_for_children").equals(pid)) {
      problems.add(
          new Problem(
              "namespace",
              "pid namespace of its children",
              "it is not the one the process is in",
              "dump the process before it calls unshare(2)"));
    }
    Map<NamespaceKind, FileStat> leaders = NamespaceCollector.leaders(proc);
    for (int tid : proc.tasks()) {
      if (tid == process.pid() && process.leaderEnded()) {
        continue; // it is in none
      }
      try {
        NamespaceCollector.alone(leaders, proc, tid).ifPresent(problems::add);
      } catch (SyscallException e) {
        requireEnded(proc, tid, e);
      }
    }
  }

  /// With the PID 1 of a pid namespace everybody in it ends, and nobody enters it any more.
  private static void alone(Anchor process, List<Problem> problems) throws IOException {
    int pid = process.pid();
    PidNumbers numbers = PidNumbers.of(process.proc());
    if (!numbers.isNested() || numbers.of(pid) != 1) {
      return;
    }
    for (String name : Proc.at("/proc").list(".")) {
      int other = name.matches("[0-9]{1,9}") ? Integer.parseInt(name) : pid;
      if (other != pid && numbers.of(other) != 0 && !Zombies.isOne(other)) {
        problems.add(
            new Problem(
                "process",
                "process " + other + " (" + nameOf(other) + ")",
                "it lives in the pid namespace of which process "
                    + pid
                    + " is PID 1, and would end"
                    + " with it",
                "end it first"));
      }
    }
  }

  /// A time namespace of its own is kept; one that only its children would have is not.
  private static void clocks(Proc proc, List<Problem> problems) throws IOException {
    if (!TimeOffsets.ownNamespace(proc)) {
      problems.add(
          new Problem(
              "namespace",
              "time namespace " + proc.link("ns/time_for_children"),
              "it has made it for its children and does not live there, not supported",
              ""));
    }
  }

  /// jcr looks at files in there, and `/proc` is how.
  private static void mounts(Anchor process, List<Problem> problems) throws IOException {
    try (Namespaces namespaces = Namespaces.of(process.tid())) {
      if (!namespaces.hasProc()) {
        problems.add(
            new Problem(
                "namespace",
                "mnt namespace " + process.proc().link("ns/mnt"),
                NO_PROC,
                "run jcr inside it (nsenter)"));
      }
    }
  }

  private static void thread(Proc proc, int tid, List<Problem> problems) throws IOException {
    ProcStatus status = proc.status(tid);
    if (status.state() == 'Z') {
      return; // it has ended, and its filters with it
    }
    if (status.seccomp() != 0) {
      ProcStatus own = Proc.at("/proc/self").status();
      if (own.seccomp() != 0 || (own.capEff() >>> CAP_SYS_ADMIN & 1) == 0) {
        problems.add(
            new Problem(
                "seccomp",
                "thread " + tid,
                "its seccomp filters cannot be read or suspended",
                "run jcr with CAP_SYS_ADMIN and without seccomp filters of its own"));
      }
    }
    String name = status.name();
    if (name.startsWith("iou-")) {
      problems.add(
          new Problem(
              "io_uring", "thread " + tid + " (" + name + ")", "io_uring is in use", "close it"));
    }
  }
}
