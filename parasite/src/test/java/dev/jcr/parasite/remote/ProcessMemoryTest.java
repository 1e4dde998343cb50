package dev.jcr.parasite.remote;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.Test;

/// On the test's own memory.
class ProcessMemoryTest {
  private static final int PID = (int) ProcessHandle.current().pid();

  private static MemorySegment counting(Arena arena, int size) {
    MemorySegment bytes = arena.allocate(size);
    for (int i = 0; i < size; i++) {
      bytes.set(JAVA_BYTE, i, (byte) (i * 7));
    }
    return bytes;
  }

  @Test
  void readsAndWrites() throws CheckpointException {
    try (Arena arena = Arena.ofConfined();
        ProcessMemory memory = ProcessMemory.open(PID)) {
      MemorySegment source = counting(arena, 10_000);
      assertThat(memory.pid()).isEqualTo(PID);
      assertThat(memory.bytes(source.address(), 10_000)).isEqualTo(source.toArray(JAVA_BYTE));
      MemorySegment target = arena.allocate(10_000);
      memory.write(target.address(), source);
      assertThat(target.mismatch(source)).isEqualTo(-1);
    }
  }

  @Test
  void rangesAreGatheredAndScattered() throws CheckpointException {
    try (Arena arena = Arena.ofConfined();
        ProcessMemory memory = ProcessMemory.open(PID)) {
      MemorySegment source = counting(arena, 300);
      long[] addresses = {source.address() + 200, source.address(), 0};
      long[] lengths = {100, 50, 7};
      MemorySegment gathered = arena.allocate(150);
      assertThat(memory.readRanges(addresses, lengths, 2, gathered)).isTrue();
      assertThat(gathered.asSlice(0, 100).mismatch(source.asSlice(200, 100))).isEqualTo(-1);
      assertThat(gathered.asSlice(100).mismatch(source.asSlice(0, 50))).isEqualTo(-1);
      // The third is not mapped: the caller reads range by range.
      assertThat(memory.readRanges(addresses, lengths, 3, arena.allocate(157))).isFalse();

      MemorySegment target = arena.allocate(300);
      long[] places = {target.address() + 10, target.address() + 250};
      memory.writeRanges(places, new long[] {100, 50}, 2, gathered);
      assertThat(target.asSlice(10, 100).mismatch(source.asSlice(200, 100))).isEqualTo(-1);
      assertThat(target.asSlice(250, 50).mismatch(source.asSlice(0, 50))).isEqualTo(-1);
    }
  }

  @Test
  void unmappedMemory() throws CheckpointException {
    try (Arena arena = Arena.ofConfined();
        ProcessMemory memory = ProcessMemory.open(PID)) {
      MemorySegment buffer = arena.allocate(8);
      assertThat(memory.readAccessible(4096, buffer)).isZero();
      assertThatExceptionOfType(CheckpointException.class)
          .isThrownBy(() -> memory.read(4096, buffer))
          .withMessage(
              "cannot read memory 0x1000 of process %d: EIO (input/output error)".formatted(PID))
          .satisfies(e -> assertThat(e.outcome()).isEqualTo(Outcome.FAILED));
      assertThatExceptionOfType(CheckpointException.class)
          .isThrownBy(() -> memory.write(4096, buffer))
          .withMessage(
              "cannot write memory 0x1000 of process %d: EFAULT (bad address)".formatted(PID));
    }
  }
}
