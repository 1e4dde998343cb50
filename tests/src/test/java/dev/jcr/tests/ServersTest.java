package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.dump.Outline;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.IntFunction;
import java.util.function.LongFunction;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Servers with clients that stay connected over dumps and restores and check every answer.
@Tag("programs")
@Timeout(300)
class ServersTest {
  private static final int CLIENTS = 3;
  private static final int CYCLES = 3;
  private static final int OUTLINES = 60;

  /// A server, how it is started on a port, what a client says the nth time, and how the answer
  /// ends.
  record Server(
      String name,
      IntFunction<List<String>> command,
      LongFunction<String> request,
      LongFunction<String> answer) {
    @Override
    public String toString() {
      return name;
    }
  }

  static List<Server> servers() {
    LongFunction<String> line = n -> "line " + n + "\n";
    return List.of(
        new Server(
            "redis-server",
            port ->
                List.of("redis-server", "--port", "" + port, "--bind", "127.0.0.1", "--save", ""),
            n -> "ECHO " + n + "\r\n",
            n -> n + "\r\n"),
        new Server(
            "python3", port -> List.of(python(), program("echo_server.py"), "" + port), line, line),
        new Server(
            "node",
            port -> List.of("node", program("http_server.js"), "" + port),
            n -> "GET /" + n + " HTTP/1.1\r\nHost: jcr\r\n\r\n",
            n -> "\r\n\r\n" + n),
        new Server(
            "nginx",
            port -> List.of("sh", "-c", nginx(port)),
            n -> "GET /" + n + " HTTP/1.1\r\nHost: jcr\r\n\r\n",
            n -> "\r\n\r\n/" + n),
        new Server(
            "java",
            port ->
                List.of(
                    Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                    "-Xmx64m",
                    program("EchoServer.java"),
                    "" + port),
            line,
            line));
  }

  /// Writes a configuration in its folder and runs in one process.
  private static String nginx(int port) {
    String configuration =
        """
        daemon off; master_process off; pid pid; error_log stderr;
        events {}
        http {
          access_log off;
          client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
          uwsgi_temp_path uwsgi; scgi_temp_path scgi;
          keepalive_requests 1000000000;
          server { listen 127.0.0.1:%d; location / { return 200 $uri; } }
        }
        """
            .formatted(port);
    return "cat >nginx.conf <<'END'\n"
        + configuration
        + "END\nexec nginx -p \"$PWD\" -e stderr -c nginx.conf";
  }

  /// A connection that is used all the time.
  private static final class Client implements AutoCloseable {
    private final Server server;
    private final Socket socket;
    private final Thread thread;
    private final AtomicLong count = new AtomicLong();
    private final AtomicReference<String> problem = new AtomicReference<>("");
    private volatile boolean enough;

    Client(Server server, int port) throws IOException {
      this.server = server;
      this.socket = new Socket();
      socket.connect(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
      socket.setSoTimeout(60_000);
      socket.setTcpNoDelay(true);
      this.thread = Thread.ofPlatform().daemon().start(this::talk);
    }

    private void talk() {
      try {
        while (!enough) {
          once(server, socket, count.incrementAndGet());
          Target.nap(1);
        }
      } catch (IOException | IllegalStateException e) {
        problem.set("after " + count + " requests: " + e);
      }
    }

    static void once(Server server, Socket socket, long number) throws IOException {
      socket
          .getOutputStream()
          .write(server.request.apply(number).getBytes(StandardCharsets.US_ASCII));
      String wanted = server.answer.apply(number);
      StringBuilder got = new StringBuilder();
      InputStream in = socket.getInputStream();
      while (!got.toString().endsWith(wanted)) {
        int next = in.read();
        if (next < 0 || got.length() > 1000) {
          throw new IllegalStateException("end of file, or another answer: " + got);
        }
        got.append((char) next);
      }
    }

    @Override
    public void close() throws IOException {
      enough = true;
      try {
        thread.join(60_000);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
      }
      socket.close();
    }
  }

  @ParameterizedTest
  @MethodSource("servers")
  void clientsNoticeNothing(Server server) throws Exception {
    Assumptions.assumeTrue(isInstalled(server), server.name + " is not installed");
    int port;
    try (ServerSocket free = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      port = free.getLocalPort();
    }
    Path folder = Target.newFolder();
    try (Target target = Target.launch(folder, "server", Map.of(), server.command.apply(port))) {
      awaitPort(port);
      List<Client> clients = new java.util.ArrayList<>();
      try {
        for (int i = 0; i < CLIENTS; i++) {
          clients.add(new Client(server, port));
        }
        for (int i = 0; i < CYCLES; i++) {
          Target.nap(300);
          Path image = target.image(Integer.toString(i));
          Jcr.dump(target.pid(), image, "--tcp-established").expectExit(0);
          target.awaitGone();
          Jcr.restore(image).expectExit(0);
          Target.delete(image);
          try (Socket fresh = new Socket(InetAddress.getLoopbackAddress(), port)) {
            fresh.setSoTimeout(30_000);
            Client.once(server, fresh, 1_000_000 + i);
          }
          long before = clients.getFirst().count.get();
          for (int wait = 0;
              wait < 30_000 && clients.getFirst().count.get() < before + 20;
              wait++) {
            Target.nap(1);
          }
        }
      } finally {
        for (Client client : clients) {
          client.close();
        }
      }
      for (Client client : clients) {
        assertThat(client.problem.get()).isEmpty();
        assertThat(client.count.get()).isGreaterThan(20L * CYCLES);
      }
      System.out.printf(
          "%s: %d dumps and restores, %d requests on %d connections, all answered%n",
          server.name,
          CYCLES,
          clients.stream().mapToLong(client -> client.count.get()).sum(),
          CLIENTS);
    }
  }

  /// What the destination of a migration is told first is seen while the server works: connections
  /// are not touched.
  @Test
  void outlinesDisturbNobody() throws Exception {
    Server server = servers().getFirst();
    Assumptions.assumeTrue(isInstalled(server), server.name + " is not installed");
    int port;
    try (ServerSocket free = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      port = free.getLocalPort();
    }
    Path folder = Target.newFolder();
    try (Target target = Target.launch(folder, "server", Map.of(), server.command.apply(port))) {
      awaitPort(port);
      Client client = new Client(server, port);
      try (client) {
        for (int i = 0; i < OUTLINES; i++) {
          long connections =
              Outline.of(Math.toIntExact(target.pid())).getFiles().getDescriptionsList().stream()
                  .filter(each -> each.getInetSocket().hasConnection())
                  .count();
          assertThat(connections).as(client.problem.get()).isEqualTo(1);
        }
      }
      assertThat(client.problem.get()).isEmpty();
      assertThat(client.count.get()).isGreaterThan(20);
    }
  }

  private static void awaitPort(int port) {
    for (int i = 0; i < 600; i++) {
      try (Socket _ = new Socket(InetAddress.getLoopbackAddress(), port)) {
        // What it accepted now is closed before the first dump.
        Target.nap(200);
        return;
      } catch (IOException e) {
        Target.nap(50);
      }
    }
    throw new AssertionError("nobody listens on port " + port);
  }

  private static boolean isInstalled(Server server) {
    return server.name.equals("java")
        || Command.of("sh", "-c", "command -v " + server.name).run().exitCode() == 0;
  }

  private static String python() {
    return java.nio.file.Files.isExecutable(Path.of("/usr/bin/python3"))
        ? "/usr/bin/python3"
        : "python3";
  }

  private static String program(String name) {
    return Path.of("programs", name).toAbsolutePath().toString();
  }
}
