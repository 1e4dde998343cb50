package dev.jcr.restore;

import dev.jcr.image.CheckpointException;
import dev.jcr.restore.RestoredProcess.Timing;
import java.util.List;

/// Decides whether a restored process may run. Called on the tracer thread, with the process built,
/// proven and stopped; it may wait as long as it likes. If jcr dies meanwhile, the process is
/// killed by the kernel. Timers and connections come behind it: until then no time runs for the
/// process, and if it ends here, its connections end without a packet.
@FunctionalInterface
public interface RestoreGate {
  RestoreGate OPEN = (pid, timings) -> true;

  /// False, or an exception, ends the process before its first instruction.
  boolean mayRun(int pid, List<Timing> timings) throws CheckpointException;

  /// Before the first thing that cannot be done again from the image: connections that go on, or
  /// else the process's first instruction, when it does not depend on jcr any more. An exception
  /// ends it.
  default void letsGo() throws CheckpointException {}
}
