package dev.jcr.restore;

import java.nio.file.Path;

/// What to restore and how.
///
/// @param directory the image folder
/// @param leaveStopped leave the process stopped by SIGSTOP instead of running
/// @param detach the process outlives jcr; otherwise the caller waits with
///   [RestoredProcess#waitFor()]
public record RestoreOptions(Path directory, boolean leaveStopped, boolean detach) {}
