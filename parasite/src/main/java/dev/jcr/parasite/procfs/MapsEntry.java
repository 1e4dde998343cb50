package dev.jcr.parasite.procfs;

import java.util.ArrayList;
import java.util.List;

/// A line of `/proc/PID/maps`.
///
/// @param permissions four letters: `rwx` or dashes, then `p` private or `s` shared
/// @param offset bytes in the file
/// @param path as the kernel shows it: may end in " (deleted)", may be `[stack]`, and is empty for
///   anonymous memory. A newline in it, which the kernel writes as `\012`, is decoded; a name that
///   really contains those four characters reads the same, so identity is device and inode
public record MapsEntry(
    long start,
    long end,
    String permissions,
    long offset,
    int deviceMajor,
    int deviceMinor,
    long inode,
    String path) {

  public static List<MapsEntry> parse(String mapsText) {
    List<MapsEntry> entries = new ArrayList<>();
    for (String line : Scan.lines(mapsText)) {
      entries.add(parseLine(line));
    }
    return entries;
  }

  static MapsEntry parseLine(String line) {
    Scan scan = new Scan(line);
    long start = scan.hex();
    scan.expect("-");
    long end = scan.hex();
    String permissions = scan.word();
    if (permissions.length() != 4) {
      throw scan.bad("permissions of 4 letters");
    }
    long offset = scan.hex();
    long major = scan.hex();
    scan.expect(":");
    long minor = scan.hex();
    long inode = scan.decimal();
    scan.skipBlanks();
    String path = Scan.name(scan.rest()).replace("\\012", "\n");
    if (Long.compareUnsigned(start, end) >= 0) {
      throw scan.bad("a range");
    }
    return new MapsEntry(start, end, permissions, offset, (int) major, (int) minor, inode, path);
  }
}
