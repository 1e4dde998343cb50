package dev.jcr.restore;

import dev.jcr.image.CheckpointException;
import java.util.List;

/// A process that runs again, as a child of jcr.
public interface RestoredProcess {
  int pid();

  /// Times by step in microseconds, in order, for the report.
  List<Timing> timings();

  /// What the kernel offers no way to read back, or could not be made the same (session ...).
  List<String> notes();

  /// How this CPU compares with the first.
  CpuVerdict cpu();

  /// Waits for its end: its exit code, or 128 + signal number.
  int waitFor() throws CheckpointException;

  /// Forwards a signal, for foreground use.
  void signal(int number) throws CheckpointException;

  /// One timed step.
  record Timing(String step, long microseconds) {}
}
