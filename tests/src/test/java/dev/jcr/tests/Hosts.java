package dev.jcr.tests;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.UUID;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Assumptions;

/// Two hosts on one machine: each a network namespace and a pid namespace, with a cable between
/// them. They share files and kernel, as two machines with the same installation would.
final class Hosts implements AutoCloseable {
  private static final Duration PATIENCE = Duration.ofSeconds(Arm64.IS_HOST ? 900 : 60);

  /// One of them.
  final class Host implements AutoCloseable {
    final String name;
    final String address;
    final Path folder;
    private final Process first;
    private final long init;
    private @Nullable Process server;
    private List<String> clocks = List.of();

    private Host(String letter, String address) throws IOException {
      this.name = prefix + letter;
      this.address = address;
      this.folder = base.resolve(letter);
      sh("ip netns add " + name + " && ip -n " + name + " link set lo up");
      first =
          Command.of(
                  "ip",
                  "netns",
                  "exec",
                  name,
                  "unshare",
                  "-pf",
                  "--kill-child",
                  "--mount-proc",
                  Programs.compiled("reaper").toString(),
                  "sleep",
                  "1000000")
              .start(base.resolve(letter + ".init"), base.resolve(letter + ".init"));
      init = awaitInit();
    }

    /// Process 1 of the pid namespace, as seen from outside.
    private long awaitInit() throws IOException {
      long end = System.nanoTime() + PATIENCE.toNanos();
      while (System.nanoTime() < end) {
        for (ProcessHandle each :
            Stream.concat(Stream.of(first.toHandle()), first.descendants()).toList()) {
          Path comm = Path.of("/proc/" + each.pid() + "/comm");
          if (Files.exists(comm) && Files.readString(comm).strip().equals("reaper")) {
            return each.pid();
          }
        }
        Target.nap(10);
      }
      throw new AssertionError("host " + name + " did not start");
    }

    Command command(String... words) {
      List<String> all =
          new ArrayList<>(List.of("nsenter", "-t", Long.toString(init), "-p", "-m", "-n"));
      all.addAll(clocks);
      all.addAll(Arrays.asList(words));
      return Command.of(all);
    }

    /// From now on, what runs here sees another start of a host, with other clocks.
    ///
    /// @param seconds that CLOCK_MONOTONIC and CLOCK_BOOTTIME are ahead of the machine's
    void startAnew(long seconds) throws IOException {
      Path id = base.resolve(name + ".boot_id");
      Files.writeString(id, UUID.randomUUID() + "\n");
      command("mount", "--bind", id.toString(), Boot.ID).run().expectExit(0);
      clocks = Boot.ahead(seconds);
    }

    Command jcr(String... words) {
      List<String> all = new ArrayList<>(Jcr.command(words).words());
      all.addAll(List.of("--dir", folder.toString()));
      return command(all.toArray(String[]::new));
    }

    /// Starts a target here; its pid, in this host, is `pid` + 1.
    void start(Path target, int pid, String program, String... arguments) {
      List<String> words =
          new ArrayList<>(
              List.of(
                  "sh",
                  "-c",
                  "echo "
                      + pid
                      + " >/proc/sys/kernel/ns_last_pid; exec setsid -f \"$@\" </dev/null >/dev/null 2>&1",
                  "sh",
                  Programs.compiled(program).toString(),
                  target.toString()));
      words.addAll(Arrays.asList(arguments));
      command(words.toArray(String[]::new)).run().expectExit(0);
    }

    /// Starts `jcr serve` if it does not run.
    void serve() throws IOException {
      Process running = server;
      if (running != null && running.isAlive()) {
        return;
      }
      Path log = folder.resolve("serve.log");
      Files.deleteIfExists(log);
      Process started = jcr("serve", "--listen", address).start(folder.resolve("serve.out"), log);
      server = started;
      long end = System.nanoTime() + PATIENCE.toNanos();
      while (!Files.readString(log).contains("listening")) {
        if (System.nanoTime() > end || !started.isAlive()) {
          throw new AssertionError(
              "jcr serve %s: %s%s"
                  .formatted(
                      started.isAlive() ? "is silent" : "ended with " + started.exitValue(),
                      Files.readString(log),
                      Files.readString(folder.resolve("serve.out"))));
        }
        Target.nap(5);
      }
    }

    String log() throws IOException {
      return Files.readString(folder.resolve("serve.log"));
    }

    boolean has(int pid) {
      return command("test", "-d", "/proc/" + pid).run().exitCode() == 0;
    }

    void killServer() throws InterruptedException {
      Process running = server;
      if (running != null) {
        killTree(running);
      }
    }

    @Override
    public void close() {
      try {
        killServer();
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
      }
      first.descendants().forEach(ProcessHandle::destroyForcibly);
      first.destroyForcibly();
      Command.of("ip", "netns", "del", name).run();
    }
  }

  private final String prefix = "jcr" + ProcessHandle.current().pid() % 100000;
  private final Path base = Target.newFolder();
  final Host a;
  final Host b;

  Hosts() throws IOException {
    Assumptions.assumeTrue(
        Command.of("sh", "-c", "ip netns list && unshare -n true").run().exitCode() == 0,
        "needs root and ip netns");
    a = new Host("a", "10.77.7.1");
    b = new Host("b", "10.77.7.2");
    sh(
        "ip link add v0 netns %s type veth peer name v0 netns %s".formatted(a.name, b.name)
            + " && ip -n %s addr add 10.77.7.1/24 dev v0".formatted(a.name)
            + " && ip -n %s addr add 10.77.7.2/24 dev v0".formatted(b.name));
    cable(true);
    for (Host host : List.of(a, b)) {
      Files.createDirectories(host.folder);
    }
    String fingerprintA = pair(a, "--init");
    String fingerprintB = pair(b, "--init");
    pair(a, "--trust", fingerprintB);
    pair(b, "--trust", fingerprintA);
  }

  /// Writes files in the host's folder only, so that it may happen outside the host.
  private static String pair(Host host, String... words) {
    List<String> all = new ArrayList<>(List.of("serve"));
    all.addAll(Arrays.asList(words));
    all.addAll(List.of("--dir", host.folder.toString()));
    return Jcr.run(all.toArray(String[]::new)).expectExit(0).out().strip();
  }

  Path base() {
    return base;
  }

  /// Plugs the cable in or out.
  void cable(boolean in) {
    String state = in ? "up" : "down";
    sh(
        "ip -n %s link set v0 %s && ip -n %s link set v0 %s"
            .formatted(a.name, state, b.name, state));
  }

  /// As `kill -9` of jcr: what holds the memory of a process for it is another one.
  static void killTree(Process process) throws InterruptedException {
    // nsenter -p stays as the parent of what it started.
    List<ProcessHandle> all = process.descendants().filter(each -> !isKeeper(each.pid())).toList();
    all.forEach(ProcessHandle::destroyForcibly);
    process.destroyForcibly();
    process.waitFor();
  }

  private static boolean isKeeper(long pid) {
    try {
      return Files.readString(Path.of("/proc/" + pid + "/cmdline")).startsWith("jcr-page-keeper");
    } catch (IOException e) {
      return false;
    }
  }

  /// All processes, on either host, that have this folder on their command line, as "pid state".
  static List<String> living(Path target) throws IOException {
    List<String> found = new ArrayList<>();
    try (var entries = Files.newDirectoryStream(Path.of("/proc"), "[0-9]*")) {
      for (Path entry : entries) {
        try {
          String line = Files.readString(entry.resolve("cmdline"));
          String stat = Files.readString(entry.resolve("stat"));
          String state = stat.substring(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3);
          if (line.contains("\0" + target + "\0")
              && !line.startsWith("nsenter")
              && !state.equals("Z")) {
            found.add(entry.getFileName() + " " + state);
          }
        } catch (IOException e) {
          // Gone.
        }
      }
    }
    return found;
  }

  static void sh(String script) {
    Command.of("sh", "-c", script).run().expectExit(0);
  }

  @Override
  public void close() {
    a.close();
    b.close();
    Target.delete(base);
  }
}
