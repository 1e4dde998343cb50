package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/// A process moves between two hosts ([Hosts]): back and forth, and with everything that can go
/// wrong on the way. Always exactly one copy lives, and finds itself whole.
class MigrationTest {
  private static final int PID = 20000;

  private static Path target(Hosts hosts, String name) throws IOException {
    return Files.createDirectory(hosts.base().resolve(name));
  }

  static void await(Path file) {
    long end = System.nanoTime() + Duration.ofSeconds(60).toNanos();
    while (!Files.exists(file)) {
      if (System.nanoTime() > end) {
        throw new AssertionError("no " + file);
      }
      Target.nap(2);
    }
  }

  static void expectPass(Path target) throws IOException {
    Files.writeString(target.resolve("check"), "");
    await(target.resolve("result"));
    assertThat(Files.readString(target.resolve("result"))).isEqualTo("PASS");
  }

  static Command.Result migrate(Hosts.Host from, Hosts.Host to, int pid, String... more) {
    List<String> words =
        new ArrayList<>(List.of("migrate", Integer.toString(pid), to.address, "--json"));
    words.addAll(List.of(more));
    return from.jcr(words.toArray(String[]::new)).run();
  }

  private static long downtimeMicros(Command.Result result) {
    String text = result.expectExit(0).out();
    return Long.parseLong(text.replaceFirst("(?s).*\"downtime_us\":([0-9]+)}.*", "$1"));
  }

  @Tag("process")
  @Timeout(600)
  @Test
  void backAndForth() throws Exception {
    try (Hosts hosts = new Hosts()) {
      Path counter = target(hosts, "counter");
      Path dirty = target(hosts, "dirty");
      hosts.a.serve();
      hosts.b.serve();
      hosts.a.start(counter, PID, "counter");
      hosts.a.start(dirty, PID + 1000, "dirty", "16", "1");
      await(counter.resolve("ready"));
      await(dirty.resolve("ready"));
      List<Long> times = new ArrayList<>();
      for (int i = 0; i < 6; i++) {
        Hosts.Host from = i % 2 == 0 ? hosts.a : hosts.b;
        Hosts.Host to = i % 2 == 0 ? hosts.b : hosts.a;
        for (Path target : List.of(counter, dirty)) {
          int pid = Integer.parseInt(Files.readString(target.resolve("ready")).strip());
          Command.Result moved = migrate(from, to, pid, "--max-downtime", "400");
          times.add(downtimeMicros(moved));
          moved
              .out()
              .lines()
              .filter(line -> line.contains("committed"))
              .forEach(System.out::println);
          assertThat(Hosts.living(target)).hasSize(1);
        }
      }
      expectPass(counter);
      expectPass(dirty);
      Collections.sort(times);
      System.out.printf(
          "%d migrations: stopped for %d ms (median), %d ms (most)%n",
          times.size(), times.get(times.size() / 2) / 1000, times.getLast() / 1000);
    }
  }

  /// Runs there while most of its memory is still here; of what was sent in rounds only the rest.
  @Tag("process")
  @Timeout(600)
  @ParameterizedTest
  @ValueSource(strings = {"0", "2"})
  void itsMemoryFollows(String rounds) throws Exception {
    try (Hosts hosts = new Hosts()) {
      hosts.b.serve();
      Path dirty = target(hosts, "dirty");
      hosts.a.start(dirty, PID, "dirty", "96", "20");
      await(dirty.resolve("ready"));
      Command.Result moved =
          migrate(
              hosts.a,
              hosts.b,
              PID + 1,
              "--postcopy",
              "--max-rounds",
              rounds,
              "--max-downtime",
              "1",
              "--bandwidth",
              "32");
      moved.expectExit(0);
      System.out.println(moved.out());
      assertThat(moved.out()).contains("\"event\":\"whole\"");
      long late = number(moved, "remote_bytes");
      assertThat(late).isGreaterThan(rounds.equals("0") ? 96 << 20 : 256 << 10);
      assertThat(Hosts.living(dirty)).hasSize(1);
      expectPass(dirty);
      assertThat(hosts.b.log()).contains("has all its memory");
    }
  }

  private static long number(Command.Result result, String name) {
    return Long.parseLong(result.out().replaceFirst("(?s).*\"" + name + "\":\"?([0-9]+).*", "$1"));
  }

  /// Time stopped and bytes sent by size of memory, at about 50 MiB/s of written pages (13 in a
  /// millisecond): medians of three moves each, or of `-Djcr.moves=N`; `-Djcr.sizes=64,256` for
  /// other sizes in MiB. The time of post-copy is that until the first instruction at the
  /// destination.
  @Tag("bench")
  @Timeout(7200)
  @ParameterizedTest
  @ValueSource(strings = {"none", "zstd:1"})
  void timesByMemory(String compression) throws Exception {
    int moves = Integer.getInteger("jcr.moves", 3);
    StringBuilder table =
        new StringBuilder(
            """
            | --compress %s | pre-copy: stopped | rounds | sent / memory | post-copy: first instruction | sent / memory |
            | --- | --- | --- | --- | --- | --- |
            """
                .formatted(compression));
    try (Hosts hosts = new Hosts()) {
      hosts.b.serve();
      int pid = PID;
      for (String size : System.getProperty("jcr.sizes", "64,256,1024,4096").split(",")) {
        Series before = new Series(Double.parseDouble(size));
        Series after = new Series(Double.parseDouble(size));
        for (int move = 0; move < 2 * moves; move++) {
          Path target = target(hosts, "target" + pid);
          hosts.a.start(target, pid, "dirty", size, "13", "plain");
          await(target.resolve("ready"));
          List<String> more = new ArrayList<>(List.of("--compress", compression));
          if (move % 2 == 1) {
            more.add("--postcopy");
          }
          Command.Result result = migrate(hosts.a, hosts.b, pid + 1, more.toArray(String[]::new));
          (move % 2 == 0 ? before : after).add(result);
          System.out.printf(
              "%s, %s MiB: exit code %d\n%s%s\n",
              compression, size, result.exitCode(), result.out(), result.err());
          expectPass(target);
          Target.delete(target);
          pid += 100;
        }
        table.append(
            "| %s MiB | %s | %s | %s | %s | %s |\n"
                .formatted(
                    size,
                    before.stopped(),
                    before.rounds(),
                    before.sent(),
                    after.stopped(),
                    after.sent()));
      }
    }
    System.out.println(table);
  }

  /// Moves of a process of so many MiB.
  private static final class Series {
    private final double mebibytes;
    private final List<Double> millis = new ArrayList<>();
    private final List<Double> rounds = new ArrayList<>();
    private final List<Double> sent = new ArrayList<>();
    private int refused;

    Series(double mebibytes) {
      this.mebibytes = mebibytes;
    }

    void add(Command.Result result) {
      if (result.exitCode() != 0) {
        refused++;
        return;
      }
      millis.add(downtimeMicros(result) / 1000.0);
      String done =
          result.out().lines().filter(line -> line.contains("\"done\"")).toList().getLast();
      rounds.add(Double.parseDouble(done.replaceFirst(".*\"rounds\":([0-9]+).*", "$1")));
      double bytes = Double.parseDouble(done.replaceFirst(".*\"bytes\":([0-9]+).*", "$1"));
      sent.add(bytes / (mebibytes * (1 << 20)));
    }

    private static double median(List<Double> values) {
      return values.stream().sorted().toList().get(values.size() / 2);
    }

    String stopped() {
      String refusals = refused == 0 ? "" : ", %d refused".formatted(refused);
      return millis.isEmpty()
          ? "refused"
          : "%.0f ms (most %.0f)%s".formatted(median(millis), Collections.max(millis), refusals);
    }

    String rounds() {
      return rounds.isEmpty() ? "-" : "%.0f".formatted(median(rounds));
    }

    String sent() {
      return sent.isEmpty() ? "-" : "%.2f".formatted(median(sent));
    }
  }

  @Tag("robustness")
  @Timeout(1200)
  @Test
  void killedOrCutAtTwentyFourMoments() throws Exception {
    killedOrCut(24, System.nanoTime(), "counter");
  }

  @Tag("soak")
  @Timeout(14400)
  @Test
  void killedOrCutAtFiveHundredMoments() throws Exception {
    killedOrCut(500, System.nanoTime(), "counter");
  }

  enum Fault {
    SOURCE,
    DESTINATION,
    BOTH,
    CABLE
  }

  /// The same while memory is on its way behind the process.
  @Tag("robustness")
  @Timeout(1200)
  @Test
  void killedOrCutAtSixteenMomentsOfPostcopy() throws Exception {
    killedOrCut(16, System.nanoTime(), "dirty", "--postcopy", "--bandwidth", "24");
  }

  /// A process that runs there, most of its memory still here.
  private static Process follow(Hosts hosts, Path target) throws Exception {
    hosts.b.serve();
    hosts.a.start(target, PID, "dirty", "64", "5");
    await(target.resolve("ready"));
    Path out = target.resolve("out");
    Process migration =
        hosts
            .a
            .jcr(
                "migrate",
                Integer.toString(PID + 1),
                hosts.b.address,
                "--postcopy",
                "--bandwidth",
                "4",
                "--compress",
                "none",
                "--json")
            .start(out, target.resolve("err"));
    long end = System.nanoTime() + Duration.ofSeconds(60).toNanos();
    while (!Files.readString(out).contains("\"running\"")) {
      assertThat(System.nanoTime()).as(Files.readString(target.resolve("err"))).isLessThan(end);
      Target.nap(5);
    }
    Target.nap(300);
    return migration;
  }

  /// It waits until its source comes again, and nobody runs twice.
  @Tag("robustness")
  @Timeout(600)
  @ParameterizedTest
  @EnumSource(Fault.class)
  void cutWhileItsMemoryFollows(Fault fault) throws Exception {
    try (Hosts hosts = new Hosts()) {
      Path target = target(hosts, "target");
      Process migration = follow(hosts, target);
      strike(hosts, fault, migration);
      assertThat(migration.waitFor(90, TimeUnit.SECONDS)).isTrue();
      if (fault == Fault.DESTINATION) {
        assertThat(migration.exitValue()).isEqualTo(7);
        assertThat(Files.readString(target.resolve("err")))
            .contains("it is decided that it lives at the destination")
            .contains("do not end that one: jcr migrate --recover");
      }
      assertThat(hosts.a.jcr("migrate", "--status").run().out()).contains("state=commit");
      assertThat(hosts.b.jcr("migrate", "--status").run().out()).contains("state=fetching");
      Files.writeString(target.resolve("check"), "");
      Target.nap(1000);
      assertThat(target.resolve("result")).as("it has not all its memory").doesNotExist();
      hosts.b.serve();
      assertThat(hosts.a.jcr("migrate", "--recover").run().expectExit(0).out())
          .contains("of its memory were given to it now");
      assertThat(Hosts.living(target).size()).isLessThan(2);
      expectPass(target);
    }
  }

  /// The copy that is here for its pages executes nothing, whoever lets it go: it ends. What it
  /// still had is lost then, and said so; nobody runs with wrong memory.
  @Tag("robustness")
  @Timeout(600)
  @Test
  void theStoppedCopyNeverRunsAgain() throws Exception {
    try (Hosts hosts = new Hosts()) {
      Path target = target(hosts, "target");
      Process migration = follow(hosts, target);
      Hosts.killTree(migration);
      Files.writeString(target.resolve("check"), "");
      hosts.a.command("kill", "-CONT", Integer.toString(PID + 1)).run().expectExit(0);
      long end = System.nanoTime() + Duration.ofSeconds(20).toNanos();
      while (isOn(hosts.a, PID + 1)) {
        assertThat(System.nanoTime()).isLessThan(end);
        Target.nap(20);
      }
      assertThat(hosts.a.jcr("migrate", "--recover").run().expectExit(7).out())
          .contains("process " + (PID + 1) + " is lost: its stopped copy here was ended before")
          .contains("can never have the rest of its memory: it is stopped here; kill it");
      assertThat(hosts.a.jcr("migrate", "--status").run().out()).contains("state=lost");
      assertThat(hosts.b.jcr("migrate", "--status").run().out()).contains("state=lost");
      assertThat(Hosts.living(target)).singleElement().asString().endsWith("T");
      assertThat(target.resolve("result")).doesNotExist();
    }
  }

  private static void killedOrCut(int moments, long seed, String program, String... more)
      throws Exception {
    RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(seed);
    TreeMap<String, Integer> outcomes = new TreeMap<>();
    try (Hosts hosts = new Hosts()) {
      hosts.b.serve();
      long duration = 0;
      for (int moment = 0; moment <= moments; moment++) {
        String told = "seed " + seed + ", moment " + moment;
        Fault fault = Fault.values()[moment % Fault.values().length];
        Path target = target(hosts, "target" + moment);
        int pid = PID + 100 * (moment % 100);
        hosts.a.start(target, pid, program);
        await(target.resolve("ready"));
        hosts.b.serve();
        long begin = System.nanoTime();
        List<String> words =
            new ArrayList<>(
                List.of(
                    "migrate",
                    Integer.toString(pid + 1),
                    hosts.b.address,
                    "--max-downtime",
                    "1000"));
        words.addAll(List.of(more));
        Process migration =
            hosts
                .a
                .jcr(words.toArray(String[]::new))
                .start(target.resolve("out"), target.resolve("err"));
        if (moment == 0) {
          migration.waitFor();
          duration = System.nanoTime() - begin;
        } else {
          // The beginning, which is the start of jcr, is of little interest.
          Target.nap((duration * 3 / 10 + random.nextLong(duration * 8 / 10)) / 1_000_000);
          strike(hosts, fault, migration);
        }
        boolean moved = isMoved(hosts, target, pid, migration, told + ", " + fault);
        outcomes.merge(fault + (moved ? " moved" : " stayed"), 1, Integer::sum);
      }
    }
    System.out.printf(
        "%d moments, seed %d: always one living copy, and it passed; %s%n",
        moments, seed, outcomes);
  }

  /// After `--recover` one copy lives, and finds itself whole: there, or here.
  private static boolean isMoved(Hosts hosts, Path target, int pid, Process migration, String told)
      throws Exception {
    if (!migration.waitFor(90, TimeUnit.SECONDS)) {
      Hosts.killTree(migration);
    }
    hosts.cable(true);
    hosts.b.serve();
    Command.Result recovery = hosts.a.jcr("migrate", "--recover").run();
    assertThat(recovery.exitCode()).as(told + ": " + recovery + hosts.b.log()).isZero();
    List<String> living = Hosts.living(target);
    assertThat(living)
        .as(told + ": " + recovery + hosts.b.log() + Files.readString(target.resolve("err")))
        .hasSize(1);
    assertThat(living.getFirst()).as(told).doesNotEndWith("T").doesNotEndWith("t");
    boolean moved = !isOn(hosts.a, pid + 1);
    expectPass(target);
    return moved;
  }

  /// Connections that end while memory is sent, before the process moves or behind it, cost neither
  /// the migration nor what has arrived.
  @Tag("robustness")
  @Timeout(600)
  @ParameterizedTest
  @ValueSource(strings = {"--streams 1", "--streams 3", "--streams 2 --postcopy"})
  void goesOnByOtherConnections(String options) throws Exception {
    try (Hosts hosts = new Hosts()) {
      hosts.b.serve();
      try (Between between = new Between(hosts, hosts.b)) {
        Path target = target(hosts, "target");
        hosts.a.start(target, PID, "dirty", "64", "1");
        await(target.resolve("ready"));
        Process migration = slowly(hosts, between.address(), target, options);
        awaitText(
            target.resolve("out"), options.contains("postcopy") ? "\"running\"" : "accepted", 1);
        int streams = Integer.parseInt(options.replaceAll("[^0-9]", ""));
        awaitText(target.resolve("out"), "\"connected\"", streams - 1);
        for (int cut = 1; cut <= 3; cut++) {
          Target.nap(700);
          between.cut();
          awaitText(target.resolve("out"), "\"reconnected\"", cut * streams);
        }
        assertThat(migration.waitFor(120, TimeUnit.SECONDS)).isTrue();
        assertThat(migration.exitValue()).as(Files.readString(target.resolve("err"))).isZero();
        assertThat(hosts.b.log()).contains("goes on by another connection");
        System.out.println(Files.readString(target.resolve("out")));
        assertThat(Hosts.living(target)).hasSize(1);
        expectPass(target);
      }
    }
  }

  /// 64 MiB at 12 MiB/s.
  private static Process slowly(Hosts hosts, String address, Path target, String options)
      throws IOException {
    List<String> words =
        new ArrayList<>(
            List.of(
                "migrate",
                Integer.toString(PID + 1),
                address,
                "--bandwidth",
                "12",
                "--compress",
                "none",
                "--max-downtime",
                "2000",
                "--json"));
    words.addAll(List.of(options.split(" ")));
    return hosts
        .a
        .jcr(words.toArray(String[]::new))
        .start(target.resolve("out"), target.resolve("err"));
  }

  /// Nobody says that the cable is out: it is noticed by the silence.
  @Tag("robustness")
  @Timeout(300)
  @Test
  void goesOnWhenTheCableIsInAgain() throws Exception {
    try (Hosts hosts = new Hosts()) {
      hosts.b.serve();
      Path target = target(hosts, "target");
      hosts.a.start(target, PID, "dirty", "64", "1");
      await(target.resolve("ready"));
      Process migration = slowly(hosts, hosts.b.address, target, "--reconnect 60");
      awaitText(target.resolve("out"), "accepted", 1);
      Target.nap(1000);
      hosts.cable(false);
      awaitText(target.resolve("out"), "\"broken\"", 1);
      hosts.cable(true);
      assertThat(migration.waitFor(120, TimeUnit.SECONDS)).isTrue();
      assertThat(migration.exitValue()).as(Files.readString(target.resolve("err"))).isZero();
      assertThat(Files.readString(target.resolve("out"))).contains("\"reconnected\"");
      assertThat(Hosts.living(target)).hasSize(1);
      expectPass(target);
    }
  }

  /// The process runs on here, and the destination drops what it has, without being asked to.
  @Tag("robustness")
  @Timeout(300)
  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void aConnectionThatIsNotMadeAgain(boolean cable) throws Exception {
    try (Hosts hosts = new Hosts()) {
      hosts.b.serve();
      try (Between between = new Between(hosts, hosts.b)) {
        Path target = target(hosts, "target");
        hosts.a.start(target, PID, "dirty", "64", "1");
        await(target.resolve("ready"));
        String options = cable ? "--reconnect 3 --streams 2" : "--reconnect 0 --streams 2";
        Process migration = slowly(hosts, between.address(), target, options);
        awaitText(target.resolve("out"), "\"connected\"", 1);
        Target.nap(500);
        if (cable) {
          hosts.cable(false);
        } else {
          between.cut();
        }
        assertThat(migration.waitFor(60, TimeUnit.SECONDS)).isTrue();
        assertThat(migration.exitValue()).isEqualTo(1);
        assertThat(Files.readString(target.resolve("err"))).contains("the process runs on here");
        Path in = hosts.b.folder.resolve("in");
        long end = System.nanoTime() + Duration.ofSeconds(90).toNanos();
        boolean empty = false;
        while (!empty) {
          assertThat(System.nanoTime()).as(hosts.b.log()).isLessThan(end);
          try (var entries = Files.newDirectoryStream(in)) {
            empty = !entries.iterator().hasNext();
          }
          Target.nap(50);
        }
        assertThat(Hosts.living(target)).hasSize(1);
        expectPass(target);
      }
    }
  }

  /// Both jcr live, and lose each other at any moment: before the process stops, while it stands
  /// still, around the decision, while its memory follows.
  @Tag("robustness")
  @Timeout(1200)
  @ParameterizedTest
  @ValueSource(
      strings = {
        "counter --max-downtime 1000 --streams 2",
        "dirty --postcopy --bandwidth 24",
        "dirty --postcopy --bandwidth 24 --reconnect 0"
      })
  void connectionsThatEndAtTwelveMoments(String options) throws Exception {
    long seed = System.nanoTime();
    RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(seed);
    List<String> words = new ArrayList<>(List.of(options.split(" ")));
    String program = words.removeFirst();
    TreeMap<String, Integer> outcomes = new TreeMap<>();
    try (Hosts hosts = new Hosts()) {
      hosts.b.serve();
      try (Between between = new Between(hosts, hosts.b)) {
        long duration = 0;
        for (int moment = 0; moment <= 12; moment++) {
          Path target = target(hosts, "target" + moment);
          int pid = PID + 100 * moment;
          hosts.a.start(target, pid, program);
          await(target.resolve("ready"));
          List<String> all =
              new ArrayList<>(
                  List.of("migrate", Integer.toString(pid + 1), between.address(), "--json"));
          all.addAll(words);
          long begin = System.nanoTime();
          Process migration =
              hosts
                  .a
                  .jcr(all.toArray(String[]::new))
                  .start(target.resolve("out"), target.resolve("err"));
          if (moment == 0) {
            migration.waitFor();
            duration = System.nanoTime() - begin;
          } else {
            Target.nap((duration * 3 / 10 + random.nextLong(duration * 8 / 10)) / 1_000_000);
            between.cut();
          }
          String told = "seed " + seed + ", moment " + moment;
          boolean moved = isMoved(hosts, target, pid, migration, told);
          int exit = migration.exitValue();
          outcomes.merge((moved ? "moved, " : "stayed, ") + exit, 1, Integer::sum);
          assertThat(exit).as(Files.readString(target.resolve("err"))).isIn(0, 1, 7);
          assertThat(moved).isEqualTo(exit != 1);
        }
      }
    }
    System.out.printf("%s, seed %d: %s%n", options, seed, outcomes);
  }

  static void awaitText(Path file, String text, int times) throws IOException {
    long end = System.nanoTime() + Duration.ofSeconds(60).toNanos();
    while (Files.readString(file).split(text, -1).length <= times) {
      assertThat(System.nanoTime()).as(file + " has no " + text).isLessThan(end);
      Target.nap(10);
    }
  }

  /// How fast a first round of 1 GiB is, by the number of connections; `-Djcr.moves=N` for more
  /// than two moves each.
  @Tag("bench")
  @Timeout(3600)
  @Test
  void bytesByStreams() throws Exception {
    try (Hosts hosts = new Hosts()) {
      hosts.b.serve();
      int pid = PID;
      for (int move = 0; move < Integer.getInteger("jcr.moves", 2); move++) {
        for (String streams : List.of("1", "2", "4")) {
          Path target = target(hosts, "target" + pid);
          hosts.a.start(target, pid, "dirty", "1024", "1");
          await(target.resolve("ready"));
          Command.Result moved =
              migrate(
                  hosts.a,
                  hosts.b,
                  pid + 1,
                  "--compress",
                  "none",
                  "--max-downtime",
                  "1000",
                  "--streams",
                  streams);
          moved.expectExit(0);
          String round =
              moved.out().lines().filter(line -> line.contains("\"pages\"")).findFirst().orElse("");
          double bytes = Double.parseDouble(round.replaceFirst(".*\"bytes\":\"([0-9]+).*", "$1"));
          double millis = Double.parseDouble(round.replaceFirst(".*\"ms\":\"([0-9]+).*", "$1"));
          System.out.printf(
              "%s streams: %.0f MiB in %.0f ms, %.0f MiB/s in the first round; stopped for %d ms%n",
              streams,
              bytes / (1 << 20),
              millis,
              bytes / (1 << 20) / millis * 1000,
              downtimeMicros(moved) / 1000);
          expectPass(target);
          Target.delete(target);
          pid += 100;
        }
      }
    }
  }

  private static void strike(Hosts hosts, Fault fault, Process migration) throws Exception {
    switch (fault) {
      case SOURCE -> Hosts.killTree(migration);
      case DESTINATION -> hosts.b.killServer();
      case BOTH -> {
        hosts.b.killServer();
        Hosts.killTree(migration);
      }
      case CABLE -> {
        hosts.cable(false);
        Target.nap(300);
        Hosts.killTree(migration);
        hosts.cable(true);
      }
    }
  }

  private static boolean isOn(Hosts.Host host, int pid) {
    return host.command("test", "-d", "/proc/" + pid).run().exitCode() == 0;
  }

  @Tag("badinput")
  @Timeout(300)
  @Test
  void refusalsLeaveTheProcessRunning() throws Exception {
    try (Hosts hosts = new Hosts()) {
      Path target = target(hosts, "target");
      hosts.a.start(target, PID, "dirty", "8", "400");
      await(target.resolve("ready"));
      int pid = PID + 1;
      assertThat(migrate(hosts.a, hosts.b, pid).expectExit(1).err())
          .contains("cannot migrate to")
          .contains("the process runs on here");
      hosts.b.serve();
      // Writes faster than the limit lets memory through.
      assertThat(
              migrate(hosts.a, hosts.b, pid, "--bandwidth", "1", "--compress", "none")
                  .expectExit(1)
                  .err())
          .contains("it writes memory as fast as it is sent");
      // The pid is taken there.
      Path other = target(hosts, "other");
      hosts.b.start(other, PID, "counter");
      await(other.resolve("ready"));
      assertThat(migrate(hosts.a, hosts.b, pid).expectExit(1).err())
          .contains("the destination refuses")
          .contains("the id is in use");
      expectPass(other);
      // A certificate that was not paired, and one that is not valid any more.
      Path stranger = hosts.base().resolve("stranger");
      hosts
          .a
          .command(
              Jcr.command("serve", "--init", "--dir", stranger.toString())
                  .words()
                  .toArray(String[]::new))
          .run()
          .expectExit(0);
      assertThat(
              migrate(
                      hosts.a,
                      hosts.b,
                      pid,
                      "--key",
                      stranger + "/key.pem",
                      "--cert",
                      stranger + "/cert.pem")
                  .expectExit(1)
                  .err())
          .contains("the process runs on here");
      Hosts.sh(
          "cd %s && %s/bin/keytool -genkeypair -keyalg EC -dname CN=old -alias old -keystore old.p12 -storepass secret -startdate '2020/01/01 00:00:00' -validity 10 2>/dev/null && openssl pkcs12 -in old.p12 -passin pass:secret -nodes -nocerts -out old.key && %s/bin/keytool -exportcert -rfc -alias old -keystore old.p12 -storepass secret -file old.pem 2>/dev/null"
              .formatted(
                  hosts.base(), System.getProperty("java.home"), System.getProperty("java.home")));
      String old =
          Command.of(
                  "sh",
                  "-c",
                  "openssl x509 -in %s/old.pem -outform DER | sha256sum | cut -c1-64"
                      .formatted(hosts.base()))
              .run()
              .out()
              .strip();
      hosts.b.killServer();
      hosts.b.jcr("serve", "--trust", old).run().expectExit(0);
      hosts.b.serve();
      assertThat(
              migrate(
                      hosts.a,
                      hosts.b,
                      pid,
                      "--key",
                      hosts.base() + "/old.key",
                      "--cert",
                      hosts.base() + "/old.pem")
                  .expectExit(1)
                  .err())
          .contains("the process runs on here");
      assertThat(hosts.b.log()).contains("expired");
      assertThat(Hosts.living(target)).hasSize(1);
      expectPass(target);
    }
  }

  /// Unread inotify events forbid the move, or are lost, and told, where that is allowed.
  @Tag("process")
  @Timeout(300)
  @Test
  void whatMayBeLost() throws Exception {
    try (Hosts hosts = new Hosts()) {
      hosts.b.serve();
      Path target = target(hosts, "target");
      hosts.a.start(target, PID, "objects", "overflow");
      await(target.resolve("ready"));
      assertThat(migrate(hosts.a, hosts.b, PID + 1, "--max-downtime", "1000").expectExit(3).err())
          .contains("--inotify-overflow");
      assertThat(Hosts.living(target)).hasSize(1);
      Command.Result moved =
          migrate(hosts.a, hosts.b, PID + 1, "--max-downtime", "1000", "--inotify-overflow");
      assertThat(moved.expectExit(0).out()).contains("\"event\":\"lost\"");
      expectPass(target);
    }
  }

  /// What the destination says while memory is on its way is heard.
  @Tag("badinput")
  @Timeout(300)
  @Test
  void aDiskThatBecomesFull() throws Exception {
    try (Hosts hosts = new Hosts()) {
      Path in = Files.createDirectories(hosts.b.folder.resolve("in"));
      hosts
          .b
          .command("mount", "-t", "tmpfs", "-o", "size=140m", "none", in.toString())
          .run()
          .expectExit(0);
      hosts.b.serve();
      Path target = target(hosts, "target");
      hosts.a.start(target, PID, "dirty", "64", "400");
      await(target.resolve("ready"));
      Command.Result refused =
          migrate(hosts.a, hosts.b, PID + 1, "--compress", "none", "--max-downtime", "1");
      assertThat(refused.expectExit(1).err())
          .contains("the destination refuses")
          .contains("ENOSPC");
      assertThat(Hosts.living(target)).hasSize(1);
      expectPass(target);
    }
  }

  /// A process with files below `data`, which host b sees as an empty folder of its own.
  private static Path withOwnFiles(Hosts hosts) throws IOException {
    Path target = target(hosts, "target");
    hosts.a.start(target, PID, "embedded");
    await(target.resolve("ready"));
    hosts
        .b
        .command("mount", "-t", "tmpfs", "-o", "size=8m", "none", target + "/data")
        .run()
        .expectExit(0);
    hosts.b.serve();
    return target;
  }

  private static String onB(Hosts hosts, String script) {
    return hosts.b.command("sh", "-c", script).run().expectExit(0).out();
  }

  /// By a way that both hosts see, times included if `how` says so.
  private static void copyToB(Hosts hosts, Path target, String how, String to) {
    String way = hosts.base() + "/way";
    Hosts.sh("cp -rp %s/data %s".formatted(target, way));
    onB(hosts, "cp %s %s/. %s".formatted(how, way, to));
  }

  /// What the destination lacks is named before anything is sent; sent along, it is there.
  @Tag("process")
  @Timeout(300)
  @Test
  void filesGoAlong() throws Exception {
    try (Hosts hosts = new Hosts()) {
      Path target = withOwnFiles(hosts);
      Path data = target.resolve("data");
      Command.Result refused = migrate(hosts.a, hosts.b, PID + 1).expectExit(1);
      assertThat(refused.err())
          .contains(
              data
                  + "/read: it does not exist at the destination; send it along with --with-files,"
                  + " or say where it is there with --map-path")
          .contains(data + "/program: it does not exist")
          .contains(data + "/written: it does not exist");
      assertThat(refused.out()).doesNotContain("\"round\"");
      assertThat(
              migrate(hosts.a, hosts.b, PID + 1, "--with-file", data + "/read").expectExit(1).err())
          .contains(data + "/program: it does not exist")
          .doesNotContain(data + "/read: it does not exist");
      Command.Result moved =
          migrate(hosts.a, hosts.b, PID + 1, "--with-files", "--max-downtime", "1000");
      moved.expectExit(0);
      assertThat(moved.out()).contains("\"event\":\"file\",\"path\":\"" + data + "/read\"");
      assertThat(hosts.b.log())
          .contains("file " + data + "/written was gone and has been made again");
      assertThat(Hosts.living(target)).hasSize(1);
      expectPass(target);
      assertThat(onB(hosts, "ls -A " + data).split("\\s+"))
          .containsExactly("mapped", "program", "read", "written");
      assertThat(onB(hosts, "head -c 7 " + data + "/written")).isEqualTo("checked");
      assertThat(Files.readString(data.resolve("written"), StandardCharsets.ISO_8859_1))
          .doesNotStartWith("checked");
    }
  }

  /// Files of the same content do, whatever their time; with another content they do not.
  @Tag("process")
  @Timeout(300)
  @Test
  void filesAreComparedByContent() throws Exception {
    try (Hosts hosts = new Hosts()) {
      Path target = withOwnFiles(hosts);
      Path data = target.resolve("data");
      copyToB(hosts, target, "-r", data.toString());
      onB(hosts, "printf x | dd of=%s/written conv=notrunc 2>/dev/null".formatted(data));
      assertThat(migrate(hosts.a, hosts.b, PID + 1).expectExit(1).err())
          .contains(
              data + "/written: it has another size or time at the destination; send it along")
          .doesNotContain(data + "/read")
          .doesNotContain(data + "/mapped");
      // It would write to a file that nobody can open.
      assertThat(migrate(hosts.a, hosts.b, PID + 1, "--with-files").expectExit(1).err())
          .contains(
              data
                  + "/written: the process writes to it, and another one is there: it has another"
                  + " size or time; move that one away, or say where the process shall have its own"
                  + " with --map-path");
      onB(hosts, "rm %s/written; echo other >%s/read".formatted(data, data));
      migrate(hosts.a, hosts.b, PID + 1, "--with-files", "--max-downtime", "1000").expectExit(0);
      assertThat(hosts.b.log())
          .contains("file " + data + "/read has changed since the dump: it stays");
      assertThat(Hosts.living(target)).hasSize(1);
      expectPass(target);
      assertThat(onB(hosts, "cat " + data + "/read")).isEqualTo("other\n");
      assertThat(onB(hosts, "head -c 7 " + data + "/written")).isEqualTo("checked");
    }
  }

  @Tag("process")
  @Timeout(300)
  @Test
  void filesAreElsewhere() throws Exception {
    try (Hosts hosts = new Hosts()) {
      Path target = withOwnFiles(hosts);
      Path data = target.resolve("data");
      Path moved = Files.createDirectory(target.resolve("moved"));
      copyToB(hosts, target, "-r", moved.toString());
      assertThat(
              migrate(hosts.a, hosts.b, PID + 1, "--map-path", "data=" + moved).expectExit(2).err())
          .contains("--map-path: 'data=" + moved + "' is not absolute; see jcr migrate --help");
      String map = data + "=" + moved;
      migrate(hosts.a, hosts.b, PID + 1, "--map-path", map, "--max-downtime", "1000").expectExit(0);
      assertThat(Hosts.living(target)).hasSize(1);
      expectPass(target);
      assertThat(Files.readString(moved.resolve("written"), StandardCharsets.ISO_8859_1))
          .startsWith("checked");
      assertThat(onB(hosts, "ls -A " + data)).isEmpty();
    }
  }

  /// Whatever somebody sends without a certificate, the server stays and nothing is made of it.
  @Tag("badinput")
  @Timeout(300)
  @Test
  void strangersGetNowhere() throws Exception {
    long seed = System.nanoTime();
    RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(seed);
    try (Hosts hosts = new Hosts()) {
      hosts.b.serve();
      Path in = hosts.b.folder.resolve("in");
      Path noise = hosts.base().resolve("noise");
      for (int i = 0; i < 40; i++) {
        byte[] bytes = new byte[1 + random.nextInt(2000)];
        random.nextBytes(bytes);
        Files.write(noise, bytes);
        hosts
            .a
            .command(
                "python3",
                "-c",
                "import socket,sys\ns=socket.create_connection(('%s',7479),5)\ns.sendall(open('%s','rb').read())\ns.settimeout(0.2)\ntry:\n  s.recv(100)\nexcept Exception: pass"
                    .formatted(hosts.b.address, noise))
            .run();
      }
      assertThat(
              hosts
                  .a
                  .command(
                      "sh",
                      "-c",
                      "echo | openssl s_client -connect %s:7479 -tls1_2 2>&1; echo HELLO | timeout 3 openssl s_client -quiet -connect %s:7479 -tls1_3 2>&1"
                          .formatted(hosts.b.address, hosts.b.address))
                  .run()
                  .out())
          .contains("alert");
      try (var entries = Files.newDirectoryStream(in)) {
        assertThat(entries.iterator().hasNext()).isFalse();
      }
      Path target = target(hosts, "target");
      hosts.a.start(target, PID, "counter");
      await(target.resolve("ready"));
      migrate(hosts.a, hosts.b, PID + 1, "--max-downtime", "1000").expectExit(0);
      expectPass(target);
    }
  }

  /// What goes over the cable is not to be read: neither the memory of the process nor a word of
  /// the protocol or of an image.
  @Tag("process")
  @Timeout(300)
  @Test
  void aCaptureShowsNothing() throws Exception {
    try (Hosts hosts = new Hosts()) {
      hosts.b.serve();
      Path target = target(hosts, "target");
      hosts.a.start(target, PID, "counter");
      await(target.resolve("ready"));
      Path capture = hosts.base().resolve("capture");
      Process sniffer =
          hosts
              .b
              .command(
                  "python3",
                  "-c",
                  "import socket\ns=socket.socket(socket.AF_PACKET,socket.SOCK_RAW,socket.ntohs(3))\nf=open('%s','wb',0)\nprint('on',flush=True)\nwhile True: f.write(s.recv(65536))"
                      .formatted(capture))
              .start(hosts.base().resolve("sniffer"), hosts.base().resolve("sniffer.err"));
      long end = System.nanoTime() + Duration.ofSeconds(20).toNanos();
      while (!Files.readString(hosts.base().resolve("sniffer")).contains("on")) {
        assertThat(System.nanoTime()).isLessThan(end);
        Target.nap(10);
      }
      Command.Result result =
          migrate(hosts.a, hosts.b, PID + 1, "--max-downtime", "1000", "--compress", "none");
      result.expectExit(0);
      Hosts.killTree(sniffer);
      byte[] bytes = Files.readAllBytes(capture);
      // Every byte of a text is one char.
      String seen = new String(bytes, StandardCharsets.ISO_8859_1);
      assertThat(bytes.length).isGreaterThan(1 << 20);
      for (String readable :
          List.of(target.toString(), "counter", "jcs\r\n", "manifest", "x86_64", "GLIBC")) {
        assertThat(seen.contains(readable)).as(readable).isFalse();
      }
      expectPass(target);
      System.out.printf(
          "%d bytes captured, none of the words in it; %s",
          bytes.length, result.out().lines().reduce((_, last) -> last).orElse(""));
    }
  }

  /// The source ends, or becomes another program, while its memory is being sent.
  @Tag("badinput")
  @Timeout(300)
  @Test
  void aSourceThatEnds() throws Exception {
    try (Hosts hosts = new Hosts()) {
      hosts.b.serve();
      Path target = target(hosts, "target");
      hosts.a.start(target, PID, "dirty", "64", "1");
      await(target.resolve("ready"));
      Process migration =
          hosts
              .a
              .jcr(
                  "migrate",
                  Integer.toString(PID + 1),
                  hosts.b.address,
                  "--bandwidth",
                  "1",
                  "--compress",
                  "none")
              .start(target.resolve("out"), target.resolve("err"));
      Target.nap(4000);
      Files.writeString(target.resolve("check"), "");
      await(target.resolve("result"));
      assertThat(migration.waitFor(60, TimeUnit.SECONDS)).isTrue();
      assertThat(migration.exitValue()).as(Files.readString(target.resolve("err"))).isEqualTo(6);
      assertThat(Hosts.living(target)).isEmpty();
      try (var entries = Files.newDirectoryStream(hosts.b.folder.resolve("in"))) {
        Target.nap(500);
        assertThat(entries.iterator().hasNext()).isFalse();
      }
    }
  }
}
