package dev.jcr.parasite.host;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIOException;

import com.google.protobuf.ByteString;
import dev.jcr.parasite.procfs.Proc;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class TimeOffsetsTest {
  private static final long SECOND = 1_000_000_000L;

  @Test
  void nanosecondsCountUpFromTheSecondBefore() throws Exception {
    TimeOffsets offsets = new TimeOffsets(-1, 2 * SECOND + 5);
    assertThat(offsets.text()).isEqualTo("1 -1 999999999\n7 2 5\n");
    assertThat(TimeOffsets.parse(offsets.text())).isEqualTo(offsets);
    assertThat(offsets).hasToString("CLOCK_MONOTONIC -0.000 s, CLOCK_BOOTTIME +2.000 s");
  }

  @Test
  void asTheKernelShowsThem() throws Exception {
    assertThat(
            TimeOffsets.parse("monotonic          -9 557688862\nboottime        67890         0\n"))
        .isEqualTo(new TimeOffsets(-9 * SECOND + 557688862, 67890 * SECOND));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"monotonic 1", "realtime 1 2", "monotonic x 2", "boottime 9223372037 0", "\n"})
  void anythingElseIsRefused(String text) {
    assertThatIOException()
        .isThrownBy(() -> TimeOffsets.parse(text))
        .withMessageStartingWith("cannot read timens_offsets: ");
  }

  @Test
  void aProcessOfAnotherNamespaceReadsTheHostsClocksAndItsOffsets() {
    HostClocks host = new HostClocks(ByteString.EMPTY, new TimeOffsets(100, 1000), 5100, 7000);
    var clocks = host.of(new TimeOffsets(-20, 30));
    assertThat(clocks.getMonotonic()).isEqualTo(5000 - 20);
    assertThat(clocks.getBoottime()).isEqualTo(6000 + 30);
    assertThat(host.from(clocks.getMonotonic(), clocks.getBoottime()))
        .isEqualTo(new TimeOffsets(-20, 30));
  }

  @Test
  void ofThisProcess() throws Exception {
    Proc self = Proc.at("/proc/self");
    HostClocks first = HostClocks.read();
    HostClocks second = first.now();
    assertThat(first.bootId().size()).isEqualTo(16);
    assertThat(first.own()).isEqualTo(TimeOffsets.of(self));
    assertThat(second.monotonic()).isGreaterThan(first.monotonic());
    assertThat(TimeOffsets.ownNamespace(self)).isTrue();
  }
}
