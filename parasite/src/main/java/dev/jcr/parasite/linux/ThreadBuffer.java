package dev.jcr.parasite.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// Native memory for the arguments and results of one call after the other: each thread has its
/// own. Allocating and zeroing memory for each call costs more than most calls do.
///
/// For methods that call no other code while they need its content, which is whatever the last use
/// left.
@SuppressWarnings("ThreadLocalUsage") // each is a constant of the class that uses it
public final class ThreadBuffer {
  /// Of the greatest register, XSAVE's area.
  private static final long ALIGNMENT = 64;

  private final ThreadLocal<MemorySegment> memory;

  /// @param bytes size of each thread's
  public ThreadBuffer(long bytes) {
    this.memory = ThreadLocal.withInitial(() -> Arena.ofAuto().allocate(bytes, ALIGNMENT));
  }

  /// The calling thread's.
  public MemorySegment get() {
    return memory.get();
  }
}
