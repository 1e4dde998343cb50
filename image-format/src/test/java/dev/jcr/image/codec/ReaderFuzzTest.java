package dev.jcr.image.codec;

import com.code_intelligence.jazzer.junit.FuzzTest;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.SampleStates;
import dev.jcr.image.inspect.Describe;
import dev.jcr.image.inspect.Diff;
import dev.jcr.image.pages.PagemapLayout;
import dev.jcr.image.v1.Pagemap;
import dev.jcr.image.v1.ProcessState;

/// Any bytes are read or refused; nothing else may happen. Normally replays the inputs in
/// `ReaderFuzzTestInputs`; with `JAZZER_FUZZ=1` looks for new ones.
class ReaderFuzzTest {
  private static final Pagemap EMPTY = Pagemap.newBuilder().setPageSize(4096).build();

  @FuzzTest(maxDuration = "2m")
  void manifest(byte[] data) {
    try {
      Describe.json(ManifestFile.decode("manifest", data));
    } catch (CheckpointException _) {
      // Refused.
    }
  }

  @FuzzTest(maxDuration = "2m")
  void state(byte[] data) {
    try {
      ProcessState state =
          ImageReader.decode("state", data, ProcessState.getDescriptor(), ProcessState.parser());
      Describe.text(state);
      Describe.json(state);
      Diff.of(state, SampleStates.x8664());
      StateValidator.check("state", state, EMPTY);
    } catch (CheckpointException _) {
      // Refused.
    }
  }

  @FuzzTest(maxDuration = "2m")
  void pagemap(byte[] data) {
    try {
      Pagemap pagemap =
          ImageReader.decode("pagemap", data, Pagemap.getDescriptor(), Pagemap.parser());
      long size = pagemap.getChunksList().stream().mapToLong(c -> c.getStoredLength()).sum();
      PagemapLayout.of("pagemap", pagemap, size);
      StateValidator.check("state", SampleStates.x8664(), pagemap);
    } catch (CheckpointException _) {
      // Refused.
    }
  }
}
