package dev.jcr.restore;

import com.google.protobuf.ByteString;
import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.Files;
import dev.jcr.image.v1.InetSocket;
import dev.jcr.image.v1.ProcessState;
import java.net.InetAddress;
import java.util.HashMap;
import java.util.Map;

/// How sockets come back other than they are in the image.
///
/// @param close TCP connections are restored closed: reads find the end of the file
/// @param rebind new local addresses by old ones
/// @param externalUnix datagram sockets whose peer is not there come back as if it had been closed
public record ConnectionChanges(
    boolean close, Map<InetAddress, InetAddress> rebind, boolean externalUnix) {
  public static final ConnectionChanges NONE = new ConnectionChanges(false, Map.of(), false);

  private static final int SHUT_BOTH = 3;

  /// Bytes of an IPv6 address before the IPv4 one that is mapped in it.
  private static final byte[] MAPPED = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1, -1};

  public ConnectionChanges {
    rebind = Map.copyOf(rebind);
  }

  /// `state` with these changes.
  ProcessState applied(ProcessState state) {
    if (!close && rebind.isEmpty() && !externalUnix) {
      return state;
    }
    Map<ByteString, ByteString> addresses = new HashMap<>();
    rebind.forEach((from, to) -> {
      addresses.put(ByteString.copyFrom(from.getAddress()), ByteString.copyFrom(to.getAddress()));
      if (from.getAddress().length == 4 && to.getAddress().length == 4) {
        addresses.put(mapped(from), mapped(to));
      }
    });
    Files.Builder files = state.getFiles().toBuilder();
    for (Description.Builder description : files.getDescriptionsBuilderList()) {
      if (description.hasInetSocket()) {
        change(description.getInetSocketBuilder(), addresses);
      }
      if (externalUnix && !description.getUnixSocket().getPeerAddress().isEmpty()) {
        description.getUnixSocketBuilder().setPeerClosed(true);
      }
    }
    return state.toBuilder().setFiles(files).build();
  }

  private void change(InetSocket.Builder socket, Map<ByteString, ByteString> addresses) {
    if (close && socket.hasConnection()) {
      socket.clearConnection().clearLocal().clearRemote().setShutdown(SHUT_BOTH);
      return;
    }
    // The address in struct sockaddr_in and sockaddr_in6.
    ByteString local = socket.getLocal();
    int at = local.size() < 28 ? 4 : 8;
    int end = at + (local.size() < 28 ? 4 : 16);
    if (local.size() >= end) {
      ByteString other = addresses.get(local.substring(at, end));
      if (other != null && other.size() == end - at) {
        socket.setLocal(local.substring(0, at).concat(other).concat(local.substring(end)));
      }
    }
  }

  private static ByteString mapped(InetAddress v4) {
    return ByteString.copyFrom(MAPPED).concat(ByteString.copyFrom(v4.getAddress()));
  }
}
