package dev.jcr.restore;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import com.google.protobuf.ByteString;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.v1.Arch;
import dev.jcr.image.v1.BlockedCall;
import dev.jcr.image.v1.CharacterDevice;
import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.Descriptor;
import dev.jcr.image.v1.Ended;
import dev.jcr.image.v1.FileIdentity;
import dev.jcr.image.v1.FileLock;
import dev.jcr.image.v1.Files;
import dev.jcr.image.v1.Host;
import dev.jcr.image.v1.Identity;
import dev.jcr.image.v1.IntervalTimer;
import dev.jcr.image.v1.Memory;
import dev.jcr.image.v1.MemoryFile;
import dev.jcr.image.v1.PageKind;
import dev.jcr.image.v1.PageRun;
import dev.jcr.image.v1.PageSpace;
import dev.jcr.image.v1.Pagemap;
import dev.jcr.image.v1.PendingSignal;
import dev.jcr.image.v1.PosixTimer;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.RegularFile;
import dev.jcr.image.v1.Resume;
import dev.jcr.image.v1.Rseq;
import dev.jcr.image.v1.SharedObject;
import dev.jcr.image.v1.SignalAction;
import dev.jcr.image.v1.Signals;
import dev.jcr.image.v1.Thread;
import dev.jcr.image.v1.TimerFd;
import dev.jcr.image.v1.Timers;
import dev.jcr.image.v1.Vma;
import dev.jcr.image.v1.VmaKind;
import dev.jcr.restore.files.ChangedFiles;
import dev.jcr.restore.lazy.LazyRanges;
import dev.jcr.restore.process.ClockPlan;
import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// The order of the steps is the contract; the reasons are in the module's README.
class RestorePlanTest {
  private static final long MIB = 1 << 20;

  private static Vma.Builder anonymous(long start, long end) {
    return Vma.newBuilder()
        .setStart(start)
        .setEnd(end)
        .setProtection(3)
        .setKind(VmaKind.VMA_PRIVATE_ANONYMOUS);
  }

  private static ProcessState state(Vma... vmas) {
    return ProcessState.newBuilder()
        .setIdentity(Identity.newBuilder().setPid(42).setSession(42).setProcessGroup(42))
        .setMemory(Memory.newBuilder().addAllVmas(List.of(vmas)))
        .addThreads(Thread.newBuilder().setTid(42))
        .build();
  }

  /// nanosleep(2) with a second left.
  private static BlockedCall.Builder sleep(int arguments) {
    return BlockedCall.newBuilder()
        .setNumber(35)
        .addAllArguments(Collections.nCopies(arguments, 0x1000L))
        .setResume(Resume.RESUME_AGAIN)
        .setRemaining(1_000_000_000);
  }

  private static FileIdentity file(String path) {
    return FileIdentity.newBuilder().setPath(path).build();
  }

  private static PageRun run(long start, int pages, PageKind kind) {
    return PageRun.newBuilder().setStart(start).setPages(pages).setKind(kind).build();
  }

  private static List<String> lines(ProcessState state, Pagemap pagemap)
      throws CheckpointException {
    return RestorePlan.of(state, pagemap).all().map(RestoreStep::describe).toList();
  }

  @Test
  void everyStepInOrder() throws CheckpointException {
    ProcessState state =
        ProcessState.newBuilder()
            .setHost(Host.newBuilder().setArch(Arch.ARCH_X86_64))
            .setIdentity(
                Identity.newBuilder()
                    .setPid(42)
                    .setSession(40)
                    .setProcessGroup(41)
                    .setWorkingDirectory("/srv")
                    .setDumpable(1)
                    .setExecutable(file("/bin/demo")))
            .setMemory(
                Memory.newBuilder()
                    .addVmas(
                        anonymous(0x10000, 0x12000)
                            .setKind(VmaKind.VMA_PRIVATE_FILE)
                            .setProtection(5)
                            .setOffset(0x1000)
                            .setFile(file("/bin/demo")))
                    .addVmas(anonymous(0x12000, 0x14000))
                    .addVmas(
                        anonymous(0x20000, 0x21000)
                            .setKind(VmaKind.VMA_SHARED_MEMORY)
                            .setObjectId(1))
                    .addVmas(
                        anonymous(0x30000, 0x31000)
                            .setProtection(1)
                            .addVmFlags("dc")
                            .addVmFlags("lo"))
                    .addVmas(anonymous(0x31000, 0x32000).setName(ByteString.copyFromUtf8("heap")))
                    .addVmas(
                        anonymous(0x40000, 0x41000)
                            .setKind(VmaKind.VMA_SHARED_FILE)
                            .setFile(file("/tmp/perf")))
                    .addVmas(
                        anonymous(0x70000000, 0x70004000)
                            .setKind(VmaKind.VMA_VVAR)
                            .setProtection(1))
                    .addVmas(
                        anonymous(0x70004000, 0x70006000)
                            .setKind(VmaKind.VMA_VDSO)
                            .setProtection(5))
                    .addVmas(
                        anonymous(0xffffffffff600000L, 0xffffffffff601000L)
                            .setKind(VmaKind.VMA_VSYSCALL)
                            .setProtection(4)))
            .setFiles(
                Files.newBuilder()
                    .addDescriptors(Descriptor.newBuilder().setFd(0).setDescriptionId(1))
                    .addDescriptors(
                        Descriptor.newBuilder().setFd(5).setDescriptionId(2).setCloseOnExec(true))
                    .addDescriptors(Descriptor.newBuilder().setFd(6).setDescriptionId(3))
                    .addDescriptors(Descriptor.newBuilder().setFd(7).setDescriptionId(4))
                    .addDescriptions(
                        Description.newBuilder()
                            .setId(1)
                            .setFlags(2)
                            .setDevice(CharacterDevice.newBuilder().setPath("/dev/null")))
                    .addDescriptions(
                        Description.newBuilder()
                            .setId(2)
                            .setFlags(2)
                            .setTimerfd(TimerFd.newBuilder().setClock(1).setRemaining(99)))
                    .addDescriptions(
                        Description.newBuilder()
                            .setId(3)
                            .setFlags(2)
                            .setPosition(100)
                            .setRegular(
                                RegularFile.newBuilder()
                                    .setFile(file("/var/log/demo"))
                                    .addLocks(FileLock.newBuilder().setWrite(true))))
                    .addDescriptions(
                        Description.newBuilder()
                            .setId(4)
                            .setFlags(2)
                            .setMemfd(MemoryFile.newBuilder().setObjectId(2)))
                    .addObjects(
                        SharedObject.newBuilder()
                            .setId(1)
                            .setKind(SharedObject.Kind.KIND_ANONYMOUS)
                            .setSize(0x1000))
                    .addObjects(
                        SharedObject.newBuilder()
                            .setId(2)
                            .setKind(SharedObject.Kind.KIND_MEMFD)
                            .setName("sealed")
                            .setSize(0x2000)
                            .setSeals(0xe))
                    .addObjects(
                        SharedObject.newBuilder()
                            .setId(3)
                            .setKind(SharedObject.Kind.KIND_FILE_COPY)
                            .setName("/tmp/perf")
                            .setSize(0x1000)))
            .setSignals(
                Signals.newBuilder()
                    .addActions(SignalAction.newBuilder().setSignal(10))
                    .addPending(PendingSignal.newBuilder().setSignal(10)))
            .setTimers(
                Timers.newBuilder()
                    .addInterval(IntervalTimer.newBuilder().setValue(5))
                    .addPosix(PosixTimer.newBuilder().setId(3)))
            .addThreads(Thread.newBuilder().setTid(42).setRseq(Rseq.newBuilder().setLength(32)))
            .addThreads(
                Thread.newBuilder()
                    .setTid(43)
                    .setBlockedCall(sleep(6))
                    .addPending(PendingSignal.newBuilder().setSignal(34)))
            .addThreads(Thread.newBuilder().setTid(50))
            .build();
    Pagemap pagemap =
        Pagemap.newBuilder()
            .setPageSize(4096)
            .addSpaces(
                PageSpace.newBuilder()
                    .setId(0)
                    .addRuns(run(0x11000, 2, PageKind.PAGE_STORED))
                    .addRuns(run(0x13000, 1, PageKind.PAGE_ZERO)))
            .addSpaces(PageSpace.newBuilder().setId(1).addRuns(run(0, 1, PageKind.PAGE_STORED)))
            .build();
    assertThat(String.join("\n", lines(state, pagemap)) + "\n")
        .isEqualTo(
            """
            create process 42 from a stub at 0x1000000
            session 40, process group 41
            empty the address space but for 0x1100000-0x1180000
            move the vDSO to 0x70004000
            close all descriptors but 0, 1 and 2
            create shared memory 1 of 4096 bytes
            create memfd 'sealed' of 8192 bytes
            fill 2 shared objects
            seal object 2 with 0xe
            recreate what is missing of /tmp/perf
            map 0x10000-0x12000 r-x, /bin/demo at offset 4096
            map 0x12000-0x14000 rw-, anonymous
            map 0x20000-0x21000 rw-, object 1
            map 0x30000-0x31000 r--, anonymous
            map 0x31000-0x32000 rw-, anonymous
            map 0x40000-0x41000 rw-, /tmp/perf at offset 0
            fill 2 pages
            finish 0x10000-0x12000 r-x
            finish 0x30000-0x31000 r-- [dc, lo]
            finish 0x31000-0x32000 rw-
            memory layout, executable /bin/demo
            open /dev/null
            make a timerfd of clock 1
            open /var/log/demo at offset 100
            open object 2 at offset 0
            fd 1: closed
            fd 2: closed
            fd 0: description 1
            fd 5: description 2, close on exec
            fd 6: description 3
            fd 7: description 4
            set the time of object 1
            set the time of object 2
            close temporary descriptors
            create thread 43
            create thread 50
            fd 6: lock the file for writing
            signal actions of 1 signals
            working directory /srv
            configure thread 42
            configure thread 43
            configure thread 50
            dumpable 1
            2 pending signals
            read back and compare the pages
            rseq of 1 threads
            read back and compare the mappings
            read back and compare the namespaces
            registers of 1 threads
            arm the timer of fd 5
            2 timers
            registers of 2 threads
            """);
  }

  @Test
  void theLeastProcess() throws CheckpointException {
    assertThat(lines(state(anonymous(0x10000, 0x11000).build()), Pagemap.getDefaultInstance()))
        .containsExactly(
            "create process 42 from a stub at 0x1000000",
            "session 42, process group 42",
            "empty the address space but for 0x1100000-0x1180000",
            "remove the vDSO",
            "close all descriptors but 0, 1 and 2",
            "fill 0 shared objects",
            "map 0x10000-0x11000 rw-, anonymous",
            "fill 0 pages",
            "memory layout, executable ",
            "fd 0: closed",
            "fd 1: closed",
            "fd 2: closed",
            "close temporary descriptors",
            "signal actions of 0 signals",
            "working directory ",
            "configure thread 42",
            "dumpable 0",
            "0 pending signals",
            "read back and compare the pages",
            "rseq of 0 threads",
            "read back and compare the mappings",
            "read back and compare the namespaces",
            "0 timers",
            "registers of 1 threads");
  }

  /// Whatever the host: the plan is made, and refused afterwards.
  @Test
  void anyArchitectureAndAnIncompleteRecord() throws CheckpointException {
    for (Arch arch : List.of(Arch.ARCH_X86_64, Arch.ARCH_AARCH64, Arch.ARCH_UNSPECIFIED)) {
      for (int number : new int[] {35, 101, 115, 230, 202, -1, 9999}) {
        ProcessState state =
            state(anonymous(0x10000, 0x11000).build()).toBuilder()
                .setHost(Host.newBuilder().setArch(arch))
                .addThreads(
                    Thread.newBuilder().setTid(43).setBlockedCall(sleep(1).setNumber(number)))
                .build();
        assertThat(lines(state, Pagemap.getDefaultInstance())).contains("create thread 43");
      }
    }
  }

  /// Only where a page goes into a mapping that is not writable.
  @Test
  void aLeaderEndsLast() throws CheckpointException {
    ProcessState state =
        state().toBuilder()
            .clearThreads()
            .addThreads(
                Thread.newBuilder().setTid(42).setEnded(Ended.newBuilder().setStatus(0x700)))
            .addThreads(Thread.newBuilder().setTid(43))
            .build();
    List<String> lines = lines(state, Pagemap.getDefaultInstance());
    assertThat(lines)
        .endsWith("registers of 1 threads", "0 timers", "end leader thread 42 with status 0x700");
    assertThat(lines).filteredOn(line -> line.startsWith("registers")).hasSize(1);
  }

  @Test
  void mappingsAreWritableFirstWherePagesGoIn() throws CheckpointException {
    Vma readOnly = anonymous(0x10000, 0x12000).setProtection(1).build();
    Vma writable = anonymous(0x12000, 0x14000).build();
    Vma noAccess = anonymous(0x14000, 0x16000).setProtection(0).build();
    Vma untouched = anonymous(0x16000, 0x18000).setProtection(0).build();
    RestorePlan.Steps steps =
        RestorePlan.of(
            state(readOnly, writable, noAccess, untouched),
            Pagemap.newBuilder()
                .setPageSize(4096)
                .addSpaces(
                    PageSpace.newBuilder()
                        .addRuns(run(0x11000, 1, PageKind.PAGE_STORED))
                        .addRuns(run(0x12000, 1, PageKind.PAGE_ZERO))
                        .addRuns(run(0x15000, 1, PageKind.PAGE_STORED)))
                .build());
    assertThat(steps.build())
        .contains(
            new RestoreStep.MapVma(readOnly, true),
            new RestoreStep.MapVma(writable, false),
            new RestoreStep.MapVma(noAccess, true),
            new RestoreStep.MapVma(untouched, false),
            new RestoreStep.FillPages(2),
            new RestoreStep.FinishVma(readOnly, true),
            new RestoreStep.FinishVma(noAccess, true))
        .doesNotContain(
            new RestoreStep.FinishVma(writable, false),
            new RestoreStep.FinishVma(untouched, false));
  }

  /// A run that goes on over two mappings belongs to both. setns(2) of a time namespace wants a
  /// process of one thread, and its time runs from there.
  @Test
  void clocksAreSetBeforeThreadsAreThereAndBehindThePages() throws CheckpointException {
    ProcessState state =
        state(anonymous(0x10000, 0x11000).build()).toBuilder()
            .addThreads(Thread.newBuilder().setTid(43))
            .build();
    RestoreStep clocks =
        new RestoreStep.SetClocks(new ClockPlan.GoOn(5_000_000_000L, 6_001_000_000L));
    RestorePlan.Steps steps =
        RestorePlan.of(
            state,
            Pagemap.getDefaultInstance(),
            ChangedFiles.NONE,
            LazyRanges.NONE,
            new ClockPlan.GoOn(5_000_000_000L, 6_001_000_000L));
    assertThat(steps.finish()).startsWith(clocks, new RestoreStep.CreateThread(43));
    assertThat(clocks.describe())
        .isEqualTo(
            "its clocks go on in a time namespace: CLOCK_MONOTONIC from 5.000 s, CLOCK_BOOTTIME from 6.001 s");
  }

  @Test
  void oneRunInTwoMappings() throws CheckpointException {
    Vma first = anonymous(0x10000, 0x11000).setProtection(1).build();
    Vma second = anonymous(0x11000, 0x12000).setProtection(4).build();
    assertThat(
            RestorePlan.of(
                    state(first, second),
                    Pagemap.newBuilder()
                        .setPageSize(4096)
                        .addSpaces(
                            PageSpace.newBuilder().addRuns(run(0x10000, 2, PageKind.PAGE_STORED)))
                        .build())
                .build())
        .contains(
            new RestoreStep.MapVma(first, true),
            new RestoreStep.MapVma(second, true),
            new RestoreStep.FinishVma(first, true),
            new RestoreStep.FinishVma(second, true));
  }

  /// One mapping in MiB, another in MiB, and the place of the stub.
  @ParameterizedTest
  @CsvSource({
    "0, 1, 100, 101, 16",
    "0, 1, 20, 21, 16", // exactly 4 MiB of room
    "0, 1, 19, 21, 22", // less
    "10, 12, 100, 101, 16",
    "16, 17, 100, 101, 18", // a MiB behind it is left alone
    "15, 40, 44, 50, 51",
    "15, 40, 45, 50, 41"
  })
  void gapIsTheLowestHole(long start, long end, long nextStart, long nextEnd, long expected)
      throws CheckpointException {
    assertThat(gap(start * MIB, end * MIB, nextStart * MIB, nextEnd * MIB))
        .isEqualTo(expected * MIB);
  }

  @Test
  void gapIsAligned() throws CheckpointException {
    assertThat(gap(16 * MIB, 16 * MIB + 4096, 100 * MIB, 101 * MIB)).isEqualTo(18 * MIB);
  }

  private static long gap(long start, long end, long nextStart, long nextEnd)
      throws CheckpointException {
    RestorePlan.Steps steps =
        RestorePlan.of(
            state(anonymous(start, end).build(), anonymous(nextStart, nextEnd).build()),
            Pagemap.getDefaultInstance());
    long gap = ((RestoreStep.CreateProcess) steps.create().getFirst()).stubBase();
    assertThat(steps.create())
        .contains(
            new RestoreStep.EmptyAddressSpace(gap + MIB, RestorePlan.BOOTSTRAP_SIZE),
            new RestoreStep.PlaceVdso(List.of(), gap + 2 * MIB));
    return gap;
  }

  @Test
  void noGap() {
    assertThatExceptionOfType(CheckpointException.class)
        .isThrownBy(() ->
            RestorePlan.of(
                state(anonymous(0x10000, 0x7ffffffff000L).build()), Pagemap.getDefaultInstance()))
        .withMessage("cannot plan the restore: the address space of the image has no hole")
        .satisfies(e -> assertThat(e.outcome()).isEqualTo(Outcome.UNSUPPORTED));
  }
}
