package dev.jcr.image.codec;

import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.image.SampleStates;
import dev.jcr.image.inspect.Describe;
import dev.jcr.image.v1.Compression;
import dev.jcr.image.v1.Creation;
import dev.jcr.image.v1.ProcessState;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Images of released and coming format versions, committed: they are read, shown and written again
/// as they were. Until 1.0 is released a wanted change is taken over with
/// `-Djcr.golden.write=true`; after that only a folder for a new version may be added.
class GoldenTest {
  @TempDir Path folder;

  private static ProcessState state(String arch) {
    return arch.equals("aarch64") ? SampleStates.aarch64() : SampleStates.x8664();
  }

  /// Pages are stored plain: another zstd may compress differently.
  private static void write(Path image, String arch) throws Exception {
    try (ImageWriter writer = ImageWriter.create(image, Compression.COMPRESSION_NONE, 0, false)) {
      TestImages.pages(writer.pages(4096), 0, 0, 6);
      writer.pages(4096).zero(0, 0x7000_0000, 5);
      writer.state(state(arch));
      writer.commit(42, "golden", Creation.getDefaultInstance());
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"x86_64", "aarch64"})
  void areReadShownAndWrittenAgain(String arch) throws Exception {
    Path golden = Path.of("src/test/resources/golden/1.0/" + arch);
    Path shown = golden.resolveSibling(arch + ".txt");
    if (Boolean.getBoolean("jcr.golden.write")) {
      for (String part : List.of("manifest", "state", "pagemap", "pages")) {
        Files.deleteIfExists(golden.resolve(part));
      }
      Files.createDirectories(golden);
      write(golden, arch);
      Files.writeString(shown, Describe.text(state(arch)));
    }
    try (ImageReader reader = ImageReader.open(golden)) {
      reader.verifyPages();
      assertThat(Describe.text(reader.state())).isEqualTo(Files.readString(shown));
    }
    Path again = folder.resolve("again");
    write(again, arch);
    for (String part : List.of("manifest", "state", "pagemap", "pages")) {
      assertThat(again.resolve(part)).hasSameBinaryContentAs(golden.resolve(part));
    }
  }
}
