package dev.jcr.tests;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.UUID;

/// A host that starts anew, on this one: what runs there reads another boot id, by a mount of its
/// own, and, in a time namespace, clocks that are ahead of the machine's or behind them. That is
/// all in which a started host differs for jcr.
final class Boot implements AutoCloseable {
  static final String ID = "/proc/sys/kernel/random/boot_id";

  private final Path folder = Target.newFolder();
  private final Path id = folder.resolve("boot_id");
  private final Process holder;
  private List<String> clocks = List.of();

  Boot() throws IOException {
    startAnew(0);
    Path log = folder.resolve("log");
    holder =
        Command.of(
                "unshare",
                "-m",
                "sh",
                "-c",
                "mount --bind \"$0\" \"$1\" && touch \"$2\" && exec sleep 1000000",
                id.toString(),
                ID,
                folder.resolve("mounted").toString())
            .start(log, log);
    while (!Files.exists(folder.resolve("mounted"))) {
      if (!holder.isAlive()) {
        throw new AssertionError("no other boot id: " + Files.readString(log));
      }
      Target.nap(2);
    }
  }

  /// What makes a command read clocks that are so many seconds ahead.
  static List<String> ahead(long seconds) {
    return List.of(
        "unshare",
        "-T",
        "--monotonic",
        Long.toString(seconds),
        "--boottime",
        Long.toString(seconds));
  }

  /// Seconds by which the clocks of a host that has started just now are behind this one's.
  static long justStarted() throws IOException {
    String uptime = Files.readString(Path.of("/proc/uptime"));
    return 20 - (long) Double.parseDouble(uptime.substring(0, uptime.indexOf(' ')));
  }

  /// Ends what is known of the clocks: another boot id, and clocks so many seconds ahead.
  void startAnew(long seconds) throws IOException {
    // In place: the file is mounted.
    Files.writeString(id, UUID.randomUUID() + "\n");
    clocks = seconds == 0 ? List.of() : ahead(seconds);
  }

  /// The words of a command there.
  List<String> words(List<String> command) {
    List<String> all = new ArrayList<>(List.of("nsenter", "-t", Long.toString(holder.pid()), "-m"));
    all.addAll(clocks);
    all.addAll(command);
    return all;
  }

  Command.Result jcr(String... arguments) {
    return Command.of(words(Jcr.command(arguments).words())).run();
  }

  /// Starts a target program there.
  Target start(String program, String... arguments) {
    Path home = Target.newFolder();
    List<String> command =
        new ArrayList<>(List.of(Programs.compiled(program).toString(), home.toString()));
    command.addAll(Arrays.asList(arguments));
    Target target = Target.launch(home, program, Map.of(), words(command));
    target.await("ready");
    return target;
  }

  @Override
  public void close() {
    holder.destroyForcibly();
    Target.delete(folder);
  }
}
