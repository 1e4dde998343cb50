package dev.jcr.image.codec;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import dev.jcr.image.SampleStates;
import dev.jcr.image.v1.Attachment;
import dev.jcr.image.v1.Clocks;
import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.Ended;
import dev.jcr.image.v1.InetSocket;
import dev.jcr.image.v1.MessageQueue;
import dev.jcr.image.v1.Namespace;
import dev.jcr.image.v1.NetworkInterface;
import dev.jcr.image.v1.NumaPolicy;
import dev.jcr.image.v1.PacketMembership;
import dev.jcr.image.v1.PacketSocket;
import dev.jcr.image.v1.PageKind;
import dev.jcr.image.v1.PageRun;
import dev.jcr.image.v1.PageSpace;
import dev.jcr.image.v1.Pagemap;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.SharedObject;
import dev.jcr.image.v1.TcpConnection;
import dev.jcr.image.v1.Thread;
import dev.jcr.image.v1.UnixSocket;
import dev.jcr.image.v1.VmaKind;
import java.util.Collections;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class StateValidatorTest {
  private static final Pagemap EMPTY = Pagemap.newBuilder().setPageSize(4096).build();

  private static Namespace.Builder net() {
    return Namespace.newBuilder().setKind(Namespace.Kind.KIND_NET);
  }

  private static Arguments refused(String problem, Consumer<ProcessState.Builder> change) {
    return Arguments.of(problem, change);
  }

  private static void attach(ProcessState.Builder state, Attachment.Builder attachment) {
    unix(
        state,
        UnixSocket.newBuilder()
            .setType(1)
            .addReceiveQueue(ByteString.copyFromUtf8("x"))
            .addAttachments(attachment));
  }

  private static void unix(ProcessState.Builder state, UnixSocket.Builder socket) {
    state.getFilesBuilder().getDescriptionsBuilder(3).setUnixSocket(socket);
  }

  private static PacketSocket.Builder packet(ProcessState.Builder state) {
    return state
        .getFilesBuilder()
        .getDescriptionsBuilder(3)
        .getPacketSocketBuilder()
        .setType(3)
        .setProtocol(3)
        .setInterface(NetworkInterface.newBuilder().setName("eth0").setIndex(2));
  }

  private static PacketMembership.Builder membership(ProcessState.Builder state) {
    return packet(state)
        .addMembershipsBuilder()
        .setInterface(NetworkInterface.newBuilder().setName("eth0").setIndex(2))
        .setCount(1);
  }

  private static ByteString bytes(int count) {
    return ByteString.copyFrom(new byte[count]);
  }

  private static Clocks.Builder clocks(ProcessState.Builder state) {
    return state
        .getTimersBuilder()
        .getClocksBuilder()
        .setBootId(ByteString.copyFrom(new byte[16]))
        .setMonotonic(1000)
        .setBoottime(2000);
  }

  private static void embed(ProcessState.Builder state, String name, int mode) {
    int last = state.getFiles().getObjects(state.getFiles().getObjectsCount() - 1).getId();
    state
        .getFilesBuilder()
        .addObjects(
            SharedObject.newBuilder()
                .setId(last + 1)
                .setKind(SharedObject.Kind.KIND_EMBEDDED_FILE)
                .setName(name)
                .setMode(mode));
  }

  static Stream<Arguments> everyRule() {
    return Stream.of(
        refused("host is missing", s -> s.clearHost()),
        refused("memory is missing", s -> s.clearMemory()),
        refused("threads are missing", s -> s.clearThreads()),
        refused("host.arch is missing", s -> s.getHostBuilder().clearArch()),
        refused("host.page_size is none", s -> s.getHostBuilder().setPageSize(8192)),
        refused(
            "host.vdso.sha256 is not",
            s -> s.getHostBuilder().getVdsoBuilder().setSha256(ByteString.copyFrom(new byte[3]))),
        refused(
            "host.vdso.code is beyond",
            s ->
                s.getHostBuilder()
                    .getVdsoBuilder()
                    .setCode(ByteString.copyFrom(new byte[(1 << 16) + 1]))),
        refused("host.arm is there", s -> s.getHostBuilder().getArmBuilder().setHwcap(1)),
        refused(
            "host.x86.layout[1].offset and size",
            s -> s.getHostBuilder().getX86Builder().getLayoutBuilder(1).setOffset(2436)),
        refused(
            "host.x86.layout[1].feature is out of order",
            s -> s.getHostBuilder().getX86Builder().getLayoutBuilder(1).setFeature(2)),
        refused("identity.pid is none", s -> s.getIdentityBuilder().setPid(0)),
        refused("identity.umask", s -> s.getIdentityBuilder().setUmask(01000)),
        refused(
            "identity.working_directory is too long or has a NUL",
            s -> s.getIdentityBuilder().setWorkingDirectory("/a\0b")),
        refused(
            "identity.working_directory is not absolute",
            s -> s.getIdentityBuilder().setWorkingDirectory("a")),
        refused(
            "identity.executable.path is not absolute",
            s -> s.getIdentityBuilder().getExecutableBuilder().setPath("x")),
        refused(
            "identity.limits[0].soft is above",
            s -> s.getIdentityBuilder().getLimitsBuilder(0).setSoft(-1).setHard(1)),
        refused("memory.lock_future has", s -> s.getMemoryBuilder().setLockFuture(1)),
        refused(
            "memory.vmas[0].guards[0].start is out of order",
            s ->
                s.getMemoryBuilder()
                    .getVmasBuilder(0)
                    .addGuardsBuilder()
                    .setStart(0x4000000)
                    .setEnd(0x4001000)),
        refused(
            "files.connection_lock is not", s -> s.getFilesBuilder().setConnectionLock("filter")),
        refused(
            "threads[0].seccomp.filters are not",
            s -> s.getThreadsBuilder(0).getSeccompBuilder().setMode(2)),
        refused(
            "threads[0].seccomp.filters[0].program is not",
            s ->
                s.getThreadsBuilder(0)
                    .getSeccompBuilder()
                    .setMode(2)
                    .addFiltersBuilder()
                    .setProgram(ByteString.copyFrom(new byte[9]))),
        refused("files.descriptions[3].packet_socket.type is not", s -> packet(s).setType(10)),
        refused(
            "files.descriptions[3].packet_socket.protocol is beyond",
            s -> packet(s).setProtocol(1 << 16)),
        refused(
            "files.descriptions[3].packet_socket.interface.index is none",
            s -> packet(s).getInterfaceBuilder().setIndex(0)),
        refused(
            "files.descriptions[3].packet_socket.interface.name is none of",
            s -> packet(s).getInterfaceBuilder().setName("../eth0")),
        refused(
            "files.descriptions[3].packet_socket.interface.name is none of",
            s -> packet(s).getInterfaceBuilder().setName("sixteen-letters-")),
        refused(
            "files.descriptions[3].packet_socket.down without an interface",
            s -> packet(s).setDown(true).clearInterface()),
        refused(
            "files.descriptions[3].packet_socket.memberships[0].interface.index is none",
            s -> membership(s).clearInterface()),
        refused(
            "files.descriptions[3].packet_socket.memberships[0].type is beyond",
            s -> membership(s).setType(4)),
        refused(
            "files.descriptions[3].packet_socket.memberships[0].address is longer",
            s -> membership(s).setAddress(bytes(33))),
        refused(
            "files.descriptions[3].packet_socket.memberships[0].count is not",
            s -> membership(s).setCount(-1)),
        refused(
            "files.descriptions[3].packet_socket.fanout without a protocol",
            s -> packet(s).setProtocol(0).getFanoutBuilder().setGroup(1)),
        refused(
            "files.descriptions[3].packet_socket.fanout.group is beyond",
            s -> packet(s).getFanoutBuilder().setGroup(1 << 16)),
        refused(
            "files.descriptions[3].packet_socket.fanout.type is beyond",
            s -> packet(s).getFanoutBuilder().setType(6)),
        refused(
            "files.descriptions[3].packet_socket.fanout.flags has unknown bits",
            s -> packet(s).getFanoutBuilder().setFlags(0x20)),
        refused(
            "files.descriptions[3].packet_socket.options.filter is not",
            s -> packet(s).getOptionsBuilder().setFilter(bytes(9))),
        refused(
            "files.descriptions[3].inet_socket.local or remote is missing",
            s ->
                s.getFilesBuilder()
                    .getDescriptionsBuilder(3)
                    .setInetSocket(
                        InetSocket.newBuilder()
                            .setFamily(2)
                            .setType(1)
                            .setConnection(TcpConnection.newBuilder().setState(1)))),
        refused(
            "files.descriptions[3].message_queue.name is not",
            s ->
                s.getFilesBuilder()
                    .getDescriptionsBuilder(3)
                    .setMessageQueue(MessageQueue.newBuilder().setName("/a/b"))),
        refused(
            "files.descriptions[3].unix_socket.attachments[0].message is none",
            s -> attach(s, Attachment.newBuilder().setMessage(1))),
        refused(
            "files.descriptions[3].unix_socket.attachments[0].description_ids[0] has",
            s -> attach(s, Attachment.newBuilder().addDescriptionIds(999))),
        refused(
            "files.descriptions[3].unix_socket.attachments[0].pid is no pid",
            s -> attach(s, Attachment.newBuilder().setPid(-1))),
        refused(
            "files.descriptions[3].unix_socket.peer_address is longer",
            s -> unix(s, UnixSocket.newBuilder().setType(2).setPeerAddress(bytes(109)))),
        refused(
            "files.descriptions[3].unix_socket.peer_address of a connection that is not lost",
            s -> unix(s, UnixSocket.newBuilder().setType(1).setPeerAddress(bytes(2)))),
        refused(
            "files.descriptions[3].unix_socket.peer_address of a socket that listens",
            s ->
                unix(
                    s,
                    UnixSocket.newBuilder()
                        .setType(2)
                        .setListening(true)
                        .setPeerAddress(bytes(2)))),
        refused(
            "files.descriptions[3].unix_socket.peer_address with a receive_queue",
            s ->
                unix(
                    s,
                    UnixSocket.newBuilder()
                        .setType(1)
                        .setPeerClosed(true)
                        .addReceiveQueue(bytes(1))
                        .setPeerAddress(bytes(2)))),
        refused(
            "memory.vmas[0].numa_policy.mode is none",
            s ->
                s.getMemoryBuilder()
                    .getVmasBuilder(0)
                    .setNumaPolicy(NumaPolicy.newBuilder().setMode(7))),
        refused(
            "threads[0].numa_policy.nodes are more",
            s ->
                s.getThreadsBuilder(0)
                    .setNumaPolicy(
                        NumaPolicy.newBuilder()
                            .setMode(1)
                            .addAllNodes(Collections.nCopies(17, 1L)))),
        refused(
            "files.descriptions[3].fanotify.flags are not",
            s -> s.getFilesBuilder().getDescriptionsBuilder(3).getFanotifyBuilder().setFlags(4)),
        refused(
            "files.descriptions[3].fanotify.marks[0].kind is missing",
            s ->
                s.getFilesBuilder()
                    .getDescriptionsBuilder(3)
                    .getFanotifyBuilder()
                    .addMarksBuilder()
                    .setPath("/")),
        refused(
            "files.objects[0].create_flags or seals of secret memory are there",
            s ->
                s.getFilesBuilder()
                    .getObjectsBuilder(0)
                    .setKind(SharedObject.Kind.KIND_SECRET)
                    .setSeals(1)),
        refused(
            "threads[0].user_dispatch.length is none",
            s -> s.getThreadsBuilder(0).getUserDispatchBuilder().setOffset(4096)),
        refused(
            "threads[0].scheduling.clamp is beyond",
            s -> s.getThreadsBuilder(0).getSchedulingBuilder().getClampBuilder().setMaximum(1025)),
        refused(
            "identity.autogroup_nice is beyond", s -> s.getIdentityBuilder().setAutogroupNice(20)),
        refused(
            "identity.namespaces[0].kind is out of order",
            s -> s.getIdentityBuilder().addNamespaces(Namespace.newBuilder().setInode(5))),
        refused(
            "identity.namespaces[0].kind is unknown",
            s ->
                s.getIdentityBuilder()
                    .addNamespaces(Namespace.newBuilder().setKindValue(77).setInode(5))),
        refused(
            "identity.namespaces[1].kind is out of order or there twice",
            s ->
                s.getIdentityBuilder()
                    .addNamespaces(net().setInode(5))
                    .addNamespaces(net().setInode(6))),
        refused(
            "identity.namespaces[0].path is not absolute",
            s -> s.getIdentityBuilder().addNamespaces(net().setInode(5).setPath("run/netns/a"))),
        refused(
            "identity.namespaces[0].inode is missing",
            s -> s.getIdentityBuilder().addNamespaces(net())),
        // A new pid namespace, which no image asks for.
        refused(
            "identity.namespaces[0].inode is missing",
            s ->
                s.getIdentityBuilder()
                    .addNamespaces(Namespace.newBuilder().setKind(Namespace.Kind.KIND_PID))),
        refused("memory.brk is not", s -> s.getMemoryBuilder().setBrk(1)),
        refused(
            "memory.auxv is not",
            s -> s.getMemoryBuilder().setAuxv(ByteString.copyFrom(new byte[8]))),
        refused(
            "memory.vmas[1].start is out of order or overlaps",
            s -> s.getMemoryBuilder().getVmasBuilder(1).setStart(0x3fff000)),
        refused(
            "memory.vmas[0].start is not page-aligned",
            s -> s.getMemoryBuilder().getVmasBuilder(0).setStart(0x10001)),
        refused(
            "memory.vmas[0].end lies outside",
            s -> s.getMemoryBuilder().getVmasBuilder(0).setEnd(0x10000)),
        refused(
            "memory.vmas[3].end lies outside",
            s -> s.getMemoryBuilder().getVmasBuilder(3).setEnd(1L << 60)),
        refused(
            "memory.vmas[3].end lies outside",
            s -> s.getMemoryBuilder().getVmasBuilder(3).setEnd(-4096)),
        refused(
            "memory.tags[0].tags are not those of whole pages",
            s -> s.getMemoryBuilder().addTagsBuilder().setTags(ByteString.copyFrom(new byte[64]))),
        refused(
            "memory.tags[0].start is out of order or not page-aligned",
            s -> s.getMemoryBuilder().addTagsBuilder().setStart(16)),
        refused(
            "memory.tags[0].tags lie outside memory that has them",
            s ->
                s.getMemoryBuilder()
                    .addTagsBuilder()
                    .setStart(s.getMemory().getVmas(0).getStart())
                    .setTags(ByteString.copyFrom(new byte[128]))),
        refused(
            "memory.vmas[0].kind is missing",
            s -> s.getMemoryBuilder().getVmasBuilder(0).clearKind()),
        refused(
            "memory.vmas[3].start of the vsyscall page",
            s -> s.getMemoryBuilder().getVmasBuilder(3).setKind(VmaKind.VMA_VSYSCALL)),
        refused(
            "memory.vmas[0].protection",
            s -> s.getMemoryBuilder().getVmasBuilder(0).setProtection(8)),
        refused(
            "memory.vmas[0].flags hold MAP_FIXED",
            s -> s.getMemoryBuilder().getVmasBuilder(0).setFlags(0x10)),
        refused(
            "memory.vmas[0].vm_flags are out of order",
            s -> s.getMemoryBuilder().getVmasBuilder(0).addVmFlags("aa")),
        refused(
            "memory.vmas[0].vm_flags make a shadow stack of memory that cannot be one",
            s -> s.getMemoryBuilder().getVmasBuilder(0).clearVmFlags().addVmFlags("ss")),
        refused(
            "memory.vmas[0].name is too long",
            s -> s.getMemoryBuilder().getVmasBuilder(0).setName(ByteString.copyFrom(new byte[1]))),
        refused(
            "memory.vmas[1].file is missing",
            s -> s.getMemoryBuilder().getVmasBuilder(1).clearFile()),
        refused(
            "memory.vmas[2].object_id is of no object",
            s -> s.getMemoryBuilder().getVmasBuilder(2).setObjectId(9)),
        refused(
            "memory.vmas[2].object_id is missing",
            s -> s.getMemoryBuilder().getVmasBuilder(2).clearObjectId()),
        refused(
            "memory.vmas[1].offset",
            s -> s.getMemoryBuilder().getVmasBuilder(1).setOffset(Long.MAX_VALUE - 4095)),
        refused(
            "files.descriptors[1].fd is out of order",
            s -> s.getFilesBuilder().getDescriptorsBuilder(1).setFd(0)),
        refused(
            "files.descriptors[1].description_id is of no",
            s -> s.getFilesBuilder().getDescriptorsBuilder(1).setDescriptionId(77)),
        refused(
            "files.descriptors[4].fd is beyond",
            s -> s.getFilesBuilder().getDescriptorsBuilder(4).setFd(1 << 30)),
        refused(
            "files.descriptions[4].id is out of order",
            s -> s.getFilesBuilder().addDescriptions(s.getFiles().getDescriptions(3))),
        refused(
            "files.descriptions[0].kind is missing",
            s -> s.getFilesBuilder().getDescriptionsBuilder(0).clearKind()),
        refused(
            "files.descriptions[1].memfd.object_id is of no memfd",
            s -> s.getFilesBuilder().getDescriptionsBuilder(1).getMemfdBuilder().setObjectId(5)),
        refused(
            "files.descriptions[2].epoll.targets[0].description_id",
            s ->
                s.getFilesBuilder()
                    .getDescriptionsBuilder(2)
                    .getEpollBuilder()
                    .getTargetsBuilder(0)
                    .setDescriptionId(50)),
        refused(
            "files.descriptions[3].pipe.content is more",
            s -> s.getFilesBuilder().getDescriptionsBuilder(3).getPipeBuilder().setCapacity(3)),
        refused(
            "files.objects[0].size is beyond",
            s -> s.getFilesBuilder().getObjectsBuilder(0).setSize(-1)),
        refused(
            "files.objects[0].seals has unknown",
            s -> s.getFilesBuilder().getObjectsBuilder(0).setSeals(64)),
        refused(
            "files.objects[1].name is not an absolute path", s -> embed(s, "usr/bin/x", 0100644)),
        refused(
            "files.objects[1].name is not an absolute path",
            s -> embed(s, "/usr/../etc/x", 0100644)),
        refused("files.objects[1].name is not an absolute path", s -> embed(s, "/usr//x", 0100644)),
        refused(
            "files.objects[1].name is too long or has a NUL", s -> embed(s, "/usr/x\0", 0100644)),
        refused(
            "files.objects[1].name is not an absolute path",
            s -> embed(s, "/" + "x".repeat(4095), 0100644)),
        refused("files.objects[1].mode is not that of a regular", s -> embed(s, "/etc/x", 0020644)),
        refused(
            "files.objects[1].name is of no file that is open", s -> embed(s, "/etc/x", 0100644)),
        refused(
            "signals.actions[0].signal is beyond",
            s -> s.getSignalsBuilder().getActionsBuilder(0).setSignal(65)),
        refused(
            "signals.pending[0].info is not 128",
            s -> s.getSignalsBuilder().getPendingBuilder(0).setInfo(ByteString.EMPTY)),
        refused(
            "timers.interval[0].which is beyond",
            s -> s.getTimersBuilder().getIntervalBuilder(0).setWhich(3)),
        refused(
            "timers.posix[0].notify is not",
            s -> s.getTimersBuilder().getPosixBuilder(0).setNotify(2)),
        refused("timers.clocks.boot_id is not 16", s -> clocks(s).setBootId(ByteString.EMPTY)),
        refused("timers.clocks.monotonic is beyond", s -> clocks(s).setMonotonic(-1)),
        refused("timers.clocks.monotonic is beyond", s -> clocks(s).setMonotonic(1L << 62)),
        refused("timers.clocks.boottime is beyond", s -> clocks(s).setBoottime(Long.MIN_VALUE)),
        refused(
            "timers.clocks.monotonic_offset is none",
            s -> clocks(s).setMonotonicOffset(Long.MIN_VALUE)),
        // The host's own clock would be below 0.
        refused("timers.clocks.boottime_offset is none", s -> clocks(s).setBoottimeOffset(2001)),
        refused("threads[0].tid is not the process id", s -> s.getThreadsBuilder(0).setTid(41)),
        refused(
            "threads[1].tid is out of order or there twice",
            s -> s.getThreadsBuilder(1).setTid(42)),
        refused(
            "threads[1].comm is too long",
            s -> s.getThreadsBuilder(1).setComm(ByteString.copyFrom(new byte[16]))),
        refused(
            "threads[1].registers.arch is missing", s -> s.getThreadsBuilder(1).clearRegisters()),
        refused(
            "threads[1].registers.aarch64 is there",
            s ->
                s.getThreadsBuilder(1)
                    .setRegisters(SampleStates.aarch64().getThreads(0).getRegisters())),
        refused(
            "threads[1].registers.x86_64.general does not",
            s -> s.getThreadsBuilder(1).getRegistersBuilder().getX8664Builder().addGeneral(1)),
        refused(
            "threads[1].registers.x86_64.fxsave does not",
            s -> s.getThreadsBuilder(1).getRegistersBuilder().getX8664Builder().clearFxsave()),
        refused(
            "threads[0].registers.x86_64.xstate_bv does not",
            s -> s.getThreadsBuilder(0).getRegistersBuilder().getX8664Builder().setXstateBv(3)),
        refused(
            "threads[0].registers.x86_64.components[0].data does not",
            s ->
                s.getThreadsBuilder(0)
                    .getRegistersBuilder()
                    .getX8664Builder()
                    .getComponentsBuilder(0)
                    .setFeature(5)),
        refused(
            "threads[0].blocked_call.resume is missing",
            s -> s.getThreadsBuilder(0).getBlockedCallBuilder().clearResume()),
        refused(
            "threads[0].scheduling.nice",
            s -> s.getThreadsBuilder(0).getSchedulingBuilder().setNice(20)),
        refused(
            "threads[0].credentials.uids",
            s -> s.getThreadsBuilder(0).getCredentialsBuilder().clearUids()),
        refused(
            "threads[0].signal_stack.flags",
            s -> s.getThreadsBuilder(0).getSignalStackBuilder().setFlags(4)),
        refused(
            "threads[1].ended is there in one that is not the leader",
            s -> end(s.getThreadsBuilder(1), 0)),
        refused(
            "threads[0].ended is there in one that goes on",
            s -> s.getThreadsBuilder(0).setEnded(Ended.getDefaultInstance())),
        refused(
            "threads[0].ended is there in one that goes on",
            s -> end(s.getThreadsBuilder(0), 0).setRobustList(8)),
        // A signal; more than 16 bits.
        refused("threads[0].ended.status is none", s -> end(s.getThreadsBuilder(0), 9)),
        refused("threads[0].ended.status is none", s -> end(s.getThreadsBuilder(0), 0x10000)),
        refused(
            "threads are missing: the leader has ended",
            s -> end(s.removeThreads(1).getThreadsBuilder(0), 0)),
        refused(
            "signals.stopped_by is there, and the leader has ended",
            s -> {
              end(s.getThreadsBuilder(0), 0);
              s.getSignalsBuilder().setStoppedBy(19);
            }));
  }

  private static Thread.Builder end(Thread.Builder thread, int status) {
    Thread had = thread.build();
    return thread
        .clear()
        .setTid(had.getTid())
        .setComm(had.getComm())
        .setSignalMask(had.getSignalMask())
        .setScheduling(had.getScheduling())
        .setCredentials(had.getCredentials())
        .setEnded(Ended.newBuilder().setStatus(status));
  }

  @Test
  void aLeaderMayHaveEnded() throws Exception {
    ProcessState.Builder state = SampleStates.x8664().toBuilder();
    end(state.getThreadsBuilder(0), 0x700);
    StateValidator.check("state", state.build(), EMPTY);
  }

  @ParameterizedTest
  @MethodSource("everyRule")
  void isRefused(String problem, Consumer<ProcessState.Builder> change) {
    ProcessState.Builder state = SampleStates.x8664().toBuilder();
    change.accept(state);
    assertThatThrownBy(() -> StateValidator.check("/i/state", state.build(), EMPTY))
        .hasMessageStartingWith("cannot read /i/state: " + problem)
        .hasMessageEndingWith("; copy the image again or dump again");
  }

  @Test
  void samplesAreTaken() throws Exception {
    StateValidator.check("state", SampleStates.x8664(), EMPTY);
    StateValidator.check("state", SampleStates.aarch64(), EMPTY);
  }

  private static void pages(int space, long start, long pages) throws Exception {
    StateValidator.check(
        "state",
        SampleStates.x8664(),
        EMPTY.toBuilder()
            .addSpaces(
                PageSpace.newBuilder()
                    .setId(space)
                    .addRuns(
                        PageRun.newBuilder()
                            .setStart(start)
                            .setPages(pages)
                            .setKind(PageKind.PAGE_STORED)))
            .build());
  }

  @Test
  void pagesLieWherePagesCanBe() throws Exception {
    // Over the border of two VMAs that touch.
    pages(0, 0x3fff000, 3);
    pages(1, 0xf000, 1);
    assertThatThrownBy(() -> pages(0, 0x3fff000, 4))
        .hasMessageContaining("pagemap space 0 has pages at an address");
    assertThatThrownBy(() -> pages(0, 0x1000, 1)).hasMessageContaining("no private mapping");
    assertThatThrownBy(() -> pages(0, 0x5000000, 1)).hasMessageContaining("no private mapping");
    assertThatThrownBy(() -> pages(0, 0x7fff_ffff_f000L, 1))
        .hasMessageContaining("no private mapping");
    assertThatThrownBy(() -> pages(1, 0xf000, 2))
        .hasMessageContaining("pagemap space 1 has pages behind the object's end");
    assertThatThrownBy(() -> pages(2, 0, 1))
        .hasMessageContaining("pagemap space 2 is of no shared object");
  }

  @Test
  void everyKindOfDescriptionHasARule() {
    // KIND_NOT_SET and 20 kinds: a new kind wants a thought about its rules.
    assertThat(Description.KindCase.values()).hasSize(21);
  }
}
