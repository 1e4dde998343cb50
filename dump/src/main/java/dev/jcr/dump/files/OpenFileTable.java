package dev.jcr.dump.files;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.v1.Descriptor;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.FileStat;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.procfs.Anchor;
import dev.jcr.parasite.procfs.FdInfo;
import dev.jcr.parasite.procfs.Proc;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/// The descriptors of a process, grouped by open file description.
final class OpenFileTable implements AutoCloseable {
  private final List<Descriptor> descriptors;
  private final List<OpenFile> files = new ArrayList<>();
  private final Map<Integer, UnixQueue> queues = new HashMap<>();
  private final Map<Integer, OpenFile> byFd = new HashMap<>();
  private final Map<Long, List<OpenFile>> byInode = new HashMap<>();

  private OpenFileTable(List<Descriptor> descriptors, List<OpenFile> files) {
    this.descriptors = List.copyOf(descriptors);
    files.forEach(this::add);
  }

  private void add(OpenFile file) {
    files.add(file);
    byInode.computeIfAbsent(file.stat().inode(), key -> new ArrayList<>()).add(file);
    for (int fd : file.fds()) {
      byFd.put(fd, file);
    }
  }

  /// What two descriptors of one description have in common as far as fdinfo tells. Anonymous
  /// inodes are all one; of these only eventfds, which come in numbers, have a number of their own.
  private record Likeness(long inode, int flags, long position, int mountId, int eventfd) {
    static Likeness of(FdInfo info) {
      return new Likeness(
          info.inode(),
          info.flags() & ~Fd.O_CLOEXEC,
          info.position(),
          info.mountId(),
          info.eventfdId().orElse(-1));
    }
  }

  /// Reads the table. Descriptors that are closed meanwhile, which only a running process can do,
  /// are left out.
  static OpenFileTable read(Anchor process, Fd pidFd) throws CheckpointException {
    Proc proc = process.proc();
    List<OpenFile> files = new ArrayList<>();
    try {
      Map<Integer, FdInfo> infos = new LinkedHashMap<>();
      for (int fd : proc.fds()) {
        Optional<String> text = proc.optionalText("fdinfo/" + fd);
        if (text.isPresent()) {
          infos.put(fd, FdInfo.parse(text.get()));
        }
      }
      Map<Integer, List<Integer>> groups = group(process.tid(), infos);
      List<Descriptor> descriptors = new ArrayList<>();
      for (List<Integer> fds : groups.values()) {
        int fd = fds.getFirst();
        Optional<Fd> duplicate = Fd.duplicateOf(pidFd, fd);
        if (duplicate.isEmpty()) {
          continue;
        }
        int id = files.size() + 1;
        FileStat stat = FileStat.of(duplicate.get().number());
        FdInfo info = infos.get(fd);
        if (info == null) {
          throw new AssertionError(fd);
        }
        // The duplicate's name: a running process may close its own meanwhile.
        String link = Proc.at("/proc/self").link("fd/" + duplicate.get().number());
        files.add(new OpenFile(id, fds, link, info, stat, duplicate.get()));
        for (int each : fds) {
          FdInfo own = infos.get(each);
          descriptors.add(
              Descriptor.newBuilder()
                  .setFd(each)
                  .setCloseOnExec(own != null && own.closeOnExec())
                  .setDescriptionId(id)
                  .build());
        }
      }
      descriptors.sort(Comparator.comparingInt(Descriptor::getFd));
      return new OpenFileTable(descriptors, files);
    } catch (IOException e) {
      files.forEach(file -> file.duplicate().close());
      throw failure(process.pid(), e);
    }
  }

  /// Looks into the queues of unix sockets in which descriptors are on their way, and adds the
  /// files that are nowhere else: behind all others, those of a queue in its order. The process
  /// must not run.
  void addPassing() throws IOException, Refusal {
    // It grows meanwhile: a socket in a queue may have a queue.
    for (int i = 0; i < files.size(); i++) {
      OpenFile file = files.get(i);
      if (file.info().passedDescriptors() > 0) {
        try (UnixQueue.Peeked peeked = UnixQueue.peek(file)) {
          UnixQueue queue = new UnixQueue();
          for (UnixQueue.Message message : peeked.messages()) {
            List<Integer> ids = new ArrayList<>();
            for (Fd descriptor : message.descriptors()) {
              ids.add(idOf(descriptor));
            }
            queue.add(message, ids);
          }
          queues.put(file.id(), queue);
        }
      }
    }
  }

  /// Of a file by another descriptor of jcr's, taken over when the table has it not.
  private int idOf(Fd descriptor) throws IOException {
    int self = (int) ProcessHandle.current().pid();
    FileStat stat = FileStat.of(descriptor.number());
    for (OpenFile known : withInode(stat.inode())) {
      if (FdCalls.compareFiles(self, descriptor.number(), self, known.duplicate().number()) == 0) {
        return known.id();
      }
    }
    Proc own = Proc.at("/proc/self");
    int id = files.size() + 1;
    FdInfo info = FdInfo.parse(own.text("fdinfo/" + descriptor.number()));
    String link = own.link("fd/" + descriptor.number());
    int kept = (int) FdCalls.fcntl(descriptor.number(), Fcntl.F_DUPFD_CLOEXEC, 0);
    if (kept < 0) {
      throw new SyscallException("duplicate a descriptor", Syscall.FCNTL, -kept);
    }
    add(new OpenFile(id, List.of(), link, info, stat, new Fd(kept)));
    return id;
  }

  /// What waits in a unix socket, where descriptors are among it and [#addPassing] has looked.
  Optional<UnixQueue> queue(OpenFile file) {
    return Optional.ofNullable(queues.get(file.id()));
  }

  /// Whether files may be open that only a stop of the process shows.
  boolean hasPassing() {
    return files.stream().anyMatch(file -> file.info().passedDescriptors() > 0);
  }

  static CheckpointException failure(int pid, IOException e) {
    int errno = e instanceof SyscallException failed ? failed.errno() : 0;
    return switch (errno) {
      case Errno.EPERM, Errno.EACCES ->
          new CheckpointException(
              Outcome.PERMISSION,
              e.getMessage()
                  + "; looking at the descriptors of process "
                  + pid
                  + " needs root or CAP_SYS_PTRACE",
              e);
      case Errno.ESRCH, Errno.ENOENT ->
          new CheckpointException(
              Outcome.TARGET_LOST,
              "cannot dump process %d: it ended or changed meanwhile (%s)"
                  .formatted(pid, e.getMessage()),
              e);
      default -> new CheckpointException(Outcome.FAILED, String.valueOf(e.getMessage()), e);
    };
  }

  /// Descriptors by their lowest one. kcmp(2) is asked only about those that look alike, and orders
  /// these, so n look-alikes cost n log n questions.
  private static Map<Integer, List<Integer>> group(int tid, Map<Integer, FdInfo> infos)
      throws SyscallException {
    Map<Likeness, List<Integer>> alike = new LinkedHashMap<>();
    infos.forEach(
        (fd, info) -> alike.computeIfAbsent(Likeness.of(info), key -> new ArrayList<>()).add(fd));
    Map<Integer, List<Integer>> groups = new TreeMap<>();
    for (List<Integer> fds : alike.values()) {
      for (List<Integer> same : fds.size() == 1 ? List.of(fds) : split(tid, fds)) {
        groups.put(same.getFirst(), same);
      }
    }
    return groups;
  }

  private static List<List<Integer>> split(int tid, List<Integer> fds) throws SyscallException {
    // One list per description, kept in kcmp's order; each descriptor finds its place by bisection.
    List<List<Integer>> ordered = new ArrayList<>();
    for (int fd : fds) {
      int low = 0;
      int high = ordered.size();
      boolean found = false;
      while (low < high) {
        int middle = (low + high) / 2;
        int other = ordered.get(middle).getFirst();
        int order;
        try {
          order = FdCalls.compareFiles(tid, fd, tid, other);
        } catch (SyscallException e) {
          if (e.errno() != Errno.EBADF) {
            throw e;
          }
          if (isOpen(tid, fd)) {
            ordered.remove(middle);
            high = Math.min(high - 1, ordered.size());
            continue;
          }
          found = true;
          break;
        }
        if (order == 0) {
          ordered.get(middle).add(fd);
          found = true;
          break;
        }
        if (order < 0) {
          high = middle;
        } else {
          low = middle + 1;
        }
      }
      if (!found) {
        List<Integer> own = new ArrayList<>();
        own.add(fd);
        ordered.add(low, own);
      }
    }
    return ordered;
  }

  private static boolean isOpen(int tid, int fd) throws SyscallException {
    try {
      return FdCalls.compareFiles(tid, fd, tid, fd) == 0;
    } catch (SyscallException e) {
      if (e.errno() == Errno.EBADF) {
        return false;
      }
      throw e;
    }
  }

  List<Descriptor> descriptors() {
    return descriptors;
  }

  List<OpenFile> files() {
    return files;
  }

  Optional<OpenFile> of(int fd) {
    return Optional.ofNullable(byFd.get(fd));
  }

  /// All files with this inode number, of whatever device, by id.
  List<OpenFile> withInode(long inode) {
    return byInode.getOrDefault(inode, List.of());
  }

  @Override
  public void close() {
    files.forEach(file -> file.duplicate().close());
  }
}
