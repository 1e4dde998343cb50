package dev.jcr.parasite.tcp;

import dev.jcr.parasite.linux.Sockets;

/// What the states of TCP mean for queues and sequence numbers.
final class TcpStates {
  private TcpStates() {}

  /// This end has closed, whether or not the other knows.
  static boolean sentFin(int state) {
    return switch (state) {
      case Sockets.TCP_FIN_WAIT1,
          Sockets.TCP_FIN_WAIT2,
          Sockets.TCP_CLOSING,
          Sockets.TCP_LAST_ACK ->
          true;
      default -> false;
    };
  }

  /// The other end has closed.
  static boolean receivedFin(int state) {
    return switch (state) {
      case Sockets.TCP_CLOSE_WAIT, Sockets.TCP_LAST_ACK, Sockets.TCP_CLOSING -> true;
      default -> false;
    };
  }
}
