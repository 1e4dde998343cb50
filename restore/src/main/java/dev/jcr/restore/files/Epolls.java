package dev.jcr.restore.files;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.v1.Arch;
import dev.jcr.image.v1.EpollTarget;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.OpenFlags;
import dev.jcr.parasite.linux.Syscall;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;

/// Registers files with epolls again.
final class Epolls {
  /// EPOLLIN to EPOLLRDHUP, `<sys/epoll.h>`.
  private static final int EVENTS = 0x3fff;

  private static final int EPOLLONESHOT = 1 << 30;

  /// struct epoll_event is packed on x86_64 only.
  private static final int DATA = Kernel.HOST == Arch.ARCH_AARCH64 ? 8 : 4;

  private static final int WHERE = 64;

  private final Inside inside;
  private final List<String> notes = new ArrayList<>();

  Epolls(Inside inside) {
    this.inside = inside;
  }

  List<String> notes() {
    return List.copyOf(notes);
  }

  /// Whether it is one-shot and has fired: the kernel leaves no event of it.
  static boolean isSpent(EpollTarget target) {
    return (target.getEvents() & EPOLLONESHOT) != 0 && (target.getEvents() & EVENTS) == 0;
  }

  /// @param occupant description that has the number it was registered under; 0 for none
  void add(int epollId, EpollTarget target, int occupant) throws CheckpointException {
    int watched = inside.of(target.getDescriptionId());
    int number = target.getFd();
    boolean there = occupant == target.getDescriptionId();
    // A registration goes by file and number. Where another file, or none, has the number now, the
    // right one takes it for the moment.
    boolean closeOnExec = false;
    if (!there) {
      closeOnExec =
          occupant != 0
              && inside.calls().call(Syscall.FCNTL, number, Fcntl.F_GETFD) == Fcntl.FD_CLOEXEC;
      inside.require("lend fd " + number, Syscall.DUP3, watched, number, Fd.O_CLOEXEC);
    }
    boolean spent = isSpent(target);
    int events = target.getEvents();
    control(epollId, Fcntl.EPOLL_CTL_ADD, number, spent ? events | EVENTS : events, target);
    if (spent) {
      spend(epollId, number, watched, target);
    }
    if (!there) {
      if (occupant == 0) {
        inside.close(number);
      } else {
        inside.require(
            "give fd " + number + " back",
            Syscall.DUP3,
            inside.of(occupant),
            number,
            closeOnExec ? Fd.O_CLOEXEC : 0);
      }
    }
  }

  private void control(int epollId, int how, int number, int events, EpollTarget target)
      throws CheckpointException {
    inside.put(
        ByteBuffer.allocate(16)
            .order(ByteOrder.LITTLE_ENDIAN)
            .putInt(0, events)
            .putLong(DATA, target.getData())
            .array());
    long result =
        inside.calls().call(Syscall.EPOLL_CTL, inside.of(epollId), how, number, inside.scratch());
    if (result == -Errno.EPERM) {
      // Only one that came from outside can have become a file or /dev/null.
      throw new CheckpointException(
          Outcome.FAILED,
          "cannot watch fd "
              + number
              + " with an epoll: "
              + Errno.describe(Errno.EPERM)
              + "; the process was waiting for it, so give jcr a terminal or a pipe as fd "
              + number);
    }
    if (Kernel.isError(result)) {
      throw Inside.failure("watch fd " + number + " with an epoll", result);
    }
  }

  /// Lets a one-shot registration fire, as it did: any event will do, and all others of this epoll
  /// that are there already have fired too. An empty pipe gets a byte for the moment. Where nothing
  /// happens to the file, errors and hang-ups stay watched, as after EPOLL_CTL_MOD without events.
  private void spend(int epollId, int number, int watched, EpollTarget target)
      throws CheckpointException {
    if (fires(epollId) || firesWithByte(epollId, watched)) {
      return;
    }
    control(epollId, Fcntl.EPOLL_CTL_MOD, number, target.getEvents(), target);
    notes.add(
        "epoll: the one-shot registration of fd %d had fired; it may report an error or hang-up"
                .formatted(number)
            + " before it is armed again");
  }

  private boolean fires(int epollId) throws CheckpointException {
    long count =
        inside
            .calls()
            .call(Syscall.EPOLL_PWAIT, inside.of(epollId), inside.scratch() + WHERE, 1, 0, 0, 8);
    return count == 1;
  }

  private boolean firesWithByte(int epollId, int watched) throws CheckpointException {
    // Another description of the pipe, for writing; opening fails for nearly all else.
    long pipe =
        inside.calls().call(Syscall.FCNTL, watched, Fcntl.F_GETPIPE_SZ) <= 0
            ? -1
            : inside.tryOpen(
                "/proc/" + inside.pid() + "/fd/" + watched,
                OpenFlags.O_WRONLY | OpenFlags.O_NONBLOCK | Fd.O_CLOEXEC);
    if (Kernel.isError(pipe)) {
      return false;
    }
    boolean written = inside.calls().call(Syscall.WRITE, pipe, inside.scratch() + WHERE, 1) == 1;
    boolean fired = written && fires(epollId);
    if (written) {
      inside.require(
          "take a byte out of a pipe", Syscall.READ, watched, inside.scratch() + WHERE, 1);
    }
    inside.close((int) pipe);
    return fired;
  }
}
