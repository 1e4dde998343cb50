package dev.jcr.cli;

import java.io.PrintWriter;
import java.io.Writer;
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
    }
    run("check");
  }

  private static void run(String... args) {
    PrintWriter nowhere = new PrintWriter(Writer.nullWriter());
    PrintWriter log = new PrintWriter(System.err, true, StandardCharsets.UTF_8);
    log.println(List.of(args) + " " + Main.run(nowhere, log, args));
  }
}
