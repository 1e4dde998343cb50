package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// The options for connections to other processes; that they are kept is tested by
/// [TargetProgramsTest].
@Tag("process")
@Timeout(120)
class ConnectionsTest {
  @Test
  void refusedWithoutAnOption() {
    try (Target target = Target.start("tcp", "empty")) {
      Command.Result result = Jcr.dump(target.pid(), target.image("1")).expectExit(3);
      assertThat(result.err())
          .contains("fd 4: a connected TCP socket (to 127.0.0.1:")
          .contains("dump with --tcp-established to keep the connection, or with --tcp-close");
      target.expectRunning();
      target.expectPass();
    }
  }

  @Test
  void bothOptionsExcludeEachOther() {
    Command.Result result = Jcr.run("dump", "1", "--tcp-established", "--tcp-close").expectExit(2);
    assertThat(result.err()).contains("--tcp-established and --tcp-close exclude each other");
  }

  @Test
  void closedByTheDump() {
    try (Target target = Target.start("tcp", "closed")) {
      Path image = target.image("1");
      Command.Result dumped = Jcr.dump(target.pid(), image, "--tcp-close").expectExit(0);
      assertThat(dumped.out()).contains("lost      descriptor fd 4: a connected TCP socket");
      target.awaitGone();
      Jcr.restore(image).expectExit(0);
      target.expectPass();
    }
  }

  @Test
  void closedByTheRestore() {
    try (Target target = Target.start("tcp", "closed")) {
      Path image = target.image("1");
      Jcr.dump(target.pid(), image, "--tcp-established").expectExit(0);
      target.awaitGone();
      Jcr.restore(image, "--tcp-close").expectExit(0);
      target.expectPass();
    }
  }

  @Test
  void reboundToAnotherAddress() {
    try (Target target = Target.start("tcp", "rebound")) {
      Path image = target.image("1");
      Jcr.dump(target.pid(), image).expectExit(0);
      target.awaitGone();
      Jcr.restore(image, "--tcp-rebind", "127.0.0.1=127.0.0.2").expectExit(0);
      target.expectPass();
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"stream", "server", "waiting"})
  void unixConnectionsAreNotLostUnasked(String part) {
    try (Target target = Target.start("external", part)) {
      Command.Result result = Jcr.dump(target.pid(), target.image("1")).expectExit(3);
      assertThat(result.err())
          .contains("a unix socket connected to another process")
          .contains("close the connection, or dump with --ext-unix-sk to lose it");
      target.expectRunning();
      target.expectPass();
    }
  }

  @Test
  void connectionsNotYetAccepted() {
    try (Target target = Target.start("inflight")) {
      Command.Result refused = Jcr.dump(target.pid(), target.image("r")).expectExit(3);
      assertThat(refused.err())
          .contains("a unix socket with connections of other processes not yet accepted");
      Command.Result dumped =
          Jcr.dump(target.pid(), target.image("r"), "-R", "--skip-in-flight").expectExit(0);
      assertThat(dumped.out())
          .contains(
              "lost      descriptor fd 3: its connections: 1 not yet accepted; their other ends")
          .contains("lost      descriptor fd 5: its connections: 1 being made; their other ends")
          .contains("lost      descriptor fd 6: its connections: 1 being made; their other ends")
          .contains(
              "lost      descriptor fd 7: its connections from other processes: 1 not yet accepted;"
                  + " they are reset");
      target.expectPass();
    }
    try (Target target = Target.start("inflight", "tcp")) {
      Command.Result refused = Jcr.dump(target.pid(), target.image("r")).expectExit(3);
      assertThat(refused.err())
          .contains(
              "fd 3: a TCP socket with connections: 1 not yet accepted; accept them, retry, or")
          .contains(
              "fd 6: a TCP socket with connections: 1 being made; accept them, retry, or dump");
      target.expectRunning();
      target.expectPass();
    }
  }

  @Test
  void lostUnixConnectionsAreListed() {
    try (Target target = Target.start("external", "stream")) {
      Command.Result dumped =
          Jcr.dump(target.pid(), target.image("r"), "-R", "--ext-unix-sk").expectExit(0);
      assertThat(dumped.out())
          .contains(
              "lost      descriptor fd 3: its connection to another process by "
                  + target.folder()
                  + "/listener: the restored process has a new one, of whose past the other end knows"
                  + " nothing");
      target.expectPass();
    }
  }

  /// Nobody is there: connections come back closed by the other end, datagram sockets by an option.
  @Test
  void unixPeersThatAreGone() throws IOException {
    try (Target target = Target.start("external", "unread")) {
      Path image = target.image("1");
      Command.Result dumped = Jcr.dump(target.pid(), image, "--ext-unix-sk").expectExit(0);
      assertThat(dumped.out()).contains("the restored process finds it closed by the other end");
      target.awaitGone();
      Files.writeString(target.folder().resolve("result"), "");
      Target.nap(200);
      Files.delete(target.folder().resolve("result"));
      Jcr.restore(image).expectExit(0);
      target.expectPass();
    }
    try (Target target = Target.start("external", "bereft")) {
      Path image = target.image("1");
      Jcr.dump(target.pid(), image, "--ext-unix-sk").expectExit(0);
      target.awaitGone();
      Files.writeString(target.folder().resolve("result"), "");
      Target.nap(200);
      Files.delete(target.folder().resolve("result"));
      Command.Result refused = Jcr.restore(image).expectExit(1);
      assertThat(refused.err())
          .contains(
              "fd 3: nobody has the unix address "
                  + target.folder()
                  + "/log that it is connected to; start the program that had it, or restore with"
                  + " --ext-unix-sk");
      assertThat(target.proc().exists()).isFalse();
      Command.Result restored = Jcr.restore(image, "--ext-unix-sk").expectExit(0);
      assertThat(restored.err())
          .contains("/log: ECONNREFUSED (")
          .contains("/listener: ECONNREFUSED (")
          .contains("it is restored as one whose other end is closed");
      target.expectPass();
    }
  }

  @Test
  void notAnAddress() {
    Command.Result result =
        Jcr.run("restore", "image", "--tcp-rebind", "127.0.0.1=localhost").expectExit(2);
    assertThat(result.err()).contains("--tcp-rebind: 'localhost' is not an IP address");
  }

  @Test
  void restoredTwiceAtOnce() {
    try (Target target = Target.start("tcp", "empty")) {
      Path image = target.image("1");
      Jcr.dump(target.pid(), image, "-R", "--tcp-established").expectExit(0);
      Command.Result result = Jcr.restore(image);
      assertThat(result.exitCode()).isNotZero();
      target.expectRunning();
      target.expectPass();
    }
  }
}
