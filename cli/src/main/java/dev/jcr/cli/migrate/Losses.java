package dev.jcr.cli.migrate;

import dev.jcr.dump.files.ConnectionPolicy;
import dev.jcr.dump.files.LinkPolicy;

/// What a process may lose by its move; otherwise it forbids it.
///
/// @param externalUnix connections of unix sockets to other processes
/// @param skipInFlight connections that a listening socket has not accepted yet, and what waits in
///   packet sockets
/// @param inotifyOverflow unread inotify events: it reads IN_Q_OVERFLOW instead
public record Losses(boolean externalUnix, boolean skipInFlight, boolean inotifyOverflow) {
  /// Nothing.
  public static final Losses NONE = new Losses(false, false, false);

  LinkPolicy policy() {
    return new LinkPolicy(ConnectionPolicy.KEEP, externalUnix, skipInFlight);
  }
}
