package dev.jcr.restore.files;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FileName;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.remote.RemoteCalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HashMap;
import java.util.Map;

/// Descriptors inside the new process: calls with strings and structs, and the numbers under which
/// descriptions and objects are held until they are installed.
final class Inside implements AutoCloseable {
  private final RemoteCalls calls;
  private final Fd pidFd;
  private final int first;
  private final Map<Integer, Integer> descriptions = new HashMap<>();

  /// @param first lowest number to hold things under
  Inside(RemoteCalls calls, int first) throws CheckpointException {
    this.calls = calls;
    this.first = first;
    try {
      this.pidFd = Fd.ofProcess(calls.tid());
    } catch (SyscallException e) {
      throw new CheckpointException(Outcome.TARGET_LOST, String.valueOf(e.getMessage()), e);
    }
  }

  int pid() {
    return calls.tid();
  }

  int first() {
    return first;
  }

  RemoteCalls calls() {
    return calls;
  }

  long scratch() {
    return calls.scratch();
  }

  /// Puts bytes at the start of the scratch memory.
  void put(byte[] bytes) throws CheckpointException {
    put(0, bytes);
  }

  void put(int offset, byte[] bytes) throws CheckpointException {
    try (Arena arena = Arena.ofConfined()) {
      calls.write(calls.scratch() + offset, arena.allocateFrom(ValueLayout.JAVA_BYTE, bytes));
    }
  }

  void putInts(int... values) throws CheckpointException {
    try (Arena arena = Arena.ofConfined()) {
      calls.write(calls.scratch(), arena.allocateFrom(ValueLayout.JAVA_INT, values));
    }
  }

  void putLongs(long... values) throws CheckpointException {
    try (Arena arena = Arena.ofConfined()) {
      calls.write(calls.scratch(), arena.allocateFrom(ValueLayout.JAVA_LONG, values));
    }
  }

  void putString(String text) throws CheckpointException {
    byte[] bytes = FileName.bytes(text);
    byte[] terminated = new byte[bytes.length + 1];
    System.arraycopy(bytes, 0, terminated, 0, bytes.length);
    put(terminated);
  }

  int[] ints(int count) throws CheckpointException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment values = arena.allocate(4L * count, 4);
      calls.read(calls.scratch(), values);
      return values.toArray(ValueLayout.JAVA_INT);
    }
  }

  int require(String what, Syscall call, long... arguments) throws CheckpointException {
    return (int) calls.require(what, call, arguments);
  }

  /// openat(2); the result is a negated errno when it fails.
  long tryOpen(String path, int flags) throws CheckpointException {
    putString(path);
    return calls.call(
        Syscall.OPENAT, Fd.AT_FDCWD, calls.scratch(), Integer.toUnsignedLong(flags), 0);
  }

  /// openat(2) of what the pre-check has seen.
  int open(String path, int flags) throws CheckpointException {
    long result = tryOpen(path, flags);
    if (Kernel.isError(result)) {
      throw cannotOpen(path, (int) -result);
    }
    return (int) result;
  }

  static CheckpointException cannotOpen(String path, int errno) {
    boolean denied = errno == Errno.EACCES || errno == Errno.EPERM;
    boolean missing = errno == Errno.ENOENT || errno == Errno.ENOTDIR || errno == Errno.ENXIO;
    return new CheckpointException(
        denied ? Outcome.PERMISSION : missing ? Outcome.IMAGE : Outcome.FAILED,
        "cannot open "
            + path
            + ": "
            + Errno.describe(errno)
            + (missing ? "; restore the file and try again" : ""));
  }

  /// Moves a descriptor above the numbers of the image.
  int lift(int fd) throws CheckpointException {
    if (fd >= first) {
      return fd;
    }
    int lifted = require("duplicate fd " + fd, Syscall.FCNTL, fd, Fcntl.F_DUPFD_CLOEXEC, first);
    close(fd);
    return lifted;
  }

  void close(int fd) throws CheckpointException {
    calls.call(Syscall.CLOSE, fd);
  }

  /// Remembers what a description is held under, lifted.
  int hold(int id, int fd) throws CheckpointException {
    int lifted = lift(fd);
    descriptions.put(id, lifted);
    return lifted;
  }

  int of(int id) throws CheckpointException {
    Integer fd = descriptions.get(id);
    if (fd == null) {
      throw new CheckpointException(
          Outcome.IMAGE, "cannot restore descriptors: the image has no description " + id);
    }
    return fd;
  }

  boolean holds(int id) {
    return descriptions.containsKey(id);
  }

  /// jcr's own descriptor of a description inside, for calls that need no stop.
  Fd local(int fd) throws CheckpointException {
    try {
      return Fd.duplicateOf(pidFd, fd)
          .orElseThrow(() ->
              new CheckpointException(
                  Outcome.FAILED, "cannot duplicate fd " + fd + " of the new process: EBADF"));
    } catch (SyscallException e) {
      throw failure(e);
    }
  }

  static CheckpointException failure(SyscallException e) {
    boolean denied = e.errno() == Errno.EPERM || e.errno() == Errno.EACCES;
    return new CheckpointException(
        denied ? Outcome.PERMISSION : Outcome.FAILED, String.valueOf(e.getMessage()), e);
  }

  static CheckpointException failure(String what, long negatedErrno) {
    boolean denied = negatedErrno == -Errno.EPERM || negatedErrno == -Errno.EACCES;
    return new CheckpointException(
        denied ? Outcome.PERMISSION : Outcome.FAILED,
        "cannot " + what + ": " + Errno.describe((int) -negatedErrno));
  }

  @Override
  public void close() {
    pidFd.close();
  }
}
