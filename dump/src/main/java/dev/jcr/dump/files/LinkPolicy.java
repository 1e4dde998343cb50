package dev.jcr.dump.files;

/// What a dump does about what links the process to others.
///
/// @param tcp established TCP connections
/// @param externalUnix connections of unix sockets to other processes may be lost; otherwise they
///   forbid the dump
/// @param skipInFlight so may connections that a listening socket has not accepted yet, and what
///   waits in packet sockets
public record LinkPolicy(ConnectionPolicy tcp, boolean externalUnix, boolean skipInFlight) {
  /// Nothing may be lost, and established TCP connections forbid the dump.
  public static final LinkPolicy REFUSE = new LinkPolicy(ConnectionPolicy.REFUSE, false, false);

  /// Nothing may be lost.
  public static final LinkPolicy KEEP = new LinkPolicy(ConnectionPolicy.KEEP, false, false);

  /// Whatever a later dump may be told: for looks that decide nothing.
  public static final LinkPolicy ANY = new LinkPolicy(ConnectionPolicy.KEEP, true, true);
}
