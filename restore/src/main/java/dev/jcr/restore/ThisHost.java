package dev.jcr.restore;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.v1.Host;
import dev.jcr.parasite.host.HostFacts;
import java.io.IOException;

/// What of this host a restore compares an image with, and what does not change while it runs. To
/// read it takes milliseconds, most of them for jcr's own smaps, so a migration does it before the
/// process stands still.
///
/// @param mappings what the kernel maps into every process
record ThisHost(Host facts, KernelMappings mappings) {
  static ThisHost read() throws CheckpointException, IOException {
    return new ThisHost(HostFacts.read().build(), KernelMappings.ofThisHost());
  }
}
