package dev.jcr.dump.threads;

import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.parasite.procfs.TimerList.Sleeper;
import java.util.List;
import org.junit.jupiter.api.Test;

/// Which timer belongs to which sleep.
class SleepTimersTest {
  private static final long MILLI = 1_000_000;
  private static final Sleeper SHORT = new Sleeper("1", 100 * MILLI);
  private static final Sleeper LONG = new Sleeper("2", 110 * MILLI);
  private static final Sleeper LATE = new Sleeper("3", 9_000 * MILLI);

  private final SleepTimers timers = new SleepTimers();

  private void interrupted(Sleeper... sleepers) {
    timers.listed(List.of(sleepers));
    timers.add(List.of());
  }

  @Test
  void onlyThoseThatTheStopRemoved() {
    timers.listed(List.of(SHORT, LONG, LATE));
    timers.add(List.of(SHORT, new Sleeper("2", 5), LATE));
    assertThat(timers.take(0, 100 * MILLI)).hasValue(110 * MILLI);
    assertThat(timers.take(0, 100 * MILLI)).isEmpty();
  }

  @Test
  void theNearestOfSeveral() {
    interrupted(SHORT, LONG, LATE);
    assertThat(timers.take(0, 102 * MILLI)).hasValue(100 * MILLI);
    assertThat(timers.take(0, 102 * MILLI)).hasValue(110 * MILLI);
    assertThat(timers.take(0, 102 * MILLI)).isEmpty();
  }

  /// The estimate of a sleep that was interrupted before is too late by the time it slept till
  /// then.
  @Test
  void theLatestBeforeTheEstimate() {
    interrupted(LATE, SHORT, LONG);
    assertThat(timers.take(0, 5_000 * MILLI)).hasValue(110 * MILLI);
  }

  @Test
  void neverOneThatIsLater() {
    interrupted(LATE);
    assertThat(timers.take(0, 100 * MILLI)).isEmpty();
  }

  /// The list may have left out the timer of this sleep: then another's is not it.
  @Test
  void neverOneThatIsEarlierThanItCanBe() {
    interrupted(SHORT, LONG);
    assertThat(timers.take(150 * MILLI, 5_000 * MILLI)).isEmpty();
    assertThat(timers.take(105 * MILLI, 5_000 * MILLI)).hasValue(110 * MILLI);
  }

  /// The real list, if this may be read.
  @Test
  void nothingIsInterruptedWhereNothingIsStopped() {
    timers.look();
    assertThat(timers.take(Long.MIN_VALUE, Long.MIN_VALUE / 2)).isEmpty();
  }
}
