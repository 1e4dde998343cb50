package dev.jcr.parasite.namespace;

import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.FileStat;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.OpenFlags;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.procfs.Proc;

/// A namespace that jcr has open, so that it cannot become another one meanwhile.
public final class OpenNamespace implements AutoCloseable {
  /// `<linux/magic.h>`.
  private static final long NSFS_MAGIC = 0x6e736673L;

  /// `_IO(0xb7, 3)` of `<linux/nsfs.h>`, ioctl_ns(2).
  private static final int NS_GET_NSTYPE = 0xb703;

  private final NamespaceKind kind;
  private final Fd fd;
  private final FileStat stat;

  private OpenNamespace(NamespaceKind kind, Fd fd, FileStat stat) {
    this.kind = kind;
    this.fd = fd;
    this.stat = stat;
  }

  /// What a path leads to is something else.
  public static final class Mismatch extends Exception {
    private static final long serialVersionUID = 1L;

    Mismatch(String message) {
      super(message);
    }
  }

  /// That of a process.
  static OpenNamespace of(Proc proc, NamespaceKind kind) throws SyscallException {
    Fd fd = Fd.open(proc.path("ns/" + kind.file()), Fd.O_RDONLY, 0);
    return new OpenNamespace(kind, fd, FileStat.of(fd.number()));
  }

  /// The one that is bound to a path. The path may come from an image and lead anywhere: nothing
  /// but a namespace is opened (opening a device or a fifo does something).
  ///
  /// @throws Mismatch what is there is no namespace, or one of another kind
  /// @throws SyscallException it cannot be looked at, ENOENT for one
  public static OpenNamespace at(String path, NamespaceKind kind)
      throws SyscallException, Mismatch {
    try (Fd place = Fd.open(path, OpenFlags.O_PATH, 0)) {
      if (FdCalls.fileSystem(place.number()) != NSFS_MAGIC) {
        throw new Mismatch(path + " is no namespace");
      }
      Fd fd = Fd.open("/proc/self/fd/" + place.number(), Fd.O_RDONLY, 0);
      long type = Kernel.raw(Syscall.IOCTL, fd.number(), NS_GET_NSTYPE, 0);
      if (type != kind.flag()) {
        fd.close();
        throw new Mismatch(
            path
                + " is no "
                + kind
                + NamespaceKind.of(type).map(other -> " but a " + other).orElse(""));
      }
      return new OpenNamespace(kind, fd, FileStat.of(fd.number()));
    }
  }

  public NamespaceKind kind() {
    return kind;
  }

  /// jcr's own descriptor of it.
  public int fd() {
    return fd.number();
  }

  /// Device and inode tell one namespace from another as long as it lives.
  public FileStat stat() {
    return stat;
  }

  /// setns(2): puts the calling thread into it.
  void enter() throws SyscallException {
    long result = Kernel.raw(Syscall.SETNS, fd.number(), kind.flag());
    if (Kernel.isError(result)) {
      int errno = (int) -result;
      throw new SyscallException(
          "enter the "
              + kind
              + " of the process"
              + (errno == Errno.EPERM ? " (needs CAP_SYS_ADMIN)" : ""),
          Syscall.SETNS,
          errno);
    }
  }

  @Override
  public void close() {
    fd.close();
  }
}
