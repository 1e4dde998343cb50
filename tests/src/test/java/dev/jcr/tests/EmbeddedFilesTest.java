package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// `jcr dump --embed-files`: the content of files in the image, for when they are gone or have
/// changed at the restore.
@Tag("process")
@Timeout(120)
class EmbeddedFilesTest {
  private static Path data(Target target) {
    return target.folder().resolve("data");
  }

  private static Path written(Target target) {
    return data(target).resolve("written");
  }

  private static Path dumped(Target target, String... options) {
    Path image = target.image("1");
    Jcr.dump(target.pid(), image, options).expectExit(0);
    target.awaitGone();
    return image;
  }

  private static String[] embedAll(Target target) {
    return new String[] {"--embed-files", data(target).toString()};
  }

  private static List<Path> files(Target target) throws IOException {
    try (var entries = Files.list(data(target))) {
      return entries.sorted().toList();
    }
  }

  /// What the program writes when it is told to check.
  private static void expectChecked(Path file) throws IOException {
    byte[] content = Files.readAllBytes(file);
    assertThat(new String(content, 0, 7, StandardCharsets.US_ASCII)).isEqualTo("checked");
    assertThat(content).hasSize(10_000);
  }

  /// Open for writing and mapped shared, mapped only, open only, the executable: all gone.
  @Test
  void gone() throws IOException {
    try (Target target = Target.start("embedded")) {
      Path image = dumped(target, embedAll(target));
      List<Path> before = files(target);
      assertThat(before).hasSize(4);
      FileTime time = Files.getLastModifiedTime(written(target));
      byte[] content = Files.readAllBytes(written(target));
      for (Path file : before) {
        Files.delete(file);
      }
      Command.Result result = Jcr.restore(image).expectExit(0);
      assertThat(result.err())
          .contains("file " + written(target) + " was gone and has been made again");
      assertThat(files(target)).isEqualTo(before);
      assertThat(Files.readAllBytes(written(target))).isEqualTo(content);
      assertThat(Files.getLastModifiedTime(written(target))).isEqualTo(time);
      assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(written(target))))
          .isEqualTo("rw-r-----");
      assertThat(target.proc().link("exe")).isEqualTo(data(target).resolve("program").toString());
      target.expectPass();
      // It went on writing to the file at its path.
      expectChecked(written(target));
    }
  }

  /// What others have written meanwhile stays; the process has what it had.
  @Test
  void changed() throws IOException {
    try (Target target = Target.start("embedded")) {
      Path image = dumped(target, embedAll(target));
      List<Path> before = files(target);
      for (Path file : before) {
        Files.delete(file);
        Files.writeString(file, "of somebody else");
      }
      Command.Result result = Jcr.restore(image).expectExit(0);
      assertThat(result.err())
          .contains(
              "file "
                  + written(target)
                  + " has changed since the dump: it stays, and the process has its own, as it was,"
                  + " without a name");
      target.expectPass();
      assertThat(files(target)).isEqualTo(before);
      for (Path file : before) {
        assertThat(Files.readString(file)).isEqualTo("of somebody else");
      }
    }
  }

  /// The file that is there is used, and another dump of the process needs no image of it.
  @Test
  void unchanged() throws IOException {
    try (Target target = Target.start("embedded")) {
      Path image = dumped(target, embedAll(target));
      assertThat(Jcr.restore(image).expectExit(0).err()).doesNotContain("file ");
      Jcr.dump(target.pid(), target.image("2")).expectExit(0);
      target.awaitGone();
      Jcr.restore(target.image("2")).expectExit(0);
      target.expectPass();
      expectChecked(written(target));
    }
  }

  /// `--if-changed` comes first.
  @Test
  void accepted() throws IOException {
    try (Target target = Target.start("changing")) {
      Path file = data(target).resolve("file");
      Path image = dumped(target, "--embed-files", file.toString());
      Files.writeString(file, "more", StandardOpenOption.APPEND);
      Jcr.restore(image, "--if-changed", "append").expectExit(0);
      target.expectPass();
      assertThat(target.read("size")).isEqualTo("100");
    }
  }

  /// `--map-path` says where it is looked for, and made.
  @Test
  void elsewhere() throws IOException {
    try (Target target = Target.start("embedded")) {
      Path image = dumped(target, embedAll(target));
      Path moved = Files.createDirectory(target.folder().resolve("moved"));
      for (Path file : files(target)) {
        Files.delete(file);
      }
      Jcr.restore(image, "--map-path", data(target) + "=" + moved).expectExit(0);
      target.expectPass();
      expectChecked(moved.resolve("written"));
      assertThat(files(target)).isEmpty();
    }
  }

  @Test
  void refused() throws IOException {
    try (Target target = Target.start("embedded")) {
      Path image = target.image("1");
      Command.Result large =
          Jcr.dump(
                  target.pid(),
                  image,
                  "--embed-files",
                  written(target).toString(),
                  "--embed-limit",
                  "9999")
              .expectExit(3);
      assertThat(large.err())
          .contains(
              "embedded file "
                  + written(target)
                  + ": it has 10000 bytes, more than the limit of 9999; raise --embed-limit, or do"
                  + " not embed it");
      Command.Result device =
          Jcr.dump(target.pid(), image, "--embed-files", "/dev/null").expectExit(3);
      assertThat(device.err())
          .contains("embedded file /dev/null: it is no regular file; do not embed it");
      Command.Result unknown =
          Jcr.dump(target.pid(), image, "--embed-files", "/no/such").expectExit(2);
      assertThat(unknown.err())
          .isEqualTo(
              "jcr: cannot embed /no/such: process %d has nothing open or mapped there\n"
                  .formatted(target.pid()));
      Jcr.dump(target.pid(), image, "--embed-files", data(target).toString(), "-R").expectExit(0);
      assertThat(Jcr.run("show", image.toString(), "files").expectExit(0).out())
          .contains("KIND_EMBEDDED_FILE", "name: " + written(target));
      target.expectPass();
    }
  }

  /// Nothing is left where the files were when the restore fails.
  @Test
  void failedRestore() throws IOException {
    try (Target target = Target.start("embedded")) {
      Path image = target.image("1");
      Jcr.dump(target.pid(), image, "--embed-files", data(target).toString()).expectExit(0);
      target.awaitGone();
      for (Path file : files(target)) {
        Files.delete(file);
      }
      Files.delete(data(target));
      assertThat(Jcr.restore(image).expectExit(4).err())
          .contains("its directory " + data(target) + " does not exist; create the directory");
      Files.createDirectory(data(target));
      // A file that is not in the image: the pid is taken by nobody, so it is this that fails.
      Path other = target.folder().resolve("moved");
      Jcr.restore(image, "--map-path", target.folder() + "=" + other).expectExit(4);
      assertThat(files(target)).isEmpty();
      Jcr.restore(image).expectExit(0);
      target.expectPass();
    }
  }
}
