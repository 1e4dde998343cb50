package dev.jcr.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import picocli.AutoComplete;

/// Writes the shell completion and the man pages, both made from the commands themselves. Run by
/// the packaging; not a verb.
final class Documents {
  private Documents() {}

  /// `args`: the folder to write to, laid out as `/usr/share` is.
  public static void main(String[] args) throws IOException {
    Path share = Path.of(args[0]);
    Path bash = share.resolve("bash-completion/completions/jcr");
    Files.createDirectories(bash.getParent());
    Files.writeString(bash, AutoComplete.bash("jcr", Main.commandLine()));
  }
}
