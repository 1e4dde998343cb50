package dev.jcr.tests;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/// Passes connections on to `jcr serve` of a host, and ends all of them at once when told, as a
/// firewall between two networks does. Both jcr stay alive.
final class Between implements AutoCloseable {
  private static final String SCRIPT =
      """
      import os, signal, socket, sys, threading
      ends = []
      def end(*_):
          while ends:
              try: ends.pop().shutdown(socket.SHUT_RDWR)
              except OSError: pass
      signal.signal(signal.SIGUSR1, end)
      def pump(a, b):
          try:
              while True:
                  data = a.recv(65536)
                  if not data: break
                  b.sendall(data)
          except OSError: pass
          for one in (a, b):
              try: one.shutdown(socket.SHUT_RDWR)
              except OSError: pass
      listening = socket.create_server((sys.argv[1], 7480))
      print(os.getpid(), 'on', flush=True)
      while True:
          near, _ = listening.accept()
          try: far = socket.create_connection((sys.argv[1], 7479))
          except OSError:
              near.close()
              continue
          for one in (near, far): one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
          ends += [near, far]
          threading.Thread(target=pump, args=(near, far), daemon=True).start()
          threading.Thread(target=pump, args=(far, near), daemon=True).start()
      """;

  private final Hosts.Host host;
  private final Process process;
  private final String pid;

  Between(Hosts hosts, Hosts.Host host) throws IOException {
    this.host = host;
    Path script = hosts.base().resolve("between.py");
    Files.writeString(script, SCRIPT);
    Path said = hosts.base().resolve("between");
    process =
        host.command("python3", script.toString(), host.address)
            .start(said, hosts.base().resolve("between.err"));
    MigrationTest.awaitText(said, "on", 1);
    pid = Files.readString(said).split(" ", 2)[0];
  }

  /// For `jcr migrate`.
  String address() {
    return host.address + ":7480";
  }

  /// Ends all connections of now.
  void cut() {
    host.command("kill", "-USR1", pid).run().expectExit(0);
  }

  @Override
  public void close() {
    try {
      Hosts.killTree(process);
    } catch (InterruptedException _) {
      Thread.currentThread().interrupt();
    }
  }
}
