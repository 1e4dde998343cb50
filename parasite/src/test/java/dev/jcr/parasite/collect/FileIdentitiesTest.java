package dev.jcr.parasite.collect;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.google.protobuf.ByteString;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.v1.FileIdentity;
import dev.jcr.parasite.linux.SyscallException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FileIdentitiesTest {
  private static final Instant THEN = Instant.ofEpochSecond(1_700_000_000, 123_456_789);

  @TempDir private Path folder;

  private Path write(String name, byte[] content) throws IOException {
    Path file = Files.write(folder.resolve(name), content);
    Files.setLastModifiedTime(file, FileTime.from(THEN));
    return file;
  }

  private Path write(String name, String content) throws IOException {
    return write(name, content.getBytes(StandardCharsets.UTF_8));
  }

  private static void touch(Path file) throws IOException {
    Files.setLastModifiedTime(file, FileTime.from(THEN.plusSeconds(1)));
  }

  /// An ELF file with two notes, the second of which is the build id.
  private static byte[] elf(byte[] buildId) {
    ByteBuffer elf = ByteBuffer.allocate(512).order(ByteOrder.LITTLE_ENDIAN);
    elf.putInt(0x464c457f).put((byte) 2).put((byte) 1).put((byte) 1);
    elf.putLong(32, 64).putShort(54, (short) 56).putShort(56, (short) 2);
    elf.putInt(64, 1); // PT_LOAD
    elf.putInt(120, 4); // PT_NOTE
    int notes = 200;
    elf.putLong(120 + 8, notes).putLong(120 + 32, 20 + 16 + buildId.length);
    elf.position(notes).putInt(4).putInt(1).putInt(1).putInt(0x554e47).putInt(0); // padded to 4
    elf.putInt(4).putInt(buildId.length).putInt(3).putInt(0x554e47).put(buildId);
    return elf.array();
  }

  @Test
  void whatIsRecorded() throws IOException, CheckpointException {
    Path file = write("plain", "hello");
    Files.setPosixFilePermissions(
        file, java.nio.file.attribute.PosixFilePermissions.fromString("rw-r-----"));
    assertThat(FileIdentities.of(file.toString()))
        .isEqualTo(
            FileIdentity.newBuilder()
                .setPath(file.toString())
                .setSize(5)
                .setMtimeSeconds(1_700_000_000)
                .setMtimeNanos(123_456_789)
                .setMode(0100640)
                .build());
    assertThat(FileIdentities.of("/dev/null").getMode() & 0170000).isEqualTo(0020000);
  }

  @Test
  void unreachable() {
    String path = folder.resolve("none").toString();
    assertThatExceptionOfType(CheckpointException.class)
        .isThrownBy(() -> FileIdentities.of(path))
        .withMessage(
            "cannot stat "
                + path
                + ": ENOENT (no such file or directory); the file must be reachable by its path to"
                + " be opened again")
        .satisfies(e -> assertThat(e.outcome()).isEqualTo(Outcome.UNSUPPORTED));
  }

  @Test
  void buildIds() throws IOException {
    byte[] id = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20};
    assertThat(buildId(elf(id))).isEqualTo(ByteString.copyFrom(id));
    assertThat(buildId("#!/bin/sh\n".getBytes(StandardCharsets.UTF_8))).isEmpty();
    assertThat(buildId(new byte[0])).isEmpty();
    assertThat(buildId(new byte[100])).isEmpty();
    byte[] bits32 = elf(id);
    bits32[4] = 1;
    assertThat(buildId(bits32)).isEmpty();
  }

  private ByteString buildId(byte[] content) throws IOException {
    return FileIdentities.buildId(write("elf", content).toString());
  }

  /// No length or offset in the file is believed.
  @Test
  void damagedElfFilesHaveNoBuildId() throws IOException {
    byte[] whole = elf(new byte[20]);
    for (int field : new int[] {32, 128, 152}) {
      for (long value : new long[] {-1, Long.MIN_VALUE, Long.MAX_VALUE, 457, 511, 1L << 40}) {
        byte[] damaged = whole.clone();
        ByteBuffer.wrap(damaged).order(ByteOrder.LITTLE_ENDIAN).putLong(field, value);
        assertThat(buildId(damaged).size()).isLessThanOrEqualTo(20);
      }
    }
    for (int field : new int[] {200, 204, 220, 224}) {
      for (int value : new int[] {-1, Integer.MIN_VALUE, Integer.MAX_VALUE, 1 << 20}) {
        byte[] damaged = whole.clone();
        ByteBuffer.wrap(damaged).order(ByteOrder.LITTLE_ENDIAN).putInt(field, value);
        assertThat(buildId(damaged)).isEmpty();
      }
    }
  }

  @Test
  void aRealProgram() throws SyscallException {
    assumeTrue(Files.isExecutable(Path.of("/bin/ls")), "no /bin/ls");
    assertThat(FileIdentities.buildId("/bin/ls").size()).isIn(16, 20);
  }

  @Test
  void unchanged() throws IOException, CheckpointException {
    Path file = write("plain", "hello");
    FileIdentity identity = FileIdentities.of(file.toString());
    assertThat(FileIdentities.changed(identity)).isEmpty();
    assertThat(FileIdentities.missing(identity)).isEmpty();
  }

  @Test
  void gone() throws IOException, CheckpointException {
    Path file = write("plain", "hello");
    FileIdentity identity = FileIdentities.of(file.toString());
    Files.delete(file);
    assertThat(FileIdentities.changed(identity)).contains("ENOENT (no such file or directory)");
    assertThat(FileIdentities.missing(identity)).contains("ENOENT (no such file or directory)");
    Files.createDirectory(file);
    assertThat(FileIdentities.changed(identity)).contains("it is of another type now");
    assertThat(FileIdentities.missing(identity)).contains("it is of another type now");
  }

  @Test
  void anotherSize() throws IOException, CheckpointException {
    Path file = write("plain", "hello");
    FileIdentity identity = FileIdentities.of(file.toString());
    write("plain", "hello!");
    assertThat(FileIdentities.changed(identity)).contains("it has 6 bytes, it had 5");
    assertThat(FileIdentities.missing(identity)).describedAs("longer").isEmpty();
    write("plain", "hell");
    assertThat(FileIdentities.missing(identity)).contains("it has 4 bytes, it had 5");
  }

  @Test
  void anotherTime() throws IOException, CheckpointException {
    Path file = write("plain", "hello");
    FileIdentity identity = FileIdentities.of(file.toString());
    touch(file);
    assertThat(FileIdentities.changed(identity)).contains("it was modified since the dump");
    assertThat(FileIdentities.missing(identity)).isEmpty();
  }

  @Test
  void theBuildIdSaysMoreThanTheTime() throws IOException, CheckpointException {
    byte[] id = new byte[20];
    Path file = write("program", elf(id));
    FileIdentity identity = FileIdentities.of(file.toString());
    assertThat(identity.getBuildId().size()).isEqualTo(20);
    touch(file);
    assertThat(FileIdentities.changed(identity)).isEmpty();
    id[0] = 1;
    write("program", elf(id));
    touch(file);
    assertThat(FileIdentities.changed(identity)).contains("it has another build id");
  }
}
