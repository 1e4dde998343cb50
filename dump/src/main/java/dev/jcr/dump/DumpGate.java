package dev.jcr.dump;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.v1.ProcessState;

/// Decides whether a dumped process is ended. Called on the tracer thread while the process is
/// stopped and its image is written.
public interface DumpGate {
  DumpGate OPEN =
      new DumpGate() {
        @Override
        public boolean mayEnd() {
          return true;
        }
      };

  /// Everything that can be done while the process runs is done, but for one more round of its
  /// memory: what it writes from here to the stop is what is left. Called on the tracer thread.
  ///
  /// @throws CheckpointException nothing happens to the process
  default void looked() throws CheckpointException {}

  /// The process stands still.
  ///
  /// @param begun System.nanoTime before its first thread was stopped
  default void stopped(long begun) {}

  /// What the image says of the process, for example with the paths that files have elsewhere.
  default ProcessState written(ProcessState state) {
    return state;
  }

  /// Whether the process goes on elsewhere. Then [#mayEnd] takes a while, and what the image says
  /// of the mappings is proven just before it is asked. From the decision on it can never run again
  /// here ([Disarmed]), and it is ended behind [#served]: to give its memory back takes the kernel
  /// time, some 60 ms for a GiB, in which it does not stand still.
  default boolean moves() {
    return false;
  }

  /// Whether pages that may come later are left in the process, for [#served] to give them away.
  default boolean leavesPages() {
    return false;
  }

  /// Only where it moves: it is disarmed. False keeps it so, for another jcr to go on; else it is
  /// ended.
  default boolean served() {
    return true;
  }

  /// False, or an exception, lets the process go on as if nothing had been.
  boolean mayEnd() throws CheckpointException;
}
