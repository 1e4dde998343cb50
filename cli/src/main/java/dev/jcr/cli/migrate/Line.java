package dev.jcr.cli.migrate;

import java.io.Closeable;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.security.cert.Certificate;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLPeerUnverifiedException;
import javax.net.ssl.SSLSocket;

/// One connection to another host.
///
/// @param below the socket below TLS: closing that one ends whatever a thread waits for, while
///   closing TLS waits for a thread that writes
/// @param link reads ahead: nobody else may read from the socket
record Line(Socket socket, Socket below, Link link) implements Wire, Closeable {
  static Line of(Socket socket, Socket below) throws IOException {
    return new Line(socket, below, new Link(socket.getInputStream(), socket.getOutputStream()));
  }

  /// Calls another host. Whom it reached is known to be trusted here, and trusts this one.
  ///
  /// @param millis to be connected in
  /// @param answer patience from then on, in milliseconds
  static Line to(Credentials credentials, InetSocketAddress address, int millis, int answer)
      throws IOException {
    Socket below = new Socket();
    boolean done = false;
    try {
      below.connect(new InetSocketAddress(address.getHostString(), address.getPort()), millis);
      Line line =
          secure(
              (SSLSocket)
                  credentials
                      .context()
                      .getSocketFactory()
                      .createSocket(below, address.getHostString(), address.getPort(), true),
              below,
              answer);
      done = true;
      return line;
    } finally {
      if (!done) {
        below.close();
      }
    }
  }

  /// The same from the other end: whoever called is known to be trusted.
  static Line from(Socket below, SSLContext context, int answer) throws IOException {
    SSLSocket socket =
        (SSLSocket) context.getSocketFactory().createSocket(below, null, /* autoClose= */ true);
    socket.setUseClientMode(false);
    socket.setNeedClientAuth(true);
    return secure(socket, below, answer);
  }

  private static Line secure(SSLSocket socket, Socket below, int answer) throws IOException {
    below.setSoTimeout(answer);
    below.setTcpNoDelay(true);
    Credentials.restrict(socket);
    socket.startHandshake();
    return of(socket, below);
  }

  /// Certificate of the other host.
  Certificate peer() throws SSLPeerUnverifiedException {
    if (socket instanceof SSLSocket secure) {
      return secure.getSession().getPeerCertificates()[0];
    }
    throw new SSLPeerUnverifiedException("no TLS");
  }

  @Override
  public void patience(int millis) throws IOException {
    below.setSoTimeout(millis);
    below.setKeepAlive(true);
  }

  /// There is no other one.
  @Override
  public void holdOn(boolean on) {}

  @Override
  public void hangUp() {
    try {
      below.close();
    } catch (IOException _) {
      // It is over either way.
    }
  }

  @Override
  public void close() {
    try {
      socket.close();
    } catch (IOException _) {
      // It is over either way.
    }
  }
}
