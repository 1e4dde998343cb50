package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// The disk fills up at different points of a dump: one message, the target as it was, nothing
/// left.
@Tag("badinput")
@Timeout(180)
class FullDiskTest {
  @ParameterizedTest
  @ValueSource(ints = {4, 64, 512, 4096})
  void targetRunsOnAndNothingIsLeft(int kibibytes) throws Exception {
    try (Target target = Target.start("bench", "anonymous", "16777216")) {
      Path disk = target.folder().resolve("disk");
      Files.createDirectory(disk);
      Command.Result mounted =
          Command.of(
                  "mount",
                  "-t",
                  "tmpfs",
                  "-o",
                  "size=" + kibibytes + "k",
                  "jcr-test",
                  disk.toString())
              .run();
      Assumptions.assumeTrue(
          mounted.exitCode() == 0, "cannot mount a tmpfs: " + mounted.err().strip());
      try {
        Path image = disk.resolve("image");
        Command.Result result = Jcr.dump(target.pid(), image, "--compress", "none").expectExit(1);
        assertThat(result.err())
            .matches(
                "jcr: cannot write "
                    + disk
                    + "/\\.image\\.\\d+\\.tmp/\\w+: ENOSPC \\(no space left on device\\); free space there or"
                    + " choose another folder with -D\n");
        try (Stream<Path> left = Files.list(disk)) {
          assertThat(left).isEmpty();
        }
      } finally {
        Command.of("umount", disk.toString()).run();
      }
      target.expectRunning();
      target.expectPass();
    }
  }
}
