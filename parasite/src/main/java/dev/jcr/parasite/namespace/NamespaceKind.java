package dev.jcr.parasite.namespace;

import dev.jcr.image.v1.Namespace;
import dev.jcr.parasite.linux.FileStat;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.procfs.Proc;
import java.util.Arrays;
import java.util.Optional;

/// Kinds of namespaces in which a process may live without jcr, namespaces(7).
public enum NamespaceKind {
  NET("net", 0x40000000L, Namespace.Kind.KIND_NET),
  UTS("uts", 0x04000000L, Namespace.Kind.KIND_UTS),
  IPC("ipc", 0x08000000L, Namespace.Kind.KIND_IPC),
  CGROUP("cgroup", 0x02000000L, Namespace.Kind.KIND_CGROUP),
  /// Joined last: what is open through `/proc` stays open, but is not found in there any more.
  MNT("mnt", 0x00020000L, Namespace.Kind.KIND_MNT),
  /// Never joined: a process is born into one, pid_namespaces(7).
  PID("pid", 0x20000000L, Namespace.Kind.KIND_PID);

  private final String file;
  private final long flag;
  private final Namespace.Kind recorded;

  NamespaceKind(String file, long flag, Namespace.Kind recorded) {
    this.file = file;
    this.flag = flag;
    this.recorded = recorded;
  }

  /// Its name in `/proc/PID/ns`.
  public String file() {
    return file;
  }

  /// `CLONE_NEW*` of `<linux/sched.h>`: what setns(2) takes and NS_GET_NSTYPE gives.
  public long flag() {
    return flag;
  }

  /// In an image.
  public Namespace.Kind recorded() {
    return recorded;
  }

  /// The one with this name in `/proc/PID/ns`.
  public static Optional<NamespaceKind> named(String file) {
    return Arrays.stream(values()).filter(kind -> kind.file.equals(file)).findFirst();
  }

  /// The one with this name in an image.
  public static Optional<NamespaceKind> of(Namespace.Kind recorded) {
    return Arrays.stream(values()).filter(kind -> kind.recorded == recorded).findFirst();
  }

  /// The one with this flag.
  static Optional<NamespaceKind> of(long flag) {
    return Arrays.stream(values()).filter(kind -> kind.flag == flag).findFirst();
  }

  /// Which one a process is in; empty where the kernel has none of this kind.
  ///
  /// @param proc of a process or a thread
  public Optional<FileStat> of(Proc proc) throws SyscallException {
    return FileStat.find(proc.path("ns/" + file));
  }

  /// "net namespace".
  @Override
  public String toString() {
    return file + " namespace";
  }
}
