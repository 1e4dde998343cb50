package dev.jcr.restore;

import dev.jcr.image.CheckpointException;
import dev.jcr.restore.lazy.LazyServer;
import java.util.List;
import java.util.Optional;

/// A process that runs again, as a child of jcr.
public interface RestoredProcess {
  /// In jcr's pid namespace.
  int pid();

  /// What it knows itself by: another number in a pid namespace of its own.
  int ownPid();

  /// Times by step in microseconds, in order, for the report.
  List<Timing> timings();

  /// What the kernel offers no way to read back, or could not be made the same (session ...).
  List<String> notes();

  /// How this CPU compares with the first.
  CpuVerdict cpu();

  /// From the first look at the image to the process's first instruction, in microseconds.
  long untilItRan();

  /// Who serves its pages, where they come on demand; until it is done or has a successor, it must
  /// not be closed and this JVM must not end.
  Optional<LazyServer> lazy();

  /// Waits for its end: its exit code, or 128 + signal number.
  int waitFor() throws CheckpointException;

  /// Forwards a signal, for foreground use.
  void signal(int number) throws CheckpointException;

  /// One timed step.
  record Timing(String step, long microseconds) {}
}
