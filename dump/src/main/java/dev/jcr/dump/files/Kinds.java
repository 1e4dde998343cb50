package dev.jcr.dump.files;

import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.Inherited;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.OpenFlags;
import dev.jcr.parasite.linux.Sockets;
import java.io.IOException;

/// Tells what an open file is, and hands it to the describer of its kind.
final class Kinds {
  private static final int FAMILY_UNKNOWN = -1;

  private Kinds() {}

  static void describe(Scene scene, OpenFile file, Description.Builder description)
      throws IOException, Refusal {
    if ((file.flags() & OpenFlags.O_PATH) != 0) {
      PlainFiles.pathOnly(file, description);
      return;
    }
    if (file.link().startsWith("anon_inode:")) {
      Anonymous.describe(scene, file, description);
      return;
    }
    switch (file.stat().type()) {
      case Fcntl.S_IFREG -> {
        if (FdCalls.fileSystem(file.duplicate().number()) == Watches.MQUEUE_MAGIC) {
          Watches.messageQueue(scene, file, description);
        } else {
          PlainFiles.regular(scene, file, description);
        }
      }
      case Fcntl.S_IFDIR -> PlainFiles.directory(file, description);
      case Fcntl.S_IFCHR -> CharacterDevices.describe(scene, file, description);
      case Fcntl.S_IFIFO -> Pipes.describe(scene, file, description);
      case Fcntl.S_IFSOCK -> socket(scene, file, description);
      case Fcntl.S_IFBLK -> throw new Refusal("a block device is not restorable", "close it");
      default ->
          throw new Refusal(file.link() + " is of a kind that jcr does not know", "close it");
    }
  }

  private static void socket(Scene scene, OpenFile file, Description.Builder description)
      throws IOException, Refusal {
    int fd = file.duplicate().number();
    int family = FdCalls.socketInt(fd, Sockets.SOL_SOCKET, Sockets.SO_DOMAIN, FAMILY_UNKNOWN);
    if (scene.isElsewhere(fd)) {
      throw new Refusal(
          "a socket of another network namespace than the process's is not restorable", "close it");
    }
    switch (family) {
      case Sockets.AF_UNIX -> UnixSockets.describe(scene, file, description);
      case Sockets.AF_INET, Sockets.AF_INET6 ->
          InetSockets.describe(scene, file, family, description);
      case Sockets.AF_NETLINK -> NetlinkSockets.describe(scene, file, description);
      case Sockets.AF_PACKET -> PacketSockets.describe(scene, file, description);
      default ->
          throw new Refusal("a socket of family " + family + " is not restorable yet", "close it");
    }
  }

  /// A standard descriptor whose original cannot be had again: the restored process takes jcr's.
  /// Any other is refused.
  static void inheritOrRefuse(
      Scene scene, OpenFile file, Description.Builder description, String reason, String remedy)
      throws Refusal {
    if (!file.standard()) {
      throw new Refusal(reason, remedy);
    }
    scene.lose(file, reason + "; the restored process takes that of jcr");
    description.setInherited(Inherited.newBuilder().setName(file.link()));
  }
}
