package dev.jcr.parasite.procfs;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// `/proc/PID/fdinfo/N`, proc_pid_fdinfo(5).
///
/// @param position file offset in bytes
/// @param flags access mode, status flags, and O_CLOEXEC of this descriptor
/// @param mountId 0 where the kernel shows none
/// @param inode 0 where the kernel (before 5.14) shows none
/// @param extra the other lines in order, by what precedes the colon; "inotify" and "fanotify"
///   lines, which have none there, by that first word
public record FdInfo(
    long position, int flags, int mountId, long inode, Map<String, List<String>> extra) {

  /// A `tfd:` line of an epoll: what was registered.
  ///
  /// @param fd the number at registration, maybe closed or another file by now
  /// @param inode inode of the file; one and the same for all anonymous inodes
  public record EpollLine(int fd, int events, long data, long position, long inode, long device) {}

  public static FdInfo parse(String text) {
    long position = 0;
    int flags = 0;
    int mountId = 0;
    long inode = 0;
    Map<String, List<String>> extra = new LinkedHashMap<>();
    for (String line : Scan.lines(text)) {
      if (line.isEmpty()) {
        continue;
      }
      boolean notify = line.startsWith("inotify ") || line.startsWith("fanotify ");
      int cut = line.indexOf(notify ? ' ' : ':');
      if (cut <= 0) {
        throw Scan.bad("a field name and a colon", line);
      }
      String name = line.substring(0, cut);
      Scan scan = new Scan(line);
      scan.expect(line.substring(0, cut + 1));
      switch (name) {
        case "pos" -> position = scan.decimal();
        case "flags" -> flags = (int) scan.octal();
        case "mnt_id" -> mountId = scan.integer();
        case "ino" -> inode = scan.decimal();
        default -> extra.computeIfAbsent(name, key -> new ArrayList<>()).add(scan.rest().strip());
      }
    }
    return new FdInfo(position, flags, mountId, inode, extra);
  }

  private Optional<String> first(String name) {
    List<String> values = extra.get(name);
    return values == null || values.isEmpty() ? Optional.empty() : Optional.of(values.getFirst());
  }

  private Scan require(String name) {
    String value =
        first(name)
            .orElseThrow(() -> new IllegalArgumentException("no line '" + name + ":' in fdinfo"));
    return new Scan(value);
  }

  public boolean closeOnExec() {
    return (flags & 0x80000) != 0;
  }

  /// The kernel prints it in hexadecimal.
  public long eventfdCount() {
    return require("eventfd-count").hex();
  }

  /// Empty before Linux 5.2.
  public Optional<Integer> eventfdId() {
    return first("eventfd-id").map(value -> new Scan(value).integer());
  }

  /// Empty before Linux 6.5.
  public Optional<Boolean> eventfdSemaphore() {
    return first("eventfd-semaphore").map(value -> new Scan(value).integer() != 0);
  }

  /// Signal set of a signalfd: bit n-1 is signal n.
  public long sigmask() {
    return require("sigmask").hex();
  }

  public int timerfdClock() {
    return require("clockid").integer();
  }

  public long timerfdTicks() {
    return require("ticks").decimal();
  }

  /// TFD_TIMER_ABSTIME 1, TFD_TIMER_CANCEL_ON_SET 2.
  public int timerfdSettimeFlags() {
    return (int) require("settime flags").octal();
  }

  /// Time left in ns; 0 is disarmed.
  public long timerfdRemaining() {
    return pair("it_value");
  }

  /// Period in ns.
  public long timerfdInterval() {
    return pair("it_interval");
  }

  private long pair(String name) {
    Scan scan = require(name);
    scan.expect("(");
    long seconds = scan.decimal();
    scan.expect(",");
    long nanos = scan.decimal();
    scan.expect(")");
    return seconds * 1_000_000_000L + nanos;
  }

  public List<EpollLine> epollTargets() {
    List<EpollLine> targets = new ArrayList<>();
    for (String line : extra.getOrDefault("tfd", List.of())) {
      Scan scan = new Scan(line);
      int fd = scan.integer();
      long events = named(scan, "events:");
      long data = named(scan, "data:");
      scan.skipBlanks();
      // Absent before Linux 4.18.
      if (scan.atEnd()) {
        targets.add(new EpollLine(fd, (int) events, data, 0, 0, 0));
        continue;
      }
      scan.expect("pos:");
      long position = scan.decimal();
      long inode = named(scan, "ino:");
      long device = named(scan, "sdev:");
      targets.add(new EpollLine(fd, (int) events, data, position, inode, device));
    }
    return targets;
  }

  private static long named(Scan scan, String name) {
    scan.skipBlanks();
    scan.expect(name);
    return scan.hex();
  }

  /// The process of a pidfd, -1 when it has been reaped; empty for any other file.
  public Optional<Integer> pidfdPid() {
    return first("Pid").map(value -> new Scan(value).integer());
  }

  /// How many descriptors are on their way to this unix socket; 0 for any other file.
  public int passedDescriptors() {
    return first("scm_fds").map(value -> new Scan(value).integer()).orElse(0);
  }

  /// Watches of an inotify instance, raw.
  public List<String> inotify() {
    return extra.getOrDefault("inotify", List.of());
  }

  /// Marks of a fanotify group, raw.
  public List<String> fanotify() {
    return extra.getOrDefault("fanotify", List.of());
  }

  /// POSIX, OFD and flock locks and leases, as in proc_locks(5).
  public List<String> locks() {
    return extra.getOrDefault("lock", List.of());
  }
}
