package dev.jcr.restore.process;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.v1.Clocks;
import dev.jcr.parasite.host.HostClocks;
import dev.jcr.parasite.host.TimeOffsets;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FileName;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.remote.OwnedProcess;
import dev.jcr.parasite.remote.RemoteClock;
import java.io.IOException;
import java.lang.foreign.Arena;

/// Moves a process into a time namespace of its own.
///
/// The process does it to itself, while it has one thread (setns(2) of a time namespace wants that;
/// by clone(2) with CLONE_VM nobody gets into another one), and as late as that allows, since time
/// begins to run for it: it makes a namespace for its children, jcr sets the offsets while nobody
/// is inside, and it enters what it made.
public final class TimeNamespace {
  private static final int CLOCK_MONOTONIC = 1;
  private static final int CLOCK_BOOTTIME = 7;

  /// Nobody reads two clocks at once.
  private static final long INEXACT_NANOS = 1_000_000;

  private TimeNamespace() {}

  /// Enters one in which the clocks are as planned, and reads them there.
  public static void enter(OwnedProcess process, ClockPlan plan)
      throws CheckpointException, IOException {
    if (plan instanceof ClockPlan.AsHost) {
      return;
    }
    Proc proc = Proc.of(process.tid());
    process.require("make a time namespace", Syscall.UNSHARE, TimeOffsets.NAMESPACE);
    HostClocks host = HostClocks.read();
    TimeOffsets offsets =
        switch (plan) {
          case ClockPlan.AsHost _ -> host.own();
          case ClockPlan.Keep(TimeOffsets same) -> same;
          case ClockPlan.GoOn(long monotonic, long boottime) -> host.from(monotonic, boottime);
        };
    offsets.writeTo(process.tid());
    try (Arena arena = Arena.ofConfined()) {
      process.write(process.scratch(), FileName.allocate(arena, proc.path("ns/time_for_children")));
    }
    long fd =
        process.require(
            "open its time namespace",
            Syscall.OPENAT,
            Fd.AT_FDCWD,
            process.scratch(),
            Fd.O_RDONLY | Fd.O_CLOEXEC,
            0);
    process.require("enter its time namespace", Syscall.SETNS, fd, TimeOffsets.NAMESPACE);
    process.require("close its time namespace", Syscall.CLOSE, fd);
    prove(process, proc, host, offsets);
  }

  /// It lives where its children will, with the offsets wanted, and reads clocks that lie between
  /// two looks at jcr's.
  private static void prove(OwnedProcess process, Proc proc, HostClocks host, TimeOffsets offsets)
      throws CheckpointException, IOException {
    Clocks before = host.of(offsets);
    long monotonic = RemoteClock.nanos(process, CLOCK_MONOTONIC);
    long boottime = RemoteClock.nanos(process, CLOCK_BOOTTIME);
    Clocks after = host.now().of(offsets);
    boolean right =
        TimeOffsets.ownNamespace(proc)
            && TimeOffsets.of(proc).equals(offsets)
            && monotonic >= before.getMonotonic()
            && monotonic <= after.getMonotonic()
            && boottime >= before.getBoottime() - INEXACT_NANOS
            && boottime <= after.getBoottime() + INEXACT_NANOS;
    if (!right) {
      throw new CheckpointException(
          Outcome.FAILED,
          "cannot set the clocks of process %d: they read %s s and %s s in a time namespace with %s"
              .formatted(
                  process.tid(),
                  TimeOffsets.seconds(monotonic),
                  TimeOffsets.seconds(boottime),
                  TimeOffsets.of(proc)));
    }
  }
}
