package dev.jcr.dump.threads;

import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.v1.Arch;
import dev.jcr.parasite.remote.ProcessMemory;
import dev.jcr.parasite.restart.InterruptedCall;
import dev.jcr.parasite.restart.InterruptedCall.Kind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.Test;

/// The time left where the kernel wrote it into the program's memory.
class SleepClockTest {
  private static final int NANOSLEEP = 35;
  private static final int CLOCK_NANOSLEEP = 230;

  private static long remaining(Kind kind, int number, long... arguments)
      throws CheckpointException {
    long[] six = new long[6];
    System.arraycopy(arguments, 0, six, 0, arguments.length);
    InterruptedCall call = new InterruptedCall(kind, number, six, new long[27], new long[27]);
    try (ProcessMemory memory = ProcessMemory.open((int) ProcessHandle.current().pid())) {
      return new SleepClock().remaining(1, call, Arch.ARCH_X86_64, memory, System.nanoTime());
    }
  }

  private static MemorySegment timespec(Arena arena, long seconds, long nanos) {
    return arena.allocateFrom(JAVA_LONG, seconds, nanos);
  }

  @Test
  void theRemainderOfASleep() throws CheckpointException {
    try (Arena arena = Arena.ofConfined()) {
      long request = timespec(arena, 9, 0).address();
      long rest = timespec(arena, 1, 250_000_000).address();
      assertThat(remaining(Kind.RESTART_BLOCK, NANOSLEEP, request, rest)).isEqualTo(1_250_000_000L);
      assertThat(remaining(Kind.RESTART_BLOCK, CLOCK_NANOSLEEP, 1, 0, request, rest))
          .isEqualTo(1_250_000_000L);
      // One place for both, as sleep(3) has it.
      assertThat(remaining(Kind.RESTART_BLOCK, NANOSLEEP, rest, rest)).isEqualTo(1_250_000_000L);
    }
  }

  @Test
  void neverNothingOfASleepThatIsNotOver() throws CheckpointException {
    try (Arena arena = Arena.ofConfined()) {
      long rest = timespec(arena, 0, 0).address();
      assertThat(remaining(Kind.RESTART_BLOCK, NANOSLEEP, rest, rest)).isEqualTo(1);
    }
  }

  @Test
  void unknown() throws CheckpointException {
    try (Arena arena = Arena.ofConfined()) {
      long request = timespec(arena, 9, 0).address();
      assertThat(remaining(Kind.RESTART_BLOCK, NANOSLEEP, request, 0)).isZero();
      assertThat(remaining(Kind.RESTART_BLOCK, -1, request, request)).isZero();
      // Only an interrupted sleep has written there.
      assertThat(remaining(Kind.COMPLETED, NANOSLEEP, request, request)).isZero();
      assertThat(remaining(Kind.RESTART_BLOCK, 7, request, request)).isZero();
      assertThat(remaining(Kind.USER_MODE, -1)).isZero();
    }
  }

  @Test
  void threadsThatWereNotLookedAt() {
    SleepClock clock = new SleepClock();
    assertThat(clock.blocked(1)).isEmpty();
    assertThat(clock.place(1)).isEmpty();
  }
}
