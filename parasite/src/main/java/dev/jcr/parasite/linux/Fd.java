package dev.jcr.parasite.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Optional;

/// A file descriptor of jcr's own, closed with it. Borrowed descriptors are plain `int fd`.
public final class Fd implements AutoCloseable {
  public static final int AT_FDCWD = -100;
  public static final int O_RDONLY = 0;
  public static final int O_WRONLY = 1;
  public static final int O_RDWR = 2;
  public static final int O_CLOEXEC = 0x80000;

  private final int number;
  private boolean open = true;

  public Fd(int number) {
    this.number = number;
  }

  /// openat(2) relative to the working directory.
  public static Fd open(String path, int flags, int mode) throws SyscallException {
    try (Arena arena = Arena.ofConfined()) {
      return new Fd(
          (int)
              Kernel.call(
                  "open " + path,
                  Syscall.OPENAT,
                  AT_FDCWD,
                  FileName.allocate(arena, path).address(),
                  flags | O_CLOEXEC,
                  mode));
    }
  }

  /// pidfd_open(2).
  public static Fd ofProcess(int pid) throws SyscallException {
    return new Fd((int) Kernel.call("open a pidfd of process " + pid, Syscall.PIDFD_OPEN, pid, 0));
  }

  /// pidfd_getfd(2): a descriptor of another process, sharing its open file description. Empty when
  /// `remoteFd` is not open there.
  public static Optional<Fd> duplicateOf(Fd pidFd, int remoteFd) throws SyscallException {
    long result = Kernel.raw(Syscall.PIDFD_GETFD, pidFd.number, remoteFd, 0);
    if (result == -Errno.EBADF) {
      return Optional.empty();
    }
    if (Kernel.isError(result)) {
      throw new SyscallException("duplicate fd " + remoteFd, Syscall.PIDFD_GETFD, (int) -result);
    }
    return Optional.of(new Fd((int) result));
  }

  public int number() {
    return number;
  }

  /// pread(2) until `into` is full or the file ends; returns the bytes read.
  public long readFully(MemorySegment into, long offset) throws SyscallException {
    long done = 0;
    while (done < into.byteSize()) {
      long count =
          Kernel.call(
              "read fd " + number,
              Syscall.PREAD64,
              number,
              into.address() + done,
              into.byteSize() - done,
              offset + done);
      if (count == 0) {
        break;
      }
      done += count;
    }
    return done;
  }

  /// pwrite(2) of all bytes.
  public void writeFully(MemorySegment from, long offset) throws SyscallException {
    long done = 0;
    while (done < from.byteSize()) {
      done +=
          Kernel.call(
              "write fd " + number,
              Syscall.PWRITE64,
              number,
              from.address() + done,
              from.byteSize() - done,
              offset + done);
    }
  }

  @Override
  public void close() {
    if (open) {
      open = false;
      Kernel.raw(Syscall.CLOSE, number);
    }
  }
}
