package dev.jcr.cli;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import picocli.AutoComplete.GenerateCompletion;
import picocli.CommandLine;

/// Runs one verb and gives its exit code.
public final class Main {
  private Main() {}

  public static void main(String[] args) {
    PrintWriter out = writer(FileDescriptor.out);
    PrintWriter err = writer(FileDescriptor.err);
    int exitCode = run(out, err, args);
    out.flush();
    err.flush();
    // Not System.exit: that sets up a logger first (8 ms), and no shutdown hook is in use.
    Runtime.getRuntime().halt(exitCode);
  }

  /// Runs `args` with its data on `out` and its talk on `err`; the exit codes are those of
  /// [ExitCode]. Never throws: a bug becomes exit code 70 and a report file.
  public static int run(PrintWriter out, PrintWriter err, String... args) {
    CommandLine line = commandLine();
    line.setOut(out);
    line.setErr(err);
    Failures failures = new Failures(args);
    line.setParameterExceptionHandler(failures);
    line.setExecutionExceptionHandler(failures);
    int exitCode = line.execute(args);
    out.flush();
    err.flush();
    return exitCode;
  }

  static CommandLine commandLine() {
    CommandLine line = new CommandLine(new JcrCommand()).setUsageHelpWidth(100);
    CommandLine completion = new CommandLine(new GenerateCompletion());
    // For scripts: people get it installed with the package.
    completion.getCommandSpec().usageMessage().hidden(true);
    line.addSubcommand(completion);
    return line;
  }

  private static PrintWriter writer(FileDescriptor descriptor) {
    return new PrintWriter(new FileOutputStream(descriptor), true, StandardCharsets.UTF_8);
  }
}
