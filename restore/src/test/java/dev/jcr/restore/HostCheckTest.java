package dev.jcr.restore;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import com.google.protobuf.ByteString;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.CheckpointException.Problem;
import dev.jcr.image.v1.Arch;
import dev.jcr.image.v1.BlockedCall;
import dev.jcr.image.v1.Credentials;
import dev.jcr.image.v1.FileIdentity;
import dev.jcr.image.v1.Host;
import dev.jcr.image.v1.Identity;
import dev.jcr.image.v1.Memory;
import dev.jcr.image.v1.Namespace;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.Registers;
import dev.jcr.image.v1.Resume;
import dev.jcr.image.v1.Scheduling;
import dev.jcr.image.v1.SharedObject;
import dev.jcr.image.v1.Thread;
import dev.jcr.image.v1.Vma;
import dev.jcr.image.v1.VmaKind;
import dev.jcr.image.v1.X8664Registers;
import dev.jcr.image.v1.X86Cpu;
import dev.jcr.image.v1.XstateComponent;
import dev.jcr.image.v1.XstateData;
import dev.jcr.parasite.collect.FileIdentities;
import dev.jcr.parasite.procfs.Proc;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.assertj.core.api.InstanceOfAssertFactories;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Every reason against a restore on this host, with its exact text.
class HostCheckTest {
  private static final int OWN = (int) ProcessHandle.current().pid();

  private static final Host HOST =
      Host.newBuilder()
          .setArch(Arch.ARCH_X86_64)
          .setPageSize(4096)
          .setKernelRelease("6.1.0")
          .setX86(
              X86Cpu.newBuilder()
                  .addFlags("avx")
                  .addFlags("fpu")
                  .setXfeatures(7)
                  .setXstateSize(832)
                  .addLayout(
                      XstateComponent.newBuilder().setFeature(2).setOffset(576).setSize(256)))
          .build();

  private Path program;
  private ProcessState state;

  @BeforeEach
  void fits(@TempDir Path folder) throws IOException, CheckpointException {
    program = Files.writeString(folder.resolve("program"), "code");
    state =
        ProcessState.newBuilder()
            .setHost(HOST)
            .setIdentity(
                Identity.newBuilder()
                    .setPid(freeId())
                    .setRootDirectory("/")
                    .setExecutable(FileIdentities.of(program.toString())))
            .addThreads(thread(freeId()))
            .build();
  }

  private static Thread.Builder thread(int tid) {
    return Thread.newBuilder()
        .setTid(tid)
        .setScheduling(Scheduling.getDefaultInstance())
        .setCredentials(
            Credentials.newBuilder()
                .addAllUids(Collections.nCopies(4, 1000))
                .addAllGids(Collections.nCopies(4, 1000)));
  }

  private ProcessState withThread(Thread.Builder thread) {
    return state.toBuilder().setThreads(0, thread).build();
  }

  /// The greatest id is one less.
  private static int freeId() throws IOException {
    return Integer.parseInt(Proc.at("/proc/sys/kernel").text("pid_max").strip());
  }

  private static List<String> problems(ProcessState state, Host host)
      throws CheckpointException, IOException {
    return HostCheck.problems(state, host).stream().map(Problem::toString).toList();
  }

  private static Vma.Builder vma(VmaKind kind, FileIdentity file) {
    return Vma.newBuilder().setStart(0x10000).setEnd(0x11000).setKind(kind).setFile(file);
  }

  private ProcessState with(Vma.Builder... vmas) {
    Memory.Builder memory = Memory.newBuilder();
    for (Vma.Builder vma : vmas) {
      memory.addVmas(vma);
    }
    return state.toBuilder().setMemory(memory).build();
  }

  @Test
  void nothingAgainstIt() throws CheckpointException, IOException {
    assertThat(problems(state, HOST)).isEmpty();
    assertThatCode(() -> HostCheck.require("image", List.of())).doesNotThrowAnyException();
  }

  /// Nothing else is compared then.
  @Test
  void anotherArchitecture() throws CheckpointException, IOException {
    ProcessState arm =
        state.toBuilder()
            .setHost(HOST.toBuilder().setArch(Arch.ARCH_AARCH64).setPageSize(16384))
            .build();
    assertThat(problems(arm, HOST))
        .containsExactly(
            "architecture: the image is of ARCH_AARCH64, this host is ARCH_X86_64; restore it on"
                + " such a machine");
  }

  @Test
  void anotherPageSize() throws CheckpointException, IOException {
    assertThat(problems(state, HOST.toBuilder().setPageSize(65536).build()))
        .containsExactly(
            "page size: the image has pages of 4096 bytes, this kernel of 65536; restore it on a"
                + " kernel with the same page size");
  }

  @Test
  void aProcessorThatLacksFeatures() throws CheckpointException, IOException {
    ProcessState image =
        state.toBuilder()
            .setHost(
                HOST.toBuilder()
                    .setX86(HOST.getX86().toBuilder().addFlags("amx_tile").addFlags("avx512f")))
            .build();
    assertThat(problems(image, HOST))
        .containsExactly(
            "CPU: it lacks amx_tile avx512f; restore on a CPU that has all features of the first");
    // One that has more is no obstacle.
    assertThat(problems(state, image.getHost())).isEmpty();
  }

  @Test
  void registersThatTheProcessorDoesNotHave() throws CheckpointException, IOException {
    XstateData avx =
        XstateData.newBuilder()
            .setFeature(2)
            .setData(ByteString.copyFrom(new byte[] {1}).concat(ByteString.copyFrom(new byte[255])))
            .build();
    ProcessState image =
        state.toBuilder()
            .setThreads(
                0,
                state.getThreads(0).toBuilder()
                    .setRegisters(
                        Registers.newBuilder()
                            .setX8664(X8664Registers.newBuilder().addComponents(avx))))
            .build();
    assertThat(problems(image, HOST)).isEmpty();
    Host plain =
        HOST.toBuilder()
            .setX86(HOST.getX86().toBuilder().setXfeatures(3).setXstateSize(576).clearLayout())
            .build();
    assertThat(problems(image, plain))
        .containsExactly(
            "CPU: it lacks AVX registers of 256 bytes; restore on a CPU that has all features of the"
                + " first");
  }

  /// A dump of this version refuses these; another program may have written the image.
  @Test
  void whatNoDumpOfThisVersionHolds() throws CheckpointException, IOException {
    assertThat(
            problems(
                state.toBuilder()
                    .setIdentity(state.getIdentity().toBuilder().setRootDirectory("/no/such/root"))
                    .build(),
                HOST))
        .containsExactly(
            "root directory /no/such/root: it does not exist; put the directory back with what the"
                + " process needs");
    Vma.Builder vma = Vma.newBuilder().setStart(0x1000).setEnd(0x2000).setProtectionKey(1);
    assertThat(problems(with(vma, vma.clone().setStart(0x2000).setEnd(0x3000)), HOST))
        .containsExactly("image: it has protection keys, not supported yet");
  }

  @Test
  void threadsWithoutWhatEveryThreadHas() throws CheckpointException, IOException {
    Thread thread = state.getThreads(0);
    String problem = "thread " + thread.getTid() + ": its record is incomplete";
    assertThat(problems(withThread(thread.toBuilder().clearScheduling()), HOST))
        .containsExactly(problem);
    assertThat(problems(withThread(thread.toBuilder().clearCredentials()), HOST))
        .containsExactly(problem);
    BlockedCall.Builder again =
        BlockedCall.newBuilder()
            .setNumber(35)
            .setResume(Resume.RESUME_AGAIN)
            .addAllArguments(Collections.nCopies(5, 0L));
    assertThat(problems(withThread(thread.toBuilder().setBlockedCall(again)), HOST))
        .containsExactly(problem);
    assertThat(problems(withThread(thread.toBuilder().setBlockedCall(again.addArguments(0))), HOST))
        .isEmpty();
  }

  @Test
  void anotherVdso() throws CheckpointException, IOException {
    assertThat(
            problems(
                with(Vma.newBuilder().setStart(0x10000).setEnd(0x11000).setKind(VmaKind.VMA_VDSO)),
                HOST))
        .containsExactly(
            "vDSO: this kernel's differs from that of kernel 6.1.0; restore on the same kernel"
                + " build");
  }

  @Test
  void theExecutableIsGone() throws CheckpointException, IOException {
    Files.delete(program);
    assertThat(problems(state, HOST))
        .containsExactly(
            "mapped file "
                + program
                + ": ENOENT (no such file or directory); put the same file back");
  }

  @Test
  void theExecutableIsAnother() throws CheckpointException, IOException {
    Files.writeString(program, "other code");
    assertThat(problems(state, HOST))
        .containsExactly(
            "mapped file " + program + ": it has 10 bytes, it had 4; put the same file back");
  }

  @Test
  void aLibraryIsGone() throws CheckpointException, IOException {
    String path = program.resolveSibling("library.so").toString();
    FileIdentity library = FileIdentity.newBuilder().setPath(path).build();
    assertThat(problems(with(vma(VmaKind.VMA_PRIVATE_FILE, library)), HOST))
        .containsExactly(
            "mapped file " + path + ": ENOENT (no such file or directory); put the same file back");
  }

  /// A file mapped shared may have grown and been written to.
  @Test
  void sharedFiles() throws CheckpointException, IOException {
    Path data = Files.writeString(program.resolveSibling("data"), "12345");
    ProcessState image = with(vma(VmaKind.VMA_SHARED_FILE, FileIdentities.of(data.toString())));
    Files.writeString(data, "123456");
    assertThat(problems(image, HOST)).isEmpty();
    Files.writeString(data, "1");
    assertThat(problems(image, HOST))
        .containsExactly(
            "mapped file " + data + ": it has 1 bytes, it had 5; put the same file back");
    Files.delete(data);
    assertThat(problems(image, HOST))
        .containsExactly(
            "mapped file " + data + ": ENOENT (no such file or directory); put the same file back");
    // Its content is in the image.
    ProcessState copied =
        image.toBuilder()
            .setFiles(
                dev.jcr.image.v1.Files.newBuilder()
                    .addObjects(
                        SharedObject.newBuilder()
                            .setId(1)
                            .setKind(SharedObject.Kind.KIND_FILE_COPY)
                            .setName(data.toString())))
            .build();
    assertThat(problems(copied, HOST)).isEmpty();
  }

  private static Namespace.Builder namespace(String path) {
    return Namespace.newBuilder().setKind(Namespace.Kind.KIND_NET).setInode(1).setPath(path);
  }

  private ProcessState in(Namespace.Builder namespace) {
    return state.toBuilder()
        .setIdentity(state.getIdentity().toBuilder().addNamespaces(namespace))
        .build();
  }

  /// A path of an image may lead anywhere, also to what must not be opened.
  @Test
  void namespacesAreLookedAtBeforeTheyAreOpened(@TempDir Path folder) throws Exception {
    String remedy = "; say which one to join with --join-ns net:PATH or :PID";
    assertThat(problems(in(namespace("")), HOST))
        .containsExactly(
            "net namespace 1: the process was in it, and it was bound to no path" + remedy);
    Path file = Files.writeString(folder.resolve("file"), "");
    assertThat(problems(in(namespace(file.toString())), HOST))
        .containsExactly("net namespace at %s: %s is no namespace%s".formatted(file, file, remedy));
    assertThat(problems(in(namespace("/dev/tty")), HOST))
        .containsExactly("net namespace at /dev/tty: /dev/tty is no namespace" + remedy);
    assertThat(problems(in(namespace("/proc/self/ns/uts")), HOST))
        .containsExactly(
            "net namespace at /proc/self/ns/uts: /proc/self/ns/uts is no net namespace but a uts"
                + " namespace"
                + remedy);
    Path gone = folder.resolve("gone");
    assertThat(problems(in(namespace(gone.toString())), HOST))
        .singleElement(InstanceOfAssertFactories.STRING)
        .contains("ENOENT (no such file or directory)");
    // jcr's own need not be entered.
    assertThat(problems(in(namespace("/proc/self/ns/net")), HOST)).isEmpty();
    assertThat(problems(in(namespace("/x").setKindValue(9)), HOST))
        .containsExactly("? namespace at /x: this jcr does not know its kind");
  }

  /// With an id that is in use.
  private ProcessState ofThisProcess() {
    return state.toBuilder()
        .setIdentity(state.getIdentity().toBuilder().setPid(OWN))
        .setThreads(0, thread(OWN))
        .build();
  }

  @Test
  void anIdIsInUse() throws CheckpointException, IOException {
    ProcessState image = ofThisProcess();
    String reason =
        "cannot create process %d: EEXIST (the id is in use by process %d (%s)); end that process, or restore in a pid namespace of its own (--pid-namespace)"
            .formatted(OWN, OWN, Proc.of(OWN).status().name());
    List<Problem> problems = HostCheck.problems(image, HOST);
    assertThat(problems).containsExactly(new Problem("process", "id " + OWN, reason, ""));
    // Another time it may be free: the image is all right.
    assertThatExceptionOfType(CheckpointException.class)
        .isThrownBy(() -> HostCheck.require("image", problems))
        .withMessage(reason)
        .satisfies(e -> assertThat(e.outcome()).isEqualTo(Outcome.FAILED));
  }

  /// In a pid namespace of its own it is not.
  @Test
  void anIdThatIsInUseElsewhere() throws CheckpointException, IOException {
    ProcessState image = ofThisProcess();
    assertThat(HostCheck.problems(new NamespaceChanges(Map.of(), true).applied(image), HOST))
        .isEmpty();
  }

  @Test
  void allReasonsInOneMessage() {
    List<Problem> problems =
        List.of(
            new Problem("host", "CPU", "it lacks avx", "buy one"),
            new Problem("process", "id 1", "it is in use", ""));
    assertThatExceptionOfType(CheckpointException.class)
        .isThrownBy(() -> HostCheck.require("/srv/image", problems))
        .withMessage("cannot restore /srv/image: CPU: it lacks avx; buy one | id 1: it is in use")
        .satisfies(e -> assertThat(e.outcome()).isEqualTo(Outcome.IMAGE))
        .satisfies(e -> assertThat(e.problems()).isEqualTo(problems));
  }
}
