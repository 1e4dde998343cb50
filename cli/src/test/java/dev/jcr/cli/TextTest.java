package dev.jcr.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.image.CheckpointException.Problem;
import java.util.List;
import org.junit.jupiter.api.Test;

/// Numbers for people and objects for programs.
final class TextTest {
  @Test
  void timesAndSizesKeepTwoOrThreeDigits() {
    assertThat(Units.microseconds(417)).isEqualTo("417 us");
    assertThat(Units.microseconds(52_149)).isEqualTo("52.1 ms");
    assertThat(Units.microseconds(3_204_000)).isEqualTo("3.20 s");
    assertThat(Units.bytes(812)).isEqualTo("812 B");
    assertThat(Units.bytes(1_258_291)).isEqualTo("1.2 MiB");
    assertThat(Units.bytes(1L << 40)).isEqualTo("1.0 TiB");
    assertThat(Units.count(1, "thread")).isEqualTo("1 thread");
    assertThat(Units.count(0, "thread")).isEqualTo("0 threads");
  }

  @Test
  void jsonEscapesWhatJsonMust() {
    assertThat(new JsonObject().put("a\"b", "c\\d\n\u007fé").toString())
        .isEqualTo("{\"a\\\"b\":\"c\\\\d\\u000a\\u007fé\"}");
  }

  @Test
  void jsonKeepsOrderAndNests() {
    JsonObject object =
        new JsonObject()
            .put("n", 5)
            .put("yes", true)
            .put("o", new JsonObject())
            .put("list", List.of(new JsonObject().put("x", 1)))
            .putStrings("words", List.of("a", "b"));
    assertThat(object.toString())
        .isEqualTo("{\"n\":5,\"yes\":true,\"o\":{},\"list\":[{\"x\":1}],\"words\":[\"a\",\"b\"]}");
  }

  @Test
  void aProblemHasFourFields() {
    assertThat(Failures.json(new Problem("descriptor", "fd 7", "io_uring", "close it")).toString())
        .isEqualTo(
            "{\"kind\":\"descriptor\",\"object\":\"fd 7\",\"reason\":\"io_uring\","
                + "\"remedy\":\"close it\"}");
  }
}
