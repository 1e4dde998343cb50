package dev.jcr.cli;

import dev.jcr.cli.migrate.WarmUp;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.util.List;

/// The run of the packaging that fills the AOT cache with the classes users wait for. Not a verb.
///
/// Every step may fail (no right to trace, no target): what it loaded until then still counts.
final class Training {
  private Training() {}

  /// `args`: a folder for images, and the pid of a process to dump and restore, or none.
  public static void main(String[] args) {
    String image = args[0] + "/image";
    HeadStart.begin(new String[] {"dump", "1"});
    run("--version");
    run("--help");
    run("dump", "--help");
    run("restore", "--help");
    run("dump", "--no-such-option");
    for (String pid : List.of(args).subList(1, args.length)) {
      run("check", pid);
      run("dump", pid, "-D", image + ".running", "-R", "--json");
      run("dump", pid, "-D", image);
      run("show", image);
      run("verify", image);
      run("diff", image + ".running", image);
      run("restore", image, "--dry-run");
      run("restore", image, "-d");
      migration(args[0] + "/hosts", pid);
    }
    run("check");
  }

  /// What a source and a destination do before a process moves, and their connection.
  private static void migration(String folder, String pid) {
    String fingerprint = run("serve", "--init", "--dir", folder).strip();
    run("serve", "--trust", fingerprint, "--dir", folder);
    String address = "127.0.0.1:" + freePort();
    Thread.ofPlatform().daemon().start(() -> run("serve", "--dir", folder, "--listen", address));
    WarmUp.run();
    // No other host: the destination refuses what is here.
    run("migrate", pid, address, "--dir", folder);
  }

  private static int freePort() {
    try (ServerSocket free = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      return free.getLocalPort();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static String run(String... args) {
    StringWriter out = new StringWriter();
    PrintWriter log = new PrintWriter(System.err, true, StandardCharsets.UTF_8);
    log.println(List.of(args) + " " + Main.run(new PrintWriter(out), log, args));
    return out.toString();
  }
}
