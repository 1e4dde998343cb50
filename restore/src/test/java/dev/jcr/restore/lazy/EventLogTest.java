package dev.jcr.restore.lazy;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.parasite.linux.Userfault;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class EventLogTest {
  @TempDir private Path folder;

  private EventLog open() throws IOException {
    Path file = folder.resolve("log");
    try (RandomAccessFile sized = new RandomAccessFile(file.toFile(), "rw")) {
      sized.setLength(EventLog.SIZE);
    }
    return EventLog.open(file);
  }

  private static void batch(EventLog log, int source, int... events) {
    log.begin(source);
    for (int i = 0; i < events.length; i++) {
      log.message(i).set(JAVA_BYTE, 0, (byte) events[i]);
      log.message(i).set(JAVA_LONG, 8, 0xff00L + events[i]);
    }
  }

  @Test
  void whatWasReadIsReplayed() throws IOException {
    try (EventLog log = open()) {
      batch(log, 7, Userfault.EVENT_FAULT, Userfault.EVENT_REMOVE);
      assertThat(log.messages()).isEqualTo(2);
      assertThat(log.advance(2)).isTrue();
      batch(log, 8, Userfault.EVENT_FAULT);
      assertThat(log.advance(log.messages())).as("faults are not kept").isFalse();
      batch(log, 9, Userfault.EVENT_FORK);
      assertThat(log.advance(log.messages())).isTrue();
      // Read, and the server was killed.
      batch(log, 10, Userfault.EVENT_REMAP, Userfault.EVENT_UNMAP);
    }
    try (EventLog log = open()) {
      List<String> seen = new ArrayList<>();
      int[] source = {0};
      log.replay(
          number -> source[0] = number,
          message -> seen.add(source[0] + ":" + Integer.toHexString(message.get(JAVA_BYTE, 0))));
      assertThat(seen).containsExactly("7:12", "7:15", "9:13", "10:14", "10:16");
      batch(log, 11, Userfault.EVENT_REMOVE);
      log.advance(log.messages());
    }
    try (EventLog log = open()) {
      List<Integer> sources = new ArrayList<>();
      log.replay(sources::add, _ -> {});
      assertThat(sources).containsExactly(7, 9, 10, 11);
    }
  }
}
