package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Programs from Debian's packages, dumped and restored at random moments of their work: what they
/// produce is the same as without.
class RealProgramsTest {
  /// A program that computes something and ends. Its arguments name files in its folder; `input` is
  /// what it finds there.
  record Work(String name, List<String> command, String output, Input input) {
    @Override
    public String toString() {
      return name;
    }
  }

  /// Prepares the folder of a run.
  @FunctionalInterface
  interface Input {
    void write(Path folder) throws IOException;
  }

  private static final Input NONE = folder -> {};

  /// Debian keeps its servers away from the path.
  private static final String POSTGRES = "/usr/lib/postgresql/15/bin/";

  static List<Work> works() {
    return List.of(
        new Work(
            "xz",
            List.of("sh", "-c", "exec xz -9 -T1 -k -c text >text.xz"),
            "text.xz",
            folder -> writeText(folder.resolve("text"), scaled(8 << 20))),
        new Work(
            "sqlite3",
            List.of("sqlite3", "test.db", ".read transaction.sql"),
            "sqlite3.out",
            folder ->
                Files.writeString(folder.resolve("transaction.sql"), transaction(scaled(600_000)))),
        new Work(
            "perl",
            List.of("perl", program("words.pl"), Integer.toString(scaled(80_000))),
            "perl.out",
            NONE),
        new Work(
            "python3",
            List.of(python(), program("threads.py"), Integer.toString(scaled(1_500_000))),
            "python3.out",
            NONE),
        new Work(
            "busybox",
            List.of(
                "busybox",
                "awk",
                "BEGIN { for (i = 0; i < %d; i++) { s = (s * 31 + i) %% 1000003; if (i %% 1000 == 0) print i, s } }"
                    .formatted(scaled(2_000_000))),
            "busybox.out",
            NONE),
        // Not among the packages that tests/run installs: it brings a hundred others along.
        new Work(
            "ffmpeg",
            List.of(
                "ffmpeg",
                "-nostdin",
                "-loglevel",
                "error",
                "-f",
                "lavfi",
                "-i",
                "testsrc2=duration=%d:size=640x360:rate=25".formatted(scaled(100)),
                "-c:v",
                "libx264",
                "-preset",
                "veryfast",
                "-threads",
                "2",
                "-fflags",
                "+bitexact",
                "-flags:v",
                "+bitexact",
                "-f",
                "h264",
                "out.h264"),
            "out.h264",
            NONE),
        // As ffmpeg. It refuses to run as root. One long transaction.
        new Work(
            "postgres",
            asNobody(POSTGRES + "postgres", "--single", "-D", "data", "-j", "postgres"),
            "postgres.out",
            RealProgramsTest::database),
        new Work("node", List.of("node", program("timers.js"), "1600"), "node.out", NONE),
        new Work("jvm", java("Compute", Integer.toString(scaled(150_000))), "jvm.out", NONE));
  }

  /// Less of it in the arm64 machine, which is emulated.
  private static int scaled(int amount) {
    return Arm64.IS_HOST ? amount / 40 : amount;
  }

  @Tag("programs")
  @Timeout(600)
  @ParameterizedTest
  @MethodSource("works")
  void sameResultWhenInterrupted(Work work) throws Exception {
    interrupted(work, Arm64.IS_HOST ? 1 : 3);
  }

  @Tag("soak")
  @Timeout(3600)
  @ParameterizedTest
  @MethodSource("works")
  void sameResultWhenInterruptedTwentyTimes(Work work) throws Exception {
    interrupted(work, 20);
  }

  private static void interrupted(Work work, int times) throws Exception {
    Assumptions.assumeTrue(isInstalled(work), work.name + " is not installed");
    long begin = System.nanoTime();
    byte[] undisturbed;
    try (Target target = start(work)) {
      target.awaitGone();
      undisturbed = Files.readAllBytes(target.folder().resolve(work.output));
    }
    long duration = (System.nanoTime() - begin) / 1_000_000;
    assertThat(undisturbed).isNotEmpty();
    long seed = System.nanoTime();
    RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(seed);
    int done = 0;
    for (int run = 1; done < times; run++) {
      assertThat(run).as("runs for %d interruptions, %d done", times, done).isLessThan(times + 5);
      try (Target target = start(work)) {
        // Spread over the work; what is left of the wanted number comes in another run.
        while (done < times) {
          Target.nap(1 + random.nextLong(Math.max(2, 2 * duration / (times + 1))));
          // Where jcr starts more slowly than the program ends, the program waits for it.
          boolean waits = run > 2;
          if (waits) {
            Command.of("kill", "-STOP", Long.toString(target.pid())).run(); // if it is there
          }
          if (!target.proc().exists()) {
            break;
          }
          Path image = target.image(Integer.toString(done));
          Command.Result dumped = Jcr.dump(target.pid(), image);
          if (dumped.exitCode() == 6) {
            target.awaitGone(); // It ended by itself; a large one takes a while to be gone.
            break;
          }
          dumped.expectExit(0);
          target.awaitGone();
          Jcr.restore(image).expectExit(0);
          if (waits) {
            target.kill("CONT");
          }
          Target.delete(image);
          done++;
        }
        target.awaitGone();
        byte[] result = Files.readAllBytes(target.folder().resolve(work.output));
        assertThat(result)
            .as("%s after %d interruptions, seed %d", work.name, done, seed)
            .isEqualTo(undisturbed);
      }
    }
    System.out.printf(
        "%s: %d dumps and restores, same %d bytes as without%n",
        work.name, done, undisturbed.length);
  }

  private static Target start(Work work) throws IOException {
    Path folder = Target.newFolder();
    work.input.write(folder);
    return Target.launch(folder, work.name, Map.of("PERL_HASH_SEED", "0"), work.command);
  }

  @Tag("programs")
  @Timeout(300)
  @Test
  void redisKeepsItsKeysAndTakesNewClients() throws Exception {
    redis(3);
  }

  @Tag("soak")
  @Timeout(1200)
  @Test
  void redisTwentyTimes() throws Exception {
    redis(20);
  }

  private static void redis(int times) throws Exception {
    Assumptions.assumeTrue(onPath("redis-server"), "redis-server is not installed");
    int port;
    try (ServerSocket free = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      port = free.getLocalPort();
    }
    Path folder = Target.newFolder();
    try (Target target =
        Target.launch(
            folder,
            "redis",
            Map.of(),
            List.of(
                "redis-server",
                "--port",
                Integer.toString(port),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--enable-debug-command",
                "yes"))) {
      awaitRedis(port);
      StringBuilder commands = new StringBuilder();
      for (int i = 0; i < 100_000; i++) {
        commands.append("SET key:").append(i).append(" value-").append(i * 7919L).append('\n');
      }
      Path script = folder.resolve("commands");
      Files.writeString(script, commands);
      Command.of("sh", "-c", "redis-cli -p " + port + " <'" + script + "' >/dev/null")
          .run()
          .expectExit(0);
      assertThat(redisCli(port, "DBSIZE")).isEqualTo("100000");
      String digest = redisCli(port, "DEBUG", "DIGEST");
      assertThat(digest).matches("[0-9a-f]{40}").isNotEqualTo("0".repeat(40));
      for (int i = 0; i < times; i++) {
        Target.nap(200);
        Path image = target.image(Integer.toString(i));
        Jcr.dump(target.pid(), image).expectExit(0);
        target.awaitGone();
        Jcr.restore(image).expectExit(0);
        Target.delete(image);
        assertThat(redisCli(port, "DEBUG", "DIGEST")).isEqualTo(digest);
        assertThat(redisCli(port, "SET", "new:" + i, "client")).isEqualTo("OK");
        assertThat(redisCli(port, "GET", "new:" + i)).isEqualTo("client");
        assertThat(redisCli(port, "DEL", "new:" + i)).isEqualTo("1");
      }
      redisCli(port, "SHUTDOWN", "NOSAVE");
      target.awaitGone();
    }
  }

  private static void awaitRedis(int port) {
    for (int i = 0; i < 200; i++) {
      if (Command.of("redis-cli", "-p", Integer.toString(port), "PING").run().exitCode() == 0) {
        return;
      }
      Target.nap(50);
    }
    throw new AssertionError("redis-server does not answer on port " + port);
  }

  private static String redisCli(int port, String... words) {
    List<String> command = new ArrayList<>(List.of("redis-cli", "-p", Integer.toString(port)));
    command.addAll(List.of(words));
    return Command.of(command).run().out().strip();
  }

  /// Standard input is a file of commands.
  private static List<String> asNobody(String... command) {
    return List.of(
        "sh",
        "-c",
        "exec setpriv --reuid=nobody --regid=nogroup --clear-groups %s <commands"
            .formatted(String.join(" ", command)));
  }

  /// A new database that nobody owns, and what is done in it.
  private static void database(Path folder) throws IOException {
    Files.setPosixFilePermissions(folder, PosixFilePermissions.fromString("rwxrwxrwx"));
    Files.writeString(folder.resolve("commands"), "");
    Command.of(
            "sh",
            "-c",
            "cd '%s' && %s"
                .formatted(
                    folder,
                    asNobody(
                            POSTGRES + "initdb",
                            "-D",
                            "data",
                            "-U",
                            "jcr",
                            "--no-sync",
                            "--locale=C")
                        .getLast()))
        .run()
        .expectExit(0);
    Files.writeString(
        folder.resolve("commands"),
        """
        BEGIN;

        CREATE TABLE t(id INTEGER PRIMARY KEY, a INTEGER, b TEXT);

        CREATE INDEX ON t(a);

        INSERT INTO t SELECT x, x::bigint * 7919 %% 100003, 'row ' || x FROM generate_series(1, %d) x;

        SAVEPOINT half;

        UPDATE t SET b = b || '!' WHERE a %% 3 = 0;

        ROLLBACK TO half;

        DELETE FROM t WHERE a %% 11 = 5;

        SELECT count(*), sum(a), sum(length(b)), max(b), md5(string_agg(b, ',' ORDER BY id)) FROM t;

        COMMIT;

        SELECT count(*), sum(hashtext(b)) FROM t;

        """
            .formatted(scaled(400_000)));
  }

  private static boolean isInstalled(Work work) {
    if (work.name.equals("postgres")) {
      return Files.isExecutable(Path.of(POSTGRES, "postgres"));
    }
    String first = work.command.getFirst();
    return onPath(first.equals("sh") ? work.name : first);
  }

  private static boolean onPath(String program) {
    return Command.of("sh", "-c", "command -v " + program).run().exitCode() == 0;
  }

  /// Debian's, not one of a version switcher, which would be a script.
  private static String python() {
    return Files.isExecutable(Path.of("/usr/bin/python3")) ? "/usr/bin/python3" : "python3";
  }

  /// The arm64 machine has a JVM without a compiler.
  private static List<String> java(String program, String argument) {
    List<String> words = new ArrayList<>();
    words.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    words.add("-Xmx128m");
    words.addAll(
        Arm64.IS_HOST
            ? List.of("-cp", program("classes"), program)
            : List.of(program(program + ".java")));
    words.add(argument);
    return words;
  }

  private static String program(String name) {
    return Path.of("programs", name).toAbsolutePath().toString();
  }

  /// Compressible text, the same every time.
  private static void writeText(Path file, int bytes) {
    StringBuilder text = new StringBuilder(bytes + 100);
    long state = 88172645463325252L;
    while (text.length() < bytes) {
      state ^= state << 13;
      state ^= state >>> 7;
      state ^= state << 17;
      text.append("line ")
          .append(state % 100_000)
          .append(": value=")
          .append(state >>> 40)
          .append('\n');
    }
    try {
      Files.write(file, text.toString().getBytes(StandardCharsets.US_ASCII));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /// One long transaction over a table and an index.
  private static String transaction(int rows) {
    return """
    PRAGMA cache_size = 2000;
    CREATE TABLE t(id INTEGER PRIMARY KEY, a INTEGER, b TEXT);
    CREATE INDEX i ON t(a);
    BEGIN;
    WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < %d)
      INSERT INTO t SELECT x, (x * 7919) %% 100003, 'row ' || x FROM n;
    UPDATE t SET b = b || '!' WHERE a %% 3 = 0;
    DELETE FROM t WHERE a %% 11 = 5;
    COMMIT;
    SELECT count(*), sum(a), sum(length(b)), max(b), min(id) FROM t;
    PRAGMA integrity_check;
    SELECT a, count(*) FROM t GROUP BY a ORDER BY a LIMIT 20;
    """
        .formatted(rows);
  }
}
