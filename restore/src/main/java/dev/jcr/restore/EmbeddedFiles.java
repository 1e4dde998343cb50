package dev.jcr.restore;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.RegularFile;
import dev.jcr.image.v1.SharedObject;
import dev.jcr.image.v1.Vma;
import dev.jcr.image.v1.VmaKind;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.FileStat;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.restore.files.ChangedFiles;
import dev.jcr.restore.files.FileCheck;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;

/// What becomes of the files whose content is in the image. One that is at its path as it was, or
/// as `--if-changed` accepts it, is used. One that is gone is made again at its path. Where another
/// or a changed one is, that stays untouched, and the process gets the content in a file without a
/// name beside it.
///
/// @param state the objects of those that are used are left out; those without a name have a
///   passing one, everywhere, and `removed`
/// @param notes what the user should know
record EmbeddedFiles(ProcessState state, List<String> notes) {
  EmbeddedFiles {
    notes = List.copyOf(notes);
  }

  /// Looks at this host and changes nothing.
  static EmbeddedFiles of(ProcessState state, ChangedFiles changed) throws CheckpointException {
    Set<Integer> used = new HashSet<>();
    Map<String, String> passing = new HashMap<>();
    List<String> notes = new ArrayList<>();
    RandomGenerator random = RandomGeneratorFactory.of("SecureRandom").create();
    for (SharedObject object : state.getFiles().getObjectsList()) {
      if (object.getKind() == SharedObject.Kind.KIND_EMBEDDED_FILE) {
        String path = object.getName();
        Optional<FileStat> found = find(path);
        if (found.isPresent() && isAccepted(state, object, found.get(), changed)) {
          used.add(object.getId());
        } else if (found.isPresent()) {
          passing.put(
              path,
              path.substring(0, path.lastIndexOf('/') + 1)
                  + ".jcr-%016x".formatted(random.nextLong()));
          notes.add(
              "file %s has changed since the dump: it stays, and the process has its own, as it was, without a name"
                  .formatted(path));
        } else {
          notes.add("file %s was gone and has been made again".formatted(path));
        }
      }
    }
    if (used.isEmpty() && passing.isEmpty()) {
      return new EmbeddedFiles(state, notes);
    }
    ProcessState.Builder settled =
        new FileChanges(passing, ChangedFiles.NONE).applied(state).toBuilder();
    List<SharedObject> objects = new ArrayList<>();
    for (SharedObject object : settled.getFiles().getObjectsList()) {
      if (!used.contains(object.getId())) {
        boolean nameless =
            object.getKind() == SharedObject.Kind.KIND_EMBEDDED_FILE
                && passing.containsValue(object.getName());
        objects.add(nameless ? object.toBuilder().setRemoved(true).build() : object);
      }
    }
    settled.getFilesBuilder().clearObjects().addAllObjects(objects);
    return new EmbeddedFiles(settled.build(), notes);
  }

  private static Optional<FileStat> find(String path) throws CheckpointException {
    try {
      return FileStat.find(path);
    } catch (SyscallException e) {
      throw new CheckpointException(
          Outcome.FAILED, "cannot restore file " + path + ": " + e.getMessage(), e);
    }
  }

  private static boolean isAccepted(
      ProcessState state, SharedObject object, FileStat now, ChangedFiles changed) {
    if (!now.is(Fcntl.S_IFREG)) {
      return false;
    }
    if (now.size() == object.getSize()
        && now.mtimeSeconds() == object.getMtimeSeconds()
        && now.mtimeNanos() == object.getMtimeNanos()) {
      return true;
    }
    String path = object.getName();
    for (Vma vma : state.getMemory().getVmasList()) {
      boolean mapped = vma.hasFile() && vma.getFile().getPath().equals(path);
      if (mapped
          && !changed.acceptsMapped(path)
          && (vma.getKind() != VmaKind.VMA_SHARED_FILE
              || changed.of(path) == ChangedFiles.Policy.SAME)) {
        return false;
      }
    }
    for (Description description : state.getFiles().getDescriptionsList()) {
      RegularFile regular = description.getRegular();
      if (regular.getObjectId() == 0
          && regular.getFile().getPath().equals(path)
          && !FileCheck.isAccepted(now, regular.getFile(), description.getFlags(), changed)) {
        return false;
      }
    }
    return true;
  }
}
