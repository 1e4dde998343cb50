package dev.jcr.dump.files;

import dev.jcr.image.v1.SharedObject;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.FileStat;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.SharedMemory;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// Content that lives in no file, each once, whoever leads to it: descriptors or mappings.
final class SharedObjects implements AutoCloseable {
  private static final String DELETED = " (deleted)";
  private static final String MEMFD = "/memfd:";
  private static final String ANONYMOUS = "/dev/zero (deleted)";
  private static final String HUGE_ANONYMOUS = "/anon_hugepage (deleted)";
  private static final int HUGE_SHIFT = 26;

  /// `linux/magic.h`. Its files are as large as a page in their block size.
  private static final long HUGETLBFS_MAGIC = 0x958458f6L;

  /// System V segments have inode numbers of their own on the same device.
  private record Key(int deviceMajor, int deviceMinor, long inode, boolean sysv) {}

  private record Entry(SharedObject object, Fd content) {}

  private final Map<Key, Entry> entries = new HashMap<>();
  private final List<Entry> byId = new ArrayList<>();

  private final @Nullable SecretMemory secrets;

  /// Of a running process: secret memory has no content.
  SharedObjects() {
    this(null);
  }

  /// @param secrets copies of secret memory; each is taken from there
  SharedObjects(@Nullable SecretMemory secrets) {
    this.secrets = secrets;
  }

  static boolean isMemfd(String link) {
    return link.startsWith(MEMFD) && link.endsWith(DELETED);
  }

  static String withoutDeleted(String link) {
    return link.endsWith(DELETED) ? link.substring(0, link.length() - DELETED.length()) : link;
  }

  /// Id of the object behind an open file without a name. `borrowed` is only looked at; the content
  /// is read through a description of jcr's own, whose offset is nobody else's.
  int of(int borrowed, FileStat stat, String link) throws SyscallException, Refusal {
    Key key =
        new Key(stat.deviceMajor(), stat.deviceMinor(), stat.inode(), link.startsWith("/SYSV"));
    Entry known = entries.get(key);
    if (known != null) {
      return known.object().getId();
    }
    if (!stat.is(Fcntl.S_IFREG)) {
      throw new Refusal("an unlinked object that is no regular file", "close it");
    }
    SharedObject.Builder object =
        SharedObject.newBuilder()
            .setId(byId.size() + 1)
            .setSize(stat.size())
            .setMode(stat.mode())
            .setUid(stat.uid())
            .setGid(stat.gid())
            .setMtimeSeconds(stat.mtimeSeconds())
            .setMtimeNanos(stat.mtimeNanos());
    long seals = FdCalls.fcntl(borrowed, Fcntl.F_GET_SEALS, 0);
    if (link.equals(ANONYMOUS) || link.equals(HUGE_ANONYMOUS)) {
      object
          .setKind(SharedObject.Kind.KIND_ANONYMOUS)
          .setCreateFlags(link.equals(HUGE_ANONYMOUS) ? huge(stat) : 0);
    } else if (isMemfd(link) && seals >= 0) {
      // A memfd that forbids sealing from the start has that seal and no other.
      int flags = seals == Fcntl.F_SEAL_SEAL ? 0 : Fcntl.MFD_ALLOW_SEALING;
      if (FdCalls.fileSystem(borrowed) == HUGETLBFS_MAGIC) {
        flags |= huge(stat);
      }
      object
          .setKind(SharedObject.Kind.KIND_MEMFD)
          .setName(withoutDeleted(link).substring(MEMFD.length()))
          .setSeals((int) seals)
          .setCreateFlags(flags);
    } else if (link.startsWith("/SYSV")) {
      sysv(stat, object);
    } else if (SecretMemory.isSecret(link)) {
      object.setKind(SharedObject.Kind.KIND_SECRET);
    } else if (stat.links() != 0) {
      throw new Refusal(
          "the name " + withoutDeleted(link) + " of this file is gone, but it has another",
          "close it, or give the file its name back");
    } else {
      object.setKind(SharedObject.Kind.KIND_UNLINKED_FILE).setName(withoutDeleted(link));
    }
    Fd content =
        SecretMemory.isSecret(link)
            ? secret(stat.inode())
            : Fd.open("/proc/self/fd/" + borrowed, Fd.O_RDONLY, 0);
    Entry entry = new Entry(object.build(), content);
    entries.put(key, entry);
    byId.add(entry);
    return entry.object().getId();
  }

  private Fd secret(long inode) throws SyscallException, Refusal {
    if (secrets == null) {
      return Fd.open("/dev/null", Fd.O_RDONLY, 0);
    }
    return secrets
        .take(inode)
        .orElseThrow(() ->
            new Refusal("secret memory (memfd_secret) that was not there a moment ago", "retry"));
  }

  private static int huge(FileStat stat) {
    return Fcntl.MFD_HUGETLB | Integer.numberOfTrailingZeros(stat.blockSize()) << HUGE_SHIFT;
  }

  /// The inode of a System V segment is its id.
  private static void sysv(FileStat stat, SharedObject.Builder object) throws SyscallException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment info = arena.allocate(SharedMemory.INFO_SIZE, 8);
      Kernel.call(
          "ask about System V segment " + stat.inode(),
          Syscall.SHMCTL,
          stat.inode(),
          SharedMemory.IPC_STAT,
          info.address());
      int mode = info.get(ValueLayout.JAVA_INT, SharedMemory.MODE);
      object
          .setKind(SharedObject.Kind.KIND_SYSV)
          .setSegment((int) stat.inode())
          .setKey(info.get(ValueLayout.JAVA_INT, SharedMemory.KEY))
          .setSize(info.get(ValueLayout.JAVA_LONG, SharedMemory.SIZE))
          .setUid(info.get(ValueLayout.JAVA_INT, SharedMemory.UID))
          .setGid(info.get(ValueLayout.JAVA_INT, SharedMemory.GID))
          .setMode(mode & 0777)
          .setRemoved((mode & SharedMemory.SHM_DEST) != 0)
          .clearMtimeSeconds()
          .clearMtimeNanos();
    }
  }

  List<SharedObject> objects() {
    return byId.stream().map(Entry::object).toList();
  }

  Fd content(int id) {
    return byId.get(id - 1).content();
  }

  @Override
  public void close() {
    byId.forEach(entry -> entry.content().close());
  }
}
