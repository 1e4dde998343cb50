package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// What becomes of the process: stopped ones stay stopped, `-s` stops, the foreground passes on how
/// it ends.
@Tag("process")
@Timeout(120)
class FateTest {
  private static void expectState(Target target, char wanted) {
    for (int i = 0; i < 1000 && target.proc().state() != wanted; i++) {
      Target.nap(2);
    }
    assertThat(target.proc().state()).isEqualTo(wanted);
  }

  @Test
  void stoppedProcessStaysStopped() {
    try (Target target = Target.start("counter")) {
      target.kill("STOP");
      expectState(target, 'T');
      Path left = target.image("r");
      Jcr.dump(target.pid(), left, "-R").expectExit(0);
      expectState(target, 'T');
      assertThat(target.proc().tracer()).isZero();
      Path image = target.image("1");
      Jcr.dump(target.pid(), image).expectExit(0);
      target.awaitGone();
      Jcr.restore(image).expectExit(0);
      expectState(target, 'T');
      assertThat(target.proc().tracer()).isZero();
      target.kill("CONT");
      target.expectPass();
    }
  }

  @Test
  void leaveStopped() {
    try (Target target = Target.start("counter")) {
      Jcr.dump(target.pid(), target.image("s"), "-s").expectExit(0);
      expectState(target, 'T');
      assertThat(target.proc().tracer()).isZero();
      target.kill("CONT");
      target.expectPass();
    }
  }

  @Test
  void restoredStopped() {
    try (Target target = Target.start("counter")) {
      Path image = target.image("1");
      Jcr.dump(target.pid(), image).expectExit(0);
      target.awaitGone();
      Jcr.restore(image, "-s").expectExit(0);
      expectState(target, 'T');
      assertThat(target.proc().tracer()).isZero();
      target.kill("CONT");
      target.expectPass();
    }
  }

  @Test
  void foregroundEndsAsTheProcessEnds() throws Exception {
    Path folder = Target.newFolder();
    try (Target target =
        Target.launch(
            folder,
            "sleeper",
            Map.of(),
            List.of("/usr/bin/perl", "-e", "$SIG{TERM} = sub { exit 42 }; sleep 1 while 1"))) {
      while (!target.proc().read("comm").strip().equals("perl")) {
        Target.nap(2);
      }
      Target.nap(200);
      Path image = target.image("1");
      Jcr.dump(target.pid(), image).expectExit(0);
      target.awaitGone();
      Process jcr =
          Jcr.command("restore", image.toString())
              .start(folder.resolve("jcr.out"), folder.resolve("jcr.err"));
      for (int i = 0; i < 2000 && !target.read("jcr.err").contains("restored"); i++) {
        Target.nap(5);
      }
      target.expectRunning();
      jcr.destroy(); // SIGTERM, which jcr forwards.
      assertThat(jcr.waitFor(20, TimeUnit.SECONDS)).isTrue();
      assertThat(jcr.exitValue()).isEqualTo(42);
      target.awaitGone();
    }
  }

  /// wait(2) tells of the process when its last thread has ended, not of its leader's end.
  @Test
  void foregroundEndsAsTheLastThreadEnds() throws Exception {
    try (Target target = Target.start("leaderless", "exit")) {
      Path image = target.image("1");
      Jcr.dump(target.pid(), image).expectExit(0);
      target.awaitGone();
      Process jcr =
          Jcr.command("restore", image.toString())
              .start(target.folder().resolve("jcr.out"), target.folder().resolve("jcr.err"));
      for (int i = 0; i < 2000 && !target.read("jcr.err").contains("restored"); i++) {
        Target.nap(5);
      }
      target.expectRunning();
      assertThat(jcr.isAlive()).isTrue();
      target.expectPass();
      assertThat(jcr.waitFor(20, TimeUnit.SECONDS)).isTrue();
      assertThat(jcr.exitValue()).isEqualTo(23);
    }
  }

  @Test
  void threadIdIsRefused() {
    try (Target target = Target.start("threads", "2")) {
      String tid = target.proc().threads().getLast();
      Command.Result result =
          Jcr.run("dump", tid, "-D", target.image("tid").toString()).expectExit(2);
      assertThat(result.err())
          .isEqualTo(
              "jcr: cannot dump process %s: it is a thread of process %d; dump that\n"
                  .formatted(tid, target.pid()));
      target.expectPass();
    }
  }
}
