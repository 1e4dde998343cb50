package dev.jcr.dump;

import dev.jcr.image.CheckpointException;

/// Decides whether a dumped process is ended. Called on the tracer thread while the process is
/// stopped and its image is written.
public interface DumpGate {
  DumpGate OPEN =
      new DumpGate() {
        @Override
        public boolean mayEnd() {
          return true;
        }

        @Override
        public void ended() {}
      };

  /// The process stands still.
  ///
  /// @param begun System.nanoTime before its first thread was stopped
  default void stopped(long begun) {}

  /// False, or an exception, lets the process go on as if nothing had been.
  boolean mayEnd() throws CheckpointException;

  /// SIGKILL was sent: the process never runs again.
  void ended();
}
