package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.github.luben.zstd.ZstdInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// The tar.zst of the build, unpacked elsewhere and run with nothing in the environment.
@Tag("process")
final class PackageTest {
  @TempDir private Path folder;

  /// Unpacks into [#folder] and gives the launcher in it.
  private Path unpack() throws IOException {
    Path target = Path.of("..", "cli", "target");
    List<Path> archives;
    try (Stream<Path> files = Files.list(target)) {
      archives = files.filter(file -> file.toString().endsWith(".tar.zst")).toList();
    }
    assumeTrue(!archives.isEmpty(), "the build made no tar.zst");
    Path tar = folder.resolve("jcr.tar");
    try (InputStream in = new ZstdInputStream(Files.newInputStream(archives.getFirst()))) {
      Files.copy(in, tar);
    }
    Command.of("tar", "-C", folder.toString(), "-xf", tar.toString()).run().expectExit(0);
    Files.delete(tar);
    String name = archives.getFirst().getFileName().toString().replace(".tar.zst", "");
    return folder.resolve(name).resolve("jcr");
  }

  private static Command.Result bare(Path jcr, String... arguments) {
    return Command.of(
            Stream.concat(
                    Stream.of("env", "-i", "-C", "/", "PATH=/usr/bin:/bin", jcr.toString()),
                    Stream.of(arguments))
                .toList())
        .run();
  }

  @Test
  void runsAnywhereWithoutJava() throws IOException {
    Path jcr = unpack();
    Command.Result result = bare(jcr, "--version");
    assertThat(result.err()).isEmpty();
    assertThat(result.out()).matches("jcr \\d+\\.\\d+\\.\\d+\n");

    Path absolute = Files.createSymbolicLink(folder.resolve("absolute"), jcr);
    Path relative = Files.createSymbolicLink(folder.resolve("relative"), Path.of("absolute"));
    assertThat(bare(relative, "--version").expectExit(0).out()).startsWith("jcr ");
    assertThat(bare(absolute, "--version").expectExit(0).out()).startsWith("jcr ");

    assertThat(bare(jcr, "demo").expectExit(0).out())
        .containsPattern("counted 1 to \\d+ without a gap or a repeat");

    Path home = jcr.resolveSibling(".");
    assertThat(home.resolve("share/man/man1/jcr-dump.1")).isNotEmptyFile();
    assertThat(home.resolve("share/bash-completion/completions/jcr")).isNotEmptyFile();
    assertThat(home.resolve("share/zsh/site-functions/_jcr")).isNotEmptyFile();
  }
}
