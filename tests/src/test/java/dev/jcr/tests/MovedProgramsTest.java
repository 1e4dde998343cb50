package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// A little of [MigrationTest], for a machine on which each start of jcr takes seconds: programs
/// that check themselves move between two [Hosts] of the arm64 machine by `jcr serve` and `jcr
/// migrate`.
@Tag("once")
@Timeout(1200)
class MovedProgramsTest {
  private static final int PID = 20000;
  private static final Duration PATIENCE = Duration.ofSeconds(Arm64.IS_HOST ? 900 : 60);

  /// Every round takes as long as the emulated processor needs for TLS; the process waits.
  private static final String DOWNTIME = Arm64.IS_HOST ? "20000" : "5000";

  /// One started on host a.
  private record Moving(Path folder, int pid) {
    static Moving start(Hosts hosts, String name, int pid, String program, String... arguments)
        throws IOException {
      Path folder = Files.createDirectory(hosts.base().resolve(name));
      hosts.a.start(folder, pid, program, arguments);
      Moving started = new Moving(folder, pid + 1);
      started.await("ready");
      return started;
    }

    String await(String file) throws IOException {
      long end = System.nanoTime() + PATIENCE.toNanos();
      while (!Files.exists(folder.resolve(file))) {
        if (!result().isEmpty()) {
          return result();
        }
        assertThat(System.nanoTime()).as("no " + folder.resolve(file)).isLessThan(end);
        Target.nap(5);
      }
      return Files.readString(folder.resolve(file));
    }

    /// What it said by itself, if it did.
    String result() throws IOException {
      Path result = folder.resolve("result");
      return Files.exists(result) ? Files.readString(result) : "";
    }

    void expectPass() throws IOException {
      assertThat(result()).isEmpty();
      Files.writeString(folder.resolve("check"), "");
      assertThat(await("result")).isEqualTo("PASS");
    }

    /// Its numbers are printed.
    Command.Result migrate(Hosts.Host from, Hosts.Host to, String... more) throws IOException {
      List<String> words =
          new ArrayList<>(
              List.of(
                  "migrate",
                  Integer.toString(pid),
                  to.address,
                  "--json",
                  "--max-downtime",
                  DOWNTIME));
      words.addAll(Arrays.asList(more));
      Command.Result moved =
          from.jcr(words.toArray(String[]::new)).within(Duration.ofMinutes(20)).run();
      if (moved.exitCode() != 0) {
        System.out.println(to.log());
      }
      moved.expectExit(0);
      assertThat(Hosts.living(folder))
          .singleElement()
          .asString()
          .doesNotEndWith("T")
          .doesNotEndWith("t");
      assertThat(from.has(pid)).isFalse();
      assertThat(to.has(pid)).isTrue();
      System.out.printf(
          "%s moved in %d ms: %d rounds, stopped for %d us%n",
          folder.getFileName(),
          moved.wall().toMillis(),
          moved.out().lines().filter(line -> line.contains("\"round\"")).count(),
          number(moved, "downtime_us"));
      return moved;
    }
  }

  private static long number(Command.Result result, String name) {
    return Long.parseLong(result.out().replaceFirst("(?s).*\"" + name + "\":\"?([0-9]+).*", "$1"));
  }

  /// Pre-copy, with memory that is written all the time.
  @Test
  void backAndForth() throws Exception {
    try (Hosts hosts = new Hosts()) {
      hosts.a.serve();
      hosts.b.serve();
      Moving dirty = Moving.start(hosts, "dirty", PID, "dirty", "1", "2");
      for (int i = 0; i < 4; i++) {
        dirty.migrate(i % 2 == 0 ? hosts.a : hosts.b, i % 2 == 0 ? hosts.b : hosts.a);
      }
      dirty.expectPass();
    }
  }

  /// Post-copy: it runs there while its memory is still here.
  @Test
  void itsMemoryFollows() throws Exception {
    try (Hosts hosts = new Hosts()) {
      hosts.b.serve();
      Moving dirty = Moving.start(hosts, "dirty", PID, "dirty", "4", "2");
      Command.Result moved =
          dirty.migrate(hosts.a, hosts.b, "--postcopy", "--max-rounds", "0", "--bandwidth", "32");
      assertThat(moved.out()).contains("\"event\":\"whole\"");
      assertThat(number(moved, "remote_bytes")).isGreaterThan(4 << 20);
      dirty.expectPass();
      assertThat(hosts.b.log()).contains("has all its memory");
      System.out.println("post-copy: " + number(moved, "remote_bytes") + " bytes followed");
    }
  }

  /// Registers that are compared all the time, each program moved once; what this CPU lacks is
  /// named.
  @Test
  void registersMove() throws Exception {
    List<String> programs = new ArrayList<>(List.of("torture_regs spin"));
    if (Arm64.IS_HOST) {
      programs.addAll(
          List.of(
              "torture_regs spin sve=64",
              "torture_regs spin sme=64 streaming za zt0 fpmr tpidr2",
              "pac",
              "gcs",
              "x7_live"));
    }
    int moved = 0;
    try (Hosts hosts = new Hosts()) {
      hosts.b.serve();
      for (String program : programs) {
        String[] words = program.split(" ", -1);
        Moving target =
            Moving.start(
                hosts,
                program.replace(' ', '-'),
                PID + 100 * programs.indexOf(program),
                words[0],
                Arrays.copyOfRange(words, 1, words.length));
        String result = target.result();
        if (result.startsWith("SKIP: ")) {
          System.out.println("not moved: " + program + ": " + result);
          continue;
        }
        target.migrate(hosts.a, hosts.b);
        if (!Arm64.IS_HOST) {
          // That one is told by a signal.
          hosts.b.command("kill", "-USR1", Integer.toString(target.pid())).run().expectExit(0);
        }
        target.expectPass();
        moved++;
      }
    }
    assertThat(moved).isPositive();
  }
}
