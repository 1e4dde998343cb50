package dev.jcr.dump;

import dev.jcr.dump.files.Embedding;
import dev.jcr.dump.files.LinkPolicy;
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
/// @param connections what becomes of connections to other processes
/// @param durable fsync before publishing; off only for images in memory and benchmarks
/// @param parent image whose memory this one continues, relative to `directory` or absolute
/// @param trackMemory leave a tracker behind, so that the next image can continue this one
/// @param rehearse dump a throw-away process first, so that the freeze is short; a jcr that has
///   dumped before need not
/// @param embedding files whose content goes into the image
/// @param inotifyOverflow unread inotify events may stay behind: the restored process reads
///   IN_Q_OVERFLOW instead
public record DumpOptions(
    int pid,
    Path directory,
    Afterwards afterwards,
    Compression compression,
    int compressionLevel,
    LinkPolicy connections,
    boolean durable,
    @Nullable Path parent,
    boolean trackMemory,
    boolean rehearse,
    Embedding embedding,
    boolean inotifyOverflow) {
  /// Everything, durable, compressed fast; the process ends with it.
  public static Builder of(int pid, Path directory) {
    return new Builder(pid, directory);
  }

  /// The fate of the dumped process.
  public enum Afterwards {
    KILL,
    LEAVE_RUNNING,
    LEAVE_STOPPED
  }

  /// Deviations from what is usual.
  public static final class Builder {
    private static final int FAST_LEVEL = 1;

    private final int pid;
    private final Path directory;
    private Afterwards afterwards = Afterwards.KILL;
    private Compression compression = Compression.COMPRESSION_ZSTD;
    private int level = FAST_LEVEL;
    private LinkPolicy connections = LinkPolicy.REFUSE;
    private boolean durable = true;
    private @Nullable Path parent;
    private boolean trackMemory;
    private boolean rehearse = true;
    private Embedding embedding = Embedding.NONE;
    private boolean inotifyOverflow;

    private Builder(int pid, Path directory) {
      this.pid = pid;
      this.directory = directory;
    }

    public Builder afterwards(Afterwards fate) {
      afterwards = fate;
      return this;
    }

    public Builder compression(Compression codec, int zstdLevel) {
      compression = codec;
      level = zstdLevel;
      return this;
    }

    public Builder connections(LinkPolicy policy) {
      connections = policy;
      return this;
    }

    public Builder durable(boolean sync) {
      durable = sync;
      return this;
    }

    public Builder parent(@Nullable Path image) {
      parent = image;
      return this;
    }

    public Builder trackMemory(boolean track) {
      trackMemory = track;
      return this;
    }

    public Builder rehearse(boolean first) {
      rehearse = first;
      return this;
    }

    public Builder embedding(Embedding files) {
      embedding = files;
      return this;
    }

    public Builder inotifyOverflow(boolean overflow) {
      inotifyOverflow = overflow;
      return this;
    }

    public DumpOptions build() {
      return new DumpOptions(
          pid,
          directory,
          afterwards,
          compression,
          level,
          connections,
          durable,
          parent,
          trackMemory,
          rehearse,
          embedding,
          inotifyOverflow);
    }
  }
}
