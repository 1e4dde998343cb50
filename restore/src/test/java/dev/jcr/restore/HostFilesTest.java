package dev.jcr.restore;

import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.FileIdentity;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.RegularFile;
import dev.jcr.image.v1.SharedObject;
import dev.jcr.image.v1.Vma;
import dev.jcr.image.v1.VmaKind;
import dev.jcr.parasite.collect.FileIdentities;
import dev.jcr.parasite.linux.OpenFlags;
import dev.jcr.restore.FileChanges.Twin;
import dev.jcr.restore.HostFiles.Differing;
import dev.jcr.restore.files.ChangedFiles;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class HostFilesTest {
  @TempDir Path folder;

  private FileIdentity file(String name, String content) throws IOException, CheckpointException {
    return FileIdentities.of(Files.writeString(folder.resolve(name), content).toString());
  }

  private static ProcessState mapped(VmaKind kind, int protection, FileIdentity file) {
    ProcessState.Builder state = ProcessState.newBuilder();
    state
        .getMemoryBuilder()
        .addVmas(Vma.newBuilder().setKind(kind).setProtection(protection).setFile(file));
    return state.build();
  }

  private static ProcessState open(int flags, FileIdentity file) {
    ProcessState.Builder state = ProcessState.newBuilder();
    state
        .getFilesBuilder()
        .addDescriptions(
            Description.newBuilder()
                .setFlags(flags)
                .setRegular(RegularFile.newBuilder().setFile(file)));
    return state.build();
  }

  private static FileIdentity older(FileIdentity file) {
    return file.toBuilder().setMtimeSeconds(file.getMtimeSeconds() - 9).build();
  }

  @Test
  void theSameIsNotTold() throws Exception {
    FileIdentity file = file("a", "text");
    assertThat(HostFiles.differing(mapped(VmaKind.VMA_PRIVATE_FILE, 5, file))).isEmpty();
    assertThat(HostFiles.differing(open(OpenFlags.O_RDWR, file))).isEmpty();
    // Written by others since, as a file mapped shared may be.
    assertThat(HostFiles.differing(mapped(VmaKind.VMA_SHARED_FILE, 3, older(file)))).isEmpty();
  }

  @Test
  void anotherTimeIsAQuestionOfContent() throws Exception {
    FileIdentity file = file("a", "text");
    List<Differing> differing =
        HostFiles.differing(mapped(VmaKind.VMA_PRIVATE_FILE, 5, older(file)));
    assertThat(differing).hasSize(1);
    Differing one = differing.getFirst();
    assertThat(one.here().orElseThrow().getMtimeSeconds()).isEqualTo(file.getMtimeSeconds());
    assertThat(FileIdentities.digest(one.here().orElseThrow())).isPresent();
    assertThat(FileIdentities.digest(older(file))).isEmpty();
    assertThat(one.written()).isFalse();
    // As long as the process has not written to it.
    Twin twin = new Twin(older(file), file);
    FileChanges changes =
        new FileChanges(Map.of(), ChangedFiles.NONE, Map.of(file.getPath(), twin));
    assertThat(changes.applied(open(0, older(file))).getFiles())
        .isEqualTo(open(0, file).getFiles());
    FileIdentity longer = older(file).toBuilder().setSize(5).build();
    assertThat(changes.applied(open(0, longer)).getFiles()).isEqualTo(open(0, longer).getFiles());
  }

  @Test
  void missingOrOfAnotherSize() throws Exception {
    FileIdentity file = file("a", "text");
    Files.writeString(folder.resolve("a"), "longer text");
    Differing other = HostFiles.differing(open(OpenFlags.O_RDWR, file)).getFirst();
    assertThat(other.here()).isEmpty();
    assertThat(other.missing()).isFalse();
    assertThat(other.written()).isTrue();
    // One that is appended to may have grown.
    assertThat(HostFiles.differing(open(OpenFlags.O_WRONLY | OpenFlags.O_APPEND, file))).isEmpty();
    Files.delete(folder.resolve("a"));
    Differing gone = HostFiles.differing(mapped(VmaKind.VMA_SHARED_FILE, 3, file)).getFirst();
    assertThat(gone.missing()).isTrue();
    assertThat(gone.written()).isTrue();
    assertThat(gone.reason()).isEqualTo("it does not exist");
    ProcessState with = HostFiles.embedded(open(0, file), List.of(gone));
    SharedObject object = with.getFiles().getObjects(0);
    assertThat(object.getName()).isEqualTo(file.getPath());
    assertThat(object.getKind()).isEqualTo(SharedObject.Kind.KIND_EMBEDDED_FILE);
  }

  /// What the kernel makes up, or is no regular file, has no content to send.
  @Test
  void othersAreLeftOut() throws Exception {
    FileIdentity made = FileIdentity.newBuilder().setPath("/proc/none").setMode(0100444).build();
    assertThat(HostFiles.differing(open(0, made))).isEmpty();
    FileIdentity folderItself = FileIdentities.of(folder.toString());
    assertThat(HostFiles.differing(open(0, older(folderItself)))).isEmpty();
  }
}
