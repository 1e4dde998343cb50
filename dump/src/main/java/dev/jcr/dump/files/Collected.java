package dev.jcr.dump.files;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.CheckpointException.Problem;
import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.Descriptor;
import dev.jcr.image.v1.Files;
import dev.jcr.image.v1.Loss;
import dev.jcr.image.v1.SharedObject;
import dev.jcr.image.v1.Terminal;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FileStat;
import dev.jcr.parasite.namespace.Namespaces;
import dev.jcr.parasite.procfs.Anchor;
import java.io.IOException;
import java.util.List;

/// The descriptor column of a frozen process. Mappings of memory without a file are led to its
/// objects with [#objectFor]; contents are read through [#content] until it is closed.
public final class Collected implements AutoCloseable {
  private final Anchor process;
  private final Namespaces namespaces;
  private final List<Descriptor> descriptors;
  private final List<Description> descriptions;
  private final List<Terminal> terminals;
  private final SharedObjects objects;
  private final String connectionLock;
  private final List<Loss> losses;

  Collected(
      Anchor process,
      Namespaces namespaces,
      List<Descriptor> descriptors,
      List<Description> descriptions,
      List<Terminal> terminals,
      SharedObjects objects,
      String connectionLock,
      List<Loss> losses) {
    this.process = process;
    this.namespaces = namespaces;
    this.descriptors = descriptors;
    this.descriptions = descriptions;
    this.terminals = terminals;
    this.objects = objects;
    this.connectionLock = connectionLock;
    this.losses = List.copyOf(losses);
  }

  /// The message with all objects known by now: to be asked after the last [#objectFor].
  public Files files() {
    return Files.newBuilder()
        .addAllDescriptors(descriptors)
        .addAllDescriptions(descriptions)
        .addAllObjects(objects.objects())
        .addAllTerminals(terminals)
        .setConnectionLock(connectionLock)
        .build();
  }

  /// The object that a mapping shows: shared anonymous memory, a memfd, or a deleted file, whether
  /// a descriptor leads to it as well or not. `start` and `end` are those of the whole VMA.
  public int objectFor(long start, long end, String path) throws CheckpointException {
    String file = "map_files/" + Long.toHexString(start) + "-" + Long.toHexString(end);
    if (SecretMemory.isSecret(path)) {
      // Nobody can open it.
      try {
        return objects.of(-1, FileStat.of(process.proc().path(file)), path);
      } catch (Refusal e) {
        throw refused(start, end, e);
      } catch (IOException e) {
        throw OpenFileTable.failure(process.pid(), e);
      }
    }
    try (Namespaces.Visit _ = namespaces.enter();
        Fd fd = Fd.open(process.proc().path(file), Fd.O_RDONLY, 0)) {
      return objects.of(fd.number(), FileStat.of(fd.number()), path);
    } catch (Refusal e) {
      throw refused(start, end, e);
    } catch (IOException e) {
      throw OpenFileTable.failure(process.pid(), e);
    }
  }

  private static CheckpointException refused(long start, long end, Refusal e) {
    Problem problem =
        new Problem(
            "vma", Long.toHexString(start) + "-" + Long.toHexString(end), e.reason(), e.remedy());
    return new CheckpointException(
        Outcome.UNSUPPORTED, "cannot dump mapping " + problem, List.of(problem), null);
  }

  public List<SharedObject> objects() {
    return objects.objects();
  }

  /// A description of jcr's own, open for reading; closed by [#close].
  public Fd content(int objectId) {
    return objects.content(objectId);
  }

  /// What a restored process will not find as it was.
  public List<Loss> losses() {
    return losses;
  }

  @Override
  public void close() {
    objects.close();
  }
}
