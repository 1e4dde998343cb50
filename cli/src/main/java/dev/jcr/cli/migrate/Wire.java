package dev.jcr.cli.migrate;

import java.io.IOException;

/// What carries the messages of a [Link]: one connection, or a stream over several.
interface Wire {
  /// How long whoever reads waits while nothing comes.
  ///
  /// @param millis 0 for as long as it takes
  void patience(int millis) throws IOException;

  /// Whether it waits for another connection when it has none.
  ///
  /// @throws IOException it is over
  void holdOn(boolean on) throws IOException;

  /// Ends it, whatever a thread does with it.
  void hangUp();
}
