package dev.jcr.cli;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Problem;
import dev.jcr.image.inspect.Describe;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Locale;
import picocli.CommandLine;
import picocli.CommandLine.IExecutionExceptionHandler;
import picocli.CommandLine.IParameterExceptionHandler;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;

/// Turns what went wrong into one message, its problems, and an exit code.
final class Failures implements IParameterExceptionHandler, IExecutionExceptionHandler {
  private final List<String> arguments;

  Failures(String... arguments) {
    this.arguments = List.of(arguments);
  }

  @Override
  public int handleParseException(ParameterException failure, String[] args) {
    CommandLine line = failure.getCommandLine();
    String reason = failure.getMessage();
    String message =
        "cannot read the command line: %s; see %s --help"
            .formatted(
                reason == null || reason.isEmpty()
                    ? "wrong usage"
                    : Character.toLowerCase(reason.charAt(0)) + reason.substring(1),
                line.getCommandSpec().qualifiedName());
    return report(line, "usage", ExitCode.USAGE, message, List.of());
  }

  @Override
  public int handleExecutionException(Exception failure, CommandLine line, ParseResult parsed) {
    if (failure instanceof CheckpointException expected) {
      return report(
          line,
          expected.outcome().name().toLowerCase(Locale.ROOT),
          expected.outcome().exitCode(),
          message(expected),
          expected.problems());
    }
    return bug(line, failure);
  }

  /// The exit code of a bug, and a file for the report.
  int bug(CommandLine line, Throwable failure) {
    StringWriter details = new StringWriter();
    PrintWriter writer = new PrintWriter(details);
    writer.println("jcr " + Version.current() + ", arguments " + arguments);
    writer.println(
        "java %s, %s %s %s"
            .formatted(
                Runtime.version(),
                System.getProperty("os.name"),
                System.getProperty("os.version"),
                System.getProperty("os.arch")));
    failure.printStackTrace(writer);
    writer.flush();
    String where;
    try {
      Path file =
          Files.createTempFile(
              "jcr-bug-",
              ".txt",
              PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
      Files.writeString(file, details.toString());
      where = "please report it with " + file;
    } catch (IOException e) {
      line.getErr().print(details);
      where = "please report it with the lines above";
    }
    return report(
        line, "bug", ExitCode.BUG, "this is a bug in jcr: " + failure + "; " + where, List.of());
  }

  private static String message(CheckpointException failure) {
    String message = failure.getMessage();
    return message == null ? failure.outcome().name() : message;
  }

  private int report(
      CommandLine line, String outcome, int exitCode, String message, List<Problem> problems) {
    PrintWriter err = line.getErr();
    err.println("jcr: " + Describe.visible(message));
    for (Problem problem : problems) {
      if (!message.contains(problem.toString())) {
        err.println("  " + Describe.visible(problem.kind() + " " + problem));
      }
    }
    if (arguments.contains("--json")) {
      JsonObject error =
          new JsonObject()
              .put("outcome", outcome)
              .put("exit_code", exitCode)
              .put("message", message)
              .put("problems", problems.stream().map(Failures::json).toList());
      line.getOut().println(new JsonObject().put("error", error));
    }
    return exitCode;
  }

  static JsonObject json(Problem problem) {
    return new JsonObject()
        .put("kind", problem.kind())
        .put("object", problem.object())
        .put("reason", problem.reason())
        .put("remedy", problem.remedy());
  }
}
