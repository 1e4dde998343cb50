package dev.jcr.dump.files;

import dev.jcr.dump.timers.TimerCollector;
import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.Epoll;
import dev.jcr.image.v1.EpollTarget;
import dev.jcr.image.v1.EventFd;
import dev.jcr.image.v1.SignalFd;
import dev.jcr.image.v1.TimerFd;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.procfs.FdInfo;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;

/// Files of anonymous inodes: eventfd, timerfd, signalfd, epoll; all others are refused by name.
final class Anonymous {
  private static final long SECOND = 1_000_000_000L;

  private Anonymous() {}

  static void describe(Scene scene, OpenFile file, Description.Builder description)
      throws IOException, Refusal {
    FdInfo info = file.info();
    switch (file.link()) {
      case "anon_inode:[eventfd]" ->
          description.setEventfd(
              EventFd.newBuilder()
                  .setCount(info.eventfdCount())
                  .setSemaphore(info.eventfdSemaphore().orElse(false)));
      case "anon_inode:[timerfd]" -> description.setTimerfd(timer(scene, file));
      case "anon_inode:[signalfd]" ->
          description.setSignalfd(SignalFd.newBuilder().setMask(info.sigmask()));
      case "anon_inode:[eventpoll]" -> description.setEpoll(epoll(scene, file));
      case "anon_inode:[io_uring]" ->
          throw new Refusal("an io_uring instance is not restorable" + requests(info), "close it");
      case "anon_inode:inotify", "anon_inode:[inotify]" ->
          description.setInotify(Watches.inotify(scene, file));
      case "anon_inode:[fanotify]" -> description.setFanotify(FanotifyGroups.describe(scene, file));
      case "anon_inode:[userfaultfd]" ->
          throw new Refusal("a userfaultfd is not restorable", "close it");
      case "anon_inode:[perf_event]" ->
          throw new Refusal("a perf event is not restorable", "close it");
      case "anon_inode:[pidfd]" -> description.setPidfd(Watches.pidfd(scene, file));
      default ->
          throw new Refusal(
              file.link().substring("anon_inode:".length()) + " is not restorable", "close it");
    }
  }

  /// What an io_uring instance has taken from its queue and given back (io_uring/fdinfo.c). A
  /// request gives back one completion, if it is not of the few that give none or many.
  private static String requests(FdInfo info) {
    OptionalLong taken = number(info, "CachedSqHead");
    OptionalLong given = number(info, "CachedCqTail");
    OptionalLong read = number(info, "CqHead");
    return taken.isEmpty() || given.isEmpty() || read.isEmpty()
        ? ""
        : " (it has taken %d requests and given %d completions, of which %d were read)"
            .formatted(taken.getAsLong(), given.getAsLong(), read.getAsLong());
  }

  private static OptionalLong number(FdInfo info, String name) {
    return info.extra().getOrDefault(name, List.of()).stream()
        .filter(value -> value.matches("[0-9]{1,18}"))
        .mapToLong(Long::parseLong)
        .findFirst();
  }

  private static TimerFd timer(Scene scene, OpenFile file) throws IOException {
    // Read again: it goes on while the table of descriptors is made.
    FdInfo info = fdinfo(scene, file);
    int fd = file.duplicate().number();
    if (!scene.running() && info.timerfdTicks() > 0 && info.timerfdRemaining() == 0) {
      // A periodic one that has expired rests, with one tick, until it is read. Only this call,
      // which sets it going, counts the periods since.
      readTimer(fd);
      info = fdinfo(scene, file);
    }
    long since = scene.sinceStop();
    int clock = info.timerfdClock();
    long left = info.timerfdRemaining();
    long interval = info.timerfdInterval();
    long ticks = info.timerfdTicks();
    long expires = left == 0 ? 0 : expiry(fd, clock, left);
    long remaining = TimerCollector.atFreeze(left, interval, since);
    if (ticks > 0 && left > 0 && interval > 0) {
      // Without those since the freeze.
      long late = Math.min(ticks, (left + since - 1) / interval);
      ticks -= late;
      remaining = left + since - late * interval;
      expires -= late * interval;
    }
    return TimerFd.newBuilder()
        .setClock(clock)
        .setTicks(ticks)
        .setSettimeFlags(info.timerfdSettimeFlags())
        .setInterval(interval)
        .setRemaining(remaining)
        .setExpires(expires)
        .build();
  }

  private static FdInfo fdinfo(Scene scene, OpenFile file) throws IOException {
    return FdInfo.parse(scene.proc().text("fdinfo/" + file.fd()));
  }

  /// The clock's reading at which it expires: what is left now, between two looks at the clock.
  private static long expiry(int fd, int clock, long remaining) throws SyscallException {
    long before = now(clock);
    long left = readTimer(fd);
    long after = now(clock);
    return before + (after - before) / 2 + (left == 0 ? remaining : left);
  }

  /// timerfd_gettime(2): what is left.
  private static long readTimer(int fd) throws SyscallException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment value = arena.allocate(32, 8);
      Kernel.call("read a timerfd", Syscall.TIMERFD_GETTIME, fd, value.address());
      return value.get(ValueLayout.JAVA_LONG, 16) * SECOND + value.get(ValueLayout.JAVA_LONG, 24);
    }
  }

  private static long now(int clock) throws SyscallException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment time = arena.allocate(16, 8);
      Kernel.call("read clock " + clock, Syscall.CLOCK_GETTIME, clock, time.address());
      return time.get(ValueLayout.JAVA_LONG, 0) * SECOND + time.get(ValueLayout.JAVA_LONG, 8);
    }
  }

  private static Epoll epoll(Scene scene, OpenFile file) throws Refusal {
    Epoll.Builder epoll = Epoll.newBuilder();
    Map<Integer, Integer> seen = new HashMap<>();
    for (FdInfo.EpollLine line : file.info().epollTargets()) {
      // The same number is there several times when a file was registered, its descriptor closed
      // while another kept the file open, and the number taken and registered again.
      int index = seen.merge(line.fd(), 1, Integer::sum) - 1;
      epoll.addTargets(
          EpollTarget.newBuilder()
              .setFd(line.fd())
              .setEvents(line.events())
              .setData(line.data())
              .setDescriptionId(watched(scene, file, line.fd(), index)));
    }
    // The kernel lists them by address of the file; the same state is to give the same bytes.
    List<EpollTarget> targets = new ArrayList<>(epoll.getTargetsList());
    targets.sort(
        Comparator.comparingInt(EpollTarget::getFd)
            .thenComparingInt(EpollTarget::getDescriptionId));
    return epoll.clearTargets().addAllTargets(targets).build();
  }

  private static int watched(Scene scene, OpenFile epoll, int number, int index) throws Refusal {
    Optional<OpenFile> likely = scene.table().of(number);
    if (likely.isPresent() && watches(scene, epoll, likely.get(), number, index)) {
      return likely.get().id();
    }
    for (OpenFile other : scene.table().files()) {
      if (watches(scene, epoll, other, number, index)) {
        return other.id();
      }
    }
    if (scene.running()) {
      return 0;
    }
    throw new Refusal(
        "an epoll that watches a file, registered as fd "
            + number
            + ", that the process itself "
            + "has not open any more",
        "remove it from the epoll");
  }

  private static boolean watches(
      Scene scene, OpenFile epoll, OpenFile file, int number, int index) {
    return FdCalls.epollWatches(scene.anchor().tid(), file.fd(), epoll.fd(), number, index);
  }
}
