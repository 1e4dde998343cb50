package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// Standard input that is a FIFO into which another process writes.
@Tag("process")
@Timeout(120)
class FifoTest {
  @Test
  void nothingThatWaitsIsLostOrDoubled() throws Exception {
    Path folder = Target.newFolder();
    Command.of("mkfifo", folder.resolve("fifo").toString()).run().expectExit(0);
    List<String> writes =
        List.of(
            "sh",
            "-c",
            "exec 3>fifo; echo one >&3; until [ -e more ]; do sleep 0.02; done; echo two >&3; : >told;"
                + " until [ -e last ]; do sleep 0.02; done; echo three >&3");
    try (Target writer = Target.launch(folder, "writer", Map.of(), writes);
        Target reader =
            Target.launch(folder, "reader", Map.of(), List.of("sh", "-c", "exec cat <fifo"))) {
      awaitText(reader, "one\n");
      // What it does not read waits in the FIFO.
      reader.kill("STOP");
      Files.createFile(folder.resolve("more"));
      writer.await("told");
      for (String which : List.of("1", "2", "3")) {
        Path image = reader.image(which);
        assertThat(Jcr.dump(reader.pid(), image).expectExit(0).out())
            .contains("the FIFO " + folder.resolve("fifo") + ", which process " + writer.pid());
        reader.awaitGone();
        Jcr.restore(image).expectExit(0);
      }
      reader.kill("CONT");
      awaitText(reader, "one\ntwo\n");
      Files.createFile(folder.resolve("last"));
      writer.awaitGone();
      reader.awaitGone();
      assertThat(reader.folder().resolve("reader.out")).content().isEqualTo("one\ntwo\nthree\n");
    }
  }

  private static void awaitText(Target reader, String text) throws Exception {
    Path out = reader.folder().resolve("reader.out");
    for (int i = 0; i < 1000 && !Files.readString(out).equals(text); i++) {
      Target.nap(10);
    }
    assertThat(out).content().isEqualTo(text);
  }
}
