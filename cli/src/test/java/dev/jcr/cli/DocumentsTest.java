package dev.jcr.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class DocumentsTest {
  @Test
  void everyVerbHasAManPageAndCompletion(@TempDir Path share) throws IOException {
    Documents.main(new String[] {share.toString()});
    List<String> pages;
    try (Stream<Path> files = Files.list(share.resolve("man/man1"))) {
      pages = files.map(file -> file.getFileName().toString()).sorted().toList();
    }
    assertThat(pages)
        .containsExactly(
            "jcr-check.1",
            "jcr-demo.1",
            "jcr-diff.1",
            "jcr-dump.1",
            "jcr-merge.1",
            "jcr-migrate.1",
            "jcr-pre-dump.1",
            "jcr-restore.1",
            "jcr-serve.1",
            "jcr-show.1",
            "jcr-verify.1",
            "jcr.1");
    String dump = Files.readString(share.resolve("man/man1/jcr-dump.1"));
    assertThat(dump)
        .startsWith(".TH \"JCR-DUMP\" 1 \"\" \"jcr 0.1.0\" \"jcr\"\n.SH NAME\njcr\\-dump \\- ")
        .contains("\\fB\\-R\\fR, \\fB\\-\\-leave\\-running\\fR\nLet it run on.\n")
        .contains("(default: zstd:1)")
        .contains("jcr(1), jcr\\-restore(1)");
    assertThat(Files.readString(share.resolve("zsh/site-functions/_jcr")))
        .startsWith("#compdef jcr\n")
        .contains("'(-R --leave-running)-R[Let it run on.]'", "'1:PID:_pids'")
        .contains("(manifest pagemap state host identity");
    assertThat(Files.readString(share.resolve("bash-completion/completions/jcr")))
        .contains("complete -F _complete_jcr");
  }
}
