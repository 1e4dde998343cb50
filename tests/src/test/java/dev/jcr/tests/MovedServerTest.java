package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// A server that moves between two hosts with its address, while a client on a third one writes
/// without a pause over one connection. The client counts: nothing lost, nothing twice, no reset.
class MovedServerTest {
  private static final String SERVICE = "10.77.9.9";
  private static final String CLIENT = "10.77.9.1";
  private static final int PORT = 6379;
  private static final int PID = 21_000;

  /// Writes 1, 2, 3 ... to the end of a list and checks that each answer is the new length. Its
  /// longest wait of each second goes into a file, with a line for the end.
  private static final String WRITER =
      """
      import socket, sys, time, os
      s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 30)
      s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
      s.settimeout(60)
      f = s.makefile('rb')
      log = open(sys.argv[3], 'w', 1)
      print('connected', file=log)
      n = 0
      while not os.path.exists(sys.argv[4]):
          n += 1
          begin = time.monotonic()
          s.sendall(b'RPUSH written %d\\r\\n' % n)
          answer = f.readline()
          took = time.monotonic() - begin
          if answer != b':%d\\r\\n' % n:
              print('FAIL: answer', answer, 'to', n, file=log)
              sys.exit(1)
          if took > 0.02:
              print('wait %d %.1f' % (n, took * 1000), file=log)
          time.sleep(0.001)
      s.sendall(b'LRANGE written 0 -1\\r\\n')
      count = int(f.readline()[1:])
      values = []
      for _ in range(count):
          f.readline()
          values.append(int(f.readline()))
      print('PASS %d' % n if values == list(range(1, n + 1)) else 'FAIL: %d values' % count, file=log)
      """;

  @Tag("programs")
  @Timeout(300)
  @Test
  void fourTimes() throws Exception {
    System.out.println("jcr migrate, " + moved(4, MovedServerTest::jcr));
  }

  @Tag("bench")
  @Timeout(1800)
  @Test
  void twentyTimesBesideCriu() throws Exception {
    System.out.println("jcr migrate, " + moved(20, MovedServerTest::jcr));
    System.out.println(
        "criu, dumped to memory, copied, restored, " + moved(20, MovedServerTest::criu));
  }

  /// Moves a process, and calls `arrived` as soon as it runs at the other host.
  private interface Move {
    void run(Hosts hosts, Hosts.Host from, Hosts.Host to, int pid, Runnable arrived)
        throws IOException, InterruptedException;
  }

  private static void jcr(Hosts hosts, Hosts.Host from, Hosts.Host to, int pid, Runnable arrived)
      throws IOException, InterruptedException {
    Path out = hosts.base().resolve("migrate.out");
    Path err = hosts.base().resolve("migrate.err");
    Files.deleteIfExists(out);
    to.serve();
    Process migration =
        from.jcr("migrate", Integer.toString(pid), to.address, "--json", "--max-downtime", "5000")
            .start(out, err);
    boolean told = false;
    while (migration.isAlive()) {
      if (!told && Files.readString(out).contains("\"running\"")) {
        told = true;
        arrived.run();
      }
      migration.waitFor(1, TimeUnit.MILLISECONDS);
    }
    assertThat(migration.exitValue())
        .as(Files.readString(err) + Files.readString(out) + to.log())
        .isZero();
    if (!told) {
      arrived.run();
    }
  }

  private static void criu(Hosts hosts, Hosts.Host from, Hosts.Host to, int pid, Runnable arrived)
      throws IOException {
    Path memory = Files.createTempDirectory(Path.of("/dev/shm"), "jcr-criu");
    try {
      Path there = Files.createDirectory(memory.resolve("there"));
      Path here = Files.createDirectory(memory.resolve("here"));
      String criu = Path.of("criu").toAbsolutePath().toString();
      List<String> options = List.of("--tcp-established", "--network-lock", "nftables", "-v0");
      List<String> dump =
          new ArrayList<>(List.of(criu, "dump", "-t", "" + pid, "-D", there.toString()));
      dump.addAll(options);
      from.command(dump.toArray(String[]::new)).run().expectExit(0);
      Command.of("sh", "-c", "cp " + there + "/* " + here).run().expectExit(0);
      List<String> restore = new ArrayList<>(List.of(criu, "restore", "-d", "-D", here.toString()));
      restore.addAll(options);
      to.command(restore.toArray(String[]::new)).run().expectExit(0);
      arrived.run();
      // What held the packets back stays at the source, in the way of the next one that comes.
      from.command(criu, "nft", "flush", "ruleset").run().expectExit(0);
    } finally {
      Target.delete(memory);
    }
  }

  private static String moved(int times, Move move) throws Exception {
    Assumptions.assumeTrue(
        Command.of("sh", "-c", "command -v redis-server").run().exitCode() == 0,
        "redis-server is not installed");
    try (Hosts hosts = new Hosts();
        ClientHost client = new ClientHost(hosts)) {
      Path log = hosts.base().resolve("writer.log");
      Path stop = hosts.base().resolve("stop");
      Path script = Files.writeString(hosts.base().resolve("writer.py"), WRITER);
      client.route("a");
      startRedis(hosts.a);
      hosts.b.serve();
      Process writer =
          Command.of(
                  List.of(
                      "ip",
                      "netns",
                      "exec",
                      client.name,
                      "python3",
                      script.toString(),
                      SERVICE,
                      "" + PORT,
                      log.toString(),
                      stop.toString()))
              .start(hosts.base().resolve("writer.out"), hosts.base().resolve("writer.err"));
      awaitWriter(log);
      for (int i = 0; i < times; i++) {
        Hosts.Host from = i % 2 == 0 ? hosts.a : hosts.b;
        Hosts.Host to = i % 2 == 0 ? hosts.b : hosts.a;
        String letter = i % 2 == 0 ? "b" : "a";
        move.run(hosts, from, to, PID + 1, () -> client.route(letter));
        Target.nap(700);
        assertThat(writer.isAlive()).as(log(hosts, log)).isTrue();
      }
      Files.writeString(stop, "");
      assertThat(writer.waitFor(60, TimeUnit.SECONDS)).isTrue();
      String said = Files.readString(log);
      assertThat(said).as(log(hosts, log)).contains("PASS");
      return summary(said, times);
    }
  }

  private static void awaitWriter(Path log) {
    long end = System.nanoTime() + Duration.ofSeconds(30).toNanos();
    while (!Files.exists(log)) {
      assertThat(System.nanoTime()).isLessThan(end);
      Target.nap(20);
    }
    Target.nap(1000);
  }

  private static String log(Hosts hosts, Path log) throws IOException {
    return Files.readString(log) + Files.readString(hosts.base().resolve("writer.err"));
  }

  /// The longest wait around each move is the downtime as the client sees it.
  private static String summary(String log, int times) {
    List<Double> waits = new ArrayList<>();
    for (String line : log.lines().toList()) {
      if (line.startsWith("wait ")) {
        waits.add(Double.parseDouble(line.split(" ")[2]));
      }
    }
    Collections.sort(waits, Collections.reverseOrder());
    List<Double> moves = waits.subList(0, Math.min(times, waits.size()));
    String written = log.substring(log.indexOf("PASS") + 5).strip();
    return "%d moves: the client waited %.0f ms (median), %.0f ms (most); %s writes, each there once"
        .formatted(times, moves.get(moves.size() / 2), moves.getFirst(), written);
  }

  private static void startRedis(Hosts.Host host) throws InterruptedException {
    host.command(
            "sh",
            "-c",
            "echo %d >/proc/sys/kernel/ns_last_pid; exec setsid -f redis-server --port %d --bind %s --save '' --protected-mode no </dev/null >/dev/null 2>&1"
                .formatted(PID, PORT, SERVICE))
        .run()
        .expectExit(0);
    long end = System.nanoTime() + Duration.ofSeconds(30).toNanos();
    while (host.command("redis-cli", "-h", SERVICE, "PING").run().exitCode() != 0) {
      assertThat(System.nanoTime()).isLessThan(end);
      Thread.sleep(20);
    }
  }

  /// A third network namespace with a cable to each host. Both hosts have the address of the
  /// service; the client's route says where it is.
  private static final class ClientHost implements AutoCloseable {
    final String name;

    ClientHost(Hosts hosts) {
      name = hosts.a.name + "c";
      Hosts.sh("ip netns add %s && ip -n %s link set lo up".formatted(name, name));
      Hosts.sh("ip -n %s addr add %s/32 dev lo".formatted(name, CLIENT));
      cable("a", hosts.a.name, "10.77.10");
      cable("b", hosts.b.name, "10.77.11");
    }

    private void cable(String letter, String host, String net) {
      Hosts.sh(
          ("ip link add to-%1$s netns %2$s type veth peer name c0 netns %3$s"
                  + " && ip -n %2$s addr add %4$s.1/24 dev to-%1$s && ip -n %2$s link set to-%1$s up"
                  + " && ip -n %3$s addr add %4$s.2/24 dev c0 && ip -n %3$s link set c0 up"
                  + " && ip -n %3$s addr add %5$s/32 dev lo"
                  + " && ip -n %3$s route add %6$s/32 via %4$s.1")
              .formatted(letter, name, host, net, SERVICE, CLIENT));
    }

    void route(String letter) {
      String net = letter.equals("a") ? "10.77.10" : "10.77.11";
      Hosts.sh(
          "ip -n %s route replace %s/32 via %s.2 src %s".formatted(name, SERVICE, net, CLIENT));
    }

    @Override
    public void close() {
      Command.of("ip", "netns", "del", name).run();
    }
  }
}
