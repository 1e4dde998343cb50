package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Packet sockets whose surroundings change, and what of them is refused. That they come back as
/// they were is tested by [TargetProgramsTest].
@Tag("process")
@Timeout(240)
class PacketSocketsTest {
  /// A network namespace with the two ends of a cable, p0 and p1.
  private static final class Network implements AutoCloseable {
    final String name = "jcrpk" + ProcessHandle.current().pid() % 100000;

    Network() {
      Assumptions.assumeTrue(
          Command.of("sh", "-c", "ip netns list && unshare -n true").run().exitCode() == 0,
          "needs root and ip netns");
      Hosts.sh("ip netns add %1$s && ip -n %1$s link set lo up".formatted(name));
      cable();
    }

    void ip(String words) {
      Hosts.sh("ip -n " + name + " " + words);
    }

    void cable() {
      ip("link add p0 type veth peer name p1");
      ip("link set p0 up");
      ip("link set p1 up");
    }

    Target start(String part) throws IOException {
      Path folder = Target.newFolder();
      Target target =
          Target.launch(
              folder,
              "packets",
              Map.of(),
              List.of(
                  "nsenter",
                  "--net=/run/netns/" + name,
                  Programs.compiled("packets").toString(),
                  folder.toString(),
                  part,
                  "p0",
                  "p1"));
      target.await("ready");
      target.skipIfItSaidSo();
      return target;
    }

    @Override
    public void close() {
      Command.of("ip", "netns", "del", name).run();
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"ring", "sendring", "program", "old", "filtered", "unread"})
  void refused(String part) {
    try (Target target = Target.start("packets", part)) {
      OddProcessesTest.expectRefused(
          target,
          switch (part) {
            case "ring" ->
                "a packet socket with a ring (PACKET_RX_RING) is not restorable; let the program use"
                    + " recv and send, or end the capture";
            case "sendring" -> "a packet socket with a ring (PACKET_TX_RING) is not restorable";
            case "program" ->
                "a packet socket whose group is divided by a program (PACKET_FANOUT_CBPF, _EBPF),"
                    + " which no call tells; close it";
            case "old" -> "a packet socket of the old kind (SOCK_PACKET)";
            case "filtered" -> "a socket with an eBPF filter is not restorable; detach the filter";
            default ->
                "a packet socket with unread packets; retry, or dump with --skip-in-flight to lose"
                    + " them";
          });
    }
  }

  /// It goes by its name to an interface that has another number, and nowhere else.
  @Test
  void theInterfaceIsFoundByName() throws IOException {
    try (Network network = new Network();
        Target target = network.start("raw")) {
      Path image = target.image("1");
      Jcr.dump(target.pid(), image).expectExit(0);
      target.awaitGone();
      network.ip("link del p0");
      // The number that p1 has had, perhaps.
      network.ip("link add q0 type veth peer name q1");
      Command.Result gone = Jcr.run("restore", image.toString(), "-d").expectExit(1);
      assertThat(gone.err())
          .contains(
              "it was a packet socket of interface p1, which is not there; give an interface that"
                  + " name");
      network.cable();
      assertThat(Jcr.run("restore", image.toString(), "-d").expectExit(0).err())
          .containsPattern("packet socket: interface p1 has number \\d+, it had \\d+;");
      target.expectPass();
    }
  }

  /// What the process was told it is not told again, and what it was not told is not lost.
  @ParameterizedTest
  @ValueSource(strings = {"down", "untold"})
  void theInterfaceIsDown(String part) throws IOException {
    try (Network network = new Network()) {
      network.ip("link set p1 down");
      try (Target target = network.start(part)) {
        if (part.equals("untold")) {
          OddProcessesTest.expectRefused(
              target, "a packet socket with an error that the process does not know yet");
          return;
        }
        Jcr.dump(target.pid(), target.image("1")).expectExit(0);
        target.awaitGone();
        Jcr.restore(target.image("1")).expectExit(0);
        network.ip("link set p1 up");
        target.expectPass();
      }
    }
  }

  /// Sockets that would get everything have their filters first: nothing slips in.
  @Test
  void nothingGetsPastTheFilter() throws Exception {
    AtomicBoolean done = new AtomicBoolean();
    try (Target target = Target.start("packets", "many");
        DatagramSocket sender =
            new DatagramSocket(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0))) {
      DatagramPacket datagram =
          new DatagramPacket(new byte[10], 10, InetAddress.getLoopbackAddress(), 9);
      Thread noise =
          Thread.ofPlatform()
              .start(() -> {
                while (!done.get()) {
                  try {
                    sender.send(datagram);
                  } catch (IOException e) {
                    // The port is nobody's, which comes back as an error.
                  }
                }
              });
      try {
        Jcr.dump(target.pid(), target.image("1")).expectExit(0);
        target.awaitGone();
        Jcr.restore(target.image("1")).expectExit(0);
      } finally {
        done.set(true);
        noise.join();
      }
      target.expectPass();
    }
  }
}
