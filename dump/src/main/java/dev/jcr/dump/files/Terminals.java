package dev.jcr.dump.files;

import com.google.protobuf.ByteString;
import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.Inherited;
import dev.jcr.image.v1.Terminal;
import dev.jcr.image.v1.TerminalEnd;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.FileStat;
import java.io.IOException;
import java.util.Optional;

/// Terminals: pseudo-terminals with the master inside the process are its own and are made again;
/// all others belong to whoever started it, and the restored process takes those of its restorer.
final class Terminals {
  private static final int PTS_MAJOR = 136;

  private Terminals() {}

  static void master(Scene scene, OpenFile file, Description.Builder description) throws Refusal {
    int fd = file.duplicate().number();
    int index =
        FdCalls.ioctlInt(fd, Fcntl.TIOCGPTN)
            .orElseThrow(() -> new Refusal("a pty master that does not answer", "close it"));
    refuseUnread(scene, fd);
    int device = FileStat.device(PTS_MAJOR, index);
    description.setTerminal(
        TerminalEnd.newBuilder()
            .setPath(file.link())
            .setDevice(device)
            .setMaster(true)
            .setIndex(index));
    Terminal.Builder terminal = settings(scene, fd, device);
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
    int fd = file.duplicate().number();
    int index = CharacterDevices.slaveIndex(file.stat());
    if (!masterIsInside(scene, index)) {
      outside(scene, file, description);
      return;
    }
    refuseUnread(scene, fd);
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
    for (OpenFile other : scene.table().files()) {
      if (other.link().endsWith("ptmx")) {
        Optional<Integer> number = FdCalls.ioctlInt(other.duplicate().number(), Fcntl.TIOCGPTN);
        if (number.isPresent() && number.get() == index) {
          return true;
        }
      }
    }
    return false;
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

  /// Nothing can look at what waits in a terminal without taking it out.
  private static void refuseUnread(Scene scene, int fd) throws Refusal {
    int unread = scene.running() ? 0 : FdCalls.ioctlInt(fd, Fcntl.FIONREAD).orElse(0);
    if (unread > 0) {
      throw new Refusal(
          "a pseudo-terminal with " + unread + " unread bytes is not restorable",
          "retry when they have been read");
    }
  }
}
