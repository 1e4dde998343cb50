package dev.jcr.dump.files;

import com.google.protobuf.ByteString;
import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.UnixSocket;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.FileName;
import dev.jcr.parasite.linux.Sockets;
import dev.jcr.parasite.linux.UnixDiag;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/// Connections of unix sockets to other processes. A datagram socket has none of its own: it is
/// connected to a name, and that is all it is. Any other can be lost only.
final class ExternalUnix {
  /// struct ucred: s32 pid, u32 uid, u32 gid.
  private static final int UCRED = 12;

  private static final int EFFECTIVE = 1;

  private ExternalUnix() {}

  /// False when the description has been made an inherited one.
  ///
  /// @param peerName sun_path bytes of the other end, empty for none
  static boolean describe(
      Scene scene,
      OpenFile file,
      Description.Builder description,
      UnixDiag diag,
      byte[] peerName,
      UnixSocket.Builder socket)
      throws IOException, Refusal {
    if (diag.type() == Sockets.SOCK_DGRAM && peerName.length > 0) {
      requireReachable(scene, peerName);
      socket.setPeerAddress(ByteString.copyFrom(peerName));
      return true;
    }
    if (!scene.policy().externalUnix() || file.standard()) {
      Kinds.inheritOrRefuse(
          scene,
          file,
          description,
          "a unix socket connected to another process" + by(peerName),
          "close the connection, or dump with --ext-unix-sk to lose it");
      return false;
    }
    socket.setPeerClosed(true);
    if (peerName.length == 0 && !socket.getAccepted()) {
      // The name may be that of a listener that another process has.
      socket.clearAddress().clearMode().clearUid().clearGid().clearUnlinked();
    }
    if (peerName.length > 0 && !socket.getAccepted() && diag.shutdown() == 0) {
      requireReachable(scene, peerName);
      socket.setPeerAddress(ByteString.copyFrom(peerName));
    }
    return true;
  }

  /// Of a frozen process, when its queue is known: says what becomes of a connection that the image
  /// does not have.
  static void leave(Scene scene, OpenFile file, byte[] peerName, UnixSocket.Builder socket)
      throws IOException, Refusal {
    if (socket.getReceiveQueueCount() > 0) {
      requireOwn(scene, file);
      // Only a socket whose other end jcr holds can be filled.
      socket.clearPeerAddress();
    }
    scene.lose(
        file,
        "its connection to another process"
            + by(peerName)
            + (socket.getPeerAddress().isEmpty()
                ? ": the restored process finds it closed by the other end"
                : ": the restored process has a new one, of whose past the other end knows nothing;"
                    + " one closed by the other end where nobody takes it"));
  }

  /// What waits in a restored socket comes from the restored process itself, as far as SO_PEERCRED
  /// tells: nobody is to be taken for another user.
  private static void requireOwn(Scene scene, OpenFile file) throws IOException, Refusal {
    byte[] bytes =
        FdCalls.socketOption(
                file.duplicate().number(), Sockets.SOL_SOCKET, Sockets.SO_PEERCRED, UCRED)
            .orElse(new byte[UCRED]);
    ByteBuffer peer = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    var own = scene.proc().status();
    int uid = peer.getInt(4);
    if (uid != own.uids()[EFFECTIVE] || peer.getInt(8) != own.gids()[EFFECTIVE]) {
      throw new Refusal(
          "a unix socket with unread data from user "
              + Integer.toUnsignedString(uid)
              + ", whose connection would be lost",
          "read it, or retry");
    }
  }

  private static void requireReachable(Scene scene, byte[] peerName) throws IOException, Refusal {
    if (peerName[0] != 0 && !scene.proc().link("root").equals("/")) {
      throw new Refusal(
          "a unix socket connected" + by(peerName) + " in a changed root", "close it");
    }
  }

  private static String by(byte[] name) {
    return name.length == 0 ? "" : " by " + FileName.text(name).replace('\0', '@');
  }

  /// sun_path of a sockaddr_un, without the zero byte that ends a path.
  static byte[] sunPath(byte[] address) {
    if (address.length <= 2) {
      return new byte[0];
    }
    int end = address.length;
    if (address[2] != 0) {
      int at = 2;
      while (at < end && address[at] != 0) {
        at++;
      }
      end = at;
    }
    return Arrays.copyOfRange(address, 2, end);
  }
}
