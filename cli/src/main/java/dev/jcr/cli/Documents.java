package dev.jcr.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import picocli.AutoComplete;
import picocli.CommandLine;
import picocli.CommandLine.Model.CommandSpec;

/// Writes the completion of two shells and the man pages, all made from the commands themselves.
/// Run by the packaging; not a verb.
final class Documents {
  private Documents() {}

  /// `args`: the folder to write to, laid out as `/usr/share` is.
  public static void main(String[] args) throws IOException {
    Path share = Path.of(args[0]);
    CommandLine jcr = Main.commandLine();
    write(share.resolve("bash-completion/completions/jcr"), AutoComplete.bash("jcr", jcr));
    write(share.resolve("zsh/site-functions/_jcr"), ZshCompletion.of(jcr.getCommandSpec()));
    write(share.resolve("man/man1/jcr.1"), ManPage.of(jcr.getCommandSpec()));
    for (CommandLine verb : jcr.getSubcommands().values()) {
      CommandSpec spec = verb.getCommandSpec();
      if (!spec.usageMessage().hidden()) {
        write(share.resolve("man/man1/jcr-" + spec.name() + ".1"), ManPage.of(spec));
      }
    }
  }

  private static void write(Path file, String text) throws IOException {
    Files.createDirectories(file.toAbsolutePath().getParent());
    Files.writeString(file, text);
  }
}
