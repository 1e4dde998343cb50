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

/// The page contents of an image whose unchanged pages are in older images: the parts "pages" of
/// the whole chain as one. An image without a parent is a chain of one.
///
/// Safe for any thread but for [Walk].
public final class PageStore implements AutoCloseable {
  private final List<PageReader> layers;
  private final Pagemap effective;

  /// Pages of a chunk that no newer image replaces.
  ///
  /// @param slices in the order in which they lie in the chunk
  public record Piece(PageReader reader, ChunkRuns chunk, List<Slice> slices) {
    public Piece {
      slices = List.copyOf(slices);
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

  /// Takes over the readers of a chain, the newest first.
  ///
  /// @param object the image, for messages
  /// @throws CheckpointException of outcome IMAGE: a page is in no image of the chain, or there are
  ///   two page sizes
  public PageStore(String object, List<PageReader> layers) throws CheckpointException {
    this(List.copyOf(layers), effective(object, layers));
  }

  private PageStore(List<PageReader> layers, Pagemap effective) {
    this.layers = layers;
    this.effective = effective;
  }

  /// The store of an image that continues this one's. Costs what the new image has, and not what
  /// those before it have.
  ///
  /// @param object the new image, for messages
  /// @param newest taken over, as is this store, which is used up; unless this throws
  /// @throws CheckpointException as the constructor
  public PageStore continuedBy(String object, PageReader newest) throws CheckpointException {
    Pagemap whole = over(object, newest, effective);
    List<PageReader> all = new ArrayList<>();
    all.add(newest);
    all.addAll(layers);
    return new PageStore(List.copyOf(all), whole);
  }

  private static Pagemap effective(String object, List<PageReader> layers)
      throws CheckpointException {
    Pagemap whole = null;
    for (PageReader layer : layers.reversed()) {
      if (whole == null) {
        for (PageSpace space : layer.map().getSpacesList()) {
          if (layer.parents(space.getId()).size() > 0) {
            throw damaged(object, "it leaves pages to a parent image and names none");
          }
        }
        whole = layer.map();
      } else {
        whole = over(object, layer, whole);
      }
    }
    return whole == null ? Pagemap.getDefaultInstance() : whole;
  }

  /// What an image says, with what it leaves to its parents from below.
  private static Pagemap over(String object, PageReader layer, Pagemap below)
      throws CheckpointException {
    int pageSize = layer.pageSize();
    if (below.getPageSize() != pageSize) {
      throw damaged(object, "an image of its chain has another page size");
    }
    RunList runs = new RunList(pageSize);
    for (PageSpace space : layer.map().getSpacesList()) {
      List<PageRun> older = runs(below, space.getId());
      int at = 0;
      for (PageRun run : space.getRunsList()) {
        if (run.getKind() != PageKind.PAGE_PARENT) {
          runs.add(space.getId(), run.getStart(), run.getPages(), run.getKind());
          continue;
        }
        long end = run.getStart() + run.getPages() * pageSize;
        long missing = run.getPages();
        while (at < older.size() && end(older.get(at), pageSize) <= run.getStart()) {
          at++;
        }
        for (int i = at; i < older.size() && older.get(i).getStart() < end; i++) {
          long from = Math.max(run.getStart(), older.get(i).getStart());
          long pages = (Math.min(end, end(older.get(i), pageSize)) - from) / pageSize;
          runs.add(space.getId(), from, pages, older.get(i).getKind());
          missing -= pages;
        }
        if (missing != 0) {
          throw damaged(object, "pages that it leaves to its parent images are not there");
        }
      }
    }
    return layer.map().toBuilder().clearSpaces().clearChunks().addAllSpaces(runs.build()).build();
  }

  private static List<PageRun> runs(Pagemap map, int space) {
    return map.getSpacesList().stream()
        .filter(each -> each.getId() == space)
        .findFirst()
        .map(PageSpace::getRunsList)
        .orElse(List.of());
  }

  private static long end(PageRun run, int pageSize) {
    return run.getStart() + run.getPages() * pageSize;
  }

  private static CheckpointException damaged(String object, String problem) {
    return new CheckpointException(
        Outcome.IMAGE,
        "cannot read " + object + ": " + problem + "; copy the images again or dump again");
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
    Ranges all = new Ranges();
    for (PageRun run : runs(effective, space)) {
      all.add(run.getStart(), end(run, pageSize()));
    }
    return pieces(space, all);
  }

  /// Those that lie in `wanted`, and only the parts that do.
  public List<Piece> pieces(int space, Ranges wanted) {
    List<Piece> pieces = new ArrayList<>();
    Ranges left = wanted;
    for (PageReader layer : layers) {
      if (left.size() == 0) {
        break;
      }
      addPieces(layer, space, left, pieces);
      left = left.and(layer.parents(space));
    }
    pieces.sort(Comparator.comparingLong(piece -> piece.slices.getFirst().start));
    return pieces;
  }

  /// Those that the newest image holds itself.
  public List<Piece> newestPieces(int space, Ranges wanted) {
    List<Piece> pieces = new ArrayList<>();
    addPieces(layers.getFirst(), space, wanted, pieces);
    return pieces;
  }

  private void addPieces(PageReader layer, int space, Ranges wanted, List<Piece> pieces) {
    int pageSize = pageSize();
    for (ChunkRuns chunk : layer.layout()) {
      if (chunk.space() != space || !isTouched(chunk, wanted)) {
        continue;
      }
      List<Slice> slices = new ArrayList<>();
      int first = 0;
      for (ChunkRuns.Run run : chunk.runs()) {
        long end = run.start() + (long) run.pages() * pageSize;
        for (int i = wanted.firstEndingAfter(run.start());
            i < wanted.size() && wanted.start(i) < end;
            i++) {
          long from = Math.max(run.start(), wanted.start(i));
          slices.add(
              new Slice(
                  from,
                  first + (int) ((from - run.start()) / pageSize),
                  (int) ((Math.min(end, wanted.end(i)) - from) / pageSize)));
        }
        first += run.pages();
      }
      if (!slices.isEmpty()) {
        pieces.add(new Piece(layer, chunk, slices));
      }
    }
  }

  /// Without a look at its runs, of which there may be one for every page.
  private boolean isTouched(ChunkRuns chunk, Ranges wanted) {
    ChunkRuns.Run last = chunk.runs().getLast();
    int next = wanted.firstEndingAfter(chunk.runs().getFirst().start());
    return next < wanted.size()
        && wanted.start(next) < last.start() + (long) last.pages() * pageSize();
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
      for (PageSpace space : effective.getSpacesList()) {
        for (Piece piece : pieces(space.getId())) {
          for (Slice slice : piece.slices) {
            steps.add(new Step(piece, slice));
          }
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
