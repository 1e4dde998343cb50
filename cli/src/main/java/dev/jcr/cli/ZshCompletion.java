package dev.jcr.cli;

import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine;
import picocli.CommandLine.Model.ArgSpec;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Model.PositionalParamSpec;

/// The zsh completion function: verbs, options with their descriptions, processes and folders.
final class ZshCompletion {
  private ZshCompletion() {}

  static String of(CommandSpec jcr) {
    StringBuilder verbs = new StringBuilder();
    StringBuilder cases = new StringBuilder();
    for (CommandLine line : jcr.subcommands().values()) {
      CommandSpec verb = line.getCommandSpec();
      if (verb.usageMessage().hidden()) {
        continue;
      }
      verbs.append(
          "    %s\n".formatted(quoted(verb.name() + ":" + verb.usageMessage().description()[0])));
      cases.append("    %s)\n      _arguments -S".formatted(verb.name()));
      specifications(verb).forEach(s -> cases.append(" \\\n        ").append(quoted(s)));
      cases.append("\n      ;;\n");
    }
    return """
    #compdef jcr
    # Made from the commands of jcr %s.
    _jcr() {
      local -a verbs
      verbs=(
    %s  )
      if (( CURRENT == 2 )); then
        _describe verb verbs
        return
      fi
      local verb=$words[2]
      shift words
      (( CURRENT-- ))
      case $verb in
    %s  esac
    }
    _jcr "$@"
    """
        .formatted(Version.current(), verbs, cases);
  }

  private static List<String> specifications(CommandSpec verb) {
    List<String> specifications = new ArrayList<>();
    for (OptionSpec option : verb.options()) {
      for (String name : option.names()) {
        String value =
            option.arity().max() == 0 ? "" : ":" + option.paramLabel() + ":" + action(option);
        specifications.add(
            "(%s)%s[%s]%s"
                .formatted(String.join(" ", option.names()), name, description(option), value));
      }
    }
    for (PositionalParamSpec argument : verb.positionalParameters()) {
      specifications.add(
          "%d:%s:%s"
              .formatted(argument.index().min() + 1, argument.paramLabel(), action(argument)));
    }
    return specifications;
  }

  private static String description(ArgSpec argument) {
    return String.join(" ", argument.description())
        .replace("[", "\\[")
        .replace("]", "\\]")
        .replace(":", "\\:");
  }

  private static String action(ArgSpec argument) {
    if (argument.completionCandidates() != null) {
      return "(" + String.join(" ", argument.completionCandidates()) + ")";
    }
    return switch (argument.paramLabel()) {
      case "PID" -> "_pids";
      case "DIR", "A", "B" -> "_files -/";
      case "FILE" -> "_files";
      case "CODEC" -> "(none zstd)";
      default -> " ";
    };
  }

  private static String quoted(String text) {
    return "'" + text.replace("'", "'\\''") + "'";
  }
}
