package dev.jcr.parasite.remote;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import com.google.protobuf.ByteString;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.v1.TagRun;
import dev.jcr.image.v1.Vma;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.PageScan;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.ptrace.Tracee;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/// Allocation tags of arm64's memory tagging
/// (Documentation/arch/arm64/memory-tagging-extension.rst): four bits for each 16 bytes of a
/// PROT_MTE mapping, kept apart from the contents.
public final class MemoryTags {
  private static final int PROT_MTE = 0x20;
  private static final int GRANULE = 16;

  /// Bytes of memory for which tags are read at once.
  private static final int WINDOW = 1 << 20;

  private final Tracee tracee;
  private final int pageSize;

  /// @param tracee any stopped thread of the process
  public MemoryTags(Tracee tracee, int pageSize) {
    this.tracee = tracee;
    this.pageSize = pageSize;
  }

  /// Whether a mapping has tags at all.
  public static boolean isTagged(Vma vma) {
    return (vma.getProtection() & PROT_MTE) != 0;
  }

  /// Tags of pages that are there; pages whose tags are all zero, as of new memory, are left out.
  public List<TagRun> read(List<Vma> vmas, PageScan scan)
      throws CheckpointException, SyscallException {
    List<TagRun> runs = new ArrayList<>();
    for (Vma vma : vmas) {
      if (isTagged(vma)) {
        List<long[]> ranges = new ArrayList<>();
        scan.scan(
            vma.getStart(),
            vma.getEnd(),
            0,
            0,
            PageScan.PRESENT | PageScan.SWAPPED,
            (start, end) -> ranges.add(new long[] {start, end}));
        for (long[] range : ranges) {
          for (long at = range[0]; at < range[1]; at += WINDOW) {
            append(at, peek(at, (int) Math.min(WINDOW, range[1] - at)), runs);
          }
        }
      }
    }
    return runs;
  }

  /// One byte for each granule of `length` bytes.
  private byte[] peek(long address, int length) throws CheckpointException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment tags = arena.allocate(length / GRANULE);
      long done = 0;
      while (done < tags.byteSize()) {
        long count = tracee.peekTags(address + done * GRANULE, tags.asSlice(done));
        if (count <= 0) {
          throw failed("read", address + done * GRANULE, count);
        }
        done += count;
      }
      return tags.toArray(JAVA_BYTE);
    }
  }

  /// Adds the pages that have tags; those that follow each other become one run.
  private void append(long address, byte[] tags, List<TagRun> runs) {
    int perPage = pageSize / GRANULE;
    int page = 0;
    int pages = tags.length / perPage;
    while (page < pages) {
      int first = page;
      while (page < pages && !isZero(tags, page * perPage, perPage)) {
        page++;
      }
      if (page > first) {
        join(
            TagRun.newBuilder()
                .setStart(address + (long) first * pageSize)
                .setTags(packed(tags, first * perPage, page * perPage))
                .build(),
            runs);
      } else {
        page++;
      }
    }
  }

  static void join(TagRun run, List<TagRun> runs) {
    TagRun last = runs.isEmpty() ? TagRun.getDefaultInstance() : runs.getLast();
    if (!runs.isEmpty()
        && last.getStart() + last.getTags().size() * 2L * GRANULE == run.getStart()) {
      runs.removeLast();
      runs.add(last.toBuilder().setTags(last.getTags().concat(run.getTags())).build());
    } else {
      runs.add(run);
    }
  }

  private static boolean isZero(byte[] tags, int from, int count) {
    for (int i = from; i < from + count; i++) {
      if (tags[i] != 0) {
        return false;
      }
    }
    return true;
  }

  static ByteString packed(byte[] tags, int from, int to) {
    byte[] bytes = new byte[(to - from) / 2];
    for (int i = 0; i < bytes.length; i++) {
      bytes[i] = (byte) ((tags[from + 2 * i] & 0xf) | (tags[from + 2 * i + 1] & 0xf) << 4);
    }
    return ByteString.copyFrom(bytes);
  }

  static byte[] unpacked(ByteString bytes) {
    byte[] tags = new byte[bytes.size() * 2];
    for (int i = 0; i < bytes.size(); i++) {
      tags[2 * i] = (byte) (bytes.byteAt(i) & 0xf);
      tags[2 * i + 1] = (byte) ((bytes.byteAt(i) >> 4) & 0xf);
    }
    return tags;
  }

  /// Gives memory its tags; its contents stay.
  public void write(List<TagRun> runs) throws CheckpointException {
    for (TagRun run : runs) {
      try (Arena arena = Arena.ofConfined()) {
        MemorySegment tags = arena.allocateFrom(JAVA_BYTE, unpacked(run.getTags()));
        long done = 0;
        while (done < tags.byteSize()) {
          long address = run.getStart() + done * GRANULE;
          long count = tracee.pokeTags(address, tags.asSlice(done));
          if (count <= 0) {
            throw failed("write", address, count);
          }
          done += count;
        }
      }
    }
  }

  private CheckpointException failed(String verb, long address, long result) {
    int errno = result == 0 ? Errno.EIO : (int) -result;
    return new CheckpointException(
        Outcome.FAILED,
        "cannot %s the memory tags at 0x%x of process %d: %s"
            .formatted(verb, address, tracee.tid(), Errno.describe(errno)));
  }
}
