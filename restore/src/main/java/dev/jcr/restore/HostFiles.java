package dev.jcr.restore;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.FileIdentity;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.SharedObject;
import dev.jcr.image.v1.Vma;
import dev.jcr.image.v1.VmaKind;
import dev.jcr.parasite.collect.FileIdentities;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.FileStat;
import dev.jcr.parasite.linux.OpenFlags;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.restore.files.ChangedFiles;
import dev.jcr.restore.files.FileCheck;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// The regular files that a process of another host uses, as this host has them: those that a
/// restore would refuse. Of a process that is known by its outline only.
public final class HostFiles {
  private static final int PROT_WRITE = 2;

  private final ProcessState outline;
  private final Map<String, Use> uses = new LinkedHashMap<>();

  /// Every way in which a file is used.
  private static final class Use {
    private final FileIdentity file;
    private boolean exact;
    private boolean written;
    private final List<Description> open = new ArrayList<>();

    Use(FileIdentity file) {
      this.file = file;
    }
  }

  /// One that does not do as it is.
  ///
  /// @param path here
  /// @param wanted as it is there
  /// @param here if a regular file of the same size is here: only its content tells whether it is
  ///   another one
  /// @param missing nothing is here
  /// @param reason what is wrong, for people
  /// @param written the process may write to its own
  public record Differing(
      String path,
      FileIdentity wanted,
      Optional<FileIdentity> here,
      boolean missing,
      String reason,
      boolean written) {}

  private HostFiles(ProcessState outline) {
    this.outline = outline;
  }

  /// Looks at this host and changes nothing.
  ///
  /// @param outline not trusted
  public static List<Differing> differing(ProcessState outline) throws CheckpointException {
    HostFiles files = new HostFiles(outline);
    files.collect();
    List<Differing> differing = new ArrayList<>();
    try {
      for (Use use : files.uses.values()) {
        look(use).ifPresent(differing::add);
      }
    } catch (SyscallException e) {
      throw new CheckpointException(
          Outcome.FAILED, "cannot look for the files of a process: " + e.getMessage(), e);
    }
    return differing;
  }

  private void collect() {
    FileIdentity executable = outline.getIdentity().getExecutable();
    use(executable).ifPresent(use -> use.exact = true);
    for (Vma vma : outline.getMemory().getVmasList()) {
      if (vma.hasFile() && vma.getObjectId() == 0) {
        boolean shared = vma.getKind() == VmaKind.VMA_SHARED_FILE;
        use(vma.getFile())
            .ifPresent(use -> {
              use.exact |= !shared;
              use.written |= shared && (vma.getProtection() & PROT_WRITE) != 0;
            });
      }
    }
    for (Description description : outline.getFiles().getDescriptionsList()) {
      if (description.hasRegular() && description.getRegular().getObjectId() == 0) {
        use(description.getRegular().getFile())
            .ifPresent(use -> {
              use.open.add(description);
              use.written |= (description.getFlags() & OpenFlags.O_ACCMODE) != OpenFlags.O_RDONLY;
            });
      }
    }
  }

  /// Empty for what has no content of its own.
  private Optional<Use> use(FileIdentity file) {
    boolean unidentified = file.getMtimeSeconds() == 0 && file.getMtimeNanos() == 0;
    if (unidentified
        || (file.getMode() & Fcntl.S_IFMT) != Fcntl.S_IFREG
        || !file.getPath().startsWith("/")) {
      return Optional.empty();
    }
    return Optional.of(uses.computeIfAbsent(file.getPath(), _ -> new Use(file)));
  }

  private static Optional<Differing> look(Use use) throws SyscallException {
    FileIdentity file = use.file;
    String path = file.getPath();
    Optional<FileStat> found = FileStat.find(path);
    if (found.isEmpty()) {
      return Optional.of(
          new Differing(path, file, Optional.empty(), true, "it does not exist", use.written));
    }
    FileStat now = found.get();
    Optional<String> reason =
        use.exact ? FileIdentities.changed(file) : FileIdentities.missing(file);
    if (reason.isEmpty()) {
      boolean accepted =
          use.open.stream()
              .allMatch(each ->
                  FileCheck.isAccepted(
                      now, each.getRegular().getFile(), each.getFlags(), ChangedFiles.NONE));
      if (accepted) {
        return Optional.empty();
      }
      reason = Optional.of("it has another size or time");
    }
    boolean comparable = now.is(Fcntl.S_IFREG) && now.size() == file.getSize();
    Optional<FileIdentity> here =
        Optional.of(
                FileIdentity.newBuilder()
                    .setPath(path)
                    .setSize(now.size())
                    .setMtimeSeconds(now.mtimeSeconds())
                    .setMtimeNanos(now.mtimeNanos())
                    .setMode(now.mode())
                    .build())
            .filter(_ -> comparable);
    return Optional.of(new Differing(path, file, here, false, reason.orElseThrow(), use.written));
  }

  /// An outline as if these files came with the process.
  static ProcessState embedded(ProcessState outline, List<Differing> files) {
    ProcessState.Builder state = outline.toBuilder();
    int id =
        outline.getFiles().getObjectsList().stream().mapToInt(SharedObject::getId).max().orElse(0);
    for (Differing file : files) {
      state
          .getFilesBuilder()
          .addObjects(
              SharedObject.newBuilder()
                  .setId(++id)
                  .setKind(SharedObject.Kind.KIND_EMBEDDED_FILE)
                  .setName(file.path()));
    }
    return state.build();
  }
}
