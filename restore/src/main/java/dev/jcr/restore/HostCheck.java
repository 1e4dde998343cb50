package dev.jcr.restore;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.CheckpointException.Problem;
import dev.jcr.image.v1.FileIdentity;
import dev.jcr.image.v1.Host;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.Resume;
import dev.jcr.image.v1.SharedObject;
import dev.jcr.image.v1.Thread;
import dev.jcr.image.v1.Vma;
import dev.jcr.image.v1.VmaKind;
import dev.jcr.parasite.collect.FileIdentities;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.namespace.Namespaces;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.restore.files.ChangedFiles;
import dev.jcr.restore.files.FileCheck;
import dev.jcr.restore.files.FileCopies;
import dev.jcr.restore.process.TaskMaker;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Collectors;

/// Whether this host can take a process up, found before anything is created.
final class HostCheck {
  private static final long ZOMBIE_PATIENCE_NANOS = 5_000_000_000L;
  private static final long ZOMBIE_POLL_NANOS = 5_000_000L;

  private HostCheck() {}

  static List<Problem> problems(ProcessState state, Host facts)
      throws CheckpointException, IOException {
    ThisHost host = new ThisHost(facts, KernelMappings.ofThisHost());
    try (JoinedNamespaces joined = namespaces(state)) {
      return problems(state, host, ChangedFiles.NONE, joined);
    }
  }

  private static JoinedNamespaces namespaces(ProcessState state) throws IOException {
    return JoinedNamespaces.open(state.getIdentity().getNamespacesList());
  }

  /// All reasons against it; empty when there are none.
  static List<Problem> problems(
      ProcessState state, ThisHost here, ChangedFiles changed, JoinedNamespaces joined)
      throws CheckpointException, IOException {
    Host host = here.facts();
    List<Problem> problems = new ArrayList<>();
    if (state.getHost().getArch() != host.getArch()) {
      problems.add(
          new Problem(
              "host",
              "architecture",
              "the image is of %s, this host is %s"
                  .formatted(state.getHost().getArch(), host.getArch()),
              "restore it on such a machine"));
      return problems;
    }
    if (state.getHost().getPageSize() != host.getPageSize()) {
      problems.add(
          new Problem(
              "host",
              "page size",
              "the image has pages of %d bytes, this kernel of %d"
                  .formatted(state.getHost().getPageSize(), host.getPageSize()),
              "restore it on a kernel with the same page size"));
    }
    if (!joined.problems().isEmpty()) {
      // Which files are meant is not known.
      problems.addAll(joined.problems());
      return problems;
    }
    unsupported(state, problems);
    cpu(state, host, problems);
    if (VdsoVerdict.of(state, here.mappings()) instanceof VdsoVerdict.Refused refused) {
      problems.addAll(refused.problems());
    }
    files(state, changed, problems);
    if (joined.hasOtherPids()) {
      problems.addAll(OtherPids.problems(state, joined.newPids()));
    }
    ids(state, joined, problems);
    return problems;
  }

  /// The same for a state of which only host, executable, mappings, ids and descriptors are known.
  static List<Problem> outline(ProcessState state, ThisHost host)
      throws CheckpointException, IOException {
    ProcessState known = state.toBuilder().clearThreads().build();
    try (JoinedNamespaces joined = namespaces(state)) {
      try (Namespaces.Visit _ = joined.enter()) {
        List<Problem> problems = problems(known, host, ChangedFiles.NONE, joined);
        if (problems.stream().noneMatch(problem -> problem.object().equals("architecture"))) {
          ids(state, joined, problems);
          problems.addAll(FileCheck.problems(state.getFiles(), ChangedFiles.NONE));
        }
        return problems;
      }
    }
  }

  /// What a dump of this version refuses, and an image could hold all the same.
  private static void unsupported(ProcessState state, List<Problem> problems) {
    String root = state.getIdentity().getRootDirectory();
    if (!root.isEmpty() && !Files.isDirectory(Path.of(root))) {
      problems.add(
          new Problem(
              "file",
              "root directory " + root,
              "it does not exist",
              "put the directory back with what the process needs"));
    }
    // No flags like these: EINVAL where the call is there.
    if (state.getFiles().getObjectsList().stream()
            .anyMatch(object -> object.getKind() == SharedObject.Kind.KIND_SECRET)
        && Kernel.raw(Syscall.MEMFD_SECRET, -1) == -Errno.ENOSYS) {
      problems.add(
          new Problem(
              "host",
              "secret memory",
              "this kernel has no memfd_secret",
              "start it with secretmem.enable=1"));
    }
    for (Vma vma : state.getMemory().getVmasList()) {
      if (vma.getProtectionKey() != 0) {
        problems.add(new Problem("vma", "image", "it has protection keys, not supported yet", ""));
        break;
      }
    }
    for (Thread thread : state.getThreadsList()) {
      boolean whole =
          thread.getCredentials().getUidsCount() == 4
              && thread.getCredentials().getGidsCount() == 4
              && thread.hasScheduling()
              && (thread.getBlockedCall().getResume() != Resume.RESUME_AGAIN
                  || thread.getBlockedCall().getArgumentsCount() == 6);
      if (!whole) {
        problems.add(
            new Problem("thread", "thread " + thread.getTid(), "its record is incomplete", ""));
      }
    }
  }

  private static void cpu(ProcessState state, Host host, List<Problem> problems) {
    // The page size is a problem of its own.
    Host alike = host.toBuilder().setPageSize(state.getHost().getPageSize()).build();
    Set<String> missing = CpuVerdict.of(state, alike).missing();
    if (!missing.isEmpty()) {
      problems.add(
          new Problem(
              "host",
              "CPU",
              "it lacks " + String.join(" ", missing),
              "restore on a CPU that has all features of the first"));
    }
  }

  /// Executable, libraries and other private file mappings must be as they were; files mapped
  /// shared may have been written to since.
  private static void files(ProcessState state, ChangedFiles changed, List<Problem> problems) {
    Map<String, FileIdentity> exact = new LinkedHashMap<>();
    Map<String, FileIdentity> shared = new LinkedHashMap<>();
    FileIdentity executable = state.getIdentity().getExecutable();
    Set<String> embedded =
        state.getFiles().getObjectsList().stream()
            .filter(object -> object.getKind() == SharedObject.Kind.KIND_EMBEDDED_FILE)
            .map(SharedObject::getName)
            .collect(Collectors.toSet());
    exact.put(executable.getPath(), executable);
    for (Vma vma : state.getMemory().getVmasList()) {
      if (vma.hasFile()) {
        (vma.getKind() == VmaKind.VMA_SHARED_FILE ? shared : exact)
            .put(vma.getFile().getPath(), vma.getFile());
      }
    }
    exact.keySet().removeAll(embedded);
    shared.keySet().removeAll(embedded);
    for (FileIdentity file : exact.values()) {
      if (shared.containsKey(file.getPath())) {
        continue;
      }
      (changed.acceptsMapped(file.getPath())
              ? FileIdentities.missing(file)
              : FileIdentities.changed(file))
          .ifPresent(reason ->
              problems.add(
                  new Problem(
                      "file", "mapped file " + file.getPath(), reason, "put the same file back")));
    }
    FileCopies.of(state.getFiles())
        .filter(copy -> !Files.exists(Path.of(copy.getName())))
        .forEach(copy -> shared.remove(copy.getName()));
    for (FileIdentity file : shared.values()) {
      FileIdentities.missing(file)
          .ifPresent(reason ->
              problems.add(
                  new Problem(
                      "file", "mapped file " + file.getPath(), reason, "put the same file back")));
    }
  }

  /// The dumped process itself, if its parent is slow to take note of its end.
  private static boolean isZombie(int pid) {
    try {
      return Proc.of(pid).status().state() == 'Z';
    } catch (IOException _) {
      return false;
    }
  }

  /// Pids and tids that are taken, each by whom. In a new pid namespace none is; in another one it
  /// shows when they are asked for.
  private static void ids(ProcessState state, JoinedNamespaces joined, List<Problem> problems) {
    if (joined.hasOtherPids()) {
      return;
    }
    long deadline = System.nanoTime() + ZOMBIE_PATIENCE_NANOS;
    List<Integer> wanted = new ArrayList<>();
    state.getThreadsList().forEach(thread -> wanted.add(thread.getTid()));
    state.getIdentity().getZombiesList().forEach(zombie -> wanted.add(zombie.getPid()));
    for (int id : wanted) {
      while (isZombie(id) && System.nanoTime() < deadline) {
        LockSupport.parkNanos(ZOMBIE_POLL_NANOS);
      }
      if (Proc.of(id).exists()) {
        problems.add(
            new Problem(
                "process",
                "id " + id,
                String.valueOf(TaskMaker.idInUse(state.getIdentity().getPid(), id).getMessage()),
                ""));
      }
    }
  }

  /// One exception for all problems: a taken pid alone is a failure, anything else makes the image
  /// incompatible.
  static void require(String image, List<Problem> problems) throws CheckpointException {
    if (problems.isEmpty()) {
      return;
    }
    boolean onlyIds = problems.stream().allMatch(problem -> problem.kind().equals("process"));
    if (onlyIds) {
      // The message of a single one says it all.
      List<Problem> details = problems.size() == 1 ? List.of() : problems;
      throw new CheckpointException(Outcome.FAILED, problems.getFirst().reason(), details, null);
    }
    throw new CheckpointException(
        Outcome.IMAGE,
        "cannot restore "
            + image
            + ": "
            + String.join(" | ", problems.stream().map(Problem::toString).toList()),
        problems,
        null);
  }
}
