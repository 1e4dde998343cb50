package dev.jcr.dump.files;

import dev.jcr.image.v1.Description;
import dev.jcr.parasite.linux.OpenFlags;
import java.io.IOException;
import java.util.List;
import java.util.Set;

/// Files that no descriptor of the process leads to, only a message in the queue of one of its unix
/// sockets. A restored process has them under a number only while it is built, so what is set later
/// (timers, watches, locks, owners) cannot be set.
final class Passing {
  private static final Set<String> ANONYMOUS =
      Set.of("anon_inode:[eventfd]", "anon_inode:[signalfd]", "anon_inode:[pidfd]");

  private Passing() {}

  /// What its describer would have to ask by its number.
  static void requireSimple(OpenFile file) throws IOException, Refusal {
    if (file.link().startsWith("anon_inode:") && !ANONYMOUS.contains(file.link())) {
      throw refusal(file.link());
    }
    if (!InetSockets.connected(List.of(file)).isEmpty()) {
      throw refusal("a TCP connection");
    }
  }

  static void requireSimple(OpenFile file, Description.Builder description) throws Refusal {
    switch (description.getKindCase()) {
      case REGULAR,
          DIRECTORY,
          PATH_ONLY,
          DEVICE,
          PIPE,
          EVENTFD,
          SIGNALFD,
          MEMFD,
          UNIX_SOCKET,
          INET_SOCKET,
          PIDFD,
          MESSAGE_QUEUE,
          NETLINK_SOCKET,
          PACKET_SOCKET -> {}
      case TIMERFD, EPOLL, TERMINAL, INHERITED, INOTIFY, FANOTIFY, KIND_NOT_SET ->
          throw refusal(file.link());
    }
    if (description.hasOwner() || (file.flags() & OpenFlags.O_ASYNC) != 0) {
      throw refusal("a file with an owner for signals");
    }
    if (description.getRegular().getLocksCount() > 0) {
      throw refusal("a locked file");
    }
  }

  private static Refusal refusal(String what) {
    return new Refusal(
        what + ", which is open nowhere but in the queue of a unix socket, is not restorable",
        "receive it, or retry");
  }
}
