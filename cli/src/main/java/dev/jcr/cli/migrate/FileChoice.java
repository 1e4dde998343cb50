package dev.jcr.cli.migrate;

import dev.jcr.dump.files.Embedding;
import dev.jcr.restore.FileChanges;
import dev.jcr.restore.FileChanges.Twin;
import dev.jcr.restore.files.ChangedFiles;
import java.util.List;
import java.util.Map;

/// Which differing files are sent along, at most how large, and what is elsewhere.
///
/// @param moved new paths by old ones
/// @param all whatever the destination lacks
/// @param some only these, or what lies in these folders; by their paths here
/// @param limit bytes of the largest
public record FileChoice(Map<String, String> moved, boolean all, List<String> some, long limit) {
  public static final FileChoice NONE =
      new FileChoice(Map.of(), false, List.of(), Embedding.USUAL_LIMIT);

  public FileChoice {
    moved = Map.copyOf(moved);
    some = List.copyOf(some);
  }

  FileChanges changes(Map<String, Twin> twins) {
    return new FileChanges(moved, ChangedFiles.NONE, twins);
  }

  boolean sends(String path) {
    return all || new Embedding(some, limit).covers(path);
  }
}
