package dev.jcr.parasite.remote;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.jcr.image.CheckpointException;
import dev.jcr.parasite.linux.Syscall;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// Clocks as another process reads them: those of its time namespace.
public final class RemoteClock {
  private RemoteClock() {}

  /// clock_gettime(2) inside, in ns. Uses the scratch memory.
  public static long nanos(RemoteCalls process, int clock) throws CheckpointException {
    process.require("read clock " + clock, Syscall.CLOCK_GETTIME, clock, process.scratch());
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment time = arena.allocate(16, 8);
      process.read(process.scratch(), time);
      return time.get(JAVA_LONG, 0) * 1_000_000_000L + time.get(JAVA_LONG, 8);
    }
  }
}
