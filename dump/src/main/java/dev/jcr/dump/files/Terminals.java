package dev.jcr.dump.files;

import com.google.protobuf.ByteString;
import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.Inherited;
import dev.jcr.image.v1.Terminal;
import dev.jcr.image.v1.TerminalEnd;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.FileStat;
import dev.jcr.parasite.linux.OpenFlags;
import dev.jcr.parasite.linux.PtyQueue;
import dev.jcr.parasite.linux.SyscallException;
import java.io.IOException;
import java.util.Optional;

/// Terminals: pseudo-terminals with the master inside the process are its own and are made again;
/// all others belong to whoever started it, and the restored process takes those of its restorer.
final class Terminals {
  private static final int PTS_MAJOR = 136;

  private Terminals() {}

  static void master(Scene scene, OpenFile file, Description.Builder description)
      throws IOException, Refusal {
    int fd = file.duplicate().number();
    int index =
        FdCalls.ioctlInt(fd, Fcntl.TIOCGPTN)
            .orElseThrow(() -> new Refusal("a pty master that does not answer", "close it"));
    int device = FileStat.device(PTS_MAJOR, index);
    description.setTerminal(
        TerminalEnd.newBuilder()
            .setPath(file.link())
            .setDevice(device)
            .setMaster(true)
            .setIndex(index));
    Terminal.Builder terminal = settings(scene, fd, device);
    if (!scene.running() && isFirstMaster(scene, file, index)) {
      queues(scene, fd, index, terminal);
    }
    scene.add(
        terminal
            .setIndex(index)
            .setOwned(true)
            .setLocked(FdCalls.ioctlInt(fd, Fcntl.TIOCGPTLCK).orElse(0) != 0)
            .setPacketMode(FdCalls.ioctlInt(fd, Fcntl.TIOCGPKT).orElse(0) != 0)
            .build());
  }

  static void slave(Scene scene, OpenFile file, Description.Builder description)
      throws IOException, Refusal {
    int index = CharacterDevices.slaveIndex(file.stat());
    if (!masterIsInside(scene, index)) {
      outside(scene, file, description);
      return;
    }
    int device = FileStat.device(PTS_MAJOR, index);
    description.setTerminal(
        TerminalEnd.newBuilder().setPath(file.link()).setDevice(device).setIndex(index));
    // Its settings are recorded with the master.
  }

  /// A terminal of somebody else, under whatever name.
  static void outside(Scene scene, OpenFile file, Description.Builder description) throws Refusal {
    int fd = file.duplicate().number();
    Optional<Integer> device = FdCalls.ioctlInt(fd, Fcntl.TIOCGDEV);
    if (device.isEmpty()) {
      // Hung up: every call fails with EIO.
      if (!file.standard()) {
        throw new Refusal("the terminal " + file.link() + " has been hung up", "close it");
      }
      description.setInherited(Inherited.newBuilder().setName(file.link()));
      return;
    }
    FileStat stat = file.stat();
    description.setTerminal(
        TerminalEnd.newBuilder()
            .setPath(SharedObjects.withoutDeleted(file.link()))
            .setDevice(device.get())
            .setIndex(CharacterDevices.isSlave(stat) ? CharacterDevices.slaveIndex(stat) : 0));
    Terminal.Builder terminal = settings(scene, fd, device.get());
    if (CharacterDevices.isSlave(stat)) {
      terminal.setIndex(CharacterDevices.slaveIndex(stat));
    }
    scene.add(terminal.build());
  }

  private static boolean masterIsInside(Scene scene, int index) {
    return firstMaster(scene, index).isPresent();
  }

  private static boolean isFirstMaster(Scene scene, OpenFile file, int index) {
    return firstMaster(scene, index).map(OpenFile::id).orElse(0) == file.id();
  }

  private static Optional<OpenFile> firstMaster(Scene scene, int index) {
    for (OpenFile other : scene.table().files()) {
      if (other.link().endsWith("ptmx")) {
        Optional<Integer> number = FdCalls.ioctlInt(other.duplicate().number(), Fcntl.TIOCGPTN);
        if (number.isPresent() && number.get() == index) {
          return Optional.of(other);
        }
      }
    }
    return Optional.empty();
  }

  private static Terminal.Builder settings(Scene scene, int fd, int device) {
    boolean controlling = scene.stat().ttyNr() == device;
    return Terminal.newBuilder()
        .setDevice(device)
        .setTermios(bytes(FdCalls.ioctl(fd, Fcntl.TCGETS2, Fcntl.SIZEOF_TERMIOS2)))
        .setWindowSize(bytes(FdCalls.ioctl(fd, Fcntl.TIOCGWINSZ, Fcntl.SIZEOF_WINSIZE)))
        .setControlling(controlling)
        .setForeground(controlling && scene.stat().tpgid() == scene.stat().pgrp())
        .setExclusive(FdCalls.ioctlInt(fd, Fcntl.TIOCGEXCL).orElse(0) != 0);
  }

  private static ByteString bytes(Optional<byte[]> value) {
    return value.map(ByteString::copyFrom).orElse(ByteString.EMPTY);
  }

  private static void queues(Scene scene, int master, int index, Terminal.Builder terminal)
      throws IOException, Refusal {
    Optional<OpenFile> held =
        scene.table().files().stream()
            .filter(file ->
                CharacterDevices.isSlave(file.stat())
                    && CharacterDevices.slaveIndex(file.stat()) == index
                    && file.readable()
                    && file.writable())
            .findFirst();
    if (held.isPresent()) {
      queues(master, held.get().duplicate().number(), terminal);
      return;
    }
    if (FdCalls.ioctlInt(master, Fcntl.FIONREAD).orElse(0) == 0) {
      return;
    }
    // Nobody has the other end open: opened for a moment, and closed as it was.
    try (Fd slave =
        Fd.open("/dev/pts/" + index, Fd.O_RDWR | OpenFlags.O_NOCTTY | OpenFlags.O_NONBLOCK, 0)) {
      queues(master, slave.number(), terminal);
    }
  }

  private static void queues(int master, int slave, Terminal.Builder terminal)
      throws IOException, Refusal {
    try {
      PtyQueue queue = PtyQueue.copy(master, slave);
      for (byte[] line : queue.lines()) {
        terminal.addInputLines(ByteString.copyFrom(line));
      }
      terminal
          .setInputRest(ByteString.copyFrom(queue.rest()))
          .setOutput(ByteString.copyFrom(queue.output()));
    } catch (SyscallException e) {
      if (e.errno() == Errno.EAGAIN) {
        throw new Refusal(
            "a pseudo-terminal whose output is stopped (^S) is not restorable", "start it (^Q)");
      }
      throw e;
    }
  }
}
