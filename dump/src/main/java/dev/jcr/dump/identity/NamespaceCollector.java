package dev.jcr.dump.identity;

import dev.jcr.image.CheckpointException.Problem;
import dev.jcr.image.v1.Namespace;
import dev.jcr.parasite.linux.FileStat;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.namespace.NamespaceKind;
import dev.jcr.parasite.namespace.Namespaces;
import dev.jcr.parasite.procfs.MountEntry;
import dev.jcr.parasite.procfs.Proc;
import java.io.IOException;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// The namespaces a process lives in without jcr, and under which names they can be found again.
public final class NamespaceCollector {
  private NamespaceCollector() {}

  /// Those that are not jcr's, by kind.
  public static List<Namespace> collect(Proc proc) throws IOException {
    List<Namespace> found = new ArrayList<>();
    for (NamespaceKind kind : NamespaceKind.values()) {
      if (Namespaces.isForeign(kind, proc)) {
        FileStat stat = FileStat.of(proc.path("ns/" + kind.file()));
        found.add(
            Namespace.newBuilder()
                .setKind(kind.recorded())
                .setDevice(
                    Integer.toUnsignedLong(FileStat.device(stat.deviceMajor(), stat.deviceMinor())))
                .setInode(stat.inode())
                .setPath(place(stat))
                .build());
      }
    }
    return found;
  }

  /// What a restore will ask for, for people.
  public static List<String> notes(List<Namespace> recorded) {
    List<String> notes = new ArrayList<>();
    for (Namespace namespace : recorded) {
      if (namespace.getPath().isEmpty()) {
        String kind = NamespaceKind.of(namespace.getKind()).orElseThrow().file();
        notes.add(
            "its %s namespace is bound to no path: jcr restore needs --join-ns %s:PATH%s"
                .formatted(kind, kind, kind.equals("pid") ? " or --pid-namespace" : ""));
      }
    }
    return notes;
  }

  /// The namespaces of a process's first thread, without those that the kernel does not have.
  public static Map<NamespaceKind, FileStat> leaders(Proc proc) throws SyscallException {
    Map<NamespaceKind, FileStat> leaders = new EnumMap<>(NamespaceKind.class);
    for (NamespaceKind kind : NamespaceKind.values()) {
      kind.of(proc).ifPresent(found -> leaders.put(kind, found));
    }
    return leaders;
  }

  /// Why a thread cannot be dumped with its process: it has a namespace of its own.
  ///
  /// @param leaders [#leaders] of the process
  public static Optional<Problem> alone(Map<NamespaceKind, FileStat> leaders, Proc proc, int tid)
      throws SyscallException {
    Proc thread = Proc.at(proc.path("task/" + tid));
    for (Map.Entry<NamespaceKind, FileStat> leader : leaders.entrySet()) {
      NamespaceKind kind = leader.getKey();
      Optional<FileStat> own = kind.of(thread);
      if (own.isPresent() && !own.get().sameFile(leader.getValue())) {
        return Optional.of(
            new Problem(
                "namespace",
                "thread " + tid,
                "it is in another " + kind + " than the process's first thread",
                "let it come back, or retry"));
      }
    }
    return Optional.empty();
  }

  /// Where a namespace is bound in jcr's file system; empty for nowhere.
  private static String place(FileStat namespace) throws IOException {
    for (MountEntry mount : MountEntry.parse(Proc.at("/proc/self").text("mountinfo"))) {
      if (mount.type().equals("nsfs")) {
        Optional<FileStat> there = FileStat.find(mount.place());
        if (there.isPresent() && there.get().sameFile(namespace)) {
          return mount.place();
        }
      }
    }
    return "";
  }
}
