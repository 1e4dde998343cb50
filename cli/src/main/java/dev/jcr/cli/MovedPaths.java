package dev.jcr.cli;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import java.util.Map;
import picocli.CommandLine.Option;

/// `--map-path`, which several verbs have.
class MovedPaths {
  @Option(
      names = "--map-path",
      paramLabel = "OLD=NEW",
      description =
          "Look for file or folder OLD, and all in it, at NEW; both absolute; may be repeated.")
  private Map<String, String> moved = Map.of();

  /// New paths by old ones.
  Map<String, String> moved(String verb) throws CheckpointException {
    for (Map.Entry<String, String> pair : moved.entrySet()) {
      if (!pair.getKey().startsWith("/") || !pair.getValue().startsWith("/")) {
        throw new CheckpointException(
            Outcome.USAGE,
            "cannot read the command line: --map-path: '%s=%s' is not absolute; see jcr %s --help"
                .formatted(pair.getKey(), pair.getValue(), verb));
      }
    }
    return moved;
  }
}
