package dev.jcr.image.codec;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.pages.PageBuffer;
import dev.jcr.image.pages.PageWriter;
import dev.jcr.image.v1.Compression;
import dev.jcr.image.v1.Creation;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ImageFolderTest {
  @TempDir Path folder;

  private static ImageWriter create(Path directory) throws CheckpointException {
    return ImageWriter.create(directory, Compression.COMPRESSION_NONE, 0, false);
  }

  @Test
  void anEmptyFolderIsTaken() throws Exception {
    Path image = Files.createDirectory(folder.resolve("image"));
    TestImages.write(image, Compression.COMPRESSION_NONE, 3);
    assertThat(image.resolve("manifest")).isRegularFile();
  }

  @Test
  void aFullFolderIsRefused() throws Exception {
    Path image = Files.createDirectory(folder.resolve("image"));
    Files.createFile(image.resolve("mine"));
    assertThatThrownBy(() -> create(image))
        .isInstanceOfSatisfying(
            CheckpointException.class, e -> assertThat(e.outcome()).isEqualTo(Outcome.FAILED))
        .hasMessage(
            "cannot write image "
                + image
                + ": ENOTEMPTY (directory not empty); remove it or choose another folder with -D");
    assertThat(folder).isDirectoryNotContaining("glob:**.tmp");
  }

  @Test
  void aMissingParentIsNamed() {
    Path image = folder.resolve("a/b");
    assertThatThrownBy(() -> create(image))
        .hasMessage(
            "cannot create "
                + image
                + ": ENOENT (no such file or directory); create the folder above it first or"
                + " choose another folder with -D");
  }

  @Test
  void aFileIsNoFolder() throws Exception {
    Path file = Files.createFile(folder.resolve("file"));
    assertThatThrownBy(() -> create(file))
        .hasMessage(
            "cannot create " + file + ": ENOTDIR (not a directory); choose another folder with -D");
    assertThatThrownBy(() -> create(file.resolve("image"))).hasMessageContaining("ENO");
  }

  @Test
  void closingWithoutCommitLeavesNothing() throws Exception {
    Path image = folder.resolve("image");
    try (ImageWriter writer = create(image)) {
      TestImages.pages(writer.pages(4096), 0, 0, 100);
      writer.state(TestImages.state());
    }
    assertThat(folder).isEmptyDirectory();
  }

  @Test
  void somethingPutThereMeanwhileIsKept() throws Exception {
    Path image = folder.resolve("image");
    try (ImageWriter writer = create(image)) {
      writer.state(TestImages.state());
      Files.createDirectory(image);
      Files.createFile(image.resolve("other"));
      assertThatThrownBy(() -> writer.commit(42, "x", Creation.getDefaultInstance()))
          .hasMessageContaining("ENOTEMPTY");
    }
    assertThat(folder).isDirectoryContaining("glob:**image");
    assertThat(image.resolve("other")).exists();
    assertThat(folder).isDirectoryNotContaining("glob:**.tmp");
  }

  @Test
  void leftoversOfTheDeadAreRemoved() throws Exception {
    Path image = folder.resolve("image");
    long dead = 4_194_303;
    assumeTrue(ProcessHandle.of(dead).isEmpty(), "pid 4194303 is alive");
    Path locked = Files.createDirectory(folder.resolve(".image." + dead + ".tmp"));
    Files.createFile(locked.resolve("pages"));
    Files.createFile(locked.resolve("lock"));
    Path early = Files.createDirectory(folder.resolve(".image.4194302.tmp"));
    Path foreign = Files.createDirectory(folder.resolve(".image.4194301.tmp"));
    Files.createFile(foreign.resolve("lock"));
    Files.createFile(foreign.resolve("not-ours"));
    Path own =
        Files.createDirectory(folder.resolve(".image." + ProcessHandle.current().pid() + ".tmp"));
    Files.createFile(own.resolve("lock"));
    TestImages.write(image, Compression.COMPRESSION_NONE, 3);
    assertThat(locked).doesNotExist();
    assertThat(early).doesNotExist();
    assertThat(own).doesNotExist();
    assertThat(foreign.resolve("not-ours")).exists();
  }

  @Test
  void aSecondWriterOfTheSameImageIsRefused() throws Exception {
    Path image = folder.resolve("image");
    try (ImageWriter writer = create(image)) {
      assertThatThrownBy(() -> create(image)).hasMessageContaining("another dump is writing");
      writer.state(TestImages.state());
      writer.commit(42, "x", Creation.getDefaultInstance());
    }
  }

  @Test
  void aStateThatCannotBeReadBackIsNotPublished() throws Exception {
    Path image = folder.resolve("image");
    try (ImageWriter writer = create(image)) {
      writer.state(
          TestImages.state().toBuilder()
              .setThreads(0, TestImages.state().getThreads(0).toBuilder().setTid(41))
              .build());
      assertThatThrownBy(() -> writer.commit(42, "x", Creation.getDefaultInstance()))
          .isInstanceOfSatisfying(
              CheckpointException.class, e -> assertThat(e.outcome()).isEqualTo(Outcome.FAILED))
          .hasMessage(
              "cannot write image "
                  + image
                  + ": what was collected could not be read back: cannot read state: threads[0].tid"
                  + " is not the process id; this is a bug in jcr");
    }
    assertThat(folder).isEmptyDirectory();
  }

  @Test
  void aFullDiskIsNamed() throws Exception {
    assumeTrue("root".equals(System.getProperty("user.name")), "not root: cannot mount a tmpfs");
    Path disk = Files.createDirectory(folder.resolve("disk"));
    assumeTrue(
        run("mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "jcr-test", disk.toString()) == 0,
        "cannot mount a tmpfs here");
    try {
      assertThatThrownBy(() -> create(disk)).hasMessageContaining("mount point");
      for (Compression compression :
          new Compression[] {Compression.COMPRESSION_NONE, Compression.COMPRESSION_ZSTD}) {
        try (ImageWriter writer = ImageWriter.create(disk.resolve("image"), compression, 1, true)) {
          assertThatThrownBy(() -> fill(writer))
              .isInstanceOfSatisfying(
                  CheckpointException.class, e -> assertThat(e.outcome()).isEqualTo(Outcome.FAILED))
              .hasMessageContaining(
                  "/pages: ENOSPC (no space left on device); free space there or choose another"
                      + " folder with -D");
        }
        assertThat(disk).isEmptyDirectory();
      }
    } finally {
      run("umount", disk.toString());
    }
  }

  private static void fill(ImageWriter writer) throws CheckpointException {
    PageWriter pages = writer.pages(4096);
    byte[] noise = new byte[1 << 20];
    new Random(1).nextBytes(noise);
    for (int i = 0; i < 60; i++) {
      PageBuffer buffer = pages.take();
      buffer.add(0, 0x10000L + i * (1L << 20), 256);
      buffer.data().put(0, noise);
      pages.submit(buffer);
    }
    writer.state(TestImages.state());
    writer.commit(42, "x", Creation.getDefaultInstance());
  }

  private static int run(String... command) throws Exception {
    return new ProcessBuilder(command).redirectErrorStream(true).start().waitFor();
  }
}
