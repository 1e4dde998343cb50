package dev.jcr.cli;

import dev.jcr.image.v1.ProcessState;
import dev.jcr.parasite.host.HostFacts;
import java.io.IOException;

/// What every dump and restore begins with, on another processor while the command line is read:
/// linking the door to the kernel, and making the descriptors of the image's messages.
final class HeadStart {
  private HeadStart() {}

  /// For a verb that will need it.
  static void begin(String[] args) {
    if (args.length > 1 && (args[0].equals("dump") || args[0].equals("restore"))) {
      Thread thread = Thread.ofPlatform().daemon().name("jcr-head-start").unstarted(HeadStart::run);
      // What fails here fails again where it is needed, and is told there.
      thread.setUncaughtExceptionHandler((_, _) -> {});
      thread.start();
    }
  }

  private static void run() {
    try {
      HostFacts.read();
      var _ = ProcessState.getDescriptor();
    } catch (IOException _) {
      // Again where it is needed.
    }
  }
}
