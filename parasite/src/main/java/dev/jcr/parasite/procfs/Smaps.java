package dev.jcr.parasite.procfs;

import java.util.ArrayList;
import java.util.List;

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

  public static List<Smaps> parse(String smapsText) {
    List<Smaps> all = new ArrayList<>();
    List<String> lines = Scan.lines(smapsText);
    int at = 0;
    while (at < lines.size()) {
      MapsEntry head = MapsEntry.parseLine(lines.get(at++));
      List<String> vmFlags = List.of();
      long rss = 0;
      long swap = 0;
      int key = 0;
      long pageSize = 0;
      while (at < lines.size() && isField(lines.get(at))) {
        String line = lines.get(at++);
        int colon = line.indexOf(':');
        Scan scan = new Scan(line);
        scan.expect(line.substring(0, colon + 1));
        switch (line.substring(0, colon)) {
          case "Rss" -> rss = scan.decimal();
          case "Swap" -> swap = scan.decimal();
          case "KernelPageSize" -> pageSize = scan.decimal();
          case "ProtectionKey" -> key = scan.integer();
          case "VmFlags" -> vmFlags = Scan.words(scan.rest());
          default -> {}
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

  /// "Rss: 4 kB", unlike the head line, whose first word is an address range.
  private static boolean isField(String line) {
    int colon = line.indexOf(':');
    if (colon <= 0) {
      return false;
    }
    for (int i = 0; i < colon; i++) {
      char c = line.charAt(i);
      if (c == ' ' || c == '-') {
        return false;
      }
    }
    return true;
  }
}
