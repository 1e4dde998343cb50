package dev.jcr.restore;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.CheckpointException.Problem;
import dev.jcr.image.v1.Namespace;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FileName;
import dev.jcr.parasite.linux.FileStat;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.namespace.NamespaceKind;
import dev.jcr.parasite.namespace.Namespaces;
import dev.jcr.parasite.namespace.OpenNamespace;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.remote.OwnedProcess;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// The namespaces a restored process is to be in, found and opened before it is made.
final class JoinedNamespaces implements AutoCloseable {
  private final Namespaces namespaces;
  private final List<Problem> problems;
  private final List<String> notes;
  private final boolean newPids;

  private JoinedNamespaces(
      Namespaces namespaces, List<Problem> problems, List<String> notes, boolean newPids) {
    this.newPids = newPids;
    this.namespaces = namespaces;
    this.problems = problems;
    this.notes = notes;
  }

  /// "net namespace at /run/netns/a".
  static String label(Namespace namespace) {
    String kind = NamespaceKind.of(namespace.getKind()).map(NamespaceKind::file).orElse("?");
    return kind
        + " namespace"
        + (NamespaceChanges.isNew(namespace)
            ? " of its own"
            : namespace.getPath().isEmpty()
                ? " " + namespace.getInode()
                : " at " + namespace.getPath());
  }

  /// Opens those that are there. The rest is in [#problems].
  static JoinedNamespaces open(List<Namespace> wanted) throws SyscallException {
    List<OpenNamespace> found = new ArrayList<>();
    List<Problem> problems = new ArrayList<>();
    List<String> notes = new ArrayList<>();
    boolean newPids = false;
    for (Namespace namespace : wanted) {
      if (NamespaceChanges.isNew(namespace)) {
        newPids = true;
        continue;
      }
      Optional<NamespaceKind> known = NamespaceKind.of(namespace.getKind());
      if (known.isEmpty()) {
        problems.add(
            new Problem("namespace", label(namespace), "this jcr does not know its kind", ""));
        continue;
      }
      NamespaceKind kind = known.get();
      Optional<FileStat> own = Namespaces.own(kind);
      if (own.isPresent() && is(namespace, own.get())) {
        continue; // jcr was started in it
      }
      if (namespace.getPath().isEmpty()) {
        problems.add(
            problem(namespace, "the process was in it, and it was bound to no path", kind));
        continue;
      }
      try {
        OpenNamespace open = OpenNamespace.at(namespace.getPath(), kind);
        if (own.isPresent() && own.get().sameFile(open.stat())) {
          open.close();
          continue;
        }
        found.add(open);
        if (namespace.getInode() != 0 && !is(namespace, open.stat())) {
          notes.add(label(namespace) + ": it is not the one of the dump, but has its path");
        }
      } catch (OpenNamespace.Mismatch e) {
        problems.add(problem(namespace, String.valueOf(e.getMessage()), kind));
      } catch (SyscallException e) {
        problems.add(problem(namespace, String.valueOf(e.getMessage()), kind));
      }
    }
    Namespaces namespaces = Namespaces.of(found);
    if (!namespaces.hasProc()) {
      problems.add(
          new Problem(
              "namespace",
              "mnt namespace",
              "it has no /proc of jcr's pid namespace",
              "mount it in there, or run jcr inside (nsenter)"));
    }
    return new JoinedNamespaces(namespaces, List.copyOf(problems), List.copyOf(notes), newPids);
  }

  private static boolean is(Namespace recorded, FileStat stat) {
    return recorded.getInode() == stat.inode()
        && recorded.getDevice()
            == Integer.toUnsignedLong(FileStat.device(stat.deviceMajor(), stat.deviceMinor()));
  }

  private static Problem problem(Namespace namespace, String reason, NamespaceKind kind) {
    return new Problem(
        "namespace",
        label(namespace),
        reason,
        "say which one to join with --join-ns "
            + kind.file()
            + ":PATH or :PID"
            + (kind == NamespaceKind.PID ? ", or have one made with --pid-namespace" : ""));
  }

  /// Whether a pid namespace is made for the process.
  boolean newPids() {
    return newPids;
  }

  /// The pid namespace into which the process is born, if it is there already and is not jcr's.
  Optional<OpenNamespace> pids() {
    return namespaces.get(NamespaceKind.PID);
  }

  /// Whether the ids of the image are taken in another pid namespace than jcr's.
  boolean hasOtherPids() {
    return newPids || pids().isPresent();
  }

  /// Whether the process finds files where jcr does not.
  boolean hasMounts() {
    return namespaces.get(NamespaceKind.MNT).isPresent();
  }

  /// Why the process cannot be made, each namespace that is missing.
  List<Problem> problems() {
    return problems;
  }

  /// What the user should know.
  List<String> notes() {
    return notes;
  }

  /// For what jcr asks or changes on the process's behalf.
  Namespaces.Visit enter() throws SyscallException {
    return namespaces.enter();
  }

  /// Puts the process into them. All are opened first: through jcr's descriptors, since the process
  /// inherits none.
  void join(OwnedProcess process) throws CheckpointException {
    List<OpenNamespace> all =
        namespaces.all().stream()
            .filter(namespace -> namespace.kind() != NamespaceKind.PID)
            .toList();
    join(process, all, process.scratch());
  }

  /// Lets the next child of a stub be born into the pid namespace.
  ///
  /// @param scratch memory of the stub
  void joinPids(OwnedProcess stub, long scratch) throws CheckpointException {
    join(stub, pids().stream().toList(), scratch);
  }

  private static void join(OwnedProcess process, List<OpenNamespace> all, long scratch)
      throws CheckpointException {
    List<Long> inside = new ArrayList<>();
    long jcr = ProcessHandle.current().pid();
    for (OpenNamespace namespace : all) {
      String path = "/proc/" + jcr + "/fd/" + namespace.fd();
      try (Arena arena = Arena.ofConfined()) {
        process.write(scratch, FileName.allocate(arena, path));
      }
      inside.add(
          process.require(
              "open the " + namespace.kind(),
              Syscall.OPENAT,
              Fd.AT_FDCWD,
              scratch,
              Fd.O_RDONLY | Fd.O_CLOEXEC,
              0));
    }
    int at = 0;
    for (OpenNamespace namespace : all) {
      process.require(
          "join the " + namespace.kind() + " (it needs CAP_SYS_ADMIN)",
          Syscall.SETNS,
          inside.get(at++),
          namespace.kind().flag());
    }
    for (long fd : inside) {
      process.call(Syscall.CLOSE, fd);
    }
  }

  /// The process is in these, and else in jcr's.
  void prove(int pid) throws CheckpointException, IOException {
    for (NamespaceKind kind : NamespaceKind.values()) {
      if (kind == NamespaceKind.PID && newPids) {
        // Nothing else can be compared with: it is not jcr's.
        Optional<FileStat> made = kind.of(Proc.of(pid));
        if (made.isEmpty() || own(kind).filter(made.get()::sameFile).isPresent()) {
          throw new CheckpointException(
              Outcome.FAILED, "cannot prove the " + kind + ": the process is in jcr's");
        }
        continue;
      }
      Optional<FileStat> wanted = namespaces.get(kind).map(OpenNamespace::stat).or(() -> own(kind));
      Optional<FileStat> actual = kind.of(Proc.of(pid));
      if (wanted.isPresent() != actual.isPresent()
          || (wanted.isPresent() && !wanted.get().sameFile(actual.get()))) {
        throw new CheckpointException(
            Outcome.FAILED, "cannot prove the " + kind + ": the process is in another one");
      }
    }
  }

  private static Optional<FileStat> own(NamespaceKind kind) {
    try {
      return Namespaces.own(kind);
    } catch (SyscallException _) {
      return Optional.empty();
    }
  }

  @Override
  public void close() {
    namespaces.close();
  }
}
