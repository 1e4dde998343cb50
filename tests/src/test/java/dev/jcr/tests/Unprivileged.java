package dev.jcr.tests;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Assumptions;

/// jcr run by a user without any capability.
final class Unprivileged {
  private static final List<String> AS_NOBODY =
      List.of("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all");

  private Unprivileged() {}

  static Command.Result run(String... arguments) {
    Assumptions.assumeTrue(
        words("--version").run().exitCode() == 0,
        "needs root to become another user, who must be able to read this folder");
    return words(arguments).run();
  }

  private static Command words(String... arguments) {
    List<String> words = new ArrayList<>(AS_NOBODY);
    words.addAll(Jcr.command(arguments).words());
    return Command.of(words);
  }
}
