package dev.jcr.cli;

import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;
import picocli.CommandLine;
import picocli.CommandLine.Model.ArgGroupSpec;
import picocli.CommandLine.Model.ArgSpec;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Model.PositionalParamSpec;

/// The man page of one command in man(7) macros, from what `--help` is made of.
final class ManPage {
  private static final String EXIT_STATUS =
      """
      .SH EXIT STATUS
      .TP
      0
      Success.
      .TP
      1
      Failed; the process is as it was. Of \\fBjcr diff\\fR: the images differ.
      .TP
      2
      Wrong usage.
      .TP
      3
      The process holds something that cannot be carried over; the message names it.
      .TP
      4
      The image is missing, damaged, of another format, or does not fit this host.
      .TP
      5
      A permission or capability is missing.
      .TP
      6
      The process does not exist, vanished or changed.
      .TP
      7
      Failed, and the process could not be proven healthy.
      .TP
      70
      A bug in jcr.
      """;

  private final StringBuilder out = new StringBuilder();

  private ManPage() {}

  static String of(CommandSpec spec) {
    ManPage page = new ManPage();
    page.write(spec);
    return page.out.toString();
  }

  private void write(CommandSpec spec) {
    String name = spec.qualifiedName("-");
    String[] description = spec.usageMessage().description();
    macro(
        "TH \"%s\" 1 \"\" \"jcr %s\" \"jcr\""
            .formatted(name.toUpperCase(Locale.ROOT), Version.current()));
    macro("SH NAME");
    line(name + " - " + description[0].replaceAll("\\.$", ""));
    macro("SH SYNOPSIS");
    line(spec.commandLine().getHelp().synopsis(0).strip().replaceAll("\\s+", " "));
    macro("SH DESCRIPTION");
    for (String paragraph : description) {
      if (paragraph.isEmpty()) {
        macro("PP");
      } else {
        line(paragraph);
      }
    }
    arguments(spec);
    options(spec);
    verbs(spec);
    List<String> examples = examples(spec);
    if (!examples.isEmpty()) {
      macro("SH EXAMPLES");
      macro("nf");
      examples.forEach(this::line);
      macro("fi");
    }
    out.append(EXIT_STATUS);
    macro("SH SEE ALSO");
    line(
        spec.root().subcommands().values().stream()
            .map(CommandLine::getCommandSpec)
            .filter(verb -> !verb.name().equals(spec.name()) && !verb.usageMessage().hidden())
            .map(verb -> "jcr-" + verb.name() + "(1)")
            .collect(Collectors.joining(", ", spec.parent() == null ? "" : "jcr(1), ", "")));
  }

  private void arguments(CommandSpec spec) {
    if (!spec.positionalParameters().isEmpty()) {
      macro("SH ARGUMENTS");
      for (PositionalParamSpec argument : spec.positionalParameters()) {
        macro("TP");
        out.append("\\fI").append(escaped(argument.paramLabel())).append("\\fR\n");
        line(String.join(" ", argument.description()));
      }
    }
  }

  private void options(CommandSpec spec) {
    for (ArgGroupSpec group : spec.argGroups()) {
      macro(
          "SH " + group.heading().replace("%n", "").replaceAll(":$", "").toUpperCase(Locale.ROOT));
      group.options().forEach(this::option);
    }
    macro("SH OPTIONS");
    spec.options().stream().filter(option -> option.group() == null).forEach(this::option);
  }

  private void option(OptionSpec option) {
    macro("TP");
    String value = option.arity().max() == 0 ? "" : " \\fI" + escaped(option.paramLabel()) + "\\fR";
    out.append(
            Arrays.stream(option.names())
                .map(name -> "\\fB" + escaped(name) + "\\fR")
                .collect(Collectors.joining(", ")))
        .append(value)
        .append('\n');
    line(text(option));
  }

  private static String text(ArgSpec argument) {
    return String.join(" ", argument.description());
  }

  private void verbs(CommandSpec spec) {
    if (!spec.subcommands().isEmpty()) {
      macro("SH VERBS");
      for (CommandLine verb : spec.subcommands().values()) {
        if (!verb.getCommandSpec().usageMessage().hidden()) {
          macro("TP");
          out.append("\\fB").append(escaped(verb.getCommandName())).append("\\fR\n");
          line(verb.getCommandSpec().usageMessage().description()[0]);
        }
      }
    }
  }

  /// The footer up to its first empty line: what follows is the exit codes, which have a section.
  private static List<String> examples(CommandSpec spec) {
    return Arrays.stream(spec.usageMessage().footer())
        .takeWhile(line -> !line.isEmpty())
        .map(String::strip)
        .toList();
  }

  private void macro(String text) {
    out.append('.').append(text).append('\n');
  }

  private void line(String text) {
    String escaped = escaped(text);
    // A leading dot or quote would be taken for a macro.
    out.append(escaped.startsWith(".") || escaped.startsWith("'") ? "\\&" : "")
        .append(escaped)
        .append('\n');
  }

  private static String escaped(String text) {
    return text.replace("\\", "\\e").replace("-", "\\-");
  }
}
