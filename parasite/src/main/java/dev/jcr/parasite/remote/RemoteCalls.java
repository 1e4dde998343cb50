package dev.jcr.parasite.remote;

import dev.jcr.image.CheckpointException;
import dev.jcr.parasite.linux.Syscall;
import java.lang.foreign.MemorySegment;

/// A stopped task in which system calls can be run as if it made them itself.
///
/// Not thread-safe: only the tracer thread may use it.
public interface RemoteCalls {
  /// The task the calls run in.
  int tid();

  /// Runs one call and returns what the kernel returned: a result, or a negated errno. Throws with
  /// outcome `TARGET_LOST` when the task is gone.
  long call(Syscall call, long... arguments) throws CheckpointException;

  /// Like [#call], but an error result becomes an exception `cannot <what>: ERRNO (text)` with
  /// outcome `FAILED`.
  long require(String what, Syscall call, long... arguments) throws CheckpointException;

  /// Address of scratch memory in the task, readable and writable, free for the caller's use
  /// between its own calls; nothing survives somebody else's use.
  long scratch();

  /// Bytes at [#scratch()]; at least 64 KiB.
  int scratchSize();

  /// Copies bytes into the task's memory (any mapped, writable address).
  void write(long address, MemorySegment bytes) throws CheckpointException;

  /// Copies bytes out of the task's memory.
  void read(long address, MemorySegment into) throws CheckpointException;
}
