package dev.jcr.restore;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import dev.jcr.image.v1.Ended;
import dev.jcr.image.v1.FileIdentity;
import dev.jcr.image.v1.Files;
import dev.jcr.image.v1.Identity;
import dev.jcr.image.v1.IntervalTimer;
import dev.jcr.image.v1.Memory;
import dev.jcr.image.v1.Namespace;
import dev.jcr.image.v1.PendingSignal;
import dev.jcr.image.v1.PosixTimer;
import dev.jcr.image.v1.Rseq;
import dev.jcr.image.v1.SharedObject;
import dev.jcr.image.v1.SignalAction;
import dev.jcr.image.v1.Signals;
import dev.jcr.image.v1.TagRun;
import dev.jcr.image.v1.Thread;
import dev.jcr.image.v1.Timers;
import dev.jcr.image.v1.Vma;
import dev.jcr.image.v1.Zombie;
import dev.jcr.restore.files.FileStep;
import dev.jcr.restore.lazy.LazyRanges;
import dev.jcr.restore.process.ClockPlan;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class RestoreStepTest {
  private static final Vma VMA = Vma.newBuilder().setStart(0x1000).setEnd(0x3000).build();

  private static Vma.Builder vma() {
    return VMA.toBuilder();
  }

  private static FileIdentity file(String path) {
    return FileIdentity.newBuilder().setPath(path).build();
  }

  private static SharedObject copy(String path) {
    return SharedObject.newBuilder().setName(path).build();
  }

  static Stream<Arguments> steps() {
    Thread thread =
        Thread.newBuilder().setTid(43).addPending(PendingSignal.newBuilder().setSignal(34)).build();
    Thread withRseq = thread.toBuilder().setRseq(Rseq.newBuilder().setAddress(1)).build();
    Signals signals =
        Signals.newBuilder()
            .addActions(SignalAction.newBuilder().setSignal(10))
            .addPending(PendingSignal.newBuilder().setSignal(10))
            .build();
    return Stream.of(
        Arguments.of(
            new RestoreStep.CreateProcess(0x1000000, 42, Optional.empty()),
            "create process 42 from a stub at 0x1000000"),
        Arguments.of(
            new RestoreStep.CreateProcess(
                0x1000000,
                42,
                Optional.of(Namespace.newBuilder().setKind(Namespace.Kind.KIND_PID).build())),
            "create process 42 in a pid namespace of its own from a stub at 0x1000000"),
        Arguments.of(new RestoreStep.JoinSession(42, 40, 41), "session 40, process group 41"),
        Arguments.of(
            new RestoreStep.EmptyAddressSpace(0x1100000, 0x80000),
            "empty the address space but for 0x1100000-0x1180000"),
        Arguments.of(
            new RestoreStep.MakeZombies(
                List.of(
                    Zombie.newBuilder().setPid(50).build(),
                    Zombie.newBuilder().setPid(51).build())),
            "make the ended children 50, 51"),
        Arguments.of(
            new RestoreStep.SetClocks(ClockPlan.AsHost.SAME), "leave its clocks as they are"),
        Arguments.of(new RestoreStep.StopProcess(), "stop it as it was stopped"),
        Arguments.of(new RestoreStep.PlaceVdso(List.of(), 0x1200000), "remove the vDSO"),
        Arguments.of(
            new RestoreStep.RedirectVdso(0x7ffff7fc1000L, ByteString.EMPTY, 5),
            "lead 5 functions of the vDSO at 0x7ffff7fc1000 to this kernel's"),
        Arguments.of(
            new RestoreStep.PlaceVdso(
                List.of(VMA, vma().setStart(0x7ffff7fc1000L).build()), 0x1200000),
            "move the vDSO to 0x7ffff7fc1000"),
        Arguments.of(
            new RestoreStep.RecreateFiles(List.of(copy("/tmp/a"), copy("/tmp/b"))),
            "recreate what is missing of /tmp/a, /tmp/b"),
        Arguments.of(new RestoreStep.MapVma(VMA, true), "map 0x1000-0x3000 ---, anonymous"),
        Arguments.of(
            new RestoreStep.MapVma(vma().setProtection(7).setObjectId(5).build(), false),
            "map 0x1000-0x3000 rwx, object 5"),
        Arguments.of(
            new RestoreStep.MapVma(
                vma().setProtection(1).setFile(file("/bin/a")).setOffset(4096).build(), false),
            "map 0x1000-0x3000 r--, /bin/a at offset 4096"),
        Arguments.of(
            new RestoreStep.StartDescriptors(Files.getDefaultInstance()),
            "close all descriptors but 0, 1 and 2"),
        Arguments.of(new RestoreStep.Descriptors(new FileStep.MakeEpoll(1)), "make an epoll"),
        Arguments.of(new RestoreStep.FillObjects(List.of(copy("x"))), "fill 1 shared objects"),
        Arguments.of(new RestoreStep.FillPages(77), "fill 77 pages"),
        Arguments.of(
            new RestoreStep.FinishVma(vma().setProtection(5).build(), true),
            "finish 0x1000-0x3000 r-x"),
        Arguments.of(
            new RestoreStep.FinishVma(vma().addVmFlags("dc").addVmFlags("lo").build(), false),
            "finish 0x1000-0x3000 --- [dc, lo]"),
        Arguments.of(
            new RestoreStep.SetLayout(Memory.getDefaultInstance(), file("/bin/a")),
            "memory layout, executable /bin/a"),
        Arguments.of(
            new RestoreStep.SetIdentity(Identity.newBuilder().setWorkingDirectory("/srv").build()),
            "working directory /srv"),
        Arguments.of(new RestoreStep.CreateThread(43), "create thread 43"),
        Arguments.of(new RestoreStep.ConfigureThread(thread), "configure thread 43"),
        Arguments.of(new RestoreStep.SetDumpable(2), "dumpable 2"),
        Arguments.of(new RestoreStep.SetActions(signals), "signal actions of 1 signals"),
        Arguments.of(
            new RestoreStep.QueueSignals(signals, List.of(thread, thread)), "3 pending signals"),
        Arguments.of(
            new RestoreStep.SetTimers(
                Timers.newBuilder()
                    .addInterval(IntervalTimer.getDefaultInstance())
                    .addPosix(PosixTimer.getDefaultInstance())
                    .build()),
            "2 timers"),
        Arguments.of(
            new RestoreStep.LoadRegisters(List.of(thread, thread)), "registers of 2 threads"),
        Arguments.of(
            new RestoreStep.EndLeader(
                Thread.newBuilder()
                    .setTid(42)
                    .setEnded(Ended.newBuilder().setStatus(0x700))
                    .build()),
            "end leader thread 42 with status 0x700"),
        Arguments.of(new RestoreStep.ProvePages(), "read back and compare the pages"),
        Arguments.of(new RestoreStep.RegisterRseq(List.of(thread, withRseq)), "rseq of 1 threads"),
        Arguments.of(
            new RestoreStep.TagMemory(
                List.of(
                    TagRun.newBuilder().setTags(ByteString.copyFrom(new byte[128])).build(),
                    TagRun.newBuilder().setTags(ByteString.copyFrom(new byte[256])).build())),
            "tags of 12 KiB of memory"),
        Arguments.of(new RestoreStep.OpenUserfault(), "make a userfaultfd"),
        Arguments.of(
            new RestoreStep.ServePages(LazyRanges.NONE), "serve 0 KiB of 0 mappings on demand"),
        Arguments.of(
            new RestoreStep.JoinNamespaces(
                List.of(
                    Namespace.newBuilder()
                        .setKind(Namespace.Kind.KIND_NET)
                        .setPath("/run/netns/a")
                        .build(),
                    Namespace.newBuilder()
                        .setKind(Namespace.Kind.KIND_UTS)
                        .setInode(4026532177L)
                        .build())),
            "join the net namespace at /run/netns/a, the uts namespace 4026532177"),
        Arguments.of(new RestoreStep.ProveNamespaces(), "read back and compare the namespaces"),
        Arguments.of(new RestoreStep.ProveMappings(), "read back and compare the mappings"));
  }

  @ParameterizedTest
  @MethodSource("steps")
  void describe(RestoreStep step, String expected) {
    assertThat(step.describe()).isEqualTo(expected);
  }

  @Test
  void noKindIsMissingHere() {
    Set<Class<?>> seen = new HashSet<>();
    steps().forEach(arguments -> seen.add(arguments.get()[0].getClass()));
    assertThat(seen).containsExactlyInAnyOrder(RestoreStep.class.getPermittedSubclasses());
  }
}
