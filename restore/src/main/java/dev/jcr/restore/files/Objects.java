package dev.jcr.restore.files;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.v1.SharedObject;
import dev.jcr.parasite.collect.VmaCollector;
import dev.jcr.parasite.host.HostFacts;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.OpenFlags;
import dev.jcr.parasite.linux.SharedMemory;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;

/// Shared objects in the new process: made empty, filled by jcr, opened and mapped by the process.
final class Objects {
  private static final int MAP_NORESERVE = 0x4000;
  private static final int PROT_READ_WRITE = 3;
  private static final int MAP_SHARED = 0x01;
  private static final int MAP_SHARED_ANONYMOUS = 0x21;
  private static final int SEEK_DATA = 3;
  private static final int SEEK_HOLE = 4;
  private static final int PERMISSIONS = 07777;
  private static final Pattern NAMELESS = Pattern.compile("#[0-9]+");
  private static final long UTIME_OMIT = 0x3ffffffe;

  private final Inside inside;
  private final Map<Integer, Integer> fds = new HashMap<>();

  /// Segments that other processes have attached: their content is not the image's any more.
  private final Set<Integer> inUse = new HashSet<>();

  private final Set<Integer> secrets = new HashSet<>();

  /// Objects made by O_TMPFILE: true until a description has taken the one that made it.
  private final Map<Integer, Boolean> nameless = new HashMap<>();

  Objects(Inside inside) {
    this.inside = inside;
  }

  int fd(int objectId) throws CheckpointException {
    Integer fd = fds.get(objectId);
    if (fd == null) {
      throw new CheckpointException(
          Outcome.IMAGE, "cannot restore descriptors: the image has no object " + objectId);
    }
    return fd;
  }

  void create(SharedObject object) throws CheckpointException {
    int fd =
        switch (object.getKind()) {
          case KIND_MEMFD -> memfd(object);
          case KIND_SECRET -> secret(object);
          case KIND_UNLINKED_FILE, KIND_FILE_COPY, KIND_EMBEDDED_FILE -> unlinked(object);
          case KIND_ANONYMOUS -> anonymous(object);
          case KIND_SYSV -> segment(object);
          case KIND_UNSPECIFIED, UNRECOGNIZED ->
              throw new CheckpointException(
                  Outcome.IMAGE,
                  "cannot restore object " + object.getId() + ": its kind is not known");
        };
    int held = inside.lift(fd);
    fds.put(object.getId(), held);
    if (object.getKind() == SharedObject.Kind.KIND_ANONYMOUS
        || object.getKind() == SharedObject.Kind.KIND_SYSV) {
      return;
    }
    try (Fd local = inside.local(held)) {
      set(
          "set the size of object " + object.getId() + " to " + object.getSize(),
          Syscall.FTRUNCATE,
          local.number(),
          object.getSize());
      // The owner first: changing it may clear set-user-id bits.
      set(
          "set the owner of object " + object.getId(),
          Syscall.FCHOWN,
          local.number(),
          object.getUid(),
          object.getGid());
      set(
          "set the permissions of object " + object.getId(),
          Syscall.FCHMOD,
          local.number(),
          object.getMode() & PERMISSIONS);
    }
  }

  private static void set(String what, Syscall call, long... arguments) throws CheckpointException {
    long result = Kernel.raw(call, arguments);
    if (Kernel.isError(result)) {
      throw Inside.failure(what, result);
    }
  }

  boolean isFresh(int objectId) {
    return !inUse.contains(objectId);
  }

  /// A System V segment: the one that is there, or one with the same key and id.
  private int segment(SharedObject object) throws CheckpointException {
    int id = object.getSegment();
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment info = arena.allocate(SharedMemory.INFO_SIZE, 8);
      long found = Kernel.raw(Syscall.SHMCTL, id, SharedMemory.IPC_STAT, info.address());
      if (Kernel.isError(found)) {
        create(object, info);
      } else if (info.get(ValueLayout.JAVA_INT, SharedMemory.KEY) != object.getKey()
          || info.get(ValueLayout.JAVA_LONG, SharedMemory.SIZE) != object.getSize()) {
        throw new CheckpointException(
            Outcome.FAILED,
            "cannot create System V segment %d: another one has this id; remove it (ipcrm -m %d)"
                .formatted(id, id));
      } else if (info.get(ValueLayout.JAVA_LONG, SharedMemory.ATTACHED) > 0) {
        inUse.add(object.getId());
      }
    }
    long address = inside.calls().require("attach System V segment " + id, Syscall.SHMAT, id, 0, 0);
    long end = address + wholePages(object);
    int fd =
        inside.open(
            "/proc/" + inside.pid() + "/map_files/%x-%x".formatted(address, end),
            Fd.O_RDWR | Fd.O_CLOEXEC);
    inside.require("detach System V segment " + id, Syscall.SHMDT, address);
    return fd;
  }

  /// What a mapping of all of it takes, in bytes.
  private static long wholePages(SharedObject object) throws CheckpointException {
    try {
      long page = HostFacts.pageSize();
      return Math.max(page, (object.getSize() + page - 1) / page * page);
    } catch (IOException e) {
      throw new CheckpointException(
          Outcome.FAILED, "cannot read the page size: " + e.getMessage(), e);
    }
  }

  /// With a chosen id: `/proc/sys/kernel/shm_next_id`, proc_sys_kernel(5).
  private void create(SharedObject object, MemorySegment info) throws CheckpointException {
    int id = object.getSegment();
    try (Fd next = Fd.open("/proc/sys/kernel/shm_next_id", Fd.O_WRONLY, 0);
        Arena arena = Arena.ofConfined()) {
      String number = Integer.toString(id);
      next.writeFully(arena.allocateFrom(number).asSlice(0, number.length()), 0);
    } catch (SyscallException e) {
      throw Inside.failure(e);
    }
    int got =
        inside.require(
            "create System V segment " + id,
            Syscall.SHMGET,
            object.getKey(),
            object.getSize(),
            SharedMemory.IPC_CREAT | SharedMemory.IPC_EXCL | (object.getMode() & 0777));
    if (got != id) {
      Kernel.raw(Syscall.SHMCTL, got, SharedMemory.IPC_RMID, 0);
      throw new CheckpointException(
          Outcome.FAILED, "cannot create System V segment " + id + ": the kernel gave " + got);
    }
    set(
        "ask about System V segment " + id,
        Syscall.SHMCTL,
        id,
        SharedMemory.IPC_STAT,
        info.address());
    info.set(ValueLayout.JAVA_INT, SharedMemory.UID, object.getUid());
    info.set(ValueLayout.JAVA_INT, SharedMemory.GID, object.getGid());
    set(
        "set the owner of System V segment " + id,
        Syscall.SHMCTL,
        id,
        SharedMemory.IPC_SET,
        info.address());
  }

  static void remove(SharedObject object) throws CheckpointException {
    set(
        "mark System V segment " + object.getSegment() + " for removal",
        Syscall.SHMCTL,
        object.getSegment(),
        SharedMemory.IPC_RMID,
        0);
  }

  private int memfd(SharedObject object) throws CheckpointException {
    inside.putString(object.getName());
    return inside.require(
        "create memfd " + object.getName(),
        Syscall.MEMFD_CREATE,
        inside.scratch(),
        Integer.toUnsignedLong(object.getCreateFlags()));
  }

  private int secret(SharedObject object) throws CheckpointException {
    secrets.add(object.getId());
    return inside.require("create secret memory", Syscall.MEMFD_SECRET, Fd.O_CLOEXEC);
  }

  /// Only the process itself can write to secret memory, by having the kernel copy: from a memfd
  /// that jcr has filled.
  void fillSecret(SharedObject object, FileExecutor.Content content) throws CheckpointException {
    if (object.getSize() == 0) {
      return;
    }
    long size = wholePages(object);
    inside.putString("jcr");
    int memfd =
        inside.require("make a memfd", Syscall.MEMFD_CREATE, inside.scratch(), Fcntl.MFD_CLOEXEC);
    long address =
        inside
            .calls()
            .require(
                "map secret memory (RLIMIT_MEMLOCK must allow that)",
                Syscall.MMAP,
                0,
                size,
                PROT_READ_WRITE,
                MAP_SHARED,
                fd(object.getId()),
                0);
    try (Fd local = inside.local(memfd)) {
      set("set the size of a memfd", Syscall.FTRUNCATE, local.number(), size);
      content.write(local);
      long at = Kernel.raw(Syscall.LSEEK, local.number(), 0, SEEK_DATA);
      while (!Kernel.isError(at)) {
        long end = Kernel.raw(Syscall.LSEEK, local.number(), at, SEEK_HOLE);
        while (at < end) {
          at +=
              inside
                  .calls()
                  .require(
                      "fill secret memory", Syscall.PREAD64, memfd, address + at, end - at, at);
        }
        at = Kernel.raw(Syscall.LSEEK, local.number(), at, SEEK_DATA);
      }
    }
    inside.require("unmap secret memory", Syscall.MUNMAP, address, size);
    inside.close(memfd);
  }

  /// Memory of a shared anonymous mapping has no call that opens it: it is mapped for a moment and
  /// opened by /proc/PID/map_files.
  private int anonymous(SharedObject object) throws CheckpointException {
    long size = wholePages(object);
    int huge =
        (object.getCreateFlags() & Fcntl.MFD_HUGETLB) == 0
            ? 0
            : (object.getCreateFlags() & ~Fcntl.MFD_HUGETLB)
                | VmaCollector.MAP_HUGETLB
                | MAP_NORESERVE;
    long address =
        inside
            .calls()
            .require(
                "map %d bytes of %s"
                    .formatted(size, huge == 0 ? "shared memory" : "huge TLB pages"),
                Syscall.MMAP,
                0,
                size,
                PROT_READ_WRITE,
                MAP_SHARED_ANONYMOUS | huge,
                -1,
                0);
    String path = "/proc/" + inside.pid() + "/map_files/%x-%x".formatted(address, address + size);
    long fd = inside.tryOpen(path, Fd.O_RDWR | Fd.O_CLOEXEC);
    inside.require("unmap shared memory", Syscall.MUNMAP, address, size);
    if (Kernel.isError(fd)) {
      throw new CheckpointException(
          fd == -Errno.EPERM || fd == -Errno.EACCES ? Outcome.PERMISSION : Outcome.FAILED,
          "cannot open shared memory by "
              + path
              + ": "
              + Errno.describe((int) -fd)
              + "; needs CAP_CHECKPOINT_RESTORE");
    }
    return (int) fd;
  }

  /// Under its old name for a moment, so that /proc shows the same as before; without any name
  /// where that is taken by another file now.
  private int unlinked(SharedObject object) throws CheckpointException {
    String path = object.getName();
    int slash = path.lastIndexOf('/');
    String directory = slash <= 0 ? "/" : path.substring(0, slash);
    if (NAMELESS.matcher(path.substring(slash + 1)).matches()) {
      // Made by O_TMPFILE, and only such a file can still be given a name.
      long fd = nameless(directory);
      if (!Kernel.isError(fd)) {
        nameless.put(object.getId(), true);
        return (int) fd;
      }
    }
    int create = Fd.O_RDWR | OpenFlags.O_CREAT | OpenFlags.O_EXCL | Fd.O_CLOEXEC;
    inside.putString(path);
    long fd = inside.calls().call(Syscall.OPENAT, Fd.AT_FDCWD, inside.scratch(), create, 0600);
    if (!Kernel.isError(fd)) {
      inside.putString(path);
      inside.require("remove " + path, Syscall.UNLINKAT, Fd.AT_FDCWD, inside.scratch(), 0);
      return (int) fd;
    }
    if (fd == -Errno.EEXIST) {
      fd = nameless(directory);
    }
    if (Kernel.isError(fd)) {
      throw new CheckpointException(
          fd == -Errno.ENOENT ? Outcome.IMAGE : Outcome.FAILED,
          "cannot create the unlinked file "
              + path
              + " in "
              + directory
              + ": "
              + Errno.describe((int) -fd));
    }
    return (int) fd;
  }

  /// utimensat(2) of the open file; the time of access stays.
  void stamp(SharedObject object) throws CheckpointException {
    try (Fd local = inside.local(fd(object.getId()));
        Arena arena = Arena.ofConfined()) {
      MemorySegment times =
          arena.allocateFrom(
              ValueLayout.JAVA_LONG,
              0,
              UTIME_OMIT,
              object.getMtimeSeconds(),
              object.getMtimeNanos());
      set(
          "set the time of object " + object.getId(),
          Syscall.UTIMENSAT,
          local.number(),
          0,
          times.address(),
          0);
    }
  }

  void seal(int objectId, int seals) throws CheckpointException {
    try (Fd local = inside.local(fd(objectId))) {
      long has = Kernel.raw(Syscall.FCNTL, local.number(), Fcntl.F_GET_SEALS, 0);
      int missing = seals & ~(int) Math.max(0, has);
      if (missing != 0) {
        set("seal object " + objectId, Syscall.FCNTL, local.number(), Fcntl.F_ADD_SEALS, missing);
      }
    }
  }

  private long nameless(String directory) throws CheckpointException {
    inside.putString(directory);
    return inside
        .calls()
        .call(
            Syscall.OPENAT,
            Fd.AT_FDCWD,
            inside.scratch(),
            Fd.O_RDWR | OpenFlags.of(Kernel.HOST).tmpFile() | Fd.O_CLOEXEC,
            0600);
  }

  /// Another description of an object; sealing against writing forbids nothing but that.
  int open(int objectId, int flags) throws CheckpointException {
    int fd = fd(objectId);
    if (secrets.contains(objectId)) {
      // There is one description of each, and no way to another.
      return inside.require(
          "duplicate object " + objectId, Syscall.FCNTL, fd, Fcntl.F_DUPFD_CLOEXEC, inside.first());
    }
    OpenFlags special = OpenFlags.of(Kernel.HOST);
    boolean original = (flags & special.tmpFile()) == special.tmpFile();
    if (original
        && (flags & OpenFlags.O_ACCMODE) == OpenFlags.O_RDWR
        && nameless.replace(objectId, true, false)) {
      // The description that made the file shows O_TMPFILE, which no other can.
      inside.require(
          "set the flags of object " + objectId,
          Syscall.FCNTL,
          fd,
          Fcntl.F_SETFL,
          flags & (OpenFlags.O_APPEND | OpenFlags.O_NONBLOCK));
      return inside.require(
          "duplicate object " + objectId, Syscall.FCNTL, fd, Fcntl.F_DUPFD_CLOEXEC, inside.first());
    }
    int usable = flags & ~(special.tmpFile() | OpenFlags.O_ASYNC | special.noFollow());
    return inside.open("/proc/" + inside.pid() + "/fd/" + fd, usable | Fd.O_CLOEXEC);
  }
}
