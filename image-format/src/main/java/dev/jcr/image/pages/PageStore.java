package dev.jcr.image.pages;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.v1.PageKind;
import dev.jcr.image.v1.PageRun;
import dev.jcr.image.v1.PageSpace;
import dev.jcr.image.v1.Pagemap;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/// The page contents of an image whose unchanged pages are in older images: the parts "pages" of
/// the whole chain as one. An image without a parent is a chain of one.
///
/// Safe for any thread but for [Walk].
public final class PageStore implements AutoCloseable {
  private final List<PageReader> layers;
  private final List<Piece> pieces = new ArrayList<>();
  private final Pagemap effective;

  /// Pages of a chunk that no newer image replaces.
  ///
  /// @param slices in the order in which they lie in the chunk
  public record Piece(PageReader reader, ChunkRuns chunk, List<Slice> slices) {
    public Piece {
      slices = List.copyOf(slices);
    }

    /// The part of it that lies in `ranges`.
    ///
    /// @param pageSize bytes
    public Piece within(Ranges ranges, int pageSize) {
      List<Slice> inside = new ArrayList<>();
      for (Slice slice : slices) {
        long end = slice.start + (long) slice.pages * pageSize;
        Ranges parts = Ranges.of(slice.start, end).and(ranges);
        for (int i = 0; i < parts.size(); i++) {
          inside.add(
              new Slice(
                  parts.start(i),
                  slice.first + (int) ((parts.start(i) - slice.start) / pageSize),
                  (int) ((parts.end(i) - parts.start(i)) / pageSize)));
        }
      }
      return new Piece(reader, chunk, inside);
    }

    /// Whether all pages of the chunk are of use, so that its checksum is that of the slices.
    public boolean isWhole() {
      return slices.stream().mapToInt(Slice::pages).sum() == chunk.pages();
    }
  }

  /// Contiguous pages; `start` is an address or an offset in the object, in bytes.
  ///
  /// @param first the first page's number in the chunk
  public record Slice(long start, int first, int pages) {}

  private record Range(long start, long end) {}

  /// Ranges by space, ascending, that come from the next older image.
  private static final class Wanted {
    private final Map<Integer, List<Range>> spaces = new TreeMap<>();

    void add(int space, long start, long end) {
      List<Range> ranges = spaces.computeIfAbsent(space, _ -> new ArrayList<>());
      if (!ranges.isEmpty() && ranges.getLast().end == start) {
        ranges.set(ranges.size() - 1, new Range(ranges.getLast().start, end));
      } else {
        ranges.add(new Range(start, end));
      }
    }

    List<Range> of(int space) {
      return spaces.getOrDefault(space, List.of());
    }

    long bytes() {
      return spaces.values().stream()
          .flatMap(List::stream)
          .mapToLong(range -> range.end - range.start)
          .sum();
    }

    boolean isEmpty() {
      return spaces.isEmpty();
    }
  }

  @FunctionalInterface
  private interface Sink {
    void range(long start, long end);
  }

  /// Takes over the readers of a chain, the newest first.
  ///
  /// @param object the image, for messages
  /// @throws CheckpointException of outcome IMAGE: a page is in no image of the chain, or there are
  ///   two page sizes
  public PageStore(String object, List<PageReader> layers) throws CheckpointException {
    this.layers = List.copyOf(layers);
    PageReader top = layers.getFirst();
    RunList runs = new RunList(top.pageSize());
    Wanted wanted = null;
    for (PageReader layer : layers) {
      if (layer.pageSize() != top.pageSize()) {
        throw damaged(object, "an image of its chain has another page size");
      }
      Wanted next = new Wanted();
      long found = layer(layer, wanted, runs, next);
      if (wanted != null && found != wanted.bytes()) {
        throw damaged(object, "pages that it leaves to its parent images are not there");
      }
      wanted = next;
      if (wanted.isEmpty()) {
        break;
      }
    }
    if (wanted != null && !wanted.isEmpty()) {
      throw damaged(object, "it leaves pages to a parent image and names none");
    }
    pieces.sort(
        Comparator.comparingInt((Piece p) -> p.chunk.space())
            .thenComparingLong(p -> p.slices.getFirst().start));
    effective =
        layers.size() == 1
            ? top.map()
            : top.map().toBuilder().clearSpaces().clearChunks().addAllSpaces(runs.build()).build();
  }

  private static CheckpointException damaged(String object, String problem) {
    return new CheckpointException(
        Outcome.IMAGE,
        "cannot read " + object + ": " + problem + "; copy the images again or dump again");
  }

  /// What one image gives: pieces, zero pages, and what is to be looked for further down. Returns
  /// the bytes of all three.
  ///
  /// @param wanted null for the newest, of which everything is
  private long layer(PageReader layer, @Nullable Wanted wanted, RunList runs, Wanted next) {
    long[] found = {0};
    int pageSize = layer.pageSize();
    for (PageSpace space : layer.map().getSpacesList()) {
      Matcher matcher = new Matcher(wanted == null ? null : wanted.of(space.getId()));
      for (PageRun run : space.getRunsList()) {
        if (run.getKind() == PageKind.PAGE_STORED) {
          continue;
        }
        long end = run.getStart() + run.getPages() * pageSize;
        matcher.match(
            run.getStart(),
            end,
            (from, to) -> {
              found[0] += to - from;
              if (run.getKind() == PageKind.PAGE_PARENT) {
                next.add(space.getId(), from, to);
              } else {
                runs.add(space.getId(), from, (to - from) / pageSize, run.getKind());
              }
            });
      }
    }
    Map<Integer, Matcher> matchers = new HashMap<>();
    for (ChunkRuns chunk : layer.layout()) {
      Matcher matcher =
          matchers.computeIfAbsent(
              chunk.space(), space -> new Matcher(wanted == null ? null : wanted.of(space)));
      List<Slice> slices = new ArrayList<>();
      int[] page = {0};
      for (ChunkRuns.Run run : chunk.runs()) {
        long start = run.start();
        matcher.match(
            start,
            start + (long) run.pages() * pageSize,
            (from, to) -> {
              found[0] += to - from;
              runs.add(chunk.space(), from, (to - from) / pageSize, PageKind.PAGE_STORED);
              slices.add(
                  new Slice(
                      from,
                      page[0] + (int) ((from - start) / pageSize),
                      (int) ((to - from) / pageSize)));
            });
        page[0] += run.pages();
      }
      if (!slices.isEmpty()) {
        pieces.add(new Piece(layer, chunk, slices));
      }
    }
    return found[0];
  }

  /// Cuts ascending ranges with a list of ascending ranges; null stands for everything.
  private static final class Matcher {
    private final @Nullable List<Range> ranges;
    private int at;

    Matcher(@Nullable List<Range> ranges) {
      this.ranges = ranges;
    }

    void match(long start, long end, Sink sink) {
      if (ranges == null) {
        sink.range(start, end);
        return;
      }
      while (at < ranges.size() && ranges.get(at).end <= start) {
        at++;
      }
      for (int i = at; i < ranges.size() && ranges.get(i).start < end; i++) {
        sink.range(Math.max(start, ranges.get(i).start), Math.min(end, ranges.get(i).end));
      }
    }
  }

  /// Which pages there are, with those of older images as if they were this one's. Without chunks
  /// where there is more than one image.
  public Pagemap effective() {
    return effective;
  }

  /// What the newest image says itself, with pages left to its parent as such.
  public Pagemap newest() {
    return layers.getFirst().map();
  }

  /// Whether the newest image holds a piece itself.
  public boolean isNewest(Piece piece) {
    return piece.reader == layers.getFirst();
  }

  /// Bytes of one page.
  public int pageSize() {
    return layers.getFirst().pageSize();
  }

  /// Number of images.
  public int depth() {
    return layers.size();
  }

  /// The pieces of a space, ascending by their first page.
  public List<Piece> pieces(int space) {
    return pieces.stream().filter(piece -> piece.chunk.space() == space).toList();
  }

  /// Chunks of all images.
  public int chunks() {
    return layers.stream().mapToInt(layer -> layer.layout().size()).sum();
  }

  /// Reads every chunk of every image and compares its checksums.
  ///
  /// @throws CheckpointException of outcome IMAGE, naming the first damaged chunk found
  public void verify() throws CheckpointException {
    for (PageReader layer : layers) {
      layer.verify();
    }
  }

  /// Reads pages in ascending order; keeps one chunk of each image. Not thread-safe.
  public Walk walk() {
    return new Walk();
  }

  /// A way through all stored pages in order of space and address.
  public final class Walk {
    private record Step(Piece piece, Slice slice) {}

    private record Loaded(int chunk, ByteBuffer content) {}

    private final List<Step> steps = new ArrayList<>();
    private final Map<PageReader, Loaded> loaded = new HashMap<>();
    private int at;

    private Walk() {
      for (Piece piece : pieces) {
        for (Slice slice : piece.slices) {
          steps.add(new Step(piece, slice));
        }
      }
      steps.sort(
          Comparator.comparingInt((Step s) -> s.piece.chunk.space())
              .thenComparingLong(s -> s.slice.start));
    }

    /// Contents of a stored page that lies behind all those asked for before.
    ///
    /// @throws CheckpointException of outcome IMAGE: damaged
    public ByteBuffer page(int space, long address) throws CheckpointException {
      while (at < steps.size() && !holds(steps.get(at), space, address)) {
        at++;
      }
      if (at == steps.size()) {
        throw new IllegalArgumentException("page 0x" + Long.toHexString(address) + " is not next");
      }
      Step step = steps.get(at);
      PageReader reader = step.piece.reader;
      int chunk = step.piece.chunk.chunk();
      Loaded known = loaded.get(reader);
      if (known == null || known.chunk != chunk) {
        ByteBuffer content =
            known == null ? ByteBuffer.allocateDirect(PageWriter.CHUNK_BYTES) : known.content;
        content.clear();
        reader.read(chunk, content);
        known = new Loaded(chunk, content);
        loaded.put(reader, known);
      }
      int page = step.slice.first + (int) ((address - step.slice.start) / pageSize());
      return known.content.slice(page * pageSize(), pageSize());
    }

    private boolean holds(Step step, int space, long address) {
      return step.piece.chunk.space() == space
          && step.slice.start <= address
          && address < step.slice.start + (long) step.slice.pages * pageSize();
    }
  }

  @Override
  public void close() {
    layers.forEach(PageReader::close);
  }
}
