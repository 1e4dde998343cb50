package dev.jcr.parasite.linux;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Optional;

/// A file descriptor of jcr's own, closed with it. Borrowed descriptors are plain `int fd`.
public final class Fd implements AutoCloseable {
  public static final int AT_FDCWD = -100;
  public static final int O_RDONLY = 0;
  public static final int O_WRONLY = 1;
  public static final int O_RDWR = 2;
  public static final int O_CLOEXEC = 0x80000;

  /// PIDFD_THREAD, the same bit as O_EXCL.
  public static final int PIDFD_THREAD = 0x80;

  private static final int PATH_MAX = 4096;
  private static final ThreadBuffer PATH = new ThreadBuffer(PATH_MAX);

  private final int number;
  private boolean open = true;

  public Fd(int number) {
    this.number = number;
  }

  /// openat(2) relative to the working directory.
  public static Fd open(String path, int flags, int mode) throws SyscallException {
    byte[] name = FileName.bytes(path);
    if (name.length >= PATH_MAX) {
      throw new SyscallException("open " + path, Syscall.OPENAT, Errno.ENAMETOOLONG);
    }
    MemorySegment buffer = PATH.get();
    MemorySegment.copy(name, 0, buffer, ValueLayout.JAVA_BYTE, 0, name.length);
    buffer.set(ValueLayout.JAVA_BYTE, name.length, (byte) 0);
    long result = Kernel.raw(Syscall.OPENAT, AT_FDCWD, buffer.address(), flags | O_CLOEXEC, mode);
    if (Kernel.isError(result)) {
      throw new SyscallException("open " + path, Syscall.OPENAT, (int) -result);
    }
    return new Fd((int) result);
  }

  /// pidfd_open(2).
  public static Fd ofProcess(int pid) throws SyscallException {
    return new Fd((int) Kernel.call("open a pidfd of process " + pid, Syscall.PIDFD_OPEN, pid, 0));
  }

  /// A pidfd of one thread, PIDFD_THREAD of pidfd_open(2); EINVAL before Linux 6.9.
  public static Fd ofThread(int tid) throws SyscallException {
    return new Fd(
        (int) Kernel.call("open a pidfd of thread " + tid, Syscall.PIDFD_OPEN, tid, PIDFD_THREAD));
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
