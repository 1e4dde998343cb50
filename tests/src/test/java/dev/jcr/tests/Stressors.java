package dev.jcr.tests;

import java.util.List;

/// The workers of stress-ng that were tried: what becomes of each when it is dumped in the middle
/// of its work.
final class Stressors {
  /// @param reason part of the message
  record Refused(String reason, List<String> names) {}

  private static final String CHILDREN = "process trees are not supported";

  private Stressors() {}

  /// Few, of many kinds, for every run of the tests.
  static final List<String> USUAL =
      List.of("cpu", "matrix", "context", "memcpy", "getdent", "nanosleep", "timerfd", "hdd");

  /// Restored, go on, and end with success.
  static final List<String> WORKING =
      words(
          """
          aio branch bsearch cache cap chattr chmod chown clock close context copy-file cpu crypt
          dnotify dynlib fallocate far-branch fault fcntl file-ioctl fp fp-error fsize fstat full
          funccall funcret get getdent getrandom goto hash hdd heapsort hsearch icache io itimer
          judy key l1cache landlock link list longjmp lsearch madvise matrix matrix-3d mcontend
          membarrier memcpy mergesort mincore msync munmap nanosleep nop null numa personality prctl
          pthread qsort radixsort regs rotate seek set shellsort sigpending sigsegv skiplist sleep
          str stream timer timerfd tree tsearch urandom utime vecfp vecmath vecwide wcs zero
          """);

  static final List<Refused> REFUSED =
      List.of(
          new Refused("an asynchronous I/O context", List.of("aiol")),
          new Refused("an inotify instance with unread events", List.of("inotify")),
          new Refused(
              CHILDREN,
              words(
                  """
                  access affinity alarm atomic bad-altstack brk cacheline cyclic dekker dev-shm dir
                  enosys env epoll eventfd fanotify fiemap fifo filename flock flushcache fpunch
                  futex handle kcmp lease locka lockf lockofd malloc memfd memrate memthrash mlock
                  mmap mmapaddr mmapfixed mmaphuge mmapmany mprotect mq mremap msg msyncmany
                  pagemove pidfd pipe poll secretmem sem-sysv sigfd sigrt sockpair userfaultfd vm
                  yield zlib
                  """)));

  private static List<String> words(String text) {
    return List.of(text.strip().split("\\s+"));
  }

  static String reason(String name) {
    for (Refused group : REFUSED) {
      if (group.names().contains(name)) {
        return group.reason();
      }
    }
    throw new IllegalArgumentException(name);
  }
}
