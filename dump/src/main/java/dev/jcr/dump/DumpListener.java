package dev.jcr.dump;

/// Progress of a dump. Called from the tracer thread, never inside the freeze window of a process
/// that keeps running; implementations must return quickly.
public interface DumpListener {
  DumpListener SILENT = (phase, done, total) -> {};

  /// `phase` is a word for people ("memory"); `done` of `total` bytes, total 0 when unknown.
  void progress(String phase, long done, long total);
}
