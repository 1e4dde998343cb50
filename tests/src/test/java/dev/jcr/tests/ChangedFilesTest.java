package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// A file that the process has open is longer, shorter or elsewhere at the restore: refused with
/// the reason, unless the command line says what to do.
@Tag("process")
@Timeout(120)
class ChangedFilesTest {
  private static final String REMEDY =
      "; put the file back as it was, or say what to do with --if-changed";

  private static Path dumped(Target target) {
    Path image = target.image("1");
    Jcr.dump(target.pid(), image).expectExit(0);
    target.awaitGone();
    return image;
  }

  private static Path file(Target target) {
    return target.folder().resolve("data/file");
  }

  private static void expectRefusal(Path image, Target target, String how, String... options) {
    Command.Result result = Jcr.restore(image, options).expectExit(4);
    assertThat(result.err())
        .contains(file(target) + " has changed since the dump: it " + how + REMEDY);
    assertThat(target.proc().exists()).isFalse();
  }

  private static void expectSize(Target target, int size) {
    target.expectPass();
    assertThat(target.read("size")).isEqualTo(Integer.toString(size));
  }

  @Test
  void longer() throws IOException {
    try (Target target = Target.start("changing")) {
      Path image = dumped(target);
      Files.writeString(file(target), "more", StandardOpenOption.APPEND);
      expectRefusal(image, target, "had 96 bytes and has 100");
      Jcr.restore(image, "--if-changed", "append").expectExit(0);
      expectSize(target, 100);
    }
  }

  @Test
  void cut() throws IOException {
    try (Target target = Target.start("changing")) {
      Path image = dumped(target);
      Files.writeString(file(target), "more", StandardOpenOption.APPEND);
      Jcr.restore(image, "--if-changed", file(target) + "=truncate").expectExit(0);
      expectSize(target, 96);
    }
  }

  @Test
  void shorter() throws IOException {
    try (Target target = Target.start("changing")) {
      Path image = dumped(target);
      byte[] content = Files.readAllBytes(file(target));
      Files.write(file(target), java.util.Arrays.copyOf(content, 60));
      expectRefusal(image, target, "had 96 bytes and has 60", "--if-changed", "append");
      Jcr.restore(image, "--if-changed", "append", "--if-changed", file(target) + "=any")
          .expectExit(0);
      expectSize(target, 60);
    }
  }

  @Test
  void elsewhere() throws IOException {
    try (Target target = Target.start("changing")) {
      Path image = dumped(target);
      Path moved = target.folder().resolve("moved");
      Files.move(target.folder().resolve("data"), moved, StandardCopyOption.ATOMIC_MOVE);
      Command.Result result = Jcr.restore(image).expectExit(4);
      assertThat(result.err()).contains("cannot open " + file(target) + ": ENOENT");
      Jcr.restore(image, "--map-path", target.folder().resolve("data") + "=" + moved).expectExit(0);
      expectSize(target, 96);
    }
  }

  @Test
  void wrongWords() {
    assertThat(Jcr.run("restore", "x", "--if-changed", "/f=perhaps").expectExit(2).err())
        .isEqualTo(
            "jcr: cannot read the command line: --if-changed: 'perhaps' is not same, append,"
                + " truncate or any; see jcr restore --help\n");
    assertThat(Jcr.run("restore", "x", "--map-path", "a=/b").expectExit(2).err())
        .isEqualTo(
            "jcr: cannot read the command line: --map-path: 'a=/b' is not absolute; see jcr restore"
                + " --help\n");
  }
}
