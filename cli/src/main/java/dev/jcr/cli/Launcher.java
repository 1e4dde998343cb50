package dev.jcr.cli;

import java.util.List;

/// How this very jcr is started again.
final class Launcher {
  private Launcher() {}

  /// The words before the verb.
  static List<String> words() {
    String launcher = System.getProperty("jcr.launcher");
    if (launcher != null) {
      return List.of(launcher);
    }
    return List.of(
        System.getProperty("java.home") + "/bin/java",
        "--enable-native-access=ALL-UNNAMED",
        "-cp",
        System.getProperty("java.class.path"),
        Main.class.getName());
  }
}
