package dev.jcr.dump.files;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FileStat;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.procfs.Anchor;
import dev.jcr.parasite.procfs.MapsEntry;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.remote.Infection;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// Copies of what memfd_secret(2) files hold. Only the process itself can read that, by having the
/// kernel copy it: it writes what is there into a memfd, which jcr takes over and the process has
/// for no longer. Confined to the tracer thread.
public final class SecretMemory implements AutoCloseable {
  private static final String LINK = "/secretmem (deleted)";
  private static final int PROT_READ = 1;
  private static final int MAP_SHARED = 1;

  /// Answers of mincore(2) that fit into the scratch memory, a byte a page.
  private static final int LOOK_PAGES = 32 * 1024;

  private final Map<Long, Fd> copies = new HashMap<>();

  private SecretMemory() {}

  /// Of a process that has none.
  public static SecretMemory none() {
    return new SecretMemory();
  }

  static boolean isSecret(String link) {
    return link.equals(LINK);
  }

  /// Whether a running process has any.
  public static boolean any(Proc proc) throws IOException {
    return proc.maps().stream().anyMatch(entry -> isSecret(entry.path()))
        || !opened(proc).isEmpty();
  }

  /// A part of a secret file in the memory of the process.
  private record Place(long address, long offset, long length) {}

  /// Lets the stopped process copy all of its secret files.
  public static SecretMemory read(Anchor process, Infection.InfectedThread inside, int pageSize)
      throws CheckpointException, IOException {
    Proc proc = process.proc();
    Map<Long, List<Place>> places = new HashMap<>();
    Map<Long, Long> sizes = new HashMap<>();
    Map<Long, Integer> opened = opened(proc);
    for (MapsEntry entry : proc.maps()) {
      if (isSecret(entry.path())) {
        List<Place> all = places.computeIfAbsent(entry.inode(), key -> new ArrayList<>());
        if (entry.permissions().startsWith("r")) {
          all.add(new Place(entry.start(), entry.offset(), entry.end() - entry.start()));
        }
        String file = "map_files/%x-%x".formatted(entry.start(), entry.end());
        sizes.put(entry.inode(), FileStat.of(proc.path(file)).size());
      }
    }
    for (Map.Entry<Long, Integer> one : opened.entrySet()) {
      places.computeIfAbsent(one.getKey(), key -> new ArrayList<>());
      sizes.put(one.getKey(), FileStat.of(proc.path("fd/" + one.getValue())).size());
    }
    SecretMemory secrets = new SecretMemory();
    boolean done = false;
    try (Fd pidFd = process.pidFd()) {
      for (Map.Entry<Long, List<Place>> one : places.entrySet()) {
        long inode = one.getKey();
        long size = sizes.getOrDefault(inode, 0L);
        Copier copier = new Copier(pidFd, inside, pageSize);
        secrets.copies.put(
            inode, copier.copy(size, one.getValue(), Optional.ofNullable(opened.get(inode))));
      }
      done = true;
      return secrets;
    } finally {
      if (!done) {
        secrets.close();
      }
    }
  }

  /// The lowest descriptor of each, by inode.
  private static Map<Long, Integer> opened(Proc proc) throws IOException {
    Map<Long, Integer> opened = new HashMap<>();
    for (int fd : proc.fds()) {
      try {
        if (isSecret(proc.link("fd/" + fd))) {
          opened.putIfAbsent(FileStat.of(proc.path("fd/" + fd)).inode(), fd);
        }
      } catch (SyscallException e) {
        if (e.errno() != Errno.ENOENT) {
          throw e;
        }
        // A running process closed it meanwhile.
      }
    }
    return opened;
  }

  /// The copy of one, which the caller closes; empty when it was not there.
  Optional<Fd> take(long inode) {
    return Optional.ofNullable(copies.remove(inode));
  }

  @Override
  public void close() {
    copies.values().forEach(Fd::close);
    copies.clear();
  }

  /// @param inside the thread that makes the calls
  private record Copier(Fd pidFd, Infection.InfectedThread inside, int pageSize) {
    Fd copy(long size, List<Place> places, Optional<Integer> fd)
        throws CheckpointException, SyscallException {
      long whole = (size + pageSize - 1) / pageSize * pageSize;
      try (Arena arena = Arena.ofConfined()) {
        inside.write(inside.scratch(), arena.allocateFrom("jcr"));
      }
      long memfd =
          inside.require(
              "make a memfd for secret memory",
              Syscall.MEMFD_CREATE,
              inside.scratch(),
              Fcntl.MFD_CLOEXEC);
      Optional<Fd> own = Optional.empty();
      boolean done = false;
      try {
        own = Fd.duplicateOf(pidFd, (int) memfd);
        Kernel.call(
            "set the size of a memfd", Syscall.FTRUNCATE, own.orElseThrow().number(), whole);
        if (covers(places, whole)) {
          for (Place place : places) {
            copy(place, memfd);
          }
        } else {
          copyMapped(whole, fd, memfd);
        }
        done = true;
        return own.orElseThrow();
      } finally {
        inside.call(Syscall.CLOSE, memfd);
        if (!done) {
          own.ifPresent(Fd::close);
        }
      }
    }

    private static boolean covers(List<Place> places, long whole) {
      long end = 0;
      for (Place place : places.stream().sorted(Comparator.comparingLong(Place::offset)).toList()) {
        if (place.offset() > end) {
          return false;
        }
        end = Math.max(end, place.offset() + place.length());
      }
      return end >= whole;
    }

    /// Some of it has no address: all of it gets one for a moment.
    private void copyMapped(long whole, Optional<Integer> fd, long memfd)
        throws CheckpointException {
      if (fd.isEmpty()) {
        throw new CheckpointException(
            Outcome.UNSUPPORTED,
            "cannot read secret memory: a part of it is not mapped, and no descriptor leads to it");
      }
      long address =
          inside.require(
              "map secret memory (RLIMIT_MEMLOCK must allow that)",
              Syscall.MMAP,
              0,
              whole,
              PROT_READ,
              MAP_SHARED,
              fd.get(),
              0);
      try {
        copy(new Place(address, 0, whole), memfd);
      } finally {
        inside.call(Syscall.MUNMAP, address, whole);
      }
    }

    /// Only pages that are there: reading others would make them.
    private void copy(Place place, long memfd) throws CheckpointException {
      for (long from = 0; from < place.length(); from += (long) LOOK_PAGES * pageSize) {
        long bytes = Math.min((long) LOOK_PAGES * pageSize, place.length() - from);
        inside.require(
            "ask for pages of secret memory",
            Syscall.MINCORE,
            place.address() + from,
            bytes,
            inside.scratch());
        byte[] present = inside.fetch((int) (bytes / pageSize));
        int page = 0;
        while (page < present.length) {
          int end = page;
          while (end < present.length && (present[end] & 1) != 0) {
            end++;
          }
          if (end > page) {
            long at = from + (long) page * pageSize;
            write(memfd, place.address() + at, place.offset() + at, (long) (end - page) * pageSize);
          }
          page = end + 1;
        }
      }
    }

    private void write(long memfd, long address, long offset, long length)
        throws CheckpointException {
      long done = 0;
      while (done < length) {
        done +=
            inside.require(
                "copy secret memory",
                Syscall.PWRITE64,
                memfd,
                address + done,
                length - done,
                offset + done);
      }
    }
  }
}
