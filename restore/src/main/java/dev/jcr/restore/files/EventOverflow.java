package dev.jcr.restore.files;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/// IN_Q_OVERFLOW in a new inotify instance, as the kernel queues it when there are more events than
/// fs.inotify.max_queued_events: caused by that many events of a file that nobody else has, which
/// are then read. What stays is the kernel's own event, behind which others may follow.
final class EventOverflow {
  private static final int IN_CLOSE_NOWRITE = 0x10;
  private static final int IN_OPEN = 0x20;

  /// `struct inotify_event` without a name: number, mask, cookie, length.
  private static final int EVENT_SIZE = 16;

  private static final int BATCH = 4096;

  /// Between two looks at the length of the queue. Events in excess do no harm.
  private static final int OPENS = 64;

  private EventOverflow() {}

  /// Leaves a queue that holds IN_Q_OVERFLOW and nothing else.
  ///
  /// @param inotify jcr's own descriptor of an instance without watches
  static void cause(Fd inotify) throws CheckpointException, SyscallException {
    try (Arena arena = Arena.ofConfined();
        Fd file =
            new Fd(
                (int)
                    Kernel.call(
                        "make a memfd",
                        Syscall.MEMFD_CREATE,
                        arena.allocateFrom("jcr-events").address(),
                        Fcntl.MFD_CLOEXEC))) {
      MemorySegment path = arena.allocateFrom("/proc/self/fd/" + file.number());
      long watch =
          Kernel.call(
              "watch a memfd",
              Syscall.INOTIFY_ADD_WATCH,
              inotify.number(),
              path.address(),
              IN_OPEN | IN_CLOSE_NOWRITE);
      fill(inotify, path);
      // With a full queue the event of its removal is not queued.
      Kernel.call("end the watch of a memfd", Syscall.INOTIFY_RM_WATCH, inotify.number(), watch);
      empty(inotify, watch, arena.allocate((long) BATCH * EVENT_SIZE, 8));
      // Numbers begin again; without CONFIG_CHECKPOINT_RESTORE with the next.
      Kernel.raw(Syscall.IOCTL, inotify.number(), FileExecutor.INOTIFY_IOC_SETNEXTWD, 1);
    }
  }

  /// Two events of one kind in a row become one: opening and closing by turns.
  private static void fill(Fd inotify, MemorySegment path) throws SyscallException {
    int before = -1;
    int queued = 0;
    while (queued != before) {
      for (int i = 0; i < OPENS; i++) {
        long opened =
            Kernel.call(
                "open a memfd",
                Syscall.OPENAT,
                Fd.AT_FDCWD,
                path.address(),
                Fd.O_RDONLY | Fd.O_CLOEXEC,
                0);
        Kernel.raw(Syscall.CLOSE, opened);
      }
      before = queued;
      queued = queued(inotify);
    }
  }

  private static void empty(Fd inotify, long watch, MemorySegment buffer)
      throws CheckpointException, SyscallException {
    long left = (long) queued(inotify) - EVENT_SIZE;
    while (left > 0) {
      long got =
          Kernel.call(
              "read inotify events",
              Syscall.READ,
              inotify.number(),
              buffer.address(),
              Math.min(left, buffer.byteSize()));
      for (long at = 0; at < got; at += EVENT_SIZE) {
        if (buffer.get(ValueLayout.JAVA_INT, at) != watch) {
          throw unproven();
        }
      }
      left -= got;
    }
    if (left != 0 || queued(inotify) != EVENT_SIZE) {
      throw unproven();
    }
  }

  private static int queued(Fd inotify) {
    return FdCalls.ioctlInt(inotify.number(), Fcntl.FIONREAD).orElse(0);
  }

  private static CheckpointException unproven() {
    return new CheckpointException(
        Outcome.FAILED, "cannot make an inotify instance overflow: its queue has other events");
  }
}
