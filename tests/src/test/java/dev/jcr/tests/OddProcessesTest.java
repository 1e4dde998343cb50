package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Processes in states that tracers trip over: kept, or refused by name with the process as it was.
/// Those that check themselves are in [TargetProgramsTest] (`odd`).
@Tag("process")
@Timeout(120)
class OddProcessesTest {
  private static final String UNSUPPORTED = "not supported";

  private static void stop(Target target) {
    target.kill("STOP");
    while (target.proc().state() != 'T') {
      Target.nap(1);
    }
  }

  private static void expectStopped(Target target) {
    Target.nap(50);
    assertThat(target.proc().state()).isEqualTo('T');
    assertThat(target.proc().tracer()).isZero();
  }

  @ParameterizedTest
  @ValueSource(strings = {"counter", "threads"})
  void aStoppedProcessStaysStopped(String program) {
    try (Target target = Target.start(program)) {
      stop(target);
      Jcr.dump(target.pid(), target.image("r"), "-R").expectExit(0);
      expectStopped(target);
      for (String which : List.of("1", "2")) {
        Jcr.dump(target.pid(), target.image(which)).expectExit(0);
        target.awaitGone();
        Jcr.restore(target.image(which)).expectExit(0);
        expectStopped(target);
      }
      target.kill("CONT");
      target.expectPass();
    }
  }

  /// SIGTERM waits until it goes on.
  @Test
  void signalsOfAStoppedProcessWait() {
    try (Target target = Target.start("counter")) {
      stop(target);
      target.kill("TERM");
      Jcr.dump(target.pid(), target.image("1")).expectExit(0);
      target.awaitGone();
      Jcr.restore(target.image("1")).expectExit(0);
      expectStopped(target);
      target.kill("CONT");
      target.awaitGone();
      assertThat(target.read("result")).isEmpty();
    }
  }

  @Test
  void inTheMiddleOfVfork() {
    try (Target target = Target.start("family", "vfork")) {
      expectRefused(
          target,
          "child " + target.read("other").strip() + " (family): process trees are not supported");
    }
  }

  /// Then the kernel shows the signal where the status of the leader was.
  @Test
  void stoppedWithoutItsLeaderThread() {
    try (Target target = Target.start("leaderless")) {
      target.kill("STOP");
      expectStopped(target);
      Command.Result result = Jcr.dump(target.pid(), target.image("1")).expectExit(3);
      assertThat(result.err())
          .isEqualTo(
              ("jcr: cannot dump process %1$d: leader thread %1$d: it has ended while others go on, and"
                      + " its exit status does not show while the process is stopped; let the"
                      + " process go on (SIGCONT)\n")
                  .formatted(target.pid()));
      assertThat(Files.exists(target.image("1"))).isFalse();
      target.kill("CONT");
      target.expectPass();
    }
  }

  @Test
  void inRoundsWithoutItsLeaderThread() {
    try (Target target = Target.start("leaderless")) {
      Jcr.run("pre-dump", Long.toString(target.pid()), "-D", target.image("0").toString())
          .expectExit(0);
      Path image = target.image("1");
      Jcr.dump(target.pid(), image, "--prev-images-dir", "../image-0").expectExit(0);
      target.awaitGone();
      assertThat(Jcr.restore(image, "--lazy-pages").expectExit(3).err())
          .isEqualTo(
              ("jcr: cannot restore %s on demand: its leader thread has ended while others go on;"
                      + " restore it without --lazy-pages\n")
                  .formatted(image));
      Jcr.restore(image).expectExit(0);
      target.expectRunning();
      target.expectPass();
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"dispatch", "events", "passed"})
  void foundOnlyWhenStopped(String part) {
    try (Target target = Target.start("refused", part)) {
      expectRefused(
          target,
          switch (part) {
            case "dispatch" ->
                "syscall user dispatch gives its system calls to a handler of its own, but for a"
                    + " range of instructions";
            case "events" -> "an inotify instance with unread events";
            default ->
                "a descriptor in the queue of a unix socket (anon_inode:[timerfd]):"
                    + " anon_inode:[timerfd], which is open nowhere but in the queue of a unix"
                    + " socket, is not restorable";
          });
    }
  }

  /// All at once, each by name, before the process is touched.
  @Test
  void everythingThatIsRefused() {
    Map<String, String> reasons = new TreeMap<>();
    reasons.put("io_uring", "an io_uring instance is not restorable");
    reasons.put("fanotify", "a fanotify group that gives permissions");
    reasons.put("perf", "a perf event is not restorable");
    reasons.put("userfaultfd", "a userfaultfd is not restorable");
    reasons.put("aio", "an asynchronous I/O context (io_setup) is " + UNSUPPORTED + " yet");
    reasons.put("vsock", "a socket of family 40 is not restorable yet");
    reasons.put("bpf", "bpf-map is not restorable");
    reasons.put("md5", "a TCP socket that signs its packets (TCP_MD5SIG or TCP_AO)");
    reasons.put("ebpf", "a socket with an eBPF filter is not restorable");
    reasons.put(
        "huge", "huge TLB pages of a file or a System V segment are " + UNSUPPORTED + " yet");
    reasons.put("outside", "a unix socket connected to another process");
    reasons.put("owner", "its owner for signals (F_SETOWN) is process or group");
    try (Target target = Target.start("refused", "all")) {
      List<String> held = target.read("held").lines().toList();
      assertThat(held).contains("outside", "owner").hasSizeGreaterThan(4);
      System.out.println("held and to be refused: " + held);
      Command.Result result = Jcr.dump(target.pid(), target.image("1")).expectExit(3);
      for (String name : held) {
        assertThat(result.err()).contains(reasons.getOrDefault(name, "?"));
      }
      target.expectRunning();
      target.expectPass();
    }
  }

  /// Pid namespaces ([PidNamespacesTest]) and other clocks ([ClocksTest]) are kept.
  @ParameterizedTest
  @ValueSource(strings = "user")
  void inANamespaceOfItsOwn(String kind) throws Exception {
    String option = "--" + kind;
    Assumptions.assumeTrue(
        Command.of("unshare", option, "-f", "true").run().exitCode() == 0,
        "no right to make a namespace");
    Path folder = Target.newFolder();
    String program = Programs.compiled("counter").toString();
    List<String> command =
        List.of("unshare", option, "-f", "--kill-child", program, folder.toString());
    try (Target outer = Target.launch(folder, "unshare", Map.of(), command)) {
      outer.await("ready");
      String child = outer.proc().read("task/" + outer.pid() + "/children").strip();
      Command.Result result = Jcr.dump(Long.parseLong(child), outer.image("1")).expectExit(3);
      assertThat(result.err())
          .contains(kind + " namespace " + kind + ":[")
          .contains("it is not the one jcr runs in; run jcr inside it (nsenter)");
      assertThat(Files.exists(outer.image("1"))).isFalse();
      outer.expectPass();
    }
  }

  /// Of which jcr can only say that it is there.
  @Test
  void aKeyringIsTold() {
    try (Target target = Target.start("odd", "keyring")) {
      Command.Result result = Jcr.dump(target.pid(), target.image("1"), "-R").expectExit(0);
      assertThat(result.out()).contains("process keyring: the restored process has none");
      assertThat(Jcr.run("show", target.image("1").toString()).expectExit(0).out())
          .contains("process keyring");
      target.expectPass();
    }
  }

  /// The dump is refused with this reason, and nothing has come of it.
  static void expectRefused(Target target, String reason) {
    Command.Result result = Jcr.dump(target.pid(), target.image("1")).expectExit(3);
    assertThat(result.err()).contains(reason);
    assertThat(Files.exists(target.image("1"))).isFalse();
    target.expectPass();
  }
}
