package dev.jcr.dump.files;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.CheckpointException.Problem;
import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.FileIdentity;
import dev.jcr.image.v1.Files;
import dev.jcr.image.v1.SharedObject;
import dev.jcr.image.v1.Vma;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FileStat;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.namespace.Namespaces;
import dev.jcr.parasite.procfs.Anchor;
import dev.jcr.parasite.procfs.MapsEntry;
import dev.jcr.parasite.procfs.Proc;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/// Files that the process has open or mapped and whose content goes into the image, because the
/// command line asks for it.
public final class EmbeddedFiles implements AutoCloseable {
  private static final String DELETED = " (deleted)";

  /// @param asIs what stat(2) said before the content was read
  private record File(SharedObject object, Fd content, FileStat asIs) {}

  private final List<File> files = new ArrayList<>();

  private EmbeddedFiles() {}

  /// What forbids it, found without stopping the process. Throws USAGE for a path of which the
  /// process has nothing open or mapped.
  public static List<Problem> preflight(int pid, Embedding wanted) throws CheckpointException {
    if (wanted.isEmpty()) {
      return List.of();
    }
    Set<String> seen = new LinkedHashSet<>();
    Anchor process;
    try {
      process = Anchor.of(pid);
      Proc proc = process.proc();
      for (MapsEntry entry : proc.maps()) {
        seen.add(entry.path());
      }
      for (int fd : proc.fds()) {
        link(proc, fd).ifPresent(seen::add);
      }
    } catch (IOException e) {
      throw OpenFileTable.failure(pid, e);
    }
    List<String> present = seen.stream().map(EmbeddedFiles::withoutDeleted).toList();
    List<String> missing = wanted.without(present);
    if (!missing.isEmpty()) {
      throw new CheckpointException(
          Outcome.USAGE,
          "cannot embed %s: process %d has nothing open or mapped there"
              .formatted(missing.getFirst(), pid));
    }
    List<Problem> problems = new ArrayList<>();
    try (Namespaces namespaces = Namespaces.of(process.tid());
        Namespaces.Visit _ = namespaces.enter();
        EmbeddedFiles found = new EmbeddedFiles()) {
      // What was removed or replaced is in the image anyway, or refused.
      seen.removeIf(path -> path.endsWith(DELETED));
      found.add(seen, wanted, 0, problems);
    } catch (SyscallException e) {
      throw OpenFileTable.failure(pid, e);
    }
    return problems;
  }

  private static Optional<String> link(Proc proc, int fd) throws IOException {
    try {
      return Optional.of(proc.link("fd/" + fd));
    } catch (SyscallException e) {
      if (e.errno() == Errno.ENOENT) {
        return Optional.empty(); // Closed meanwhile.
      }
      throw e;
    }
  }

  private static String withoutDeleted(String path) {
    return SharedObjects.withoutDeleted(path);
  }

  /// Those of a frozen process, with ids behind those of its other objects.
  public static EmbeddedFiles of(int pid, List<Vma> vmas, Files files, Embedding wanted)
      throws CheckpointException {
    Map<String, FileIdentity> used = new LinkedHashMap<>();
    for (Vma vma : vmas) {
      if (vma.hasFile()) {
        used.put(vma.getFile().getPath(), vma.getFile());
      }
    }
    for (Description description : files.getDescriptionsList()) {
      if (description.hasRegular() && description.getRegular().getObjectId() == 0) {
        used.put(description.getRegular().getFile().getPath(), description.getRegular().getFile());
      }
    }
    List<Problem> problems = new ArrayList<>();
    int last = files.getObjectsList().stream().mapToInt(SharedObject::getId).max().orElse(0);
    EmbeddedFiles embedded = new EmbeddedFiles();
    boolean done = false;
    try {
      embedded.add(used.keySet(), wanted, last, problems);
      if (!problems.isEmpty()) {
        throw new CheckpointException(
            Outcome.UNSUPPORTED,
            "cannot dump process "
                + pid
                + ": "
                + String.join(" | ", problems.stream().map(Problem::toString).toList()),
            problems,
            null);
      }
      for (File file : embedded.files) {
        FileIdentity known = used.get(file.object.getName());
        if (known != null
            && (known.getSize() != file.asIs.size()
                || known.getMtimeSeconds() != file.asIs.mtimeSeconds()
                || known.getMtimeNanos() != file.asIs.mtimeNanos())) {
          throw changed(pid, file.object.getName());
        }
      }
      done = true;
      return embedded;
    } catch (SyscallException e) {
      throw OpenFileTable.failure(pid, e);
    } finally {
      if (!done) {
        embedded.close();
      }
    }
  }

  private void add(Set<String> paths, Embedding wanted, int lastId, List<Problem> problems)
      throws SyscallException {
    Map<String, String> byInode = new HashMap<>();
    for (String path : paths) {
      Optional<FileStat> stat = wanted.covers(path) ? FileStat.find(path) : Optional.empty();
      if (stat.isEmpty()) {
        continue;
      }
      if (!stat.get().is(Fcntl.S_IFREG)) {
        if (wanted.names(path) && !stat.get().is(Fcntl.S_IFDIR)) {
          problems.add(problem(path, "it is no regular file", "do not embed it"));
        }
        continue;
      }
      Fd fd = Fd.open(path, Fd.O_RDONLY, 0);
      FileStat found = FileStat.of(fd.number());
      String inode = found.deviceMajor() + ":" + found.deviceMinor() + ":" + found.inode();
      String other = byInode.putIfAbsent(inode, path);
      Optional<Problem> problem = Optional.empty();
      if (PlainFiles.isVirtual(fd.number())) {
        if (!wanted.names(path)) {
          fd.close();
          continue;
        }
        problem = Optional.of(problem(path, "the kernel makes it up as it is read", ""));
      } else if (found.size() > wanted.limit()) {
        problem =
            Optional.of(
                problem(
                    path,
                    "it has %d bytes, more than the limit of %d"
                        .formatted(found.size(), wanted.limit()),
                    "raise --embed-limit, or do not embed it"));
      } else if (other != null) {
        problem =
            Optional.of(
                problem(
                    path,
                    "the process uses the same file by the name " + other + " too",
                    "do not embed it"));
      }
      if (problem.isPresent()) {
        problems.add(problem.get());
        fd.close();
        continue;
      }
      files.add(
          new File(
              SharedObject.newBuilder()
                  .setId(lastId + files.size() + 1)
                  .setKind(SharedObject.Kind.KIND_EMBEDDED_FILE)
                  .setName(path)
                  .setSize(found.size())
                  .setMode(found.mode())
                  .setUid(found.uid())
                  .setGid(found.gid())
                  .setMtimeSeconds(found.mtimeSeconds())
                  .setMtimeNanos(found.mtimeNanos())
                  .build(),
              fd,
              found));
    }
  }

  private static Problem problem(String path, String reason, String remedy) {
    return new Problem("file", "embedded file " + path, reason, remedy);
  }

  private static CheckpointException changed(int pid, String path) {
    return new CheckpointException(
        Outcome.FAILED,
        "cannot dump process %d: file %s was written by another process while it was copied; try again"
            .formatted(pid, path));
  }

  /// By ids, ascending.
  public List<SharedObject> objects() {
    return files.stream().map(File::object).toList();
  }

  /// A description of jcr's own, open for reading.
  public Fd content(SharedObject object) {
    for (File file : files) {
      if (file.object.getId() == object.getId()) {
        return file.content;
      }
    }
    throw new IllegalStateException("no object " + object.getId());
  }

  /// To be asked when all contents were read: whether they are those of one moment.
  public void requireUnchanged(int pid) throws CheckpointException {
    try {
      for (File file : files) {
        if (!FileStat.of(file.content.number()).equals(file.asIs)) {
          throw changed(pid, file.object.getName());
        }
      }
    } catch (SyscallException e) {
      throw OpenFileTable.failure(pid, e);
    }
  }

  @Override
  public void close() {
    files.forEach(file -> file.content.close());
  }
}
