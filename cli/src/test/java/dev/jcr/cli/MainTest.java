package dev.jcr.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/// The command line in-process: what it prints where, and how it ends.
final class MainTest {
  /// Beyond the highest pid that Linux gives out (PID_MAX_LIMIT).
  private static final String NO_PID = "4194305";

  private record Run(int exitCode, String out, String err) {}

  private static Run jcr(String... arguments) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    int exitCode = Main.run(new PrintWriter(out), new PrintWriter(err), arguments);
    return new Run(exitCode, out.toString(), err.toString());
  }

  @Test
  void versionIsDataOnStdout() {
    assertThat(jcr("--version")).isEqualTo(new Run(0, "jcr 0.1.0\n", ""));
  }

  @Test
  void withoutVerbTheHelpIsTalkAndTheUsageWrong() {
    Run run = jcr();
    assertThat(run.exitCode).isEqualTo(2);
    assertThat(run.out).isEmpty();
    assertThat(run.err).startsWith("Usage: jcr [-hV] VERB\n").contains("Exit codes: 0 ok");
  }

  @Test
  void everyVerbHasHelpWithItsOptions() {
    Run run = jcr("dump", "--help");
    assertThat(run.exitCode).isZero();
    assertThat(run.err).isEmpty();
    assertThat(run.out)
        .contains("The image:", "-D, --images-dir=DIR", "The process afterwards", "Examples:")
        .doesNotContain("null");
    for (String verb : Main.commandLine().getSubcommands().keySet()) {
      assertThat(jcr(verb, "--help").exitCode).as(verb).isZero();
    }
  }

  @Test
  void hostileNamesDoNotReachTheTerminal() {
    assertThat(jcr("show", "no\u001b[2Jsuch").err)
        .startsWith("jcr: cannot read image no\\u001b[2Jsuch: ENOENT")
        .doesNotContain("\u001b");
  }

  @Test
  void wrongUsageSaysWhatAndWhereToLook() {
    assertThat(jcr("dump"))
        .isEqualTo(
            new Run(
                2,
                "",
                "jcr: cannot read the command line: missing required parameter: 'PID';"
                    + " see jcr dump --help\n"));
    assertThat(jcr("dump", "1", "--compress", "lz4").err)
        .isEqualTo(
            "jcr: cannot read the command line: invalid value for option '--compress': 'lz4' is"
                + " not none, zstd or zstd:LEVEL with a level of 1 to 22; see jcr dump --help\n");
    assertThat(jcr("dump", "1", "-R", "-s"))
        .isEqualTo(
            new Run(
                2,
                "",
                "jcr: cannot read the command line: -R and -s exclude each other;"
                    + " see jcr dump --help\n"));
    assertThat(jcr("frobnicate").exitCode).isEqualTo(2);
  }

  @Test
  void aProcessThatDoesNotExistIsLost() {
    Run run = jcr("dump", NO_PID);
    assertThat(run.exitCode).isEqualTo(6);
    assertThat(run.out).isEmpty();
    assertThat(run.err)
        .startsWith("jcr: cannot dump process " + NO_PID + ": ESRCH (no such process)");
  }

  @Test
  void jsonErrorsCarryTheSameFields() {
    Run run = jcr("dump", NO_PID, "--json");
    assertThat(run.exitCode).isEqualTo(6);
    assertThat(run.out)
        .startsWith("{\"error\":{\"outcome\":\"target_lost\",\"exit_code\":6,\"message\":\"cannot")
        .endsWith("\"problems\":[]}}\n");
    assertThat(run.err).startsWith("jcr: cannot dump process");
  }

  @Test
  void aMissingImageIsAnInvalidImage(@TempDir Path folder) {
    String missing = folder.resolve("none.jcr").toString();
    for (String verb : new String[] {"show", "verify", "restore"}) {
      Run run = jcr(verb, missing);
      assertThat(run.exitCode).as(verb).isEqualTo(4);
      assertThat(run.err).startsWith("jcr: cannot read image " + missing + ": ENOENT");
    }
    assertThat(jcr("diff", missing, missing).exitCode).isEqualTo(4);
  }

  @Test
  void aBugIsReportedWithAFile() throws IOException {
    StringWriter err = new StringWriter();
    CommandLine line = Main.commandLine();
    line.setErr(new PrintWriter(err));
    int exitCode = new Failures("dump", "1").bug(line, new IllegalStateException("on purpose"));
    assertThat(exitCode).isEqualTo(70);
    assertThat(err.toString())
        .startsWith(
            "jcr: this is a bug in jcr: java.lang.IllegalStateException: on purpose;"
                + " please report it with ");
    Path report = Path.of(err.toString().strip().replaceAll(".* with ", ""));
    assertThat(Files.readString(report))
        .startsWith("jcr 0.1.0, arguments [dump, 1]\njava ")
        .contains("IllegalStateException: on purpose", "MainTest.aBugIsReportedWithAFile");
    Files.delete(report);
  }

  @Test
  void completionIsAScript() {
    assertThat(jcr("generate-completion").out).startsWith("#!/usr/bin/env bash");
  }
}
