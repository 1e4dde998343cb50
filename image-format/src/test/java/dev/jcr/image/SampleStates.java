package dev.jcr.image;

import com.google.protobuf.ByteString;
import dev.jcr.image.v1.Aarch64Registers;
import dev.jcr.image.v1.Arch;
import dev.jcr.image.v1.ArmCpu;
import dev.jcr.image.v1.BlockedCall;
import dev.jcr.image.v1.CharacterDevice;
import dev.jcr.image.v1.Credentials;
import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.Descriptor;
import dev.jcr.image.v1.Epoll;
import dev.jcr.image.v1.EpollTarget;
import dev.jcr.image.v1.FileIdentity;
import dev.jcr.image.v1.Files;
import dev.jcr.image.v1.Host;
import dev.jcr.image.v1.Identity;
import dev.jcr.image.v1.IntervalTimer;
import dev.jcr.image.v1.Memory;
import dev.jcr.image.v1.MemoryFile;
import dev.jcr.image.v1.PendingSignal;
import dev.jcr.image.v1.PipeEnd;
import dev.jcr.image.v1.PosixTimer;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.Registers;
import dev.jcr.image.v1.Regset;
import dev.jcr.image.v1.ResourceLimit;
import dev.jcr.image.v1.Resume;
import dev.jcr.image.v1.Rseq;
import dev.jcr.image.v1.Scheduling;
import dev.jcr.image.v1.SharedObject;
import dev.jcr.image.v1.SharedObject.Kind;
import dev.jcr.image.v1.SignalAction;
import dev.jcr.image.v1.SignalStack;
import dev.jcr.image.v1.Signals;
import dev.jcr.image.v1.Timers;
import dev.jcr.image.v1.Vdso;
import dev.jcr.image.v1.Vma;
import dev.jcr.image.v1.VmaKind;
import dev.jcr.image.v1.X8664Registers;
import dev.jcr.image.v1.X86Cpu;
import dev.jcr.image.v1.XstateComponent;
import dev.jcr.image.v1.XstateData;
import java.util.Collections;
import java.util.List;
import java.util.stream.LongStream;

/// States with something of nearly everything.
public final class SampleStates {
  private SampleStates() {}

  public static ProcessState x8664() {
    return ProcessState.newBuilder()
        .setHost(
            Host.newBuilder()
                .setArch(Arch.ARCH_X86_64)
                .setPageSize(4096)
                .setKernelRelease("6.18.0")
                .setVdso(Vdso.newBuilder().setSha256(bytes(32)))
                .setX86(
                    X86Cpu.newBuilder()
                        .setVendor("AuthenticAMD")
                        .addFlags("avx")
                        .addFlags("fpu")
                        .setXfeatures(0x207)
                        .setXstateSize(2440)
                        .addLayout(component(2, 576, 256))
                        .addLayout(component(9, 2432, 8))))
        .setIdentity(identity())
        .setMemory(memory())
        .setFiles(files())
        .setSignals(
            Signals.newBuilder()
                .addActions(
                    SignalAction.newBuilder()
                        .setSignal(10)
                        .setHandler(0x401000)
                        .setFlags(0x1400_0004L)
                        .setRestorer(0x402000)
                        .setMask(0x202))
                .addPending(PendingSignal.newBuilder().setSignal(34).setInfo(bytes(128))))
        .setTimers(
            Timers.newBuilder()
                .addInterval(IntervalTimer.newBuilder().setWhich(0).setValue(1500).setInterval(7))
                .addPosix(
                    PosixTimer.newBuilder()
                        .setId(3)
                        .setClock(1)
                        .setNotify(4)
                        .setSignal(34)
                        .setThread(43)
                        .setRemaining(99)))
        .addThreads(
            thread(42)
                .setRegisters(
                    Registers.newBuilder()
                        .setX8664(
                            X8664Registers.newBuilder()
                                .addAllGeneral(words(27))
                                .setFxsave(bytes(464))
                                .setXstateBv(7)
                                .addComponents(
                                    XstateData.newBuilder().setFeature(2).setData(bytes(256)))))
                .setBlockedCall(
                    BlockedCall.newBuilder()
                        .setNumber(230)
                        .addAllArguments(words(4))
                        .setResume(Resume.RESUME_AGAIN)
                        .setRemaining(1_000_000_000)))
        .addThreads(
            thread(43)
                .setRegisters(
                    Registers.newBuilder()
                        .setX8664(
                            X8664Registers.newBuilder()
                                .addAllGeneral(words(27))
                                .setFxsave(bytes(464))
                                .setXstateBv(3))))
        .build();
  }

  public static ProcessState aarch64() {
    return ProcessState.newBuilder()
        .setHost(
            Host.newBuilder()
                .setArch(Arch.ARCH_AARCH64)
                .setPageSize(4096)
                .setArm(ArmCpu.newBuilder().setHwcap(0xffff).addSveVectorLengths(16)))
        .setIdentity(identity())
        .setMemory(memory())
        .setFiles(files())
        .addThreads(
            thread(42)
                .setRegisters(
                    Registers.newBuilder()
                        .setAarch64(
                            Aarch64Registers.newBuilder()
                                .addAllGeneral(words(36))
                                .addRegsets(Regset.newBuilder().setNote(2).setData(bytes(528)))
                                .addRegsets(
                                    Regset.newBuilder().setNote(0x401).setData(bytes(16))))))
        .build();
  }

  private static XstateComponent component(int feature, int offset, int size) {
    return XstateComponent.newBuilder().setFeature(feature).setOffset(offset).setSize(size).build();
  }

  private static dev.jcr.image.v1.Thread.Builder thread(int tid) {
    return dev.jcr.image.v1.Thread.newBuilder()
        .setTid(tid)
        .setComm(ByteString.copyFromUtf8("worker"))
        .setSignalMask(0x4002)
        .setSignalStack(SignalStack.newBuilder().setFlags(2))
        .setRobustList(0x7000)
        .setRobustListLength(24)
        .setRseq(Rseq.newBuilder().setAddress(0x7100).setLength(32).setSignature(0x53053053))
        .setScheduling(Scheduling.newBuilder().setNice(-5).addAffinity(3))
        .setCredentials(
            Credentials.newBuilder()
                .addAllUids(Collections.nCopies(4, 1000))
                .addAllGids(Collections.nCopies(4, 1000))
                .addGroups(27)
                .setBounding(0x1ff_ffff_ffffL))
        .setTimerSlack(50_000);
  }

  private static Identity identity() {
    return Identity.newBuilder()
        .setPid(42)
        .setParentPid(1)
        .setProcessGroup(42)
        .setSession(42)
        .setUmask(022)
        .setWorkingDirectory("/")
        .setRootDirectory("/")
        .setExecutable(file("/usr/bin/demo"))
        .setDumpable(1)
        .addLimits(ResourceLimit.newBuilder().setResource(3).setSoft(8 << 20).setHard(-1))
        .build();
  }

  private static FileIdentity file(String path) {
    return FileIdentity.newBuilder()
        .setPath(path)
        .setSize(8192)
        .setMtimeSeconds(1_700_000_000)
        .setMtimeNanos(5)
        .setMode(0100755)
        .setBuildId(bytes(20))
        .build();
  }

  private static Memory memory() {
    return Memory.newBuilder()
        .setStartCode(0x400000)
        .setEndCode(0x401000)
        .setStartBrk(0x500000)
        .setBrk(0x600000)
        .setAuxv(bytes(32))
        .addVmas(
            Vma.newBuilder()
                .setStart(0x10000)
                .setEnd(0x4000000)
                .setKind(VmaKind.VMA_PRIVATE_ANONYMOUS)
                .setProtection(3)
                .setFlags(0x4000)
                .addVmFlags("hg")
                .addVmFlags("lo")
                .setName(ByteString.copyFromUtf8("heap")))
        .addVmas(
            Vma.newBuilder()
                .setStart(0x4000000)
                .setEnd(0x4002000)
                .setKind(VmaKind.VMA_PRIVATE_FILE)
                .setProtection(5)
                .setFile(file("/usr/bin/demo")))
        .addVmas(
            Vma.newBuilder()
                .setStart(0x5000000)
                .setEnd(0x5010000)
                .setKind(VmaKind.VMA_SHARED_MEMORY)
                .setProtection(3)
                .setObjectId(1))
        .addVmas(
            Vma.newBuilder()
                .setStart(0x7000_0000)
                .setEnd(0x7001_0000)
                .setKind(VmaKind.VMA_PRIVATE_ANONYMOUS)
                .setProtection(3))
        .build();
  }

  private static Files files() {
    return Files.newBuilder()
        .addDescriptors(Descriptor.newBuilder().setFd(0).setDescriptionId(1))
        .addDescriptors(Descriptor.newBuilder().setFd(1).setDescriptionId(1))
        .addDescriptors(Descriptor.newBuilder().setFd(5).setCloseOnExec(true).setDescriptionId(2))
        .addDescriptors(Descriptor.newBuilder().setFd(7).setDescriptionId(3))
        .addDescriptors(Descriptor.newBuilder().setFd(8).setDescriptionId(4))
        .addDescriptions(
            Description.newBuilder()
                .setId(1)
                .setFlags(02)
                .setDevice(CharacterDevice.newBuilder().setPath("/dev/null").setMajor(1)))
        .addDescriptions(
            Description.newBuilder()
                .setId(2)
                .setFlags(02)
                .setMemfd(MemoryFile.newBuilder().setObjectId(1)))
        .addDescriptions(
            Description.newBuilder()
                .setId(3)
                .setEpoll(
                    Epoll.newBuilder()
                        .addTargets(
                            EpollTarget.newBuilder()
                                .setFd(8)
                                .setEvents(0x8000_0001)
                                .setData(8)
                                .setDescriptionId(4))))
        .addDescriptions(
            Description.newBuilder()
                .setId(4)
                .setFlags(04000)
                .setPipe(
                    PipeEnd.newBuilder()
                        .setPipeId(77)
                        .setCapacity(65536)
                        .setContent(ByteString.copyFromUtf8("waiting"))
                        .setOutside(true)))
        .addObjects(
            SharedObject.newBuilder()
                .setId(1)
                .setKind(Kind.KIND_MEMFD)
                .setSize(0x10000)
                .setName("shared")
                .setSeals(2))
        .build();
  }

  private static List<Long> words(int count) {
    return LongStream.range(0, count).map(i -> 0x1000 + i).boxed().toList();
  }

  private static ByteString bytes(int length) {
    byte[] bytes = new byte[length];
    for (int i = 0; i < length; i++) {
      bytes[i] = (byte) (i + 1);
    }
    return ByteString.copyFrom(bytes);
  }
}
