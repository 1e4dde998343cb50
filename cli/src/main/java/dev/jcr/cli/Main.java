package dev.jcr.cli;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.function.Supplier;
import picocli.AutoComplete.GenerateCompletion;
import picocli.CommandLine;

/// Runs one verb and gives its exit code.
public final class Main {
  private static final String COMPLETION = "generate-completion";

  /// In the order of the help.
  private static final List<Verb> VERBS =
      List.of(
          new Verb("dump", DumpCommand::new),
          new Verb("restore", RestoreCommand::new),
          new Verb("pre-dump", PreDumpCommand::new),
          new Verb("merge", MergeCommand::new),
          new Verb("migrate", MigrateCommand::new),
          new Verb("serve", ServeCommand::new),
          new Verb("check", CheckCommand::new),
          new Verb("show", ShowCommand::new),
          new Verb("diff", DiffCommand::new),
          new Verb("verify", VerifyCommand::new),
          new Verb("demo", DemoCommand::new),
          new Verb(COMPLETION, GenerateCompletion::new));

  private record Verb(String name, Supplier<Object> command) {}

  private Main() {}

  public static void main(String[] args) {
    HeadStart.begin(args);
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
    if (args.length == 1 && (args[0].equals("--version") || args[0].equals("-V"))) {
      // Half of the time of this start would be picocli's, for a line that scripts ask for often.
      out.println("jcr " + Version.current());
      out.flush();
      return ExitCode.OK;
    }
    CommandLine line = commandLine(args);
    line.setOut(out);
    line.setErr(err);
    Failures failures = new Failures(args);
    line.setParameterExceptionHandler(failures);
    line.setExecutionExceptionHandler(failures);
    int exitCode;
    try {
      exitCode = line.execute(args);
    } catch (Error e) {
      exitCode = failures.bug(line, e);
    }
    out.flush();
    err.flush();
    return exitCode;
  }

  /// The whole command line.
  static CommandLine commandLine() {
    return commandLine(VERBS);
  }

  /// Only what `args` ask for: picocli reads the annotations of every verb that it is given, at 10
  /// ms each.
  private static CommandLine commandLine(String[] args) {
    String first = args.length == 0 ? "" : args[0];
    List<Verb> named = VERBS.stream().filter(verb -> verb.name.equals(first)).toList();
    // The completion is made of all verbs.
    return commandLine(named.isEmpty() || first.equals(COMPLETION) ? VERBS : named);
  }

  private static CommandLine commandLine(List<Verb> verbs) {
    CommandLine line = new CommandLine(new JcrCommand()).setUsageHelpWidth(100);
    for (Verb verb : verbs) {
      line.addSubcommand(verb.name, verb.command.get());
    }
    CommandLine completion = line.getSubcommands().get(COMPLETION);
    if (completion != null) {
      // For scripts: people get it installed with the package.
      completion.getCommandSpec().usageMessage().hidden(true);
    }
    return line;
  }

  private static PrintWriter writer(FileDescriptor descriptor) {
    return new PrintWriter(new FileOutputStream(descriptor), true, StandardCharsets.UTF_8);
  }
}
