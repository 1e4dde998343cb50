package dev.jcr.parasite.namespace;

import dev.jcr.parasite.linux.FileStat;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.procfs.Proc;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// The namespaces of a process that are not jcr's, open.
///
/// Netlink answers, packet filters, addresses, message queues and System V segments are those of
/// the calling thread's namespaces: who asks about them for the process does so [#enter]ed. All
/// else stays outside, so that threads and helpers which are started meanwhile are jcr's.
public final class Namespaces implements AutoCloseable {
  /// The kinds that jcr's own calls depend on. Which control groups are meant is written from jcr's
  /// point of view, and host names are not looked at.
  private static final List<NamespaceKind> ENTERED = List.of(NamespaceKind.NET, NamespaceKind.IPC);

  private final Map<NamespaceKind, OpenNamespace> foreign = new EnumMap<>(NamespaceKind.class);
  private final Map<NamespaceKind, OpenNamespace> own = new EnumMap<>(NamespaceKind.class);

  /// Until closed, the calling thread is in the other namespaces.
  public interface Visit extends AutoCloseable {
    @Override
    void close();
  }

  private Namespaces() {}

  /// None: the process is in jcr's.
  public static Namespaces none() {
    return new Namespaces();
  }

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

  /// Puts the calling thread into the network and IPC namespaces. Visits do not nest.
  public Visit enter() throws SyscallException {
    List<OpenNamespace> back = new ArrayList<>();
    for (NamespaceKind kind : ENTERED) {
      OpenNamespace there = foreign.get(kind);
      OpenNamespace here = own.get(kind);
      if (there != null && here != null) {
        try {
          there.enter();
        } catch (SyscallException e) {
          leave(back);
          throw e;
        }
        back.add(here);
      }
    }
    return () -> leave(back);
  }

  private static void leave(List<OpenNamespace> back) {
    for (OpenNamespace here : back) {
      try {
        here.enter();
      } catch (SyscallException e) {
        // It had the right to enter the other one. Going on would change the wrong namespace.
        throw new IllegalStateException("cannot come back from the namespaces of a process", e);
      }
    }
  }

  @Override
  public void close() {
    foreign.values().forEach(OpenNamespace::close);
    own.values().forEach(OpenNamespace::close);
  }
}
