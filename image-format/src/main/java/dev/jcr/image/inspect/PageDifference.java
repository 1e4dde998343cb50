package dev.jcr.image.inspect;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.pages.PageStore;
import dev.jcr.image.v1.PageKind;
import dev.jcr.image.v1.PageRun;
import dev.jcr.image.v1.Pagemap;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/// Contiguous pages that differ between two images in the same way.
///
/// @param space 0 for the address space of the process, else the id of a shared object
/// @param start address or offset in bytes
public record PageDifference(int space, long start, long pages, Kind kind) {
  /// How pages differ.
  public enum Kind {
    /// Their bytes differ; a page that is not there counts as zero.
    CONTENT,
    /// A page of zeros is present on the left only. Of no meaning in anonymous memory.
    ZERO_ON_LEFT,
    /// A page of zeros is present on the right only.
    ZERO_ON_RIGHT,
    /// Not known: the page stayed with the source of a migration, on one side or both.
    NOT_THERE
  }

  @Override
  public String toString() {
    return "pages 0x"
        + Long.toHexString(start)
        + " +"
        + pages
        + (space == 0 ? "" : " of object " + space)
        + ": "
        + switch (kind) {
          case CONTENT -> "contents differ";
          case ZERO_ON_LEFT -> "zero on the left, absent on the right";
          case ZERO_ON_RIGHT -> "absent on the left, zero on the right";
          case NOT_THERE -> "not compared, they stayed with the source of a migration";
        };
  }

  /// Walks both images in order, each chunk read once. Pages of two sizes are not compared: that
  /// `host.page_size` differs is said already.
  static List<PageDifference> between(PageStore left, PageStore right) throws CheckpointException {
    if (left.pageSize() != right.pageSize()) {
      return List.of();
    }
    List<PageDifference> found = new ArrayList<>();
    Cursor a = new Cursor(left);
    Cursor b = new Cursor(right);
    while (!a.atEnd() || !b.atEnd()) {
      int order = a.compareTo(b);
      Cursor first = order <= 0 ? a : b;
      int space = first.space();
      long address = first.address();
      boolean onLeft = order <= 0;
      boolean onRight = order >= 0;
      boolean unknown = (onLeft && a.isRemote()) || (onRight && b.isRemote());
      boolean leftZero = !onLeft || a.isZero();
      boolean rightZero = !onRight || b.isZero();
      if (unknown) {
        add(found, space, address, left.pageSize(), Kind.NOT_THERE);
      } else if (leftZero && rightZero) {
        if (!onRight) {
          add(found, space, address, left.pageSize(), Kind.ZERO_ON_LEFT);
        } else if (!onLeft) {
          add(found, space, address, left.pageSize(), Kind.ZERO_ON_RIGHT);
        }
      } else if (leftZero != rightZero || !a.page().equals(b.page())) {
        add(found, space, address, left.pageSize(), Kind.CONTENT);
      }
      if (onLeft) {
        a.next();
      }
      if (onRight) {
        b.next();
      }
    }
    return found;
  }

  private static void add(
      List<PageDifference> found, int space, long address, int pageSize, Kind kind) {
    if (!found.isEmpty()) {
      PageDifference last = found.getLast();
      if (last.space == space
          && last.kind == kind
          && last.start + last.pages * pageSize == address) {
        found.set(found.size() - 1, new PageDifference(space, last.start, last.pages + 1, kind));
        return;
      }
    }
    found.add(new PageDifference(space, address, 1, kind));
  }

  /// The place of one image the walk has come to.
  private static final class Cursor implements Comparable<Cursor> {
    private final PageStore store;
    private final PageStore.Walk walk;
    private final Pagemap map;
    private int spaceIndex;
    private int runIndex;
    private long page;

    Cursor(PageStore store) {
      this.store = store;
      this.walk = store.walk();
      this.map = store.effective();
    }

    boolean atEnd() {
      return spaceIndex == map.getSpacesCount();
    }

    int space() {
      return map.getSpaces(spaceIndex).getId();
    }

    private PageRun run() {
      return map.getSpaces(spaceIndex).getRuns(runIndex);
    }

    long address() {
      return run().getStart() + page * store.pageSize();
    }

    boolean isZero() {
      return run().getKind() == PageKind.PAGE_ZERO;
    }

    boolean isRemote() {
      return run().getKind() == PageKind.PAGE_REMOTE;
    }

    ByteBuffer page() throws CheckpointException {
      return walk.page(space(), address());
    }

    void next() {
      if (++page == run().getPages()) {
        page = 0;
        if (++runIndex == map.getSpaces(spaceIndex).getRunsCount()) {
          runIndex = 0;
          spaceIndex++;
        }
      }
    }

    /// The end comes after everything.
    @Override
    public int compareTo(Cursor other) {
      if (atEnd() || other.atEnd()) {
        return Boolean.compare(atEnd(), other.atEnd());
      }
      int spaces = Integer.compare(space(), other.space());
      return spaces != 0 ? spaces : Long.compareUnsigned(address(), other.address());
    }
  }
}
