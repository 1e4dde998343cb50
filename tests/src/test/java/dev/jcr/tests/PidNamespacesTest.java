package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Processes that keep their ids in a pid namespace which is not jcr's.
@Tag("process")
@Timeout(240)
class PidNamespacesTest {
  private static final String INIT = "jcr-init\n";

  @BeforeAll
  static void mayMakeOne() {
    Assumptions.assumeTrue(
        Command.of("unshare", "-p", "-f", "true").run().exitCode() == 0,
        "no right to make a pid namespace");
  }

  /// All numbers of a process, jcr's first.
  private static List<String> numbers(Target target, String field) {
    return List.of(target.proc().status().getOrDefault(field, "").split("\\s+", -1));
  }

  private static String namespace(Target target) {
    return target.proc().link("ns/pid");
  }

  private static Target restored(Target target, Path image, String... options) {
    Command.Result result = Jcr.restore(image, options).expectExit(0);
    return target.as(Long.parseLong(result.out().strip()));
  }

  private static Proc init(Target target) {
    Proc init = new Proc(target.proc().parent());
    assertThat(init.read("comm")).isEqualTo(INIT);
    return init;
  }

  private static void awaitGone(Proc proc) {
    for (int i = 0; proc.exists() && i < 10_000; i++) {
      Target.nap(2);
    }
    assertThat(proc.exists()).as(() -> proc.summary()).isFalse();
  }

  /// Three times in a row, while somebody else has its pid outside.
  @Test
  void aPidThatIsTaken() throws Exception {
    try (Target target = Target.start("pids")) {
      String pid = Long.toString(target.pid());
      List<String> tids = target.proc().threads();
      String own = namespace(target);
      Path image = target.image("1");
      Jcr.dump(target.pid(), image).expectExit(0);
      target.awaitGone();
      try (Target squatter = Target.start("occupy", pid)) {
        assertThat(Jcr.restore(image).expectExit(1).err())
            .contains("or restore in a pid namespace of its own (--pid-namespace)");
        assertThat(Jcr.run("restore", image.toString(), "--dry-run", "--pid-namespace").out())
            .contains("create process " + pid + " in a pid namespace of its own from a stub");
        Target last = target;
        for (int cycle = 1; cycle <= 3; cycle++) {
          Command.Result result = Jcr.restore(image, "--pid-namespace").expectExit(0);
          last = target.as(Long.parseLong(result.out().strip()));
          assertThat(result.err())
              .contains("restored process %s as %d on this host".formatted(pid, last.pid()));
          assertThat(numbers(last, "NSpid")).containsExactly(Long.toString(last.pid()), pid);
          assertThat(namespace(last)).isNotEqualTo(own);
          List<String> inside = new ArrayList<>();
          for (String tid : last.proc().threads()) {
            inside.add(
                last.proc()
                    .fields("task/" + tid + "/status")
                    .getOrDefault("NSpid", "")
                    .split("\\s+")[1]);
          }
          assertThat(inside).containsExactlyInAnyOrderElementsOf(tids);
          last.expectRunning();
          if (cycle < 3) {
            Jcr.dump(last.pid(), target.image("r" + cycle), "-R").expectExit(0);
            last.expectRunning();
            image = target.image("" + (cycle + 1));
            Proc init = init(last);
            assertThat(Jcr.dump(last.pid(), image).expectExit(0).err())
                .contains("jcr restore needs --join-ns pid:PATH or --pid-namespace");
            last.awaitGone();
            awaitGone(init);
            assertThat(Jcr.restore(image).expectExit(4).err())
                .contains("pid namespace ")
                .contains("--join-ns pid:PATH or :PID, or have one made with --pid-namespace");
          }
        }
        Proc init = init(last);
        last.expectPass();
        awaitGone(init);
        squatter.expectPass();
      }
    }
  }

  /// A namespace that others made, entered again and left for a new one.
  @Test
  void joinedByAProcessInside() throws Exception {
    Path folder = Target.newFolder();
    String program = Programs.compiled("pids").toString();
    String script = "\"$0\" \"$1\" & while :; do wait; sleep 0.1; done";
    List<String> words = List.of("unshare", "-p", "-f", "sh", "-c", script, program, "" + folder);
    try (Target unshare = Target.launch(folder, "pids", Map.of(), words)) {
      unshare.await("ready");
      Target shell = unshare.as(child(unshare, "sh"));
      Target target = unshare.as(child(shell, "pids"));
      String pid = numbers(target, "NSpid").getLast();
      assertThat(pid).isNotEqualTo("1").isNotEqualTo(Long.toString(target.pid()));
      Jcr.dump(target.pid(), target.image("r"), "-R").expectExit(0);
      Path image = target.image("1");
      Jcr.dump(target.pid(), image).expectExit(0);
      target.awaitGone();
      Target joined = restored(target, image, "--join-ns", "pid:" + shell.pid());
      assertThat(namespace(joined)).isEqualTo(namespace(shell));
      assertThat(numbers(joined, "NSpid").getLast()).isEqualTo(pid);
      Jcr.dump(joined.pid(), target.image("2")).expectExit(0);
      joined.awaitGone();
      Target alone = restored(target, target.image("2"), "--pid-namespace");
      assertThat(namespace(alone)).isNotEqualTo(namespace(shell));
      assertThat(numbers(alone, "NSpid").getLast()).isEqualTo(pid);
      alone.expectPass();
      shell.kill("KILL");
      unshare.awaitGone();
    }
  }

  /// PID 1 itself, which has no init but is one.
  @Test
  void firstOfItsNamespace() throws Exception {
    Path folder = Target.newFolder();
    String program = Programs.compiled("pids").toString();
    // What unshare says of the end of its child goes nowhere: the child has the file as well.
    String script = "exec unshare -p -f \"$0\" \"$1\" 2>/dev/null";
    List<String> words = List.of("sh", "-c", script, program, folder.toString());
    try (Target unshare = Target.launch(folder, "pids", Map.of(), words)) {
      unshare.await("ready");
      Target target = unshare.as(child(unshare, "pids"));
      assertThat(numbers(target, "NSpid").getLast()).isEqualTo("1");
      Command other = Command.of("nsenter", "-t", "" + target.pid(), "-p", "sleep", "1000");
      Process sleeper = other.start(folder.resolve("out"), folder.resolve("err"));
      for (int i = 0; i < 3000 && sleeper.toHandle().children().count() == 0; i++) {
        Target.nap(2);
      }
      assertThat(Jcr.dump(target.pid(), target.image("0")).expectExit(3).err())
          .contains("(sleep): it lives in the pid namespace of which process")
          .contains("and would end with it; end it first");
      sleeper.children().forEach(ProcessHandle::destroyForcibly);
      assertThat(sleeper.waitFor(20, TimeUnit.SECONDS)).isTrue();
      Target last = target;
      for (int cycle = 1; cycle <= 3; cycle++) {
        Path image = target.image("" + cycle);
        Jcr.dump(last.pid(), image).expectExit(0);
        last.awaitGone();
        assertThat(Jcr.restore(image).expectExit(4).err()).contains("--pid-namespace");
        assertThat(Jcr.restore(image, "--join-ns", "pid:" + last.pid()).exitCode()).isNotZero();
        last = restored(target, image, "--pid-namespace");
        assertThat(numbers(last, "NSpid")).containsExactly(Long.toString(last.pid()), "1");
      }
      last.expectPass();
    }
  }

  /// To a host where the pid is taken: by the very process that moves. Its memory is there before
  /// it, or follows.
  @ParameterizedTest
  @ValueSource(strings = {"--max-rounds=3", "--postcopy"})
  void migrated(String how) throws Exception {
    Path base = Target.newFolder();
    Path source = Files.createDirectory(base.resolve("a"));
    Path destination = Files.createDirectory(base.resolve("b"));
    for (List<Path> pair : List.of(List.of(source, destination), List.of(destination, source))) {
      String key =
          Jcr.run("serve", "--init", "--dir", "" + pair.getFirst()).expectExit(0).out().strip();
      Jcr.run("serve", "--trust", key, "--dir", "" + pair.getLast()).expectExit(0);
    }
    int port;
    try (ServerSocket free = new ServerSocket(0)) {
      port = free.getLocalPort();
    }
    String address = "127.0.0.1:" + port;
    Path log = base.resolve("log");
    Process serve =
        Jcr.command("serve", "--listen", address, "--pid-namespace", "--dir", "" + destination)
            .start(base.resolve("out"), log);
    try (Target target = Target.start("pids")) {
      String pid = Long.toString(target.pid());
      for (int i = 0; !Files.readString(log).contains("listening") && i < 5000; i++) {
        Target.nap(5);
      }
      Jcr.run("migrate", pid, address, how, "--max-downtime", "20000", "--dir", "" + source)
          .expectExit(0);
      List<String> living = Hosts.living(target.folder());
      assertThat(living).hasSize(1);
      Target moved =
          target.as(Long.parseLong(living.getFirst().substring(0, living.getFirst().indexOf(' '))));
      assertThat(numbers(moved, "NSpid")).containsExactly(Long.toString(moved.pid()), pid);
      moved.expectPass();
    } finally {
      serve.destroyForcibly();
      serve.waitFor();
      Target.delete(base);
    }
  }

  /// Whoever ends the init ends the process, and a signal to it does nothing.
  @Test
  void theInit() {
    try (Target target = Target.start("counter")) {
      Path image = target.image("1");
      Jcr.dump(target.pid(), image).expectExit(0);
      target.awaitGone();
      Target restored = restored(target, image, "--pid-namespace");
      Proc init = init(restored);
      assertThat(init.names("fd")).isEmpty();
      assertThat(init.link("cwd")).isEqualTo("/");
      Command.of("kill", "-TERM", Long.toString(init.pid())).run().expectExit(0);
      restored.expectProgress();
      Command.of("kill", "-KILL", Long.toString(init.pid())).run().expectExit(0);
      restored.awaitGone();
      awaitGone(init);
    }
  }

  /// As without a namespace: jcr ends as the process ends, by itself or by a signal.
  @Test
  void foreground() throws Exception {
    for (boolean killed : List.of(false, true)) {
      Path folder = Target.newFolder();
      String script = "$SIG{TERM} = sub { exit 42 }; sleep 1 while 1";
      List<String> words = List.of("/usr/bin/perl", "-e", script);
      try (Target target = Target.launch(folder, "sleeper", Map.of(), words)) {
        while (!target.proc().read("comm").strip().equals("perl")) {
          Target.nap(2);
        }
        Target.nap(200);
        Path image = target.image("1");
        Jcr.dump(target.pid(), image).expectExit(0);
        target.awaitGone();
        Process jcr =
            Jcr.command("restore", image.toString(), "--pid-namespace", "--pidfile", folder + "/p")
                .start(folder.resolve("jcr.out"), folder.resolve("jcr.err"));
        for (int i = 0; i < 4000 && !target.read("p").endsWith("\n"); i++) {
          Target.nap(5);
        }
        Target restored = target.as(Long.parseLong(target.read("p").strip()));
        Proc init = init(restored);
        assertThat(init.parent()).isEqualTo(jcr.pid());
        restored.expectRunning();
        if (killed) {
          restored.kill("KILL");
        } else {
          Target.nap(200);
          jcr.destroy(); // SIGTERM, which jcr forwards.
        }
        assertThat(jcr.waitFor(20, TimeUnit.SECONDS)).isTrue();
        assertThat(jcr.exitValue()).isEqualTo(killed ? 137 : 42);
        restored.awaitGone();
        awaitGone(init);
      }
    }
  }

  /// jcr is killed at many moments: there is a whole process, or nothing.
  @Test
  void jcrIsKilled() throws Exception {
    try (Target target = Target.start("pids")) {
      Path image = target.image("1");
      Jcr.dump(target.pid(), image).expectExit(0);
      target.awaitGone();
      Path out = target.folder().resolve("jcr.out");
      long took = Jcr.run("show", image.toString()).expectExit(0).wall().toMillis();
      int whole = 0;
      for (int moment = 0; moment < 12; moment++) {
        Files.deleteIfExists(out);
        Process jcr =
            Jcr.command("restore", image.toString(), "-d", "--pid-namespace")
                .start(out, target.folder().resolve("jcr.err"));
        Target.nap(took / 2 + took * moment / 8);
        jcr.destroyForcibly();
        assertThat(jcr.waitFor(20, TimeUnit.SECONDS)).isTrue();
        Target.nap(100);
        if (initPids().isEmpty()) {
          continue;
        }
        whole++;
        for (long each : children()) {
          Target restored = target.as(each);
          restored.expectRunning();
          restored.kill("KILL");
          restored.awaitGone();
        }
        for (int i = 0; !initPids().isEmpty() && i < 5000; i++) {
          Target.nap(2);
        }
        assertThat(initPids()).isEmpty();
      }
      assertThat(whole).isLessThan(12);
      Target last = restored(target, image, "--pid-namespace");
      last.expectPass();
    }
  }

  private static List<Long> initPids() {
    return ProcessHandle.allProcesses()
        .map(ProcessHandle::pid)
        .filter(pid -> new Proc(pid).read("comm").equals(INIT))
        .toList();
  }

  private static List<Long> children() {
    List<Long> all = new ArrayList<>();
    for (long init : initPids()) {
      for (String child : new Proc(init).read("task/" + init + "/children").split("\\s+", -1)) {
        if (!child.isEmpty()) {
          all.add(Long.parseLong(child));
        }
      }
    }
    return all;
  }

  private static long child(Target parent, String name) throws IOException {
    for (int i = 0; i < 3000; i++) {
      String all = parent.proc().read("task/" + parent.pid() + "/children");
      for (String child : all.strip().split("\\s+", -1)) {
        if (!child.isEmpty() && new Proc(Long.parseLong(child)).read("comm").strip().equals(name)) {
          return Long.parseLong(child);
        }
      }
      Target.nap(2);
    }
    throw new IOException(parent + " has no child " + name);
  }
}
