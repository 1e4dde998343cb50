package dev.jcr.parasite.namespace;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.parasite.linux.FileStat;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.procfs.ProcStatus;
import java.io.IOException;
import java.util.List;
import java.util.Optional;

/// The numbers by which tasks are known in the pid namespace of one process, pid_namespaces(7): it
/// is jcr's, or one below it, where every task has a number for each namespace from jcr's inwards.
///
/// Whatever jcr asks the kernel about, or finds in `/proc`, is numbered as in jcr's; what the
/// process has been told, and what its own calls take, is numbered as here.
public final class PidNumbers {
  private final Optional<FileStat> namespace;
  private final int depth;

  private PidNumbers(Optional<FileStat> namespace, int depth) {
    this.namespace = namespace;
    this.depth = depth;
  }

  /// As jcr's own.
  public static final PidNumbers SAME = new PidNumbers(Optional.empty(), 0);

  /// Those of a process.
  public static PidNumbers of(Proc proc) throws IOException {
    List<Integer> own = proc.status().nspid();
    return own.size() <= 1 ? SAME : new PidNumbers(NamespaceKind.PID.of(proc), own.size() - 1);
  }

  /// Whether the process lives below jcr's namespace.
  public boolean isNested() {
    return depth > 0;
  }

  /// The number of a process or thread; 0 for one that does not live in this very namespace, or has
  /// ended.
  ///
  /// @param id in jcr's namespace
  public int of(int id) {
    if (!isNested()) {
      return id;
    }
    try {
      Proc proc = Proc.of(id);
      List<Integer> numbers = proc.status().nspid();
      return numbers.size() == depth + 1 && lives(proc) ? numbers.getLast() : 0;
    } catch (IOException _) {
      return 0;
    }
  }

  /// The same of one that is there.
  public int require(int id) throws CheckpointException {
    int number = of(id);
    if (number == 0) {
      throw new CheckpointException(
          Outcome.TARGET_LOST,
          "cannot tell the number of task " + id + " in the process's pid namespace: it is gone");
    }
    return number;
  }

  private boolean lives(Proc proc) throws IOException {
    Optional<FileStat> other = NamespaceKind.PID.of(proc);
    return namespace.isPresent() && other.isPresent() && other.get().sameFile(namespace.get());
  }

  /// The process group of a task of this namespace; 0 for one from outside.
  public int group(ProcStatus status) {
    return status.nspgid().getLast();
  }

  /// The session of a task of this namespace; 0 for one from outside.
  public int session(ProcStatus status) {
    return status.nssid().getLast();
  }
}
