package dev.jcr.restore;

import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.FanotifyMark;
import dev.jcr.image.v1.FileIdentity;
import dev.jcr.image.v1.Files;
import dev.jcr.image.v1.InotifyWatch;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.SharedObject;
import dev.jcr.image.v1.Vma;
import dev.jcr.restore.files.ChangedFiles;
import java.util.Map;
import java.util.TreeMap;

/// Files that are elsewhere than they were, and what becomes of those that have changed.
///
/// @param moved new paths by old ones; that of a folder holds for everything in it, the longest
///   first
/// @param changed what to do about open files that are not as they were
/// @param twins files of the same content with another time, by their paths of now
public record FileChanges(
    Map<String, String> moved, ChangedFiles changed, Map<String, Twin> twins) {
  public static final FileChanges NONE = new FileChanges(Map.of(), ChangedFiles.NONE);

  /// Holds only as long as the file is `from`: one that was written to since is another one.
  ///
  /// @param from as the process has it
  /// @param to as it is where the process goes; only its time is used
  public record Twin(FileIdentity from, FileIdentity to) {
    private boolean isOf(FileIdentity.Builder file) {
      return file.getSize() == from.getSize()
          && file.getMtimeSeconds() == from.getMtimeSeconds()
          && file.getMtimeNanos() == from.getMtimeNanos();
    }
  }

  public FileChanges {
    moved = Map.copyOf(moved);
    twins = Map.copyOf(twins);
  }

  /// Without twins.
  public FileChanges(Map<String, String> moved, ChangedFiles changed) {
    this(moved, changed, Map.of());
  }

  /// `state` with the paths and times of now.
  public ProcessState applied(ProcessState state) {
    if (moved.isEmpty() && twins.isEmpty()) {
      return state;
    }
    ProcessState.Builder changedState = state.toBuilder();
    var identity = changedState.getIdentityBuilder();
    identity
        .setWorkingDirectory(path(identity.getWorkingDirectory()))
        .setRootDirectory(path(identity.getRootDirectory()));
    file(identity.getExecutableBuilder());
    for (Vma.Builder vma : changedState.getMemoryBuilder().getVmasBuilderList()) {
      if (vma.hasFile()) {
        file(vma.getFileBuilder());
      }
    }
    files(changedState.getFilesBuilder());
    return changedState.build();
  }

  private void files(Files.Builder files) {
    for (Description.Builder description : files.getDescriptionsBuilderList()) {
      switch (description.getKindCase()) {
        case REGULAR -> {
          if (description.getRegular().hasFile()) {
            file(description.getRegularBuilder().getFileBuilder());
          }
        }
        case DIRECTORY -> file(description.getDirectoryBuilder().getFileBuilder());
        case PATH_ONLY -> file(description.getPathOnlyBuilder().getFileBuilder());
        case PIPE -> description.getPipeBuilder().setPath(path(description.getPipe().getPath()));
        case INOTIFY -> {
          for (InotifyWatch.Builder watch :
              description.getInotifyBuilder().getWatchesBuilderList()) {
            watch.setPath(path(watch.getPath()));
          }
        }
        case FANOTIFY -> {
          for (FanotifyMark.Builder mark : description.getFanotifyBuilder().getMarksBuilderList()) {
            mark.setPath(path(mark.getPath()));
          }
        }
        case DEVICE,
            EVENTFD,
            TIMERFD,
            SIGNALFD,
            EPOLL,
            MEMFD,
            UNIX_SOCKET,
            INET_SOCKET,
            TERMINAL,
            INHERITED,
            PIDFD,
            MESSAGE_QUEUE,
            NETLINK_SOCKET,
            PACKET_SOCKET,
            KIND_NOT_SET -> {}
      }
    }
    for (SharedObject.Builder object : files.getObjectsBuilderList()) {
      if (object.getKind() == SharedObject.Kind.KIND_UNLINKED_FILE
          || object.getKind() == SharedObject.Kind.KIND_FILE_COPY
          || object.getKind() == SharedObject.Kind.KIND_EMBEDDED_FILE) {
        object.setName(path(object.getName()));
      }
    }
  }

  private void file(FileIdentity.Builder file) {
    file.setPath(path(file.getPath()));
    Twin twin = twins.get(file.getPath());
    if (twin != null && twin.isOf(file)) {
      file.setMtimeSeconds(twin.to.getMtimeSeconds()).setMtimeNanos(twin.to.getMtimeNanos());
    }
  }

  /// By the longest old path that it is, or lies below.
  public String path(String path) {
    for (var pair : new TreeMap<>(moved).descendingMap().entrySet()) {
      String old = pair.getKey();
      if (path.equals(old)) {
        return pair.getValue();
      }
      String folder = old.endsWith("/") ? old : old + "/";
      if (path.startsWith(folder)) {
        String rest = path.substring(folder.length());
        return pair.getValue().endsWith("/")
            ? pair.getValue() + rest
            : pair.getValue() + "/" + rest;
      }
    }
    return path;
  }
}
