package dev.jcr.dump.threads;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.jcr.image.v1.Arch;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.procfs.BlockedIn;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.procfs.ProcStat;
import dev.jcr.parasite.procfs.SchedFile;
import dev.jcr.parasite.remote.ProcessMemory;
import dev.jcr.parasite.restart.InterruptedCall;
import dev.jcr.parasite.restart.TimedCall;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;

/// How long each sleeping thread has slept: the kernel shows no expiry of a relative timeout, but
/// /proc/TID/sched shows when the thread last ran (`se.exec_start`), on the clock of its CPU. Must
/// be read before the thread is stopped, because stopping makes it run.
///
/// Own and the thread's time are compared on the same CPU, since the clocks of two CPUs differ. A
/// spurious wake-up makes the error one towards more time left, never an early return; so does a
/// stop before this one, of which only the sleep since is seen. Where the kernel's list of timers
/// can be read, this estimate only tells which timer is the thread's ([SleepTimers]).
public final class SleepClock {
  /// What the look saw of one thread.
  ///
  /// @param startedAt when the thread was made
  /// @param timeout nanoseconds; empty where a restart_syscall(2) hides what sleeps
  private record Sleep(
      BlockedIn blocked,
      long startedAt,
      long sleptNanos,
      long takenAt,
      OptionalLong timeout,
      boolean timer) {
    long estimate(long nanos) {
      return takenAt + nanos - sleptNanos;
    }

    /// It cannot end before: no sleep is longer than its thread is old. But one that was
    /// interrupted before may have begun before its thread was made, by a restore.
    long earliest(long nanos) {
      return timeout.isEmpty() ? Long.MIN_VALUE : startedAt + nanos - START_NANOS;
    }
  }

  /// /proc counts starts and the time since the host's in hundredths of a second.
  private static final long TICK_NANOS = 10_000_000;

  private static final long START_NANOS = 3 * TICK_NANOS;

  private final Map<Integer, Sleep> sleeps = new HashMap<>();
  private final Map<Integer, BlockedIn> blocked = new HashMap<>();
  private final Map<Integer, String> places = new HashMap<>();
  private final Map<Integer, Long> ends = new HashMap<>();
  private final SleepTimers timers = new SleepTimers();

  /// Reads what stopping destroys, of all threads. Files that the kernel does not have count as
  /// "unknown"; threads that end meanwhile are left out. Moves the calling thread from CPU to CPU
  /// and back.
  public void read(Proc proc, Arch arch, ProcessMemory memory) throws IOException {
    blocked.clear();
    places.clear();
    sleeps.clear();
    Proc self = Proc.at("/proc/thread-self");
    long hostStarted = hostStarted();
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment affinity = arena.allocate(JAVA_LONG, 128);
      long size = Kernel.raw(Syscall.SCHED_GETAFFINITY, 0, affinity.byteSize(), affinity.address());
      int pinned = -1;
      for (int tid : proc.tasks()) {
        try {
          BlockedIn in = proc.blockedIn(tid);
          blocked.put(tid, in);
          if (in.running() || in.number() < 0) {
            continue;
          }
          places.put(tid, proc.place(tid));
          Optional<TimedCall> call = TimedCall.of(arch, in.number(), in.arguments());
          OptionalLong timeout =
              call.map(timed -> timed.timeout(in.arguments(), memory)).orElse(OptionalLong.empty());
          boolean again = in.number() == Syscall.RESTART_SYSCALL.number(arch);
          if (timeout.isEmpty() && !again) {
            continue;
          }
          boolean timer = call.filter(timed -> timed.form().isSocket()).isEmpty();
          ProcStat stat = proc.stat(tid);
          int cpu = stat.processor();
          if (cpu != pinned && pin(arena, cpu)) {
            pinned = cpu;
          }
          OptionalLong lastRan = proc.sched(tid).execStartNanos();
          OptionalLong now = SchedFile.parse(self.text("sched")).execStartNanos();
          if (pinned == cpu && lastRan.isPresent() && now.isPresent()) {
            long slept = lastRan.getAsLong() == 0 ? 0 : now.getAsLong() - lastRan.getAsLong();
            sleeps.put(
                tid,
                new Sleep(
                    in,
                    hostStarted + stat.startTime() * TICK_NANOS,
                    Math.max(0, slept),
                    System.nanoTime(),
                    timeout,
                    timer));
          }
        } catch (IOException _) {
          // The thread ended, or the kernel does not show the file.
        }
      }
      if (pinned >= 0 && size > 0) {
        Kernel.raw(Syscall.SCHED_SETAFFINITY, 0, size, affinity.address());
      }
    }
    timers.look();
  }

  /// Reads, behind the stop, when the sleeps that it interrupted were to end. Without a lambda: a
  /// rehearsal sleeps nowhere, so that its first use would be in the freeze.
  public void stopped() {
    ends.clear();
    boolean any = false;
    for (Sleep sleep : sleeps.values()) {
      any |= sleep.timer();
    }
    if (!any) {
      return;
    }
    timers.stopped();
    // First those of whose end most is known: the others take what is left.
    for (Map.Entry<Integer, Sleep> entry : sleeps.entrySet()) {
      Sleep sleep = entry.getValue();
      if (sleep.timer() && sleep.timeout().isPresent()) {
        take(entry.getKey(), sleep, sleep.timeout().getAsLong());
      }
    }
  }

  private void take(int tid, Sleep sleep, long timeout) {
    OptionalLong end = timers.take(sleep.earliest(timeout), sleep.estimate(timeout));
    if (end.isPresent()) {
      ends.put(tid, end.getAsLong());
    }
  }

  /// When this host started, or earlier if it slept since, in ns of System.nanoTime. Of what the
  /// clock of starts counts (CLOCK_BOOTTIME) this clock may have counted less.
  private static long hostStarted() throws IOException {
    String up = Proc.at("/proc").text("uptime");
    int end = up.indexOf(' ');
    return System.nanoTime() - (long) (Double.parseDouble(up.substring(0, end)) * 1e9);
  }

  private static boolean pin(Arena arena, int cpu) {
    MemorySegment mask = arena.allocate(JAVA_LONG, 128);
    mask.setAtIndex(JAVA_LONG, cpu / 64, 1L << cpu % 64);
    return !Kernel.isError(
        Kernel.raw(Syscall.SCHED_SETAFFINITY, 0, mask.byteSize(), mask.address()));
  }

  /// /proc/TID/syscall before the stop.
  public Optional<BlockedIn> blocked(int tid) {
    return Optional.ofNullable(blocked.get(tid));
  }

  /// /proc/TID/wchan before the stop; empty when unknown.
  public String place(int tid) {
    return places.getOrDefault(tid, "");
  }

  /// Nanoseconds left of the timeout of a call that was interrupted at `stoppedAt`
  /// (System.nanoTime), at least 1; 0 when it has no timeout or nothing is known of its start.
  public long remaining(
      int tid, InterruptedCall call, Arch arch, ProcessMemory memory, long stoppedAt) {
    OptionalLong written = remainder(call, arch, memory);
    if (written.isPresent()) {
      return Math.max(1, written.getAsLong());
    }
    Sleep sleep = sleeps.get(tid);
    if (sleep == null || call.number() < 0) {
      return 0;
    }
    Optional<TimedCall> timed = TimedCall.of(arch, call.number(), call.arguments());
    if (timed.isEmpty() || !sameSleep(sleep.blocked(), call)) {
      return 0;
    }
    OptionalLong timeout = timed.get().timeout(call.arguments(), memory);
    if (timeout.isEmpty()) {
      return 0;
    }
    if (sleep.timer() && sleep.timeout().isEmpty() && !ends.containsKey(tid)) {
      // It was interrupted before, and the last look saw only how long it has slept since.
      take(tid, sleep, timeout.getAsLong());
    }
    // When a thread last ran the kernel may have forgotten (0 of one that was moved to another
    // CPU):
    // it must not seem to have slept for ever.
    long estimate =
        Math.max(sleep.estimate(timeout.getAsLong()), sleep.earliest(timeout.getAsLong()));
    return Math.max(1, ends.getOrDefault(tid, estimate) - stoppedAt);
  }

  /// nanosleep and clock_nanosleep with a place for it: the kernel wrote the time left when it
  /// interrupted them. It may be the place of the request as well.
  private static OptionalLong remainder(InterruptedCall call, Arch arch, ProcessMemory memory) {
    if (call.kind() != InterruptedCall.Kind.RESTART_BLOCK || call.number() < 0) {
      return OptionalLong.empty();
    }
    int place =
        Syscall.of(arch, call.number())
            .map(syscall ->
                switch (syscall) {
                  case NANOSLEEP -> 1;
                  case CLOCK_NANOSLEEP -> 3;
                  default -> -1;
                })
            .orElse(-1);
    if (place < 0 || call.arguments()[place] == 0) {
      return OptionalLong.empty();
    }
    return new TimedCall(place, TimedCall.Form.TIMESPEC, TimedCall.Restart.RESTART_BLOCK)
        .timeout(call.arguments(), memory);
  }

  /// The thread was not woken between the look and the stop.
  private static boolean sameSleep(BlockedIn before, InterruptedCall call) {
    for (int i = 0; i < before.arguments().length; i++) {
      if (before.arguments()[i] != call.arguments()[i]) {
        return false;
      }
    }
    return true;
  }
}
