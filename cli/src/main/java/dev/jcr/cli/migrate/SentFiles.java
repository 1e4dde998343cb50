package dev.jcr.cli.migrate;

import com.google.protobuf.ByteString;
import dev.jcr.cli.migrate.FileTerms.Other;
import dev.jcr.cli.migrate.FileTerms.Same;
import dev.jcr.cli.migrate.Link.Kind;
import dev.jcr.cli.migrate.Link.Message;
import dev.jcr.dump.files.EmbeddedFiles;
import dev.jcr.dump.files.Embedding;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.CheckpointException.Problem;
import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.FileIdentity;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.Vma;
import dev.jcr.parasite.collect.FileIdentities;
import dev.jcr.restore.FileChanges;
import dev.jcr.restore.FileChanges.Twin;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// The files of a process that moves: agreed upon before anything of it is sent.
///
/// @param changes paths and times that its files have there
/// @param embedding what goes along
/// @param rebuilding what the destination needs for a small process, in nanoseconds
record SentFiles(FileChanges changes, Embedding embedding, List<Other> sent, long rebuilding) {
  /// Answers what the destination asks about files until it accepts.
  ///
  /// @param outline with the paths of here
  static SentFiles agree(int pid, Link link, ProcessState outline, FileChoice choice)
      throws IOException, CheckpointException {
    Map<String, FileIdentity> own = files(outline, choice.changes(Map.of()));
    Message message = link.receive();
    if (message.kind() == Kind.COMPARE) {
      List<Optional<ByteString>> digests = new ArrayList<>();
      for (String path : FileTerms.paths(message.bytes())) {
        digests.add(FileIdentities.digest(known(own, path)));
      }
      link.send(Kind.DIGESTS, FileTerms.digests(digests));
      message = link.receive();
    }
    FileTerms terms = FileTerms.decode(Link.required(message, Kind.ACCEPT).bytes());
    Map<String, Twin> twins = new LinkedHashMap<>();
    for (Same same : terms.same()) {
      FileIdentity file = known(own, same.path());
      twins.put(same.path(), new Twin(file, FileTerms.there(file, same)));
    }
    List<String> sent = new ArrayList<>();
    List<Problem> problems = new ArrayList<>();
    for (Other file : terms.differing()) {
      String path = known(own, file.path()).getPath();
      if (!choice.sends(path)) {
        problems.add(problem(file));
      } else if (file.isInTheWay()) {
        problems.add(
            new Problem(
                "file",
                file.path(),
                "the process writes to it, and another one is there: " + file.reason(),
                "move that one away, or say where the process shall have its own with --map-path"));
      } else {
        sent.add(path);
      }
    }
    Embedding embedding = new Embedding(sent, choice.limit());
    if (problems.isEmpty()) {
      problems.addAll(EmbeddedFiles.preflight(pid, embedding));
    }
    if (!problems.isEmpty()) {
      throw new CheckpointException(
          Outcome.FAILED,
          "cannot migrate process %d: %s"
              .formatted(
                  pid, String.join(" | ", problems.stream().map(Problem::toString).toList())),
          problems,
          null);
    }
    return new SentFiles(choice.changes(twins), embedding, terms.differing(), terms.rebuilding());
  }

  static Problem problem(Other file) {
    return new Problem(
        "file",
        file.path(),
        file.reason() + " at the destination",
        "send it along with --with-files, or say where it is there with --map-path");
  }

  /// As they are here, by the paths that they have there.
  private static Map<String, FileIdentity> files(ProcessState outline, FileChanges moved) {
    List<FileIdentity> all = new ArrayList<>(List.of(outline.getIdentity().getExecutable()));
    for (Vma vma : outline.getMemory().getVmasList()) {
      if (vma.hasFile()) {
        all.add(vma.getFile());
      }
    }
    for (Description description : outline.getFiles().getDescriptionsList()) {
      if (description.hasRegular()) {
        all.add(description.getRegular().getFile());
      }
    }
    Map<String, FileIdentity> files = new LinkedHashMap<>();
    all.forEach(file -> files.putIfAbsent(moved.path(file.getPath()), file));
    return files;
  }

  private static FileIdentity known(Map<String, FileIdentity> files, String path)
      throws CheckpointException {
    FileIdentity file = files.get(path);
    if (file == null) {
      throw Link.strange("the name of a file that the process does not use");
    }
    return file;
  }
}
