package dev.jcr.dump;

import dev.jcr.dump.files.LinkPolicy;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.codec.ImageWriter;
import dev.jcr.image.codec.ParentImage;
import dev.jcr.image.v1.Compression;
import dev.jcr.image.v1.Host;
import dev.jcr.image.v1.Manifest;
import dev.jcr.parasite.host.HostFacts;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/// Copies the memory of a running process, so that a later dump holds only what was written since.
public final class PreDump {
  private PreDump() {}

  /// What to copy and where to.
  ///
  /// @param parent image of an earlier pre-dump (or of a dump that tracks), relative to `directory`
  ///   or absolute
  public record Options(
      int pid,
      Path directory,
      @Nullable Path parent,
      Compression compression,
      int compressionLevel,
      boolean durable) {}

  /// What was copied.
  ///
  /// @param notes for people: for example why everything was copied again
  public record Report(Manifest manifest, Path directory, List<String> notes) {
    public Report {
      notes = List.copyOf(notes);
    }
  }

  /// Copies. On any exception the process is as it was; one that happened after the earlier image
  /// was taken over makes the next round a full one.
  public static Report run(Options options) throws CheckpointException {
    int pid = options.pid();
    Preflight.requireDumpable(pid);
    Dump.refuse(pid, Dump.preflight(pid, LinkPolicy.ANY));
    List<String> notes = new ArrayList<>();
    ParentImage parent =
        options.parent() == null ? null : ParentImage.open(options.directory(), options.parent());
    try (ImageWriter image =
        ImageWriter.create(
            options.directory(),
            options.compression(),
            options.compressionLevel(),
            options.durable())) {
      Host.Builder host = HostFacts.read();
      Optional<MemoryRounds> resumed =
          parent == null ? Optional.empty() : MemoryRounds.resume(pid, parent);
      if (parent != null) {
        continues(image, parent, resumed.isPresent(), notes);
      }
      try (MemoryRounds rounds =
          resumed.isPresent() ? resumed.get() : MemoryRounds.begin(pid, host.clone())) {
        return new Report(
            rounds.next(image, host.getPageSize(), host.build(), true), options.directory(), notes);
      }
    } catch (IOException e) {
      throw Preflight.lost(pid, e);
    }
  }

  /// Sets the parent, or says why there is none.
  static void continues(
      ImageWriter image, ParentImage parent, boolean resumed, List<String> notes) {
    if (resumed) {
      image.parent(parent);
    } else {
      notes.add(
          "nobody tracked what was written since image %s: everything is stored again"
              .formatted(parent.reference().getPath()));
    }
  }
}
