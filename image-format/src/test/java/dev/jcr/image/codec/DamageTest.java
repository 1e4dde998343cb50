package dev.jcr.image.codec;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.fail;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnknownFieldSet;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.v1.Compression;
import dev.jcr.image.v1.Credentials;
import dev.jcr.image.v1.Manifest;
import dev.jcr.image.v1.ProcessState;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class DamageTest {
  @TempDir Path folder;
  private Path image;

  @BeforeEach
  void writeImage() throws Exception {
    image = folder.resolve("image");
    TestImages.write(image, Compression.COMPRESSION_ZSTD, 40);
  }

  private static void readWhole(Path image) throws CheckpointException {
    try (ImageReader reader = ImageReader.open(image)) {
      reader.verifyPages();
    }
  }

  private static boolean isRefused(Path image) {
    try {
      readWhole(image);
      return false;
    } catch (CheckpointException e) {
      assertThat(e.outcome()).isEqualTo(Outcome.IMAGE);
      assertThat(e.getMessage()).startsWith("cannot read ").contains("; ");
      return true;
    }
  }

  private static void flip(FileChannel channel, long bit) throws IOException {
    ByteBuffer one = ByteBuffer.allocate(1);
    channel.read(one, bit / 8);
    one.put(0, (byte) (one.get(0) ^ 1 << (bit % 8))).flip();
    channel.write(one, bit / 8);
  }

  @ParameterizedTest
  @ValueSource(strings = {"manifest", "state", "pagemap"})
  void everyFlippedBitOfMetadataIsRefused(String part) throws Exception {
    readWhole(image);
    try (FileChannel channel =
        FileChannel.open(image.resolve(part), StandardOpenOption.READ, StandardOpenOption.WRITE)) {
      long bits = channel.size() * 8;
      assertThat(bits).isGreaterThan(500);
      for (long bit = 0; bit < bits; bit++) {
        flip(channel, bit);
        if (!isRefused(image)) {
          fail("bit %d of %s", bit, part);
        }
        flip(channel, bit);
      }
    }
    readWhole(image);
  }

  @Test
  void randomFlipsInPagesAreRefused() throws Exception {
    long seed = 20261120;
    Random random = new Random(seed);
    try (FileChannel channel =
            FileChannel.open(
                image.resolve("pages"), StandardOpenOption.READ, StandardOpenOption.WRITE);
        ImageReader reader = ImageReader.open(image)) {
      for (int i = 0; i < 10_000; i++) {
        long bit = random.nextLong(channel.size() * 8);
        flip(channel, bit);
        try {
          reader.verifyPages();
          fail("bit %d of pages, seed %d", bit, seed);
        } catch (CheckpointException e) {
          assertThat(e.outcome()).isEqualTo(Outcome.IMAGE);
        }
        flip(channel, bit);
      }
      reader.verifyPages();
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"manifest", "state", "pagemap", "pages"})
  void everyTruncationAndExtensionIsRefused(String part) throws Exception {
    Path file = image.resolve(part);
    byte[] whole = Files.readAllBytes(file);
    int step = Math.max(1, whole.length / 500);
    for (int length = 0; length < whole.length; length += step) {
      Files.write(file, Arrays.copyOf(whole, length));
      assertThat(isRefused(image)).as("%s cut to %d", part, length).isTrue();
    }
    Files.write(file, Arrays.copyOf(whole, whole.length + 1));
    assertThat(isRefused(image)).isTrue();
    Files.delete(file);
    assertThatThrownBy(() -> readWhole(image))
        .hasMessage(
            "cannot read "
                + file
                + ": ENOENT (no such file or directory); the folder is not a whole image: give the"
                + " folder jcr dump wrote");
  }

  @ParameterizedTest
  @ValueSource(strings = {"manifest", "state", "pagemap", "pages"})
  void linksAndPipesAreNotFollowed(String part) throws Exception {
    Path file = image.resolve(part);
    Path elsewhere = folder.resolve("elsewhere");
    Files.move(file, elsewhere);
    Files.createSymbolicLink(file, elsewhere);
    assertThatThrownBy(() -> readWhole(image))
        .hasMessage(
            "cannot read "
                + file
                + " at offset 0: not a regular file; copy the image again or dump again");
    Files.delete(file);
    Files.createDirectory(file);
    assertThat(isRefused(image)).isTrue();
  }

  /// A manifest with a digest that fits.
  private void sign(byte[] manifest) throws IOException {
    byte[] digest = ManifestFile.sha256(manifest, 0, manifest.length - 32);
    System.arraycopy(digest, 0, manifest, manifest.length - 32, 32);
    Files.write(image.resolve("manifest"), manifest);
  }

  @Test
  void otherVersionsAreRefused() throws Exception {
    byte[] manifest = Files.readAllBytes(image.resolve("manifest"));
    for (int[] version : new int[][] {{2, 0}, {0, 0}, {1, 1}, {1, 0xffff}}) {
      ByteBuffer.wrap(manifest)
          .order(ByteOrder.LITTLE_ENDIAN)
          .putShort(8, (short) version[0])
          .putShort(10, (short) version[1]);
      sign(manifest);
      assertThatThrownBy(() -> readWhole(image))
          .hasMessage(
              "cannot read %s at offset 8: image format %d.%d, this jcr reads 1.0 to 1.0; use the"
                  + " jcr that made it or dump again",
              image.resolve("manifest"), version[0], version[1]);
    }
  }

  @Test
  void hostileLengthsAreRefused() throws Exception {
    byte[] manifest = Files.readAllBytes(image.resolve("manifest"));
    for (int length : new int[] {-1, Integer.MIN_VALUE, Integer.MAX_VALUE, 0, 1 << 20}) {
      byte[] hostile = manifest.clone();
      ByteBuffer.wrap(hostile).order(ByteOrder.LITTLE_ENDIAN).putInt(12, length);
      sign(hostile);
      assertThat(isRefused(image)).isTrue();
    }
    try (FileChannel channel = FileChannel.open(image.resolve("state"), StandardOpenOption.WRITE)) {
      channel.write(ByteBuffer.allocate(1), 1L << 40);
    }
    Files.write(image.resolve("manifest"), manifest);
    assertThatThrownBy(() -> readWhole(image)).hasMessageContaining("at most 268435456 can be");
  }

  private void replace(String part, byte[] bytes) throws Exception {
    Manifest.Builder manifest =
        ManifestFile.decode("manifest", Files.readAllBytes(image.resolve("manifest"))).toBuilder();
    for (var each : manifest.getPartsBuilderList()) {
      if (each.getName().equals(part)) {
        each.setSize(bytes.length).setSha256(ByteString.copyFrom(ManifestFile.sha256(bytes)));
      }
    }
    Files.write(image.resolve(part), bytes);
    Files.write(image.resolve("manifest"), ManifestFile.encode(manifest.build()));
  }

  /// Whoever can write the image can also make its digests right.
  @ParameterizedTest
  @ValueSource(strings = {"state", "pagemap"})
  void changesWithTheRightDigestNeverBreakTheReader(String part) throws Exception {
    byte[] whole = Files.readAllBytes(image.resolve(part));
    Random random = new Random(7);
    for (int i = 0; i < 1000; i++) {
      byte[] changed = whole.clone();
      for (int flips = 0; flips <= i % 3; flips++) {
        changed[random.nextInt(changed.length)] ^= (byte) (1 << random.nextInt(8));
      }
      replace(part, changed);
      try {
        readWhole(image);
      } catch (CheckpointException e) {
        assertThat(e.outcome()).isEqualTo(Outcome.IMAGE);
      }
    }
  }

  @Test
  void unknownFieldsAreRefused() throws Exception {
    byte[] state =
        TestImages.state().toBuilder()
            .setUnknownFields(
                UnknownFieldSet.newBuilder()
                    .addField(99, UnknownFieldSet.Field.newBuilder().addVarint(1).build())
                    .build())
            .build()
            .toByteArray();
    replace("state", state);
    assertThatThrownBy(() -> readWhole(image))
        .hasMessageContaining("field 99 of ProcessState is not known to this jcr");
  }

  @Test
  void listsThatWouldFillTheMemoryAreRefused() throws Exception {
    Credentials.Builder groups = Credentials.newBuilder();
    for (int i = 0; i < 600_000; i++) {
      groups.addGroups(1);
    }
    replace(
        "state",
        ProcessState.newBuilder()
            .addThreads(dev.jcr.image.v1.Thread.newBuilder().setCredentials(groups))
            .build()
            .toByteArray());
    assertThatThrownBy(() -> readWhole(image))
        .hasMessageContaining("ProcessState.threads.credentials.groups is too long a list");
    byte[] losses = new byte[10 << 20];
    for (int i = 0; i < losses.length; i += 2) {
      // Field 8 (losses), length 0.
      losses[i] = 8 << 3 | 2;
    }
    replace("state", losses);
    assertThatThrownBy(() -> readWhole(image))
        .hasMessageContaining("more elements than an image can have");
  }

  @Test
  void missingFoldersAreNamed() {
    Path missing = folder.resolve("missing");
    assertThatThrownBy(() -> ImageReader.open(missing))
        .hasMessage(
            "cannot read image "
                + missing
                + ": ENOENT (no such file or directory); give the folder jcr dump wrote");
    assertThatThrownBy(() -> ImageReader.open(image.resolve("state")))
        .hasMessageContaining("ENOTDIR (not a directory)");
  }
}
