package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// What cannot be restored: one message with object, reason and remedy, the right exit code, the
/// image untouched, and nothing of the new process left.
@Tag("badinput")
@Timeout(120)
class RestoreRefusalsTest {
  /// A dumped target and its image.
  private record Dumped(Target target, Path image) implements AutoCloseable {
    static Dumped of(Target target) {
      Path image = target.image("1");
      Jcr.dump(target.pid(), image).expectExit(0);
      target.awaitGone();
      return new Dumped(target, image);
    }

    /// The image may have been damaged on purpose before; jcr must leave it as it is.
    void expectRefusal(int exitCode, String message) throws IOException {
      Map<String, List<Byte>> before = bytes();
      Command.Result result = Jcr.restore(image).expectExit(exitCode);
      assertThat(result.err()).isEqualTo("jcr: " + message + "\n");
      assertThat(result.out()).isEmpty();
      assertThat(bytes()).as("the image").isEqualTo(before);
    }

    void expectNothingLeft() {
      assertThat(target.proc().exists()).as("something of the process is left").isFalse();
    }

    void flip(String part, long offset) throws IOException {
      Path file = image.resolve(part);
      byte[] bytes = Files.readAllBytes(file);
      bytes[Math.toIntExact(offset)] ^= 0x10;
      Files.write(file, bytes, StandardOpenOption.TRUNCATE_EXISTING);
    }

    private Map<String, List<Byte>> bytes() throws IOException {
      Map<String, List<Byte>> all = new TreeMap<>();
      if (!Files.isDirectory(image)) {
        return all;
      }
      try (Stream<Path> files = Files.list(image)) {
        for (Path file : files.toList()) {
          byte[] bytes = Files.readAllBytes(file);
          all.put(
              String.valueOf(file.getFileName()),
              List.of((byte) bytes.length, (byte) java.util.Arrays.hashCode(bytes)));
        }
      }
      return all;
    }

    @Override
    public void close() {
      target.close();
    }
  }

  private static Dumped dumped() {
    return Dumped.of(Target.start("counter"));
  }

  @Test
  void noSuchImage() throws Exception {
    try (Dumped dumped = dumped()) {
      Target.delete(dumped.image);
      dumped.expectRefusal(
          4,
          "cannot read image "
              + dumped.image
              + ": ENOENT (no such file or directory); give the folder jcr dump wrote");
      dumped.expectNothingLeft();
    }
  }

  @Test
  void aFileInsteadOfAFolder() throws Exception {
    try (Dumped dumped = dumped()) {
      Target.delete(dumped.image);
      Files.writeString(dumped.image, "text");
      dumped.expectRefusal(
          4,
          "cannot read image "
              + dumped.image
              + ": ENOTDIR (not a directory); give the folder jcr dump wrote");
      dumped.expectNothingLeft();
    }
  }

  @Test
  void noManifest() throws Exception {
    try (Dumped dumped = dumped()) {
      Files.delete(dumped.image.resolve("manifest"));
      dumped.expectRefusal(
          4,
          "cannot read "
              + dumped.image
              + "/manifest: ENOENT (no such file or directory); the folder is not a whole image:"
              + " give the folder jcr dump wrote");
      dumped.expectNothingLeft();
    }
  }

  @Test
  void partMissing() throws Exception {
    try (Dumped dumped = dumped()) {
      Files.delete(dumped.image.resolve("pages"));
      dumped.expectRefusal(
          4,
          "cannot read "
              + dumped.image
              + "/pages: ENOENT (no such file or directory); the folder is not a whole image:"
              + " give the folder jcr dump wrote");
      dumped.expectNothingLeft();
    }
  }

  @Test
  void damagedState() throws Exception {
    try (Dumped dumped = dumped()) {
      dumped.flip("state", 100);
      dumped.expectRefusal(
          4,
          "cannot read "
              + dumped.image
              + "/state at offset 0: SHA-256 differs from the manifest's; copy the image again or dump again");
      dumped.expectNothingLeft();
    }
  }

  @Test
  void damagedPages() throws Exception {
    try (Dumped dumped = dumped()) {
      dumped.flip("pages", Files.size(dumped.image.resolve("pages")) / 2);
      Command.Result result = Jcr.restore(dumped.image).expectExit(4);
      assertThat(result.err())
          .matches(
              "jcr: cannot read "
                  + dumped.image
                  + "/pages at offset \\d+: .+; copy the image again or dump again\n");
      dumped.expectNothingLeft();
    }
  }

  @Test
  void truncatedPages() throws Exception {
    try (Dumped dumped = dumped()) {
      Path pages = dumped.image.resolve("pages");
      byte[] bytes = Files.readAllBytes(pages);
      Files.write(pages, java.util.Arrays.copyOf(bytes, bytes.length - 1));
      dumped.expectRefusal(
          4,
          "cannot read %s at offset %d: %d bytes, the manifest says %d; copy the image again or dump again"
              .formatted(pages, bytes.length - 1, bytes.length - 1, bytes.length));
      dumped.expectNothingLeft();
    }
  }

  @Test
  void foreignVersion() throws Exception {
    try (Dumped dumped = dumped()) {
      // Major version 17 instead of 1, in the header.
      dumped.flip("manifest", 8);
      dumped.expectRefusal(
          4,
          "cannot read "
              + dumped.image
              + "/manifest at offset 8: image format 17.0, this jcr reads 1.0 to 1.0; use the jcr that"
              + " made it or dump again");
      dumped.expectNothingLeft();
    }
  }

  @Test
  void pidInUse() throws Exception {
    try (Dumped dumped = dumped();
        Target squatter = Target.start("occupy", Long.toString(dumped.target.pid()))) {
      dumped.expectRefusal(
          1,
          "cannot create process %1$d: EEXIST (the id is in use by process %1$d (squatter)); end that process, or restore in a pid namespace of its own (--pid-namespace)"
              .formatted(dumped.target.pid()));
      assertThat(dumped.target.proc().read("comm")).isEqualTo("squatter\n");
      squatter.expectPass();
      Jcr.restore(dumped.image).expectExit(0);
      dumped.target.expectPass();
    }
  }

  @Test
  void pidInUseByAZombie() throws Exception {
    try (Dumped dumped = dumped();
        Target squatter = Target.start("occupy", Long.toString(dumped.target.pid()), "zombie")) {
      dumped.expectRefusal(
          1,
          "cannot create process %1$d: EEXIST (the id is in use by process %1$d (squatter, a zombie of %2$d)); end that process, or restore in a pid namespace of its own (--pid-namespace)"
              .formatted(dumped.target.pid(), squatter.pid()));
      squatter.expectPass();
      Jcr.restore(dumped.image).expectExit(0);
      dumped.target.expectPass();
    }
  }

  @Test
  void stillRunning() throws Exception {
    try (Target target = Target.start("counter")) {
      Path image = target.image("1");
      Jcr.dump(target.pid(), image, "-R").expectExit(0);
      new Dumped(target, image)
          .expectRefusal(
              1,
              "cannot create process %1$d: EEXIST (the id is in use by process %1$d (counter)); end that process, or restore in a pid namespace of its own (--pid-namespace)"
                  .formatted(target.pid()));
      target.expectRunning();
      target.expectPass();
    }
  }

  @Test
  void changedExecutable() throws Exception {
    try (Dumped dumped = Dumped.of(copied())) {
      Path program = dumped.target.folder().resolve("program");
      long size = Files.size(program);
      Files.write(program, new byte[] {0}, StandardOpenOption.APPEND);
      dumped.expectRefusal(
          4,
          "cannot restore %s: mapped file %s: it has %d bytes, it had %d; put the same file back"
              .formatted(dumped.image, program, size + 1, size));
      dumped.expectNothingLeft();
    }
  }

  @Test
  void changedLibrary() throws Exception {
    Path libc = Path.of("/lib/x86_64-linux-gnu/libc.so.6");
    Assumptions.assumeTrue(Files.exists(libc), "libc is not where Debian has it");
    Path folder = Target.newFolder();
    Path library = folder.resolve("libc.so.6");
    Files.copy(libc, library);
    Target target =
        Target.launch(
            folder,
            "counter",
            Map.of("LD_LIBRARY_PATH", folder.toString()),
            List.of(Programs.compiled("counter").toString(), folder.toString()));
    target.await("ready");
    try (Dumped dumped = Dumped.of(target)) {
      Files.delete(library);
      dumped.expectRefusal(
          4,
          "cannot restore %s: mapped file %s: ENOENT (no such file or directory); put the same file back"
              .formatted(dumped.image, library));
      dumped.expectNothingLeft();
    }
  }

  @Test
  void missingFile() throws Exception {
    try (Dumped dumped = Dumped.of(Target.start("files"))) {
      Path file = dumped.target.folder().resolve("owned");
      byte[] kept = Files.readAllBytes(file);
      Files.delete(file);
      Command.Result result = Jcr.restore(dumped.image).expectExit(4);
      assertThat(result.err())
          .matches(
              "jcr: cannot restore descriptors: fd \\d+: cannot open "
                  + file
                  + ": ENOENT \\(no such file or directory\\); restore the file and try again\n");
      dumped.expectNothingLeft();
      assertThat(kept).isNotEmpty();
    }
  }

  @Test
  void noPermission() throws Exception {
    // The program lies where everybody may read it.
    try (Dumped dumped = Dumped.of(copied())) {
      Command.of("chmod", "-R", "a+rwX", dumped.target.folder().toString()).run().expectExit(0);
      Command.Result result =
          Unprivileged.run("restore", dumped.image.toString(), "-d").expectExit(5);
      assertThat(result.err())
          .isEqualTo(
              "jcr: cannot create process %d: EPERM (operation not permitted); choosing a pid needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN\n"
                  .formatted(dumped.target.pid()));
      dumped.expectNothingLeft();
      Jcr.restore(dumped.image).expectExit(0);
      dumped.target.expectPass();
    }
  }

  /// The counter, run from a copy in its folder.
  private static Target copied() throws IOException {
    Path folder = Target.newFolder();
    Path program = folder.resolve("program");
    Files.copy(Programs.compiled("counter"), program);
    Target target =
        Target.launch(folder, "counter", Map.of(), List.of(program.toString(), folder.toString()));
    target.await("ready");
    return target;
  }
}
