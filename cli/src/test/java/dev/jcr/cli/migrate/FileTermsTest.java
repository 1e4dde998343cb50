package dev.jcr.cli.migrate;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import dev.jcr.cli.migrate.FileTerms.Other;
import dev.jcr.cli.migrate.FileTerms.Same;
import dev.jcr.image.CheckpointException;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class FileTermsTest {
  private static final FileTerms TERMS =
      new FileTerms(
          30_000_000,
          List.of(new Same("/a", -3, 5), new Same("/ä b", Long.MAX_VALUE, 0)),
          List.of(new Other("/c", true, false, "gone"), new Other("/d", false, true, "")));

  @Test
  void comesBackAsItWas() throws IOException, CheckpointException {
    assertThat(FileTerms.decode(TERMS.encoded())).isEqualTo(TERMS);
    List<String> paths = List.of("/a", "", "/b c\n");
    assertThat(FileTerms.paths(FileTerms.paths(paths))).isEqualTo(paths);
  }

  @Test
  void whatIsCutOffIsRefused() throws IOException {
    byte[] bytes = TERMS.encoded();
    for (int length = 0; length < bytes.length; length++) {
      byte[] part = Arrays.copyOf(bytes, length);
      assertThatThrownBy(() -> FileTerms.decode(part)).isInstanceOf(CheckpointException.class);
    }
    byte[] names = {0, 4, 'a'};
    assertThatThrownBy(() -> FileTerms.paths(names)).isInstanceOf(CheckpointException.class);
  }

  @Test
  void aDigestThatCannotBeHadIsLikeNone() throws CheckpointException {
    Optional<ByteString> one = Optional.of(ByteString.copyFrom(new byte[32]).substring(1));
    Optional<ByteString> digest = one.map(ByteString.copyFromUtf8("x")::concat);
    byte[] bytes = FileTerms.digests(List.of(digest, Optional.empty()));
    assertThat(FileTerms.digests(bytes, 2)).containsExactly(digest, Optional.empty());
    assertThatThrownBy(() -> FileTerms.digests(bytes, 1)).isInstanceOf(CheckpointException.class);
    assertThatThrownBy(() -> FileTerms.digests(bytes, Integer.MAX_VALUE))
        .isInstanceOf(CheckpointException.class);
  }

  /// Only what is there with another content and is written to by the process.
  @Test
  void whatIsInTheWay() {
    assertThat(new Other("/a", false, true, "").isInTheWay()).isTrue();
    assertThat(new Other("/a", true, true, "").isInTheWay()).isFalse();
    assertThat(new Other("/a", false, false, "").isInTheWay()).isFalse();
  }
}
