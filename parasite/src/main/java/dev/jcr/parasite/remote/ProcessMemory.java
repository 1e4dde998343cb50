package dev.jcr.parasite.remote;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.linux.ThreadBuffer;
import dev.jcr.parasite.procfs.Anchor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// Memory of another process: process_vm_readv(2) for bulk, /proc/PID/mem for what protection
/// forbids (PROT_NONE pages, writes to read-only pages: FOLL_FORCE).
///
/// Reads may run on any thread; forced writes need the tracer on kernels since 7.x.
public final class ProcessMemory implements AutoCloseable {
  private final Anchor anchor;
  private final int tid;
  private final Fd mem;

  /// One of jcr's memory, one of the process's.
  private static final ThreadBuffer IOVECS = new ThreadBuffer(32);

  private ProcessMemory(Anchor anchor, Fd mem) {
    this.anchor = anchor;
    this.tid = anchor.tid();
    this.mem = mem;
  }

  /// Of a process whose leader goes on.
  public static ProcessMemory open(int pid) throws CheckpointException {
    return open(Anchor.ofLiving(pid));
  }

  public static ProcessMemory open(Anchor anchor) throws CheckpointException {
    try {
      return new ProcessMemory(anchor, Fd.open(anchor.proc().path("mem"), Fd.O_RDWR, 0));
    } catch (SyscallException e) {
      throw new CheckpointException(
          e.errno() == Errno.EACCES || e.errno() == Errno.EPERM
              ? Outcome.PERMISSION
              : Outcome.TARGET_LOST,
          e.getMessage() + "; needs CAP_SYS_PTRACE or the same uid",
          e);
    }
  }

  public int pid() {
    return anchor.pid();
  }

  /// The thread by which it is reached; until that ends.
  public Anchor anchor() {
    return anchor;
  }

  /// Reads exactly `into.byteSize()` bytes at `address`, whatever the protection.
  public void read(long address, MemorySegment into) throws CheckpointException {
    long done = readAccessible(address, into);
    if (done < into.byteSize()) {
      forced(address + done, into.asSlice(done), true);
    }
  }

  /// process_vm_readv of one range: the bytes read before the first inaccessible page.
  public long readAccessible(long address, MemorySegment into) throws CheckpointException {
    MemorySegment iovecs = IOVECS.get();
    long done = 0;
    while (done < into.byteSize()) {
      fill(iovecs, 0, into.address() + done, into.byteSize() - done);
      fill(iovecs, 1, address + done, into.byteSize() - done);
      long count =
          Kernel.raw(
              Syscall.PROCESS_VM_READV, tid, iovecs.address(), 1, iovecs.address() + 16, 1, 0);
      if (count == -Errno.EFAULT) {
        return done;
      }
      if (Kernel.isError(count)) {
        throw failed("read", address + done, (int) -count);
      }
      done += count;
    }
    return done;
  }

  /// process_vm_readv of many ranges into one buffer; false when any byte was not to be had (the
  /// caller then reads range by range).
  public boolean readRanges(long[] addresses, long[] lengths, int count, MemorySegment into)
      throws CheckpointException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment remote = arena.allocate(JAVA_LONG, 2L * count);
      MemorySegment local = arena.allocate(JAVA_LONG, 2);
      long total = 0;
      for (int i = 0; i < count; i++) {
        fill(remote, i, addresses[i], lengths[i]);
        total += lengths[i];
      }
      fill(local, 0, into.address(), total);
      long result =
          Kernel.raw(Syscall.PROCESS_VM_READV, tid, local.address(), 1, remote.address(), count, 0);
      if (Kernel.isError(result) && result != -Errno.EFAULT) {
        throw failed("read", addresses[0], (int) -result);
      }
      return result == total;
    }
  }

  /// Writes all bytes; pages must be writable.
  public void write(long address, MemorySegment from) throws CheckpointException {
    MemorySegment iovecs = IOVECS.get();
    long done = 0;
    while (done < from.byteSize()) {
      fill(iovecs, 0, from.address() + done, from.byteSize() - done);
      fill(iovecs, 1, address + done, from.byteSize() - done);
      long count =
          Kernel.raw(
              Syscall.PROCESS_VM_WRITEV, tid, iovecs.address(), 1, iovecs.address() + 16, 1, 0);
      if (Kernel.isError(count)) {
        throw failed("write", address + done, (int) -count);
      }
      done += count;
    }
  }

  /// process_vm_writev of one buffer to many ranges, in order.
  public void writeRanges(long[] addresses, long[] lengths, int count, MemorySegment from)
      throws CheckpointException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment remote = arena.allocate(JAVA_LONG, 2L * count);
      MemorySegment local = arena.allocate(JAVA_LONG, 2);
      long total = 0;
      for (int i = 0; i < count; i++) {
        fill(remote, i, addresses[i], lengths[i]);
        total += lengths[i];
      }
      fill(local, 0, from.address(), total);
      long result =
          Kernel.raw(
              Syscall.PROCESS_VM_WRITEV, tid, local.address(), 1, remote.address(), count, 0);
      if (result != total) {
        // Somewhere a page refused; range by range finds which.
        long at = 0;
        for (int i = 0; i < count; i++) {
          write(addresses[i], from.asSlice(at, lengths[i]));
          at += lengths[i];
        }
      }
    }
  }

  /// Writes through /proc/PID/mem: also to read-only private pages.
  public void writeForced(long address, MemorySegment from) throws CheckpointException {
    forced(address, from, false);
  }

  private void forced(long address, MemorySegment bytes, boolean read) throws CheckpointException {
    long done = 0;
    while (done < bytes.byteSize()) {
      long count =
          Kernel.raw(
              read ? Syscall.PREAD64 : Syscall.PWRITE64,
              mem.number(),
              bytes.address() + done,
              bytes.byteSize() - done,
              address + done);
      if (count <= 0) {
        // 0: its address space is gone (mem_rw of fs/proc/base.c). A page that cannot be had is
        // EIO.
        throw failed(
            read ? "read" : "write", address + done, count == 0 ? Errno.ESRCH : (int) -count);
      }
      done += count;
    }
  }

  private static void fill(MemorySegment iovecs, int index, long base, long length) {
    iovecs.setAtIndex(JAVA_LONG, 2L * index, base);
    iovecs.setAtIndex(JAVA_LONG, 2L * index + 1, length);
  }

  private CheckpointException failed(String verb, long address, int errno) {
    return new CheckpointException(
        errno == Errno.ESRCH ? Outcome.TARGET_LOST : Outcome.FAILED,
        "cannot %s memory 0x%x of process %d: %s"
            .formatted(verb, address, anchor.pid(), Errno.describe(errno)));
  }

  public byte[] bytes(long address, int length) throws CheckpointException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment buffer = arena.allocate(length, 8);
      read(address, buffer);
      return buffer.toArray(JAVA_BYTE);
    }
  }

  public void writeForced(long address, byte[] bytes) throws CheckpointException {
    try (Arena arena = Arena.ofConfined()) {
      writeForced(address, arena.allocateFrom(JAVA_BYTE, bytes));
    }
  }

  @Override
  public void close() {
    mem.close();
  }
}
