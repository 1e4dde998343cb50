package dev.jcr.restore.process;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import dev.jcr.image.v1.Timers;
import dev.jcr.parasite.host.HostClocks;
import dev.jcr.parasite.host.KernelFeatures.Feature;
import dev.jcr.parasite.host.KernelFeatures.Need;
import dev.jcr.parasite.host.TimeOffsets;
import dev.jcr.restore.ClockMode;
import org.junit.jupiter.api.Test;

class ClockPlanTest {
  private static final long SECOND = 1_000_000_000L;
  private static final TimeOffsets NAMESPACE = new TimeOffsets(5 * SECOND, -SECOND);

  private static HostClocks host(int boot, long seconds, TimeOffsets own) {
    return new HostClocks(
        ByteString.copyFrom(new byte[] {(byte) boot}),
        own,
        seconds * SECOND + own.monotonic(),
        seconds * SECOND + own.boottime());
  }

  private static Timers dumped(int boot, long seconds, TimeOffsets offsets) {
    return Timers.newBuilder().setClocks(host(boot, seconds, TimeOffsets.NONE).of(offsets)).build();
  }

  private static ClockPlan plan(Timers image, HostClocks host) {
    return ClockPlan.of(image, host, ClockMode.AUTO);
  }

  @Test
  void onTheSameBootTheyGoOnWithTheHost() {
    assertThat(plan(dumped(1, 100, TimeOffsets.NONE), host(1, 200, TimeOffsets.NONE)))
        .isEqualTo(ClockPlan.AsHost.SAME);
    assertThat(plan(dumped(1, 100, NAMESPACE), host(1, 200, TimeOffsets.NONE)))
        .isEqualTo(new ClockPlan.Keep(NAMESPACE));
    assertThat(plan(dumped(1, 100, NAMESPACE), host(1, 200, NAMESPACE)))
        .isEqualTo(ClockPlan.AsHost.SAME);
    assertThat(plan(dumped(1, 100, TimeOffsets.NONE), host(1, 200, NAMESPACE)))
        .isEqualTo(new ClockPlan.Keep(TimeOffsets.NONE));
  }

  @Test
  void onAnotherTheyGoOnFromWhereTheyWere() {
    assertThat(plan(dumped(1, 100, TimeOffsets.NONE), host(2, 9, TimeOffsets.NONE)))
        .isEqualTo(new ClockPlan.GoOn(100 * SECOND, 100 * SECOND));
    assertThat(plan(dumped(1, 100, NAMESPACE), host(2, 900, NAMESPACE)))
        .isEqualTo(new ClockPlan.GoOn(105 * SECOND, 99 * SECOND));
  }

  /// A copy of a virtual machine has the id of the first, and may be older.
  @Test
  void aBootIdIsNotBelievedWhenTheClocksWentBack() {
    assertThat(plan(dumped(1, 100, TimeOffsets.NONE), host(1, 99, TimeOffsets.NONE)))
        .isInstanceOf(ClockPlan.GoOn.class);
  }

  @Test
  void theyStayWhereTheyWereIfThatIsWanted() {
    assertThat(
            ClockPlan.of(
                dumped(1, 100, TimeOffsets.NONE),
                host(1, 200, TimeOffsets.NONE),
                ClockMode.CONTINUE))
        .isEqualTo(new ClockPlan.GoOn(100 * SECOND, 100 * SECOND));
  }

  @Test
  void theHostsAreToldWhereTheyDiffer() {
    assertThat(
            ClockPlan.of(
                dumped(1, 100, TimeOffsets.NONE), host(1, 200, TimeOffsets.NONE), ClockMode.HOST))
        .isEqualTo(ClockPlan.AsHost.SAME);
    assertThat(
            ClockPlan.of(
                    dumped(1, 100, TimeOffsets.NONE), host(2, 9, TimeOffsets.NONE), ClockMode.HOST)
                .note())
        .hasValueSatisfying(note ->
            assertThat(note)
                .startsWith(
                    "its clocks are those of this host: CLOCK_MONOTONIC jumps from 100.000 s to 9.000 s"));
  }

  @Test
  void anImageWithoutClocksGetsTheHosts() {
    assertThat(plan(Timers.getDefaultInstance(), host(1, 9, TimeOffsets.NONE)))
        .isEqualTo(ClockPlan.AsHost.SAME);
  }

  @Test
  void withoutNamespacesOnlyTheHostsCanBe() {
    Feature none = new Feature("x", "y", Need.USEFUL, false, "do something");
    assertThat(ClockPlan.AsHost.SAME.problem(none, "")).isEmpty();
    assertThat(new ClockPlan.GoOn(1, 1).problem(none, ", or else"))
        .hasValueSatisfying(
            problem -> assertThat(problem.remedy()).isEqualTo("do something, or else"));
    assertThat(new ClockPlan.GoOn(1, 1).problem(new Feature("x", "y", Need.USEFUL, true, ""), ""))
        .isEmpty();
  }
}
