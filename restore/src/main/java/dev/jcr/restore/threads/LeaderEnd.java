package dev.jcr.restore.threads;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.v1.Thread;
import dev.jcr.parasite.arch.Machine;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.procfs.MapsEntry;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.procfs.ProcStat;
import dev.jcr.parasite.remote.Gadgets;
import dev.jcr.parasite.remote.OwnedProcess;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.locks.LockSupport;

/// Makes the leader of a process end while its other threads are there: the last that is done by a
/// call inside, since it takes the pages that calls are made on with it.
///
/// It has no robust list, no clear_child_tid and no rseq, so the kernel writes nothing into the
/// memory at its end.
public final class LeaderEnd {
  private static final long PATIENCE_NANOS = 10_000_000_000L;
  private static final long POLL_NANOS = 20_000;

  private LeaderEnd() {}

  /// Unmaps a part of the memory in which the leader must not stand afterwards, and ends it. It is
  /// a zombie when this returns, with the status of the image.
  ///
  /// @param thread the leader in the image
  /// @param bootstrap address of the part
  /// @param size in bytes
  public static void make(
      Thread thread, OwnedProcess leader, Machine machine, long bootstrap, int size)
      throws CheckpointException, IOException {
    leader.require("unmap the bootstrap pages", Syscall.MUNMAP, bootstrap, size);
    Proc proc = Proc.of(leader.tid());
    long instruction = Gadgets.systemCall(machine, leader.memory(), executable(proc.maps()));
    if (instruction == 0) {
      throw new CheckpointException(
          Outcome.UNSUPPORTED,
          "cannot end leader thread %d: no system call instruction in its executable mappings"
              .formatted(thread.getTid()));
    }
    int status = thread.getEnded().getStatus();
    leader.end(instruction, status >>> 8, thread.getSignalMask());
    long deadline = System.nanoTime() + PATIENCE_NANOS;
    ProcStat stat = proc.stat(leader.tid());
    while (stat.state() != 'Z' && System.nanoTime() < deadline) {
      LockSupport.parkNanos(POLL_NANOS);
      stat = proc.stat(leader.tid());
    }
    if (stat.state() != 'Z' || stat.exitCode() != status) {
      throw new CheckpointException(
          Outcome.FAILED,
          "cannot prove the end of leader thread %d: its state is %c, its status 0x%x, not 0x%x"
              .formatted(thread.getTid(), stat.state(), stat.exitCode(), status));
    }
  }

  /// The vDSO first: it is small, and has one.
  private static List<Gadgets.Range> executable(List<MapsEntry> maps) {
    List<Gadgets.Range> ranges = new ArrayList<>();
    for (MapsEntry entry : maps) {
      if (entry.permissions().startsWith("r-x") && !entry.path().startsWith("[vsyscall")) {
        Gadgets.Range range = new Gadgets.Range(entry.start(), entry.end());
        ranges.add(entry.path().equals("[vdso]") ? 0 : ranges.size(), range);
      }
    }
    return ranges;
  }
}
