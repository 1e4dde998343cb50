package dev.jcr.restore;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.pages.Ranges;
import dev.jcr.image.v1.Arch;
import dev.jcr.image.v1.BlockedCall;
import dev.jcr.image.v1.Files;
import dev.jcr.image.v1.Namespace;
import dev.jcr.image.v1.PageKind;
import dev.jcr.image.v1.PageRun;
import dev.jcr.image.v1.PageSpace;
import dev.jcr.image.v1.Pagemap;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.Resume;
import dev.jcr.image.v1.SharedObject;
import dev.jcr.image.v1.Thread;
import dev.jcr.image.v1.Vma;
import dev.jcr.image.v1.VmaKind;
import dev.jcr.parasite.collect.VmaCollector;
import dev.jcr.parasite.restart.SleepResumer;
import dev.jcr.restore.files.ChangedFiles;
import dev.jcr.restore.files.FileCopies;
import dev.jcr.restore.files.FilePlan;
import dev.jcr.restore.files.FileStep;
import dev.jcr.restore.lazy.LazyRanges;
import dev.jcr.restore.process.ClockPlan;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/// From an image to steps. Pure: no process, no root, no question to the host.
final class RestorePlan {
  static final int BOOTSTRAP_SIZE = 512 * 1024;

  /// Room for the stub, the bootstrap and a temporary place of the vDSO.
  private static final long GAP = 4 << 20;

  private static final int PROT_WRITE = 2;

  private RestorePlan() {}

  /// The steps before descriptors are made, and those behind it.
  ///
  /// @param last begin when the process may run: with them, time begins to run for it, and its
  ///   connections talk
  record Steps(
      List<RestoreStep> create,
      List<RestoreStep> build,
      List<RestoreStep> finish,
      List<RestoreStep> last) {
    Steps {
      create = List.copyOf(create);
      build = List.copyOf(build);
      finish = List.copyOf(finish);
      last = List.copyOf(last);
    }

    /// With a vDSO of another kernel.
    Steps with(VdsoVerdict.Redirected vdso) {
      List<RestoreStep> more = new ArrayList<>(build);
      more.add(new RestoreStep.RedirectVdso(vdso.start(), vdso.code(), vdso.functions()));
      return new Steps(create, more, finish, last);
    }

    /// All of them in order.
    Stream<RestoreStep> all() {
      return Stream.of(create, build, finish, last).flatMap(List::stream);
    }
  }

  static Steps of(ProcessState state, Pagemap pagemap) throws CheckpointException {
    return of(state, pagemap, ChangedFiles.NONE, LazyRanges.NONE, ClockPlan.AsHost.SAME);
  }

  /// The steps, with files that may have changed.
  ///
  /// @param changed what is to be done about them
  /// @param lazy what comes on demand
  /// @param clocks which it reads
  static Steps of(
      ProcessState state, Pagemap pagemap, ChangedFiles changed, LazyRanges lazy, ClockPlan clocks)
      throws CheckpointException {
    List<Vma> vmas = state.getMemory().getVmasList();
    long gap = gap(vmas);
    List<RestoreStep> create = new ArrayList<>();
    Map<Boolean, List<Namespace>> byBirth =
        state.getIdentity().getNamespacesList().stream()
            .collect(
                Collectors.partitioningBy(
                    namespace -> namespace.getKind() == Namespace.Kind.KIND_PID));
    create.add(
        new RestoreStep.CreateProcess(
            gap,
            state.getIdentity().getPid(),
            byBirth.getOrDefault(true, List.of()).stream().findFirst()));
    create.add(
        new RestoreStep.JoinSession(
            state.getIdentity().getPid(),
            state.getIdentity().getSession(),
            state.getIdentity().getProcessGroup()));
    create.add(new RestoreStep.EmptyAddressSpace(bootstrap(vmas), BOOTSTRAP_SIZE));
    List<Namespace> joined = byBirth.getOrDefault(false, List.of());
    if (!joined.isEmpty()) {
      create.add(new RestoreStep.JoinNamespaces(joined));
    }
    if (state.getIdentity().getZombiesCount() > 0) {
      create.add(new RestoreStep.MakeZombies(state.getIdentity().getZombiesList()));
    }
    create.add(
        new RestoreStep.PlaceVdso(
            vmas.stream().filter(RestorePlan::isKernels).toList(), gap + (2 << 20)));

    Files descriptors = FileCopies.without(state.getFiles());
    FilePlan files = FilePlan.of(descriptors, changed);
    create.add(new RestoreStep.StartDescriptors(descriptors));
    addFiles(create, files.objects());
    create.add(new RestoreStep.FillObjects(descriptors.getObjectsList()));
    addFiles(create, files.seals());
    List<SharedObject> copies = FileCopies.of(state.getFiles()).toList();
    if (!copies.isEmpty()) {
      create.add(new RestoreStep.RecreateFiles(copies));
    }

    List<RestoreStep> build = new ArrayList<>();
    List<PageRun> runs = processRuns(pagemap);
    int pageSize = pagemap.getPageSize();
    List<RestoreStep> finishVmas = new ArrayList<>();
    Ranges stored = Ranges.of(pagemap, kind -> kind == PageKind.PAGE_STORED);
    long pages = 0;
    for (PageRun run : runs) {
      pages += run.getKind() == PageKind.PAGE_STORED ? run.getPages() : 0;
    }
    int at = 0;
    for (Vma vma : vmas) {
      if (isKernels(vma) || vma.getKind() == VmaKind.VMA_VSYSCALL) {
        continue;
      }
      while (at < runs.size() && end(runs.get(at), pageSize) <= vma.getStart()) {
        at++;
      }
      boolean filled = at < runs.size() && runs.get(at).getStart() < vma.getEnd();
      boolean shadowStack = vma.getVmFlagsList().contains(VmaCollector.SHADOW_STACK);
      // A shadow stack is always made writable, for returns.
      boolean writable = (filled || shadowStack) && (vma.getProtection() & PROT_WRITE) == 0;
      build.add(new RestoreStep.MapVma(vma, writable));
      if (writable
          || vma.getVmFlagsCount() > 0
          || !vma.getName().isEmpty()
          || vma.getGuardsCount() > 0
          || vma.getProtectionKey() != 0) {
        finishVmas.add(new RestoreStep.FinishVma(vma, writable));
      }
    }
    build.add(
        new RestoreStep.FillPages(
            pages - lazy.pages().and(stored).bytes() / Math.max(1, pageSize)));
    build.addAll(finishVmas);
    if (state.getMemory().getTagsCount() > 0) {
      build.add(new RestoreStep.TagMemory(state.getMemory().getTagsList()));
    }
    boolean onDemand = lazy.bytes() > 0;
    if (onDemand) {
      build.add(new RestoreStep.OpenUserfault());
    }
    build.add(new RestoreStep.SetLayout(state.getMemory(), state.getIdentity().getExecutable()));
    addFiles(build, files.descriptors());

    List<RestoreStep> finish = new ArrayList<>();
    if (!(clocks instanceof ClockPlan.AsHost)) {
      finish.add(new RestoreStep.SetClocks(clocks));
    }
    List<Thread> threads = state.getThreadsList();
    for (Thread thread : threads.subList(1, threads.size())) {
      finish.add(new RestoreStep.CreateThread(thread.getTid()));
    }
    addFiles(finish, files.last());
    finish.add(new RestoreStep.SetActions(state.getSignals()));
    finish.add(new RestoreStep.SetIdentity(state.getIdentity()));
    for (Thread thread : threads) {
      finish.add(new RestoreStep.ConfigureThread(thread));
    }
    finish.add(new RestoreStep.SetDumpable(state.getIdentity().getDumpable()));
    finish.add(new RestoreStep.QueueSignals(state.getSignals(), threads));
    finish.add(new RestoreStep.ProvePages());
    finish.add(new RestoreStep.RegisterRseq(threads));
    finish.add(new RestoreStep.ProveMappings());
    finish.add(new RestoreStep.ProveNamespaces());
    if (onDemand) {
      finish.add(new RestoreStep.ServePages(lazy));
    }
    Arch arch = state.getHost().getArch();
    boolean stopped = state.getSignals().getStoppedBy() != 0;
    if (stopped) {
      finish.add(new RestoreStep.StopProcess());
    }
    List<Thread> awake = new ArrayList<>();
    List<Thread> asleep = new ArrayList<>();
    for (Thread thread : threads.subList(1, threads.size())) {
      (sleep(thread).isHeldByKernel(arch, stopped) ? asleep : awake).add(thread);
    }
    // The leader last: it unmaps the pages that the others need.
    Thread leader = threads.getFirst();
    if (!leader.hasEnded()) {
      asleep.add(leader);
    }
    if (!awake.isEmpty()) {
      finish.add(new RestoreStep.LoadRegisters(awake));
    }
    List<RestoreStep> last = new ArrayList<>();
    addFiles(last, files.timers());
    last.add(new RestoreStep.SetTimers(state.getTimers()));
    if (!asleep.isEmpty()) {
      last.add(new RestoreStep.LoadRegisters(asleep));
    }
    if (leader.hasEnded()) {
      last.add(new RestoreStep.EndLeader(leader));
    }
    return new Steps(create, build, finish, last);
  }

  /// The sleep in which a thread was stopped; without a time when there is nothing to resume.
  static SleepResumer.Sleep sleep(Thread thread) {
    BlockedCall call = thread.getBlockedCall();
    return new SleepResumer.Sleep(
        call.getNumber(),
        // A made-up image may hold fewer than six; [HostCheck] refuses it.
        Arrays.copyOf(call.getArgumentsList().stream().mapToLong(Long::longValue).toArray(), 6),
        call.getResume() == Resume.RESUME_AGAIN ? call.getRemaining() : 0);
  }

  private static void addFiles(List<RestoreStep> steps, List<FileStep> files) {
    files.forEach(step -> steps.add(new RestoreStep.Descriptors(step)));
  }

  static boolean isKernels(Vma vma) {
    return vma.getKind() == VmaKind.VMA_VDSO || vma.getKind() == VmaKind.VMA_VVAR;
  }

  static List<PageRun> processRuns(Pagemap pagemap) {
    for (PageSpace space : pagemap.getSpacesList()) {
      if (space.getId() == 0) {
        return space.getRunsList();
      }
    }
    return List.of();
  }

  private static long end(PageRun run, int pageSize) {
    return run.getStart() + run.getPages() * pageSize;
  }

  /// Where the code and scratch memory of the restore are.
  static long bootstrap(List<Vma> vmas) throws CheckpointException {
    return gap(vmas) + (1 << 20);
  }

  /// A hole of the address space for what exists only during the restore: the lowest one from 16
  /// MiB up, far from the kernel's own choices near the top.
  static long gap(List<Vma> vmas) throws CheckpointException {
    long candidate = 16 << 20;
    for (Vma vma : vmas) {
      if (Long.compareUnsigned(candidate + GAP, vma.getStart()) <= 0) {
        return candidate;
      }
      candidate = Math.max(candidate, vma.getEnd() + (1 << 20) + 0xfffff & ~0xfffffL);
      if (candidate < 0 || candidate > 1L << 46) {
        break;
      }
    }
    if (candidate > 0 && candidate <= 1L << 46) {
      return candidate;
    }
    throw new CheckpointException(
        Outcome.UNSUPPORTED, "cannot plan the restore: the address space of the image has no hole");
  }
}
