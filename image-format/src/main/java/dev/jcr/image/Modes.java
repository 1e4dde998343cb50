package dev.jcr.image;

import dev.jcr.image.v1.Identity;
import dev.jcr.image.v1.ThreadModes;

/// Modes of threads: an image has those of the process, and those of a thread where they differ.
public final class Modes {
  private Modes() {}

  /// Those of the process, which its threads inherit.
  public static ThreadModes of(Identity identity) {
    return ThreadModes.newBuilder()
        .setPersonality(identity.getPersonality())
        .setTimestampCounterMode(identity.getTimestampCounterMode())
        .setMachineCheckKill(identity.getMachineCheckKill())
        .setIoFlusher(identity.getIoFlusher())
        .build();
  }
}
