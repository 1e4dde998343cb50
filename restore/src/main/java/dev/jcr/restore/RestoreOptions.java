package dev.jcr.restore;

import dev.jcr.image.v1.ProcessState;
import java.nio.file.Path;
import java.util.Optional;

/// What to restore and how.
///
/// @param directory the image folder
/// @param leaveStopped leave the process stopped by SIGSTOP instead of running
/// @param detach the process outlives jcr; otherwise the caller waits with
///   [RestoredProcess#waitFor()]
/// @param connections what becomes of the image's TCP connections
/// @param files which files are elsewhere, or may have changed
/// @param namespaces which namespaces are elsewhere
/// @param verified the page contents were checked a moment ago, by this jcr
/// @param clocks which clocks it reads
/// @param lazy private memory comes on demand, and is checked as it comes; somebody must serve it
///   ([RestoredProcess#lazy])
public record RestoreOptions(
    Path directory,
    boolean leaveStopped,
    boolean detach,
    ConnectionChanges connections,
    FileChanges files,
    NamespaceChanges namespaces,
    boolean verified,
    ClockMode clocks,
    Optional<LazyMemory> lazy) {
  /// With the clocks that are right where it is restored.
  public RestoreOptions(
      Path directory,
      boolean leaveStopped,
      boolean detach,
      ConnectionChanges connections,
      FileChanges files,
      boolean verified,
      Optional<LazyMemory> lazy) {
    this(
        directory,
        leaveStopped,
        detach,
        connections,
        files,
        NamespaceChanges.NONE,
        verified,
        ClockMode.AUTO,
        lazy);
  }

  /// With all pages there before it runs.
  public RestoreOptions(
      Path directory,
      boolean leaveStopped,
      boolean detach,
      ConnectionChanges connections,
      FileChanges files,
      boolean verified) {
    this(directory, leaveStopped, detach, connections, files, verified, Optional.empty());
  }

  /// Memory that comes on demand.
  ///
  /// @param prefetchRate bytes a second that are fetched before anybody asks; 0 for none,
  ///   Long.MAX_VALUE for as many as can be
  public record LazyMemory(long prefetchRate) {}

  /// With connections and files as they are in the image.
  public RestoreOptions(Path directory, boolean leaveStopped, boolean detach) {
    this(directory, leaveStopped, detach, ConnectionChanges.NONE, FileChanges.NONE, false);
  }

  /// The same with other clocks.
  public RestoreOptions withClocks(ClockMode mode) {
    return new RestoreOptions(
        directory, leaveStopped, detach, connections, files, namespaces, verified, mode, lazy);
  }

  /// The state of an image with the changes that are wanted.
  ProcessState applied(ProcessState state) {
    return namespaces.applied(files.applied(connections.applied(state)));
  }
}
