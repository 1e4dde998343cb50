package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// The options for established TCP connections; that they are kept is tested by
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
