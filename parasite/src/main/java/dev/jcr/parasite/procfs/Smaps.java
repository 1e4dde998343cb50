package dev.jcr.parasite.procfs;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/// A mapping as `/proc/PID/smaps` describes it; the first eight components as in [MapsEntry].
///
/// @param vmFlags two letters each, in the kernel's order ("rd", "wr", "mr" ...)
/// @param protectionKey 0 when the CPU has none
/// @param kernelPageSizeKb page size of the mapping: more than the base page for hugetlb
public record Smaps(
    long start,
    long end,
    String permissions,
    long offset,
    int deviceMajor,
    int deviceMinor,
    long inode,
    String path,
    List<String> vmFlags,
    long rssKb,
    long swapKb,
    int protectionKey,
    long kernelPageSizeKb) {

  public Smaps {
    vmFlags = List.copyOf(vmFlags);
  }

  /// Flags of who tracks its writes, which is no property of the process: "uw" of a userfaultfd, as
  /// jcr's own, "sd" of soft-dirty bits.
  private static final Set<String> TRACKED = Set.of("uw", "sd");

  /// Whether it is the same in all but the pages that are there, and who tracks its writes.
  public boolean sameMapping(Smaps other) {
    return withoutPages().equals(other.withoutPages());
  }

  private Smaps withoutPages() {
    return new Smaps(
        start,
        end,
        permissions,
        offset,
        deviceMajor,
        deviceMinor,
        inode,
        path,
        vmFlags.stream().filter(flag -> !TRACKED.contains(flag)).toList(),
        0,
        0,
        protectionKey,
        kernelPageSizeKb);
  }

  public static List<Smaps> parse(String smapsText) {
    List<Smaps> all = new ArrayList<>();
    Lines lines = new Lines(smapsText);
    while (!lines.atEnd()) {
      MapsEntry head = MapsEntry.parseLine(lines.take());
      List<String> vmFlags = List.of();
      long rss = 0;
      long swap = 0;
      int key = 0;
      long pageSize = 0;
      for (; lines.atField(); lines.skip()) {
        // Of some twenty lines only these are made into strings.
        if (lines.has("Rss:")) {
          rss = lines.after("Rss:").decimal();
        } else if (lines.has("Swap:")) {
          swap = lines.after("Swap:").decimal();
        } else if (lines.has("KernelPageSize:")) {
          pageSize = lines.after("KernelPageSize:").decimal();
        } else if (lines.has("ProtectionKey:")) {
          key = lines.after("ProtectionKey:").integer();
        } else if (lines.has("VmFlags:")) {
          vmFlags = Scan.words(lines.after("VmFlags:").rest());
        }
      }
      all.add(
          new Smaps(
              head.start(),
              head.end(),
              head.permissions(),
              head.offset(),
              head.deviceMajor(),
              head.deviceMinor(),
              head.inode(),
              head.path(),
              vmFlags,
              rss,
              swap,
              key,
              pageSize));
    }
    return all;
  }

  /// The lines of a text, one after the other.
  private static final class Lines {
    private final String text;
    private int at;
    private int end;

    Lines(String text) {
      this.text = text;
      this.end = endFrom(0);
    }

    private int endFrom(int start) {
      int found = text.indexOf('\n', start);
      return found < 0 ? text.length() : found;
    }

    boolean atEnd() {
      return at >= text.length();
    }

    String take() {
      String line = text.substring(at, end);
      skip();
      return line;
    }

    void skip() {
      at = end + 1;
      end = endFrom(at);
    }

    /// "Rss: 4 kB", unlike the head line, whose first word is an address range.
    boolean atField() {
      for (int i = at; i < end; i++) {
        char c = text.charAt(i);
        if (c == ':') {
          return i > at;
        }
        if (c == ' ' || c == '-') {
          return false;
        }
      }
      return false;
    }

    boolean has(String name) {
      return text.startsWith(name, at);
    }

    Scan after(String name) {
      Scan scan = new Scan(text.substring(at, end));
      scan.expect(name);
      return scan;
    }
  }
}
