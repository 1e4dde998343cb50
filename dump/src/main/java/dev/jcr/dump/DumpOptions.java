package dev.jcr.dump;

import dev.jcr.dump.files.ConnectionPolicy;
import dev.jcr.image.v1.Compression;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/// What to dump, where to, and what becomes of the process.
///
/// @param pid the process
/// @param directory the image folder; must not exist or be empty
/// @param afterwards what happens to the process once the image is whole and durable
/// @param compression codec of the page store
/// @param compressionLevel zstd level; ignored without compression
/// @param connections what becomes of established TCP connections
/// @param durable fsync before publishing; off only for images in memory and benchmarks
/// @param parent image whose memory this one continues, relative to `directory` or absolute
/// @param trackMemory leave a tracker behind, so that the next image can continue this one
/// @param rehearse dump a throw-away process first, so that the freeze is short; a jcr that has
///   dumped before need not
public record DumpOptions(
    int pid,
    Path directory,
    Afterwards afterwards,
    Compression compression,
    int compressionLevel,
    ConnectionPolicy connections,
    boolean durable,
    @Nullable Path parent,
    boolean trackMemory,
    boolean rehearse) {
  /// A dump by a jcr that has just been started.
  public DumpOptions(
      int pid,
      Path directory,
      Afterwards afterwards,
      Compression compression,
      int compressionLevel,
      ConnectionPolicy connections,
      boolean durable,
      @Nullable Path parent,
      boolean trackMemory) {
    this(
        pid,
        directory,
        afterwards,
        compression,
        compressionLevel,
        connections,
        durable,
        parent,
        trackMemory,
        true);
  }

  /// A dump of everything.
  public DumpOptions(
      int pid,
      Path directory,
      Afterwards afterwards,
      Compression compression,
      int compressionLevel,
      ConnectionPolicy connections,
      boolean durable) {
    this(
        pid,
        directory,
        afterwards,
        compression,
        compressionLevel,
        connections,
        durable,
        null,
        false);
  }

  /// The same by a jcr that has dumped before.
  public DumpOptions again() {
    return new DumpOptions(
        pid,
        directory,
        afterwards,
        compression,
        compressionLevel,
        connections,
        durable,
        parent,
        trackMemory,
        false);
  }

  /// The fate of the dumped process.
  public enum Afterwards {
    KILL,
    LEAVE_RUNNING,
    LEAVE_STOPPED
  }
}
