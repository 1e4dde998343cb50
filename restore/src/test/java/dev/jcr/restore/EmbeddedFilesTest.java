package dev.jcr.restore;

import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.FileIdentity;
import dev.jcr.image.v1.Files;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.RegularFile;
import dev.jcr.image.v1.SharedObject;
import dev.jcr.parasite.linux.FileStat;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.restore.files.ChangedFiles;
import dev.jcr.restore.files.ChangedFiles.Policy;
import java.io.IOException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class EmbeddedFilesTest {
  @TempDir Path folder;

  private Path file = Path.of("");
  private ProcessState state = ProcessState.getDefaultInstance();

  @BeforeEach
  void anOpenFile() throws IOException, SyscallException {
    file = folder.resolve("file");
    java.nio.file.Files.writeString(file, "content");
    FileStat stat = FileStat.of(file.toString());
    state =
        ProcessState.newBuilder()
            .setFiles(
                Files.newBuilder()
                    .addDescriptions(
                        Description.newBuilder()
                            .setId(1)
                            .setRegular(
                                RegularFile.newBuilder()
                                    .setFile(
                                        FileIdentity.newBuilder()
                                            .setPath(file.toString())
                                            .setSize(7)
                                            .setMtimeSeconds(stat.mtimeSeconds())
                                            .setMtimeNanos(stat.mtimeNanos())
                                            .setMode(stat.mode()))))
                    .addObjects(
                        SharedObject.newBuilder()
                            .setId(1)
                            .setKind(SharedObject.Kind.KIND_EMBEDDED_FILE)
                            .setName(file.toString())
                            .setSize(7)
                            .setMode(stat.mode())
                            .setMtimeSeconds(stat.mtimeSeconds())
                            .setMtimeNanos(stat.mtimeNanos())))
            .build();
  }

  private EmbeddedFiles settled(Policy policy) throws CheckpointException {
    return EmbeddedFiles.of(state, new ChangedFiles(policy, Map.of()));
  }

  private static String path(EmbeddedFiles settled) {
    return settled.state().getFiles().getDescriptions(0).getRegular().getFile().getPath();
  }

  @Test
  void theSameIsUsed() throws CheckpointException {
    EmbeddedFiles settled = settled(Policy.SAME);
    assertThat(settled.state().getFiles().getObjectsList()).isEmpty();
    assertThat(path(settled)).isEqualTo(file.toString());
    assertThat(settled.notes()).isEmpty();
  }

  @Test
  void oneThatIsGoneIsMadeAtItsPath() throws CheckpointException, IOException {
    java.nio.file.Files.delete(file);
    EmbeddedFiles settled = settled(Policy.ANY);
    assertThat(settled.state()).isEqualTo(state);
    assertThat(settled.notes())
        .containsExactly("file " + file + " was gone and has been made again");
  }

  @Test
  void oneThatHasChangedStays() throws CheckpointException, IOException {
    java.nio.file.Files.writeString(file, "more", StandardOpenOption.APPEND);
    EmbeddedFiles settled = settled(Policy.SAME);
    assertThat(path(settled)).matches(folder + "/\\.jcr-[0-9a-f]{16}");
    SharedObject object = settled.state().getFiles().getObjects(0);
    assertThat(object.getName()).isEqualTo(path(settled));
    assertThat(object.getRemoved()).isTrue();
    assertThat(settled.notes())
        .containsExactly(
            "file "
                + file
                + " has changed since the dump: it stays, and the process has its own, as it was,"
                + " without a name");
  }

  @Test
  void whatIsAcceptedIsUsed() throws CheckpointException, IOException {
    java.nio.file.Files.writeString(file, "more", StandardOpenOption.APPEND);
    assertThat(settled(Policy.APPEND).state().getFiles().getObjectsList()).isEmpty();
    java.nio.file.Files.writeString(file, "less");
    assertThat(settled(Policy.APPEND).state().getFiles().getObjectsList()).hasSize(1);
    assertThat(settled(Policy.ANY).state().getFiles().getObjectsList()).isEmpty();
  }

  @Test
  void aFolderIsInItsPlace() throws CheckpointException, IOException {
    java.nio.file.Files.delete(file);
    java.nio.file.Files.createDirectory(file);
    assertThat(settled(Policy.ANY).state().getFiles().getObjects(0).getRemoved()).isTrue();
  }
}
