package dev.jcr.dump;

import dev.jcr.dump.files.LinkPolicy;
import dev.jcr.dump.memory.Keeper;
import dev.jcr.dump.memory.PageDumper;
import dev.jcr.dump.memory.WriteTracker;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.codec.ImageWriter;
import dev.jcr.image.codec.ParentImage;
import dev.jcr.image.pages.PageWriter;
import dev.jcr.image.pages.Ranges;
import dev.jcr.image.v1.Compression;
import dev.jcr.image.v1.Creation;
import dev.jcr.image.v1.Host;
import dev.jcr.image.v1.Manifest;
import dev.jcr.image.v1.Statistics;
import dev.jcr.image.v1.Tracking;
import dev.jcr.image.v1.Vma;
import dev.jcr.parasite.collect.VmaCollector;
import dev.jcr.parasite.host.HostFacts;
import dev.jcr.parasite.linux.PageScan;
import dev.jcr.parasite.linux.Userfault;
import dev.jcr.parasite.namespace.Namespaces;
import dev.jcr.parasite.procfs.Anchor;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.ptrace.Freeze;
import dev.jcr.parasite.ptrace.TracerThread;
import dev.jcr.parasite.remote.ProcessMemory;
import java.io.IOException;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/// The memory of a running process in rounds: each image holds what was written since the one
/// before. The process is stopped once, for some milliseconds, to begin.
///
/// Not thread-safe; any platform thread. Closing ends the tracking; the process notices nothing.
public final class MemoryRounds implements AutoCloseable {
  private static final long FREEZE_BUDGET_NANOS = 10_000_000_000L;

  private final int pid;
  private final Program begun;
  private final WriteTracker tracker;
  private final VmaCollector vmas = VmaCollector.ofRunning();

  private final boolean rehearsed;

  /// Of the last round, and what it was made of.
  private List<Vma> mapped = List.of();

  private String maps = "";

  private MemoryRounds(int pid, Program begun, WriteTracker tracker, boolean rehearsed) {
    this.pid = pid;
    this.begun = begun;
    this.tracker = tracker;
    this.rehearsed = rehearsed;
  }

  /// What another process of this id, and execve(2), change.
  private record Program(long startTime, long startCode) {
    static Program of(int pid) throws IOException {
      return new Program(Proc.of(pid).stat().startTime(), Anchor.of(pid).proc().stat().startCode());
    }
  }

  /// Begins to track a process.
  ///
  /// @throws CheckpointException the process is as it was
  public static MemoryRounds begin(int pid, Host.Builder host) throws CheckpointException {
    try {
      Program program = Program.of(pid);
      Userfault userfault = TracerThread.run(() -> inject(pid, host));
      boolean done = false;
      try {
        userfault.trackWrites();
        done = true;
      } finally {
        if (!done) {
          userfault.close();
        }
      }
      return new MemoryRounds(
          pid, program, new WriteTracker(userfault, HostFacts.pageSize(), new Ranges()), true);
    } catch (IOException e) {
      throw Preflight.lost(pid, e);
    }
  }

  /// Goes on where an image of this process left off; empty when nobody knows what was written
  /// since (the keeper was ended, or a later image took over).
  public static Optional<MemoryRounds> resume(int pid, ParentImage parent)
      throws CheckpointException {
    Manifest manifest = parent.manifest();
    if (!manifest.hasTracking()) {
      return Optional.empty();
    }
    try {
      if (manifest.getPid() != DumpSession.ownPid(pid)) {
        return Optional.empty();
      }
      Program program = Program.of(pid);
      int page = HostFacts.pageSize();
      return Keeper.take(manifest.getTracking(), pid)
          .map(userfault ->
              new MemoryRounds(
                  pid,
                  program,
                  new WriteTracker(userfault, page, Ranges.of(parent.pagemap())),
                  false));
    } catch (IOException e) {
      throw Preflight.lost(pid, e);
    }
  }

  private static Userfault inject(int pid, Host.Builder host) throws CheckpointException {
    AtomicReference<@Nullable Userfault> made = new AtomicReference<>();
    try (Collector collector = Collector.open(pid, host, LinkPolicy.ANY)) {
      Rehearsal.run(host.clone(), Compression.COMPRESSION_ZSTD, 1);
      collector.look();
      try (Freeze freeze = collector.stop(FREEZE_BUDGET_NANOS)) {
        collector.thaw(
            freeze,
            collector.makeUserfault(freeze, freeze.stoppedAt(), made::set),
            freeze.stoppedAt());
      }
    } catch (IOException e) {
      throw Preflight.lost(pid, e);
    }
    Userfault userfault = made.get();
    if (userfault == null) {
      throw new CheckpointException(
          Outcome.FAILED,
          "cannot track the memory of process "
              + pid
              + ": its userfaultfd could not be taken over");
    }
    return userfault;
  }

  WriteTracker tracker() {
    return tracker;
  }

  /// Whether this jcr has dumped a throw-away process already.
  boolean isRehearsed() {
    return rehearsed;
  }

  /// Writes one round and publishes it. The image lists every page of the process, and holds those
  /// that were written since the round before; the others are the parent's.
  ///
  /// @param keep leave a keeper behind, for another jcr to go on
  public Manifest next(ImageWriter image, int pageSize, Host host, boolean keep)
      throws CheckpointException {
    long started = System.nanoTime();
    Statistics.Builder statistics = Statistics.newBuilder();
    Tracking tracking = null;
    boolean done = false;
    Anchor process;
    try {
      process = Anchor.of(pid);
    } catch (IOException e) {
      throw Preflight.lost(pid, e);
    }
    Proc proc = process.proc();
    try (ProcessMemory memory = ProcessMemory.open(process);
        PageScan scan = PageScan.open(process.tid())) {
      PageWriter pages = image.pages(pageSize);
      PageDumper dumper = PageDumper.ofRunning(memory, pages, pageSize);
      dumper.dump(mapped(process), scan, tracker, true);
      dumper.finish();
      statistics
          .setPagesScanned(dumper.scanned())
          .setMemdumpTime((System.nanoTime() - started) / 1000);
      requireSame();
      var pagemap = pages.finish();
      if (keep) {
        tracking = Keeper.start(tracker.userfault(), pid);
        image.tracking(tracking);
      }
      Manifest manifest =
          image.commitMemory(
              DumpSession.ownPid(pid),
              proc.status().name(),
              host,
              Creation.newBuilder()
                  .setJcrVersion(Version.VERSION)
                  .setTime(System.currentTimeMillis() * 1_000_000)
                  .setStatistics(statistics.setTotalTime((System.nanoTime() - started) / 1000))
                  .build());
      tracker.continueFrom(pagemap);
      done = true;
      return manifest;
    } catch (IOException e) {
      throw Preflight.lost(pid, e);
    } finally {
      if (!done && tracking != null) {
        Keeper.end(tracking, pid);
      }
    }
  }

  /// The kernel walks all pages for smaps, but not for maps: where these are as they were, so are
  /// those, but for advice that a round makes no use of.
  private List<Vma> mapped(Anchor process) throws CheckpointException, IOException {
    try (Namespaces namespaces = Namespaces.of(process.tid());
        Namespaces.Visit _ = namespaces.enter()) {
      String now = process.proc().text("maps");
      if (!now.equals(maps)) {
        mapped = vmas.collect(process.proc().smaps(), _ -> 1);
        maps = now;
      }
      return mapped;
    }
  }

  private void requireSame() throws CheckpointException, IOException {
    if (!Program.of(pid).equals(begun)) {
      throw new CheckpointException(
          Outcome.TARGET_LOST,
          "cannot dump process " + pid + ": it executed another program meanwhile; try again");
    }
  }

  @Override
  public void close() {
    tracker.close();
  }
}
