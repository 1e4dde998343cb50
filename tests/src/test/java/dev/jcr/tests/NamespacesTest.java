package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Processes in other namespaces than jcr's. That all of them come back is tested by
/// [TargetProgramsTest] as well.
@Tag("process")
@Timeout(240)
class NamespacesTest {
  private static final int PORT = 7379;

  /// A named network namespace with a cable to the one of the tests.
  private static final class Network implements AutoCloseable {
    final String name = "jcrns" + ProcessHandle.current().pid() % 100000;
    final String address = "10.79.7.2";

    Network() {
      Assumptions.assumeTrue(
          Command.of("sh", "-c", "ip netns list && unshare -n true").run().exitCode() == 0,
          "needs root and ip netns");
      make();
    }

    void make() {
      Hosts.sh(
          "ip netns add %1$s && ip -n %1$s link set lo up && ip link add %1$s type veth peer name v0 netns %1$s && ip -n %1$s addr add %2$s/24 dev v0 && ip -n %1$s link set v0 up && ip addr add 10.79.7.1/24 dev %1$s && ip link set %1$s up"
              .formatted(name, address));
    }

    String path() {
      return "/run/netns/" + name;
    }

    Target launch(Path folder, String program, String... words) {
      List<String> all = new ArrayList<>(List.of("nsenter", "--net=" + path(), program));
      all.addAll(List.of(words));
      return Target.launch(folder, program, Map.of(), all);
    }

    void remove() {
      Command.of("ip", "netns", "del", name).run();
      Command.of("ip", "link", "del", name).run();
    }

    @Override
    public void close() {
      remove();
    }
  }

  /// A client that stays connected.
  private static final class Client implements AutoCloseable {
    private final Socket socket = new Socket();

    Client(String address) throws IOException {
      long end = System.nanoTime() + 60_000_000_000L;
      while (true) {
        try (Socket first = new Socket()) {
          first.connect(new InetSocketAddress(InetAddress.ofLiteral(address), PORT), 1000);
          break;
        } catch (IOException e) {
          if (System.nanoTime() > end) {
            throw e;
          }
          Target.nap(20);
        }
      }
      socket.connect(new InetSocketAddress(InetAddress.ofLiteral(address), PORT), 10_000);
      socket.setSoTimeout(60_000);
    }

    /// What redis answers to an inline command, without the end of the line.
    String ask(String command) throws IOException {
      socket.getOutputStream().write((command + "\r\n").getBytes(StandardCharsets.US_ASCII));
      InputStream in = socket.getInputStream();
      StringBuilder line = new StringBuilder();
      for (int c = in.read(); c != '\n'; c = in.read()) {
        assertThat(c).as("the connection was cut").isNotEqualTo(-1);
        line.append((char) c);
      }
      return line.toString().strip();
    }

    @Override
    public void close() throws IOException {
      socket.close();
    }
  }

  private static String[] redis() {
    return new String[] {
      "--port", "" + PORT, "--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""
    };
  }

  /// Its connections are locked in there, and go on after two restores.
  @Test
  void aServerInANamedNetwork() throws Exception {
    Assumptions.assumeTrue(
        Command.of("sh", "-c", "command -v redis-server").run().exitCode() == 0, "no redis-server");
    Path folder = Target.newFolder();
    try (Network network = new Network();
        Target server = network.launch(folder, "redis-server", redis());
        Client client = new Client(network.address)) {
      String there = server.proc().link("ns/net");
      assertThat(there).isNotEqualTo(new Proc(ProcessHandle.current().pid()).link("ns/net"));
      assertThat(client.ask("INCR n")).isEqualTo(":1");
      Jcr.dump(server.pid(), server.image("r"), "-R", "--tcp-established").expectExit(0);
      assertThat(client.ask("INCR n")).isEqualTo(":2");
      for (int cycle = 1; cycle <= 2; cycle++) {
        Path image = server.image("" + cycle);
        Jcr.dump(server.pid(), image, "--tcp-established").expectExit(0);
        server.awaitGone();
        assertThat(Jcr.run("restore", image.toString(), "--dry-run").expectExit(0).out())
            .contains("join the net namespace at " + network.path());
        Jcr.restore(image).expectExit(0);
        assertThat(server.proc().link("ns/net")).isEqualTo(there);
        assertThat(client.ask("INCR n")).isEqualTo(":" + (cycle + 2));
      }
      server.expectRunning();
    }
  }

  /// After a restart of the machine the name leads to a new one.
  @Test
  void anotherNamespaceOfTheSameName() throws Exception {
    Path folder = Target.newFolder();
    String program = Programs.compiled("counter").toString();
    try (Network network = new Network();
        Target target =
            Target.launch(
                folder,
                "counter",
                Map.of(),
                List.of("nsenter", "--net=" + network.path(), program, folder.toString()))) {
      target.await("ready");
      Jcr.dump(target.pid(), target.image("1")).expectExit(0);
      target.awaitGone();
      network.remove();
      Command.Result gone = Jcr.restore(target.image("1")).expectExit(4);
      assertThat(gone.err())
          .contains("net namespace at " + network.path() + ": cannot ")
          .contains("; say which one to join with --join-ns net:PATH or :PID");
      assertThat(target.proc().exists()).isFalse();
      network.make();
      Command.Result restored = Jcr.restore(target.image("1")).expectExit(0);
      assertThat(restored.err()).contains("it is not the one of the dump, but has its path");
      assertThat(Files.getAttribute(target.proc().path().resolve("ns/net"), "unix:ino"))
          .isEqualTo(Files.getAttribute(Path.of(network.path()), "unix:ino"));
      target.expectPass();
    }
  }

  /// Namespaces that are bound to no path, as those of a service.
  @Test
  void withoutAName() throws Exception {
    Assumptions.assumeTrue(
        Command.of("unshare", "-u", "-i", "true").run().exitCode() == 0,
        "no right to make a namespace");
    Path folder = Target.newFolder();
    Path other = Target.newFolder();
    String program = Programs.compiled("counter").toString();
    List<String> words = List.of("unshare", "-u", "-i", program, folder.toString());
    List<String> sleeper = List.of("unshare", "-u", "-i", "sleep", "1000");
    try (Target target = Target.launch(folder, "counter", Map.of(), words);
        Target place = Target.launch(other, "sleep", Map.of(), sleeper)) {
      target.await("ready");
      Path image = target.image("1");
      Command.Result dumped = Jcr.dump(target.pid(), image).expectExit(0);
      assertThat(dumped.out() + dumped.err())
          .contains("its uts namespace is bound to no path: jcr restore needs --join-ns uts:PATH");
      target.awaitGone();
      Command.Result refused = Jcr.restore(image).expectExit(4);
      assertThat(refused.err())
          .contains("uts namespace ")
          .contains("ipc namespace ")
          .contains("the process was in it, and it was bound to no path");
      String uts = "/proc/" + place.pid() + "/ns/uts";
      assertThat(Jcr.restore(image, "--join-ns", "ipc:" + uts).expectExit(4).err())
          .contains(uts + " is no ipc namespace but a uts namespace");
      assertThat(Jcr.restore(image, "--join-ns", "uts:" + image).expectExit(4).err())
          .contains(image + " is no namespace");
      assertThat(Jcr.restore(image, "--join-ns", "user:1").expectExit(2).err())
          .contains("--join-ns: 'user:1' is not net, uts, ipc, cgroup, mnt or pid and a path");
      assertThat(Jcr.restore(image, "--join-ns", "uts:x").expectExit(2).err())
          .contains("--join-ns: 'x' is neither an absolute path nor a pid");
      assertThat(target.proc().exists()).isFalse();

      Jcr.restore(image, "--join-ns", "uts:" + uts, "--join-ns", "ipc:" + place.pid())
          .expectExit(0);
      for (String kind : List.of("ns/uts", "ns/ipc")) {
        assertThat(target.proc().link(kind)).isEqualTo(place.proc().link(kind));
      }
      assertThat(target.proc().link("ns/net"))
          .isEqualTo(new Proc(ProcessHandle.current().pid()).link("ns/net"));
      target.expectPass();
    }
  }

  /// With files that only this process and another one see.
  @ParameterizedTest
  @ValueSource(strings = {"files", "memory", "unixes path"})
  void inAMountNamespace(String words) throws Exception {
    Assumptions.assumeTrue(
        Command.of("unshare", "-m", "true").run().exitCode() == 0, "no right to make a namespace");
    Path outside = Target.newFolder();
    Path covered = Files.createDirectory(outside.resolve("covered"));
    String mount = "mount -t tmpfs none \"$0\" && touch \"$0\"/mounted && exec sleep 1000";
    List<String> sleeper = List.of("unshare", "-m", "sh", "-c", mount, covered.toString());
    try (Target place = Target.launch(outside, "sleep", Map.of(), sleeper)) {
      Path seen = Path.of("/proc/" + place.pid() + "/root" + covered);
      for (int tries = 0; !Files.exists(seen.resolve("mounted")) && tries < 3000; tries++) {
        Target.nap(10);
      }
      String[] program = words.split(" ", -1);
      List<String> command =
          new ArrayList<>(
              List.of(
                  "nsenter",
                  "--mount=/proc/" + place.pid() + "/ns/mnt",
                  Programs.compiled(program[0]).toString(),
                  covered.toString()));
      command.addAll(Arrays.asList(program).subList(1, program.length));
      try (Target target =
          Target.launch(seen, program[0], Map.of("FOLDER", seen.toString()), command)) {
        target.await("ready");
        String there = target.proc().link("ns/mnt");
        assertThat(there).isEqualTo(place.proc().link("ns/mnt"));
        Jcr.dump(target.pid(), outside.resolve("r"), "-R").expectExit(0);
        target.expectRunning();
        for (String which : List.of("1", "2")) {
          Path image = outside.resolve(which);
          Jcr.dump(target.pid(), image).expectExit(0);
          target.awaitGone();
          assertThat(Jcr.restore(image).expectExit(4).err())
              .contains("mnt namespace ")
              .contains("it was bound to no path; say which one to join with --join-ns mnt:PATH");
          Jcr.restore(image, "--join-ns", "mnt:" + place.pid()).expectExit(0);
          assertThat(target.proc().link("ns/mnt")).isEqualTo(there);
        }
        assertThat(covered).isEmptyDirectory();
        target.expectPass();
      }
    }
  }

  /// A socket that was made before the process changed its network, and a thread on its own.
  @Test
  void whatIsElsewhereIsRefused() throws Exception {
    try (Target target = Target.start("refused", "elsewhere")) {
      Command.Result result = Jcr.dump(target.pid(), target.image("1")).expectExit(3);
      assertThat(result.err())
          .contains(
              "a socket of another network namespace than the process's is not restorable; close it")
          .contains("it is in another uts namespace than the process's first thread");
      assertThat(Files.exists(target.image("1"))).isFalse();
      target.expectRunning();
      target.expectPass();
    }
  }
}
