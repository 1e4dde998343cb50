package dev.jcr.image.pages;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.v1.Compression;
import dev.jcr.image.v1.PageChunk;
import dev.jcr.image.v1.PageKind;
import dev.jcr.image.v1.PageRun;
import dev.jcr.image.v1.PageSpace;
import dev.jcr.image.v1.Pagemap;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(120)
class PageWriterTest {
  @TempDir Path folder;

  private FileChannel create(String name) throws Exception {
    return FileChannel.open(
        folder.resolve(name),
        StandardOpenOption.CREATE_NEW,
        StandardOpenOption.READ,
        StandardOpenOption.WRITE);
  }

  private static void fill(Random random, ByteBuffer data, int offset) {
    byte[] page = new byte[4096];
    int kind = random.nextInt(4);
    if (kind == 1) {
      random.nextBytes(page);
    } else if (kind > 1) {
      // One byte anywhere: the zero test must see it.
      page[random.nextInt(4096)] = 1;
    }
    data.put(offset, page);
  }

  /// Random spaces, runs, zero calls and holds against a plain map.
  @ParameterizedTest
  @ValueSource(ints = {1, 2, 3, 4, 5, 6})
  void anySequenceIsReadBack(int seed) throws Exception {
    Random random = new Random(seed);
    Map<Long, ByteBuffer> expected = new HashMap<>();
    Set<Long> zeros = new HashSet<>();
    Compression compression =
        seed % 2 == 0 ? Compression.COMPRESSION_NONE : Compression.COMPRESSION_ZSTD;
    Path file = folder.resolve("pages");
    Pagemap map;
    try (FileChannel channel = create("pages");
        PageWriter writer = new PageWriter(channel, file, compression, 1, 4096)) {
      if (seed % 3 == 0) {
        assertThat(writer.reserve(40)).isTrue();
        writer.hold();
      }
      for (int space : new int[] {3, 0, 7}) {
        long address = 0x1000;
        for (int buffers = 0; buffers < 30; buffers++) {
          PageBuffer buffer = writer.take();
          while (buffer.room() > 0 && random.nextInt(60) != 0) {
            address += random.nextInt(3) == 0 ? 4096L * random.nextInt(1, 9) : 0;
            int pages = Math.min(buffer.room(), random.nextInt(1, 5));
            int offset = buffer.offset();
            buffer.add(space, address, pages);
            for (int i = 0; i < pages; i++) {
              fill(random, buffer.data(), offset + i * 4096);
              long key = (long) space << 48 | address;
              ByteBuffer copy = ByteBuffer.allocate(4096);
              copy.put(0, buffer.data(), offset + i * 4096, 4096);
              if (copy.equals(ByteBuffer.allocate(4096))) {
                zeros.add(key);
              } else {
                expected.put(key, copy);
              }
              address += 4096;
            }
          }
          writer.submit(buffer);
          if (random.nextBoolean()) {
            writer.zero(space, address, 2);
            zeros.add((long) space << 48 | address);
            zeros.add((long) space << 48 | address + 4096);
            address += 8192;
          }
        }
      }
      if (seed % 3 == 0) {
        assertThat(writer.storedBytes()).isZero();
        writer.release();
      }
      map = writer.finish();
      assertThat(writer.finish()).isSameAs(map);
      assertThat(writer.storedBytes()).isEqualTo(channel.size());
      assertThat(writer.storedPages()).isEqualTo(expected.size());
      assertThat(writer.zeroPages()).isEqualTo(zeros.size());
      assertThat(writer.spilled()).isFalse();
    }
    try (PageReader reader =
        new PageReader(FileChannel.open(file, StandardOpenOption.READ), file, map, "pagemap")) {
      reader.verify();
      ByteBuffer into = ByteBuffer.allocateDirect(PageWriter.CHUNK_BYTES);
      int seen = 0;
      for (ChunkRuns chunk : reader.layout()) {
        into.clear();
        reader.read(chunk.chunk(), into);
        int offset = 0;
        for (ChunkRuns.Run run : chunk.runs()) {
          for (int i = 0; i < run.pages(); i++) {
            long key = (long) chunk.space() << 48 | run.start() + i * 4096L;
            assertThat(into.slice(offset, 4096)).isEqualTo(expected.get(key));
            offset += 4096;
            seen++;
          }
        }
      }
      assertThat(seen).isEqualTo(expected.size());
    }
    for (PageSpace space : map.getSpacesList()) {
      for (PageRun run : space.getRunsList()) {
        for (long page = 0; page < run.getPages(); page++) {
          long key = (long) space.getId() << 48 | run.getStart() + page * 4096;
          assertThat(zeros.contains(key)).isEqualTo(run.getKind() == PageKind.PAGE_ZERO);
        }
      }
    }
  }

  /// zstd contexts are used again and again; their history must not show.
  @ParameterizedTest
  @ValueSource(ints = {1, 3, 6, 9})
  void everyLevelIsDeterministic(int level) throws Exception {
    for (String name : new String[] {"one", "two"}) {
      Random random = new Random(9);
      try (FileChannel channel = create(name);
          PageWriter writer =
              new PageWriter(
                  channel, folder.resolve(name), Compression.COMPRESSION_ZSTD, level, 4096)) {
        for (int i = 0; i < 12; i++) {
          PageBuffer buffer = writer.take();
          buffer.add(0, 0x10000L + i * (1L << 20), 256);
          for (int at = 0; at < 1 << 20; at += 4) {
            buffer.data().putInt(at, random.nextInt(64) == 0 ? random.nextInt() : at % 97);
          }
          writer.submit(buffer);
        }
        writer.finish();
      }
    }
    assertThat(Files.mismatch(folder.resolve("one"), folder.resolve("two"))).isEqualTo(-1);
  }

  @Test
  void buffersRefuseWhatCannotBe() throws Exception {
    try (FileChannel channel = create("pages");
        PageWriter writer =
            new PageWriter(
                channel, folder.resolve("pages"), Compression.COMPRESSION_NONE, 0, 4096)) {
      PageBuffer buffer = writer.take();
      buffer.add(0, 0x5000, 2);
      assertThatThrownBy(() -> buffer.add(1, 0x9000, 1))
          .isInstanceOf(IllegalArgumentException.class);
      assertThatThrownBy(() -> buffer.add(0, 0x6000, 1))
          .isInstanceOf(IllegalArgumentException.class);
      assertThatThrownBy(() -> buffer.add(0, 0x9001, 1))
          .isInstanceOf(IllegalArgumentException.class);
      assertThatThrownBy(() -> buffer.add(0, 0x9000, 255))
          .isInstanceOf(IllegalArgumentException.class);
      buffer.add(0, 0x7000, 3);
      buffer.add(0, 0xf000, 1);
      buffer.removeLast(2);
      assertThat(buffer.pages()).isEqualTo(4);
      assertThat(buffer.offset()).isEqualTo(4 * 4096);
      assertThat(buffer.room()).isEqualTo(252);
      for (int i = 0; i < 4; i++) {
        buffer.data().put(i * 4096, (byte) 1);
      }
      writer.submit(buffer);
      assertThat(writer.finish().getSpaces(0).getRunsList())
          .containsExactly(
              PageRun.newBuilder()
                  .setStart(0x5000)
                  .setPages(4)
                  .setKind(PageKind.PAGE_STORED)
                  .build());
    }
  }

  @Test
  void aPageGivenTwiceIsABug() throws Exception {
    try (FileChannel channel = create("pages");
        PageWriter writer =
            new PageWriter(
                channel, folder.resolve("pages"), Compression.COMPRESSION_NONE, 0, 4096)) {
      writer.zero(0, 0x1000, 4);
      writer.zero(0, 0x2000, 1);
      assertThatThrownBy(writer::finish).isInstanceOf(IllegalStateException.class);
    }
  }

  @Test
  void aFailureOfTheThreadsReachesTheCaller() throws Exception {
    FileChannel channel = create("pages");
    channel.close();
    try (PageWriter writer =
        new PageWriter(channel, folder.resolve("pages"), Compression.COMPRESSION_NONE, 0, 4096)) {
      assertThatThrownBy(
              () -> {
                for (int i = 0; i < 100; i++) {
                  PageBuffer buffer = writer.take();
                  buffer.add(0, i * 4096L, 1);
                  buffer.data().put(5, (byte) 1);
                  writer.submit(buffer);
                }
                writer.finish();
              })
          .isInstanceOf(CheckpointException.class)
          .hasMessageStartingWith("cannot write " + folder.resolve("pages"));
    }
  }

  private static PageChunk chunk(long offset, int pages) {
    return PageChunk.newBuilder()
        .setOffset(offset)
        .setPages(pages)
        .setStoredLength(pages * 4096)
        .setCompression(Compression.COMPRESSION_NONE)
        .build();
  }

  private static PageSpace space(int id, long start, long pages) {
    return PageSpace.newBuilder()
        .setId(id)
        .addRuns(PageRun.newBuilder().setStart(start).setPages(pages).setKind(PageKind.PAGE_STORED))
        .build();
  }

  private static void isRefused(Pagemap.Builder map, long size, String problem) {
    map.setPageSize(map.getPageSize() == 0 ? 4096 : map.getPageSize())
        .setCompression(Compression.COMPRESSION_NONE);
    assertThatThrownBy(() -> PagemapLayout.of("p", map.build(), size))
        .isInstanceOf(CheckpointException.class)
        .hasMessageContaining("cannot read p: " + problem);
  }

  @Test
  void badPagemapsAreRefused() {
    isRefused(Pagemap.newBuilder().setPageSize(4095), 0, "page size 4095");
    isRefused(Pagemap.newBuilder().addSpaces(PageSpace.newBuilder()), 0, "space 0 without runs");
    isRefused(
        Pagemap.newBuilder().addSpaces(space(1, 0, 1)).addSpaces(space(1, 0, 1)), 0, "space 1 out");
    isRefused(Pagemap.newBuilder().addSpaces(space(0, 1, 1)), 0, "run 0x1 of space 0 is not");
    isRefused(Pagemap.newBuilder().addSpaces(space(0, 0, 0)), 0, "run 0x0 of space 0 has 0");
    isRefused(
        Pagemap.newBuilder().addSpaces(space(0, 4096, Long.MAX_VALUE / 4096)),
        0,
        "run 0x1000 of space 0 has");
    isRefused(Pagemap.newBuilder().addSpaces(space(0, 0, 1)), 0, "stored pages without a chunk");
    isRefused(
        Pagemap.newBuilder().addSpaces(space(0, 0, 1)).addChunks(chunk(0, 2)),
        8192,
        "chunk 0 holds pages of two spaces");
    isRefused(Pagemap.newBuilder().addChunks(chunk(0, 1)), 4096, "chunk 0 has no stored pages");
    isRefused(
        Pagemap.newBuilder().addSpaces(space(0, 0, 1)).addChunks(chunk(0, 1)),
        4097,
        "chunks end at 4096 but the part pages has 4097");
    isRefused(
        Pagemap.newBuilder()
            .addSpaces(space(0, 0, 2))
            .addChunks(chunk(0, 1))
            .addChunks(chunk(0, 1)),
        8192,
        "chunk 1 is at offset 0 instead of 4096");
    isRefused(
        Pagemap.newBuilder().addSpaces(space(0, 0, 257)).addChunks(chunk(0, 257)),
        257 * 4096,
        "chunk 0 has 257 pages");
    isRefused(
        Pagemap.newBuilder()
            .addSpaces(space(0, 0, 1))
            .addChunks(chunk(0, 1).toBuilder().setStoredLength(4095)),
        4095,
        "chunk 0 of compression 1 has 4095 bytes");
  }
}
