package dev.jcr.parasite.namespace;

import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.FileStat;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.OpenFlags;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.procfs.Proc;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/// The namespaces of a process that are not jcr's, open.
///
/// Netlink answers, packet filters, addresses, message queues, System V segments and files found by
/// a path are those of the calling thread's namespaces: who asks about them for the process does so
/// [#enter]ed. All else stays outside, so that threads and helpers which are started meanwhile are
/// jcr's. Used by one thread at a time.
public final class Namespaces implements AutoCloseable {
  /// The kinds that jcr's own calls depend on. Which control groups are meant is written from jcr's
  /// point of view, and host names are not looked at.
  private static final List<NamespaceKind> ENTERED =
      List.of(NamespaceKind.NET, NamespaceKind.IPC, NamespaceKind.MNT);

  private static final long CLONE_FS = 0x200;

  /// `<linux/magic.h>`.
  private static final long PROC_SUPER_MAGIC = 0x9fa0;

  private final Map<NamespaceKind, OpenNamespace> foreign = new EnumMap<>(NamespaceKind.class);
  private final Map<NamespaceKind, OpenNamespace> own = new EnumMap<>(NamespaceKind.class);
  private final List<NamespaceKind> entered = new ArrayList<>();
  private int visits;
  private @Nullable Place home;

  /// Until closed, the calling thread is in the other namespaces.
  public interface Visit extends AutoCloseable {
    @Override
    void close();
  }

  /// Root and working directory of a thread: entering a mount namespace changes them.
  private record Place(Fd root, Fd directory) implements AutoCloseable {
    static Place here() throws SyscallException {
      Fd root = Fd.open("/", OpenFlags.O_PATH, 0);
      try {
        return new Place(root, Fd.open(".", OpenFlags.O_PATH, 0));
      } catch (SyscallException e) {
        root.close();
        throw e;
      }
    }

    void comeBack() throws SyscallException {
      try (Arena arena = Arena.ofConfined()) {
        long here = arena.allocateFrom(".").address();
        Kernel.call("go to jcr's root directory", Syscall.FCHDIR, root.number());
        Kernel.call("take jcr's root directory", Syscall.CHROOT, here);
        Kernel.call("go to jcr's directory", Syscall.FCHDIR, directory.number());
      }
    }

    @Override
    public void close() {
      root.close();
      directory.close();
    }
  }

  private Namespaces() {}

  /// Those of a running process.
  public static Namespaces of(int pid) throws SyscallException {
    Namespaces found = new Namespaces();
    try {
      for (NamespaceKind kind : NamespaceKind.values()) {
        if (isForeign(kind, Proc.of(pid))) {
          found.add(OpenNamespace.of(Proc.of(pid), kind));
        }
      }
      return found;
    } catch (SyscallException e) {
      found.close();
      throw e;
    }
  }

  /// These, which become this one's to close.
  public static Namespaces of(List<OpenNamespace> open) throws SyscallException {
    Namespaces all = new Namespaces();
    for (OpenNamespace namespace : open) {
      all.add(namespace);
    }
    return all;
  }

  /// jcr's own: that of its main thread, which never enters another.
  public static Optional<FileStat> own(NamespaceKind kind) throws SyscallException {
    return kind.of(Proc.at("/proc/self"));
  }

  /// Whether a process or thread is in another one than jcr.
  public static boolean isForeign(NamespaceKind kind, Proc proc) throws SyscallException {
    Optional<FileStat> mine = own(kind);
    return mine.isPresent() && !mine.get().sameFile(FileStat.of(proc.path("ns/" + kind.file())));
  }

  private void add(OpenNamespace namespace) throws SyscallException {
    foreign.put(namespace.kind(), namespace);
    if (ENTERED.contains(namespace.kind())) {
      own.put(namespace.kind(), OpenNamespace.of(Proc.at("/proc/self"), namespace.kind()));
    }
  }

  /// All of them, by kind.
  public List<OpenNamespace> all() {
    return List.copyOf(foreign.values());
  }

  /// The one of this kind, if it is not jcr's.
  public Optional<OpenNamespace> get(NamespaceKind kind) {
    return Optional.ofNullable(foreign.get(kind));
  }

  /// Puts the calling thread into the network, IPC and mount namespaces. A visit within a visit
  /// changes nothing.
  public Visit enter() throws SyscallException {
    if (visits == 0) {
      go();
    }
    visits++;
    return () -> {
      visits--;
      if (visits == 0) {
        comeBack();
      }
    };
  }

  private void go() throws SyscallException {
    boolean done = false;
    try {
      for (NamespaceKind kind : own.keySet()) {
        if (kind == NamespaceKind.MNT) {
          // Opens all of jcr's jars: from in there, their paths may lead nowhere.
          ClassLoader.getSystemResource("dev/jcr/none");
          home = Place.here();
          // setns(2) asks for a root and working directory that no other thread has.
          Kernel.call("have a working directory of its own", Syscall.UNSHARE, CLONE_FS);
        }
        get(kind).orElseThrow().enter();
        entered.add(kind);
      }
      done = true;
    } finally {
      if (!done) {
        comeBack();
      }
    }
  }

  private void comeBack() {
    try (Place place = home) {
      for (Map.Entry<NamespaceKind, OpenNamespace> each : own.entrySet()) {
        if (entered.contains(each.getKey())) {
          each.getValue().enter();
          if (each.getKey() == NamespaceKind.MNT && place != null) {
            place.comeBack();
          }
        }
      }
    } catch (SyscallException e) {
      // It had the right to go there. Going on would change the wrong namespace.
      throw new IllegalStateException("cannot come back from the namespaces of a process", e);
    } finally {
      entered.clear();
      home = null;
    }
  }

  /// Whether `/proc` is there, and of jcr's pid namespace: jcr needs it during visits, and so does
  /// a process that is made in there. Always so in jcr's own mount namespace.
  public boolean hasProc() throws SyscallException {
    if (!own.containsKey(NamespaceKind.MNT)) {
      return true;
    }
    String self = "/proc/" + ProcessHandle.current().pid() + "/ns/pid";
    FileStat pids = FileStat.of(self);
    try (Visit _ = enter()) {
      Optional<FileStat> there = FileStat.find(self);
      if (there.isEmpty() || !there.get().sameFile(pids)) {
        return false;
      }
      try (Fd proc = Fd.open("/proc", OpenFlags.O_PATH, 0)) {
        return FdCalls.fileSystem(proc.number()) == PROC_SUPER_MAGIC;
      }
    }
  }

  @Override
  public void close() {
    foreign.values().forEach(OpenNamespace::close);
    own.values().forEach(OpenNamespace::close);
  }
}
