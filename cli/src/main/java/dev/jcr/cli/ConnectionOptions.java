package dev.jcr.cli;

import dev.jcr.dump.files.ConnectionPolicy;
import dev.jcr.image.CheckpointException;
import picocli.CommandLine.Option;

/// What a dump does about TCP connections; the names are those of CRIU.
final class ConnectionOptions {
  @Option(
      names = "--tcp-established",
      description = "Keep established TCP connections: the peers notice nothing but silence.")
  private boolean keep;

  @Option(
      names = "--tcp-close",
      description = "Leave them out: the restored process finds them closed.")
  private boolean close;

  ConnectionPolicy policy() throws CheckpointException {
    if (keep && close) {
      throw new CheckpointException(
          CheckpointException.Outcome.USAGE,
          "cannot read the command line: --tcp-established and --tcp-close exclude each other; see"
              + " jcr dump --help");
    }
    return keep ? ConnectionPolicy.KEEP : close ? ConnectionPolicy.CLOSE : ConnectionPolicy.REFUSE;
  }
}
