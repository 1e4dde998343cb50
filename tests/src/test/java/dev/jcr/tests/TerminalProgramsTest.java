package dev.jcr.tests;

import java.nio.file.Path;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// A shell at its prompt and editors, dumped in the middle of a line and restored in another
/// terminal, where somebody types on.
@Tag("programs")
@Timeout(180)
class TerminalProgramsTest {
  @ParameterizedTest
  @CsvSource({"bash,bash", "vim,vi", "nano,nano"})
  void typesOnInAnotherTerminal(String program, String command) {
    Assumptions.assumeTrue(
        Command.of("sh", "-c", "command -v " + command + " && command -v python3").run().exitCode()
            == 0,
        command + " or python3 is not installed");
    Path folder = Target.newFolder();
    Command.Result result =
        Command.of(
                "python3",
                Path.of("programs", "terminal.py").toAbsolutePath().toString(),
                folder.toString(),
                Jcr.command().words().getFirst(),
                program)
            .run();
    result.expectExit(0);
    System.out.print(result.out());
    Target.delete(folder);
  }
}
