package dev.jcr.restore.lazy;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.pages.PageStore.Slice;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Optional;

/// Memory for one block of pages after the other. For one thread.
final class Block {
  private final PageBlocks source;
  private final boolean demanded;
  private final ByteBuffer buffer;
  private final long address;
  private List<Slice> slices = List.of();
  private int loads;

  /// @param demanded whether somebody waits for what is loaded
  Block(PageBlocks source, boolean demanded) {
    this.source = source;
    this.demanded = demanded;
    this.buffer = ByteBuffer.allocateDirect(source.blockBytes());
    this.address = MemorySegment.ofBuffer(buffer).address();
  }

  /// Reads the block of a page.
  void load(long origin) throws CheckpointException {
    slices = List.of();
    loads++;
    slices = List.copyOf(source.read(origin, demanded, buffer));
    if (!holds(origin)) {
      throw new IllegalStateException("a block without page 0x" + Long.toHexString(origin));
    }
  }

  /// How often it was loaded: tells whether it is still the same block.
  int loads() {
    return loads;
  }

  List<Slice> slices() {
    return slices;
  }

  int bytes() {
    return buffer.capacity();
  }

  private Optional<Slice> slice(long origin) {
    return slices.stream()
        .filter(slice ->
            slice.start() <= origin
                && origin < slice.start() + (long) slice.pages() * source.pageSize())
        .findFirst();
  }

  boolean holds(long origin) {
    return slice(origin).isPresent();
  }

  /// Where in jcr's memory a page is.
  long address(long origin) {
    Slice slice = slice(origin).orElseThrow();
    return address + (long) slice.first() * source.pageSize() + (origin - slice.start());
  }
}
