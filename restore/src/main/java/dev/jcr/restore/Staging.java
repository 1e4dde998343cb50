package dev.jcr.restore;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.codec.ImageReader;
import dev.jcr.image.codec.ImageSeries;
import dev.jcr.image.pages.PageStore;
import dev.jcr.image.pages.Ranges;
import dev.jcr.image.v1.PageKind;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.Vma;
import dev.jcr.image.v1.VmaKind;
import dev.jcr.parasite.arch.Machine;
import dev.jcr.parasite.collect.VmaCollector;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Prctl;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.ptrace.Tracee;
import dev.jcr.parasite.ptrace.TracerThread;
import dev.jcr.parasite.remote.Batch;
import dev.jcr.parasite.remote.OwnedProcess;
import dev.jcr.parasite.remote.ProcessMemory;
import dev.jcr.parasite.stub.StubProgram;
import dev.jcr.restore.memory.AddressSpace;
import dev.jcr.restore.memory.PageFiller;
import dev.jcr.restore.process.TaskMaker;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/// Memory of a process that is still on its way. As its images arrive, their pages are put to their
/// addresses in a stub of jcr's, and read back. The process is then cloned from the stub together
/// with this address space (CLONE_VM), so that what is left to do while it stands still does not
/// depend on its size.
///
/// Only private anonymous memory that can be written, of the mappings that were there at the
/// beginning: everything else is filled as without staging. Not safe for two threads at once.
public final class Staging implements AutoCloseable {
  private static final int PROT_READ_WRITE = 3;
  private static final int PROT_ALL = 7;
  private static final int MAP_PRIVATE_ANONYMOUS = 0x22;
  private static final int MAP_FIXED_NOREPLACE = 0x100000;
  private static final int MAP_NORESERVE = 0x4000;
  private static final int MADV_DONTNEED = 4;

  private static final int MADV_NOHUGEPAGE = 15;

  private final ThisHost host;
  private final TracerThread thread;
  private final Stub stub;

  private final ImageSeries series = new ImageSeries();
  private final Map<Like, Ranges> mapped;

  private Ranges staged = new Ranges();
  private boolean handedOver;

  /// What a mapping here and one of the image must have in common.
  ///
  /// @param flags of mmap(2)
  /// @param smallPages MADV_NOHUGEPAGE
  private record Like(int flags, boolean smallPages) {
    static Like of(Vma vma) {
      return new Like(vma.getFlags(), vma.getVmFlagsList().contains("nh"));
    }
  }

  /// A stopped process of jcr's own.
  private record Stub(
      int pid, long base, Tracee tracee, OwnedProcess process, ProcessMemory memory) {
    /// Where its code for batches lies: behind the bootstrap pages of the restore, in a hole of the
    /// image's address space as those.
    long batches() {
      return base + (2 << 20);
    }

    static Stub start(long base) throws CheckpointException, IOException {
      int pid = StubProgram.start(base);
      Tracee tracee = TaskMaker.seizeStub(pid);
      Machine machine = Machine.of(Kernel.HOST);
      ProcessMemory memory = ProcessMemory.open(pid);
      return new Stub(
          pid,
          base,
          tracee,
          new OwnedProcess(
              machine,
              tracee,
              memory,
              tracee.general(machine.words()),
              StubProgram.syscallAddress(base)),
          memory);
    }
  }

  /// What [#run] runs.
  interface Session<T> {
    /// Builds the process.
    ///
    /// @param handed null when there is nothing to take over
    T run(@Nullable Handed handed) throws CheckpointException;
  }

  /// What a session takes over, the stub included.
  ///
  /// @param kept mappings that stay
  /// @param pages those of them that are as in the image
  record Handed(
      int stubPid,
      Tracee tracee,
      OwnedProcess process,
      ProcessMemory memory,
      Ranges kept,
      Ranges pages) {}

  private Staging(ThisHost host, TracerThread thread, Stub stub, Map<Like, Ranges> mapped) {
    this.host = host;
    this.thread = thread;
    this.stub = stub;
    this.mapped = mapped;
  }

  /// Starts a stub and maps what is likely to be needed.
  ///
  /// @param outline mappings, ascending; not trusted
  public static Staging begin(ProcessState outline) throws CheckpointException {
    ThisHost host = hostOrFailure();
    TracerThread thread = new TracerThread();
    boolean done = false;
    try {
      Staging staging = thread.call(() -> begin(host, thread, outline.getMemory().getVmasList()));
      done = true;
      return staging;
    } finally {
      if (!done) {
        thread.close();
      }
    }
  }

  private static Staging begin(ThisHost host, TracerThread thread, List<Vma> vmas)
      throws CheckpointException, IOException {
    Stub stub = Stub.start(RestorePlan.gap(vmas));
    Map<Like, Ranges> mapped = new LinkedHashMap<>();
    try {
      AddressSpace.mapBootstrap(stub.process(), stub.batches(), RestorePlan.BOOTSTRAP_SIZE);
      long end = 0;
      for (Vma vma : vmas) {
        if (!isStageable(vma) || vma.getStart() < end || vma.getEnd() <= vma.getStart()) {
          continue;
        }
        end = vma.getEnd();
        long length = end - vma.getStart();
        // What lies where the stub has its own stack or vDSO is left to the restore.
        long at =
            stub.process()
                .call(
                    Syscall.MMAP,
                    vma.getStart(),
                    length,
                    PROT_READ_WRITE,
                    MAP_PRIVATE_ANONYMOUS | MAP_FIXED_NOREPLACE | vma.getFlags(),
                    -1,
                    0);
        if (at == vma.getStart()) {
          Like like = Like.of(vma);
          if (like.smallPages()) {
            // Before the contents, which would come in huge ones.
            stub.process()
                .require("advise staged pages", Syscall.MADVISE, at, length, MADV_NOHUGEPAGE);
          }
          mapped.computeIfAbsent(like, _ -> new Ranges()).add(at, end);
        } else if (!Kernel.isError(at)) {
          stub.process().call(Syscall.MUNMAP, at, length);
        }
      }
      return new Staging(host, thread, stub, mapped);
    } catch (CheckpointException | RuntimeException | Error e) {
      stub.memory().close();
      TaskMaker.endStub(stub.pid());
      throw e;
    }
  }

  private static ThisHost hostOrFailure() throws CheckpointException {
    try {
      return ThisHost.read();
    } catch (IOException e) {
      throw new CheckpointException(
          Outcome.FAILED, "cannot look at this host: " + e.getMessage(), e);
    }
  }

  /// Read when this began.
  ThisHost host() {
    return host;
  }

  private static boolean isStageable(Vma vma) {
    return vma.getKind() == VmaKind.VMA_PRIVATE_ANONYMOUS
        && (vma.getProtection() & PROT_READ_WRITE) == PROT_READ_WRITE
        && (vma.getProtection() & ~PROT_ALL) == 0
        && (vma.getFlags() & ~(MAP_NORESERVE | MAP_PRIVATE_ANONYMOUS)) == 0
        && vma.getObjectId() == 0
        && vma.getGuardsCount() == 0
        && !vma.getVmFlagsList().contains(VmaCollector.SHADOW_STACK)
        && vma.getProtectionKey() == 0;
  }

  /// The next image is here, which continues the last one. Its pages are put into place and proven.
  public void stage(Path image) throws CheckpointException {
    stage(series.next(image));
  }

  /// The last image, for [#run].
  ///
  /// @return the caller's to close
  ImageReader last(Path image) throws CheckpointException {
    return series.last(image);
  }

  private void stage(PageStore store) throws CheckpointException {
    Ranges all = Ranges.of(store.effective());
    Ranges zero = Ranges.of(store.newest(), kind -> kind == PageKind.PAGE_ZERO);
    Ranges remote = Ranges.of(store.effective(), kind -> kind == PageKind.PAGE_REMOTE);
    Ranges parents = Ranges.of(store.newest(), kind -> kind == PageKind.PAGE_PARENT);
    Ranges before = staged;
    // Until this is done, nothing is sure.
    staged = new Ranges();
    thread.call(() -> {
      discard(before.minus(all));
      discard(before.and(zero));
      if (remote.size() > 0) {
        // Else the kernel could fill them with zeros again, in a huge page.
        stub.process()
            .require("forbid huge pages", Syscall.PRCTL, Prctl.SET_THP_DISABLE, 1, 0, 0, 0);
        for (Ranges part : ordered()) {
          discard(remote.and(part));
        }
      }
      return true;
    });
    Ranges known = all.minus(parents.minus(before)).minus(remote);
    PageFiller filler = new PageFiller(store, stub.memory());
    Ranges now = new Ranges();
    for (Ranges ranges : mapped.values()) {
      filler.fillProven(filler.newest(ranges));
    }
    for (Ranges part : ordered()) {
      known.and(part).forEach(now::add);
    }
    staged = now;
  }

  /// All mappings, ascending, one by one.
  private List<Ranges> ordered() {
    TreeMap<Long, Ranges> all = new TreeMap<>();
    for (Ranges ranges : mapped.values()) {
      for (int i = 0; i < ranges.size(); i++) {
        all.put(ranges.start(i), Ranges.of(ranges.start(i), ranges.end(i)));
      }
    }
    return List.copyOf(all.values());
  }

  /// Many at once: there may be a range for every other page.
  private void discard(Ranges ranges) throws CheckpointException {
    for (int first = 0; first < ranges.size(); first += Batch.MOST_CALLS) {
      Batch batch = stub.process().batch();
      int end = Math.min(ranges.size(), first + Batch.MOST_CALLS);
      for (int i = first; i < end; i++) {
        batch.require(
            "discard staged pages",
            Syscall.MADVISE,
            ranges.start(i),
            ranges.end(i) - ranges.start(i),
            MADV_DONTNEED);
      }
      stub.process().run(batch);
    }
  }

  /// Runs a session on the thread that the stub belongs to. Afterwards this is used up.
  <T> T run(ProcessState state, PageStore store, Session<T> session) throws CheckpointException {
    List<Vma> vmas = state.getMemory().getVmasList();
    stage(store);
    return thread.call(() -> {
      long bootstrap = RestorePlan.bootstrap(vmas);
      if (bootstrap == stub.base() || bootstrap == stub.batches()) {
        return session.run(null);
      }
      Handed handed = hand(vmas);
      handedOver = true;
      return session.run(handed);
    });
  }

  /// Unmaps what the process has no use for.
  private Handed hand(List<Vma> vmas) throws CheckpointException {
    Ranges kept = new Ranges();
    for (Vma vma : vmas) {
      Ranges same = mapped.get(Like.of(vma));
      if (isStageable(vma) && same != null) {
        Ranges.of(vma.getStart(), vma.getEnd()).and(same).forEach(kept::add);
      }
    }
    for (Ranges mapping : ordered()) {
      mapping
          .minus(kept)
          .forEach((start, end) ->
              stub.process().require("unmap staged pages", Syscall.MUNMAP, start, end - start));
    }
    return new Handed(
        stub.pid(), stub.tracee(), stub.process(), stub.memory(), kept, staged.and(kept));
  }

  /// Ends the stub, if it is still there.
  @Override
  public void close() throws CheckpointException {
    series.close();
    try {
      stub.memory().close();
      if (!handedOver) {
        thread.call(() -> {
          TaskMaker.endStub(stub.pid());
          return true;
        });
      }
    } finally {
      thread.close();
    }
  }
}
