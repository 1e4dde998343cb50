package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// CLOCK_MONOTONIC and CLOCK_BOOTTIME of a process whose host has started anew ([Boot]), or that
/// lives in a time namespace. `clocks` sees each leap of a clock and each wait that is early or
/// late.
@Tag("process")
@Timeout(300)
class ClocksTest {
  private static final long FAR = 1_000_000;
  private static final String GO_ON = "its clocks go on in a time namespace: CLOCK_MONOTONIC from ";

  @BeforeAll
  static void timeNamespaces() {
    Assumptions.assumeTrue(
        Command.of("unshare", "-mT", "true").run().exitCode() == 0,
        "no time namespaces, or no right to make one");
  }

  private static String namespace(Target target) throws IOException {
    return Files.readSymbolicLink(Path.of("/proc/" + target.pid() + "/ns/time")).toString();
  }

  private static String offsets(Target target) throws IOException {
    return Files.readString(Path.of("/proc/" + target.pid() + "/timens_offsets"))
        .replaceAll(" +", " ");
  }

  /// Three starts, with clocks that are far ahead, have begun just now, and are far ahead again:
  /// the process is dumped out of the namespace that the restore before gave it.
  @Test
  void goOnWhenTheHostStartsAnew() throws IOException {
    try (Boot boot = new Boot();
        Target target = boot.start("clocks")) {
      String before = namespace(target);
      int image = 0;
      for (long ahead : List.of(FAR, Boot.justStarted(), 50 * FAR)) {
        String pid = Long.toString(target.pid());
        boot.jcr("dump", pid, "-R", "-D", target.image("r" + image).toString()).expectExit(0);
        target.expectRunning();
        String folder = target.image(Integer.toString(image++)).toString();
        boot.jcr("dump", pid, "-D", folder).expectExit(0);
        target.awaitGone();
        boot.startAnew(ahead);
        assertThat(boot.jcr("restore", folder, "--dry-run").expectExit(0).out()).contains(GO_ON);
        Command.Result restored = boot.jcr("restore", folder, "-d").expectExit(0);
        System.out.print(restored.err());
        assertThat(restored.err()).contains(GO_ON);
        target.expectRunning();
        assertThat(namespace(target)).isNotEqualTo(before);
      }
      target.expectPass();
    }
  }

  /// Without `--clocks`, the namespace of a process on a host that has not started anew stays.
  @Test
  void aTimeNamespaceIsKept() throws IOException {
    Path folder = Target.newFolder();
    List<String> command =
        new ArrayList<>(List.of("unshare", "-T", "--monotonic", "12345", "--boottime", "67890"));
    command.addAll(List.of(Programs.compiled("clocks").toString(), folder.toString()));
    try (Target target = Target.launch(folder, "clocks", Map.of(), command)) {
      target.await("ready");
      for (String which : List.of("1", "2", "3")) {
        Jcr.dump(target.pid(), target.image("r" + which), "-R").expectExit(0);
        Jcr.dump(target.pid(), target.image(which)).expectExit(0);
        target.awaitGone();
        assertThat(Jcr.restore(target.image(which)).expectExit(0).err())
            .contains(
                "it has a time namespace as before: CLOCK_MONOTONIC +12345.000 s, CLOCK_BOOTTIME +67890.000 s");
        target.expectRunning();
        assertThat(offsets(target)).isEqualTo("monotonic 12345 0\nboottime 67890 0\n");
      }
      target.expectPass();
    }
  }

  /// The same boot: no namespace, unless it is wanted.
  @Test
  void onTheSameBootItReadsTheHostsClocks() throws IOException {
    try (Target target = Target.start("clocks")) {
      String before = namespace(target);
      Jcr.dump(target.pid(), target.image("1")).expectExit(0);
      target.awaitGone();
      assertThat(Jcr.restore(target.image("1")).expectExit(0).err()).doesNotContain("clocks");
      assertThat(namespace(target)).isEqualTo(before);
      Jcr.dump(target.pid(), target.image("2")).expectExit(0);
      target.awaitGone();
      assertThat(Jcr.restore(target.image("2"), "--clocks=continue").expectExit(0).err())
          .contains(GO_ON);
      assertThat(namespace(target)).isNotEqualTo(before);
      target.expectPass();
    }
  }

  /// By option, and told.
  @Test
  void theyBecomeTheHostsWhereThatIsWanted() throws IOException {
    try (Boot boot = new Boot();
        Target target = boot.start("clocks", "jumps")) {
      String image = target.image("1").toString();
      boot.jcr("dump", Long.toString(target.pid()), "-D", image).expectExit(0);
      target.awaitGone();
      boot.startAnew(FAR);
      assertThat(boot.jcr("restore", image, "-d", "--clocks=host").expectExit(0).err())
          .contains("its clocks are those of this host: CLOCK_MONOTONIC jumps from ");
      assertThat(offsets(target)).isEqualTo("monotonic 1000000 0\nboottime 1000000 0\n");
      target.expectPass();
    }
  }

  /// Refused by name, and nothing is left of it.
  @Test
  void withoutTheRightTheyAreRefused() throws IOException {
    try (Boot boot = new Boot();
        Target target = boot.start("clocks")) {
      String image = target.image("1").toString();
      boot.jcr("dump", Long.toString(target.pid()), "-D", image).expectExit(0);
      target.awaitGone();
      boot.startAnew(FAR);
      List<String> words = new ArrayList<>(List.of("setpriv", "--bounding-set", "-sys_time"));
      words.addAll(List.of("--inh-caps", "-sys_time"));
      words.addAll(Jcr.command("restore", image, "-d").words());
      Command.Result refused = Command.of(boot.words(words)).run().expectExit(4);
      assertThat(refused.err())
          .contains("clocks: those of the process are others, and no time namespace can be made")
          .contains("give jcr CAP_SYS_ADMIN and CAP_SYS_TIME, or let it have this host's")
          .contains("--clocks=host");
      assertThat(target.proc().exists()).isFalse();
      boot.jcr("restore", image, "-d").expectExit(0);
      target.expectPass();
    }
  }

  /// There and back: to a host that started long ago, and home to the first clocks.
  @Timeout(600)
  @Test
  void goOnAcrossAMigration() throws Exception {
    try (Hosts hosts = new Hosts()) {
      hosts.b.startAnew(FAR);
      hosts.a.serve();
      hosts.b.serve();
      Path target = Files.createDirectory(hosts.base().resolve("clocks"));
      hosts.a.start(target, 20000, "clocks");
      MigrationTest.await(target.resolve("ready"));
      for (int i = 0; i < 3; i++) {
        Hosts.Host from = i % 2 == 0 ? hosts.a : hosts.b;
        Hosts.Host to = i % 2 == 0 ? hosts.b : hosts.a;
        System.out.println(
            MigrationTest.migrate(from, to, 20001, "--max-downtime", "20000").expectExit(0).out());
        assertThat(Hosts.living(target)).hasSize(1);
      }
      MigrationTest.expectPass(target);
    }
  }
}
