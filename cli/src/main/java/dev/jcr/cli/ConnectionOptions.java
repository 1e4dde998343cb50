package dev.jcr.cli;

import dev.jcr.dump.files.ConnectionPolicy;
import dev.jcr.dump.files.LinkPolicy;
import dev.jcr.image.CheckpointException;
import picocli.CommandLine.Option;

/// What a dump does about connections to other processes; the names are those of CRIU.
final class ConnectionOptions {
  @Option(
      names = "--tcp-established",
      description = "Keep established TCP connections: the peers notice nothing but silence.")
  private boolean keep;

  @Option(
      names = "--tcp-close",
      description = "Leave them out: the restored process finds them closed.")
  private boolean close;

  @Option(
      names = "--ext-unix-sk",
      description = {
        "Lose connections of unix sockets to other processes: the restored process has new ones to"
            + " the same names, or finds them closed."
      })
  private boolean externalUnix;

  @Option(
      names = "--skip-in-flight",
      description =
          "Lose connections to a listening socket that are not accepted yet: their other ends get a"
              + " reset, or try again. And packets that wait in packet sockets.")
  private boolean skipInFlight;

  LinkPolicy policy() throws CheckpointException {
    if (keep && close) {
      throw new CheckpointException(
          CheckpointException.Outcome.USAGE,
          "cannot read the command line: --tcp-established and --tcp-close exclude each other; see"
              + " jcr dump --help");
    }
    return new LinkPolicy(
        keep ? ConnectionPolicy.KEEP : close ? ConnectionPolicy.CLOSE : ConnectionPolicy.REFUSE,
        externalUnix,
        skipInFlight);
  }
}
