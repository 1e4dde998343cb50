package dev.jcr.restore.files;

import com.google.protobuf.ByteString;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.v1.Terminal;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.OpenFlags;
import dev.jcr.parasite.linux.PtyQueue;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.procfs.Proc;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// Terminals of the new process.
final class Terminals {
  private static final int STANDARD_ERROR = 2;
  private static final int SETTABLE = OpenFlags.O_ACCMODE | OpenFlags.O_NONBLOCK;

  private final Inside inside;

  Terminals(Inside inside) {
    this.inside = inside;
  }

  void pair(Terminal terminal, String path, List<FileStep.End> masters, List<FileStep.End> slaves)
      throws CheckpointException {
    int access = masters.isEmpty() ? OpenFlags.O_RDWR : masters.getFirst().flags() & SETTABLE;
    int master = master(terminal.getIndex(), path, access);
    ioctlInt(master, Fcntl.TIOCSPTLCK, 0, "unlock a pseudo-terminal");
    if (!masters.isEmpty()) {
      inside.hold(masters.getFirst().id(), master);
    }
    for (FileStep.End slave : slaves) {
      // By its path; the ioctl that opens a peer (TIOCGPTPEER) leaves other flags on the
      // description.
      int fd =
          inside.open(
              "/dev/pts/" + terminal.getIndex(),
              (slave.flags() & SETTABLE) | OpenFlags.O_NOCTTY | Fd.O_CLOEXEC);
      inside.hold(slave.id(), fd);
    }
    settings(master, terminal);
    fill(master, slaves, terminal);
    if (terminal.getPacketMode()) {
      ioctlInt(master, Fcntl.TIOCPKT, 1, "set packet mode");
    }
    if (terminal.getLocked()) {
      ioctlInt(master, Fcntl.TIOCSPTLCK, 1, "lock a pseudo-terminal");
    }
    if (terminal.getExclusive()) {
      inside.require("set exclusive mode", Syscall.IOCTL, master, Fcntl.TIOCEXCL, 0);
    }
  }

  private void fill(int master, List<FileStep.End> slaves, Terminal terminal)
      throws CheckpointException {
    PtyQueue queue =
        new PtyQueue(
            terminal.getInputLinesList().stream().map(ByteString::toByteArray).toList(),
            terminal.getInputRest().toByteArray(),
            terminal.getOutput().toByteArray());
    if (queue.isEmpty()) {
      return;
    }
    int slave =
        slaves.isEmpty()
            ? inside.open(
                "/dev/pts/" + terminal.getIndex(),
                OpenFlags.O_RDWR | OpenFlags.O_NOCTTY | Fd.O_CLOEXEC)
            : inside.of(slaves.getFirst().id());
    try (Fd localMaster = inside.local(master);
        Fd localSlave = inside.local(slave)) {
      queue.putInto(localMaster.number(), localSlave.number());
    } catch (SyscallException e) {
      throw Inside.failure(e);
    }
    if (slaves.isEmpty()) {
      inside.close(slave);
    }
  }

  /// The kernel gives the lowest free number and takes no wish, so masters are opened until the
  /// right one comes, and the others closed.
  private int master(int index, String path, int access) throws CheckpointException {
    List<Integer> others = new ArrayList<>();
    try {
      for (int i = 0; i <= index; i++) {
        int fd = inside.lift(inside.open(path, access | OpenFlags.O_NOCTTY | Fd.O_CLOEXEC));
        int got;
        try (Fd local = inside.local(fd)) {
          got = FdCalls.ioctlInt(local.number(), Fcntl.TIOCGPTN).orElse(-1);
        }
        if (got == index) {
          return fd;
        }
        others.add(fd);
        if (got > index || got < 0) {
          break;
        }
      }
    } finally {
      for (int other : others) {
        inside.close(other);
      }
    }
    throw new CheckpointException(
        Outcome.FAILED,
        "cannot make pseudo-terminal /dev/pts/"
            + index
            + ": EBUSY (that number is in use);"
            + " close the terminal that has it");
  }

  private void ioctlInt(int fd, int request, int value, String what) throws CheckpointException {
    inside.putInts(value);
    inside.require(what, Syscall.IOCTL, fd, request & 0xffffffffL, inside.scratch());
  }

  private void settings(int fd, Terminal terminal) throws CheckpointException {
    if (terminal.getTermios().size() == Fcntl.SIZEOF_TERMIOS2) {
      inside.put(terminal.getTermios().toByteArray());
      inside.require(
          "set the modes of a terminal", Syscall.IOCTL, fd, Fcntl.TCSETS2, inside.scratch());
    }
    if (terminal.getOwned() && terminal.getWindowSize().size() == Fcntl.SIZEOF_WINSIZE) {
      inside.put(terminal.getWindowSize().toByteArray());
      inside.require(
          "set the size of a terminal", Syscall.IOCTL, fd, Fcntl.TIOCSWINSZ, inside.scratch());
    }
  }

  /// Modes of the restorer's terminal, as the process had set them while in the foreground. The
  /// process has all signals blocked here, so SIGTTOU does not stop it.
  void adopt(int fd, Terminal terminal) throws CheckpointException {
    boolean isTerminal;
    try (Fd local = inside.local(fd)) {
      isTerminal = FdCalls.ioctl(local.number(), Fcntl.TCGETS2, Fcntl.SIZEOF_TERMIOS2).isPresent();
    }
    if (isTerminal) {
      settings(fd, terminal);
    }
  }

  void openOutside(int id, String path, int flags) throws CheckpointException {
    int usable = (flags & SETTABLE) | OpenFlags.O_NOCTTY | Fd.O_CLOEXEC;
    if (path.equals("/dev/tty")) {
      long own = inside.tryOpen(path, usable);
      if (!Kernel.isError(own)) {
        inside.hold(id, (int) own);
        return;
      }
    }
    Optional<String> restorers = ofRestorer();
    if (restorers.isEmpty()) {
      throw new CheckpointException(
          Outcome.FAILED,
          "cannot open a terminal in place of "
              + path
              + ": "
              + Errno.describe(Errno.ENXIO)
              + "; restore from a terminal");
    }
    inside.hold(id, inside.open(restorers.get(), usable));
  }

  /// Path of the terminal that jcr itself runs in.
  static Optional<String> ofRestorer() {
    for (int fd = 0; fd <= STANDARD_ERROR; fd++) {
      if (FdCalls.ioctl(fd, Fcntl.TCGETS2, Fcntl.SIZEOF_TERMIOS2).isPresent()) {
        try {
          return Optional.of(Proc.at("/proc/self").link("fd/" + fd));
        } catch (IOException e) {
          return Optional.empty();
        }
      }
    }
    return Optional.empty();
  }
}
