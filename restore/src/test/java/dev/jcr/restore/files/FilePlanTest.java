package dev.jcr.restore.files;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import dev.jcr.image.v1.Attachment;
import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.Descriptor;
import dev.jcr.image.v1.Epoll;
import dev.jcr.image.v1.EpollTarget;
import dev.jcr.image.v1.EventFd;
import dev.jcr.image.v1.FileIdentity;
import dev.jcr.image.v1.FileLock;
import dev.jcr.image.v1.Files;
import dev.jcr.image.v1.Inherited;
import dev.jcr.image.v1.MemoryFile;
import dev.jcr.image.v1.NetworkInterface;
import dev.jcr.image.v1.Owner;
import dev.jcr.image.v1.PacketSocket;
import dev.jcr.image.v1.PipeEnd;
import dev.jcr.image.v1.RegularFile;
import dev.jcr.image.v1.SharedObject;
import dev.jcr.image.v1.Terminal;
import dev.jcr.image.v1.TerminalEnd;
import dev.jcr.image.v1.UnixSocket;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/// Plans are values: nothing here touches a process.
class FilePlanTest {
  private static Descriptor fd(int fd, int id) {
    return Descriptor.newBuilder().setFd(fd).setDescriptionId(id).build();
  }

  private static Description.Builder description(int id) {
    return Description.newBuilder().setId(id);
  }

  @Test
  void anEmptyTableClosesTheStandardDescriptors() {
    assertThat(FilePlan.of(Files.getDefaultInstance()).all())
        .containsExactly(
            new FileStep.CloseDescriptor(0),
            new FileStep.CloseDescriptor(1),
            new FileStep.CloseDescriptor(2),
            new FileStep.CloseTemporary());
  }

  @Test
  void temporaryNumbersLieAboveThoseOfEpolls() {
    Files files =
        Files.newBuilder()
            .addDescriptors(fd(7, 1))
            .addDescriptions(
                description(1)
                    .setEpoll(Epoll.newBuilder().addTargets(EpollTarget.newBuilder().setFd(90))))
            .build();
    assertThat(FilePlan.firstFree(files)).isEqualTo(91);
    assertThat(FilePlan.firstFree(Files.getDefaultInstance())).isEqualTo(3);
  }

  @Test
  void bothEndsOfAPipeAreMadeInOneStepWithTheContentOfEither() {
    PipeEnd read =
        PipeEnd.newBuilder().setPipeId(9).setContent(ByteString.copyFromUtf8("abc")).build();
    PipeEnd write = PipeEnd.newBuilder().setPipeId(9).build();
    Files files =
        Files.newBuilder()
            .addDescriptors(fd(3, 1))
            .addDescriptors(fd(4, 2))
            .addDescriptions(description(1).setFlags(1).setPipe(write))
            .addDescriptions(description(2).setPipe(read))
            .build();
    FileStep.MakePipe step =
        new FileStep.MakePipe(read, List.of(new FileStep.End(1, 1), new FileStep.End(2, 0)));
    assertThat(FilePlan.of(files).descriptors()).contains(step);
    assertThat(step.describe()).isEqualTo("make a pipe with 2 ends, 3 bytes in it");
  }

  @Test
  void aSocketpairIsMadeOnceAndOneWithoutPeerLosesItAgain() {
    UnixSocket a = UnixSocket.newBuilder().setType(1).setSocketId(5).setPeerId(6).build();
    UnixSocket b = UnixSocket.newBuilder().setType(1).setSocketId(6).setPeerId(5).build();
    UnixSocket orphan =
        UnixSocket.newBuilder().setType(1).setSocketId(7).setPeerClosed(true).build();
    Files files =
        Files.newBuilder()
            .addDescriptors(fd(3, 1))
            .addDescriptors(fd(4, 2))
            .addDescriptors(fd(5, 3))
            .addDescriptions(description(1).setUnixSocket(a))
            .addDescriptions(description(2).setUnixSocket(b))
            .addDescriptions(description(3).setUnixSocket(orphan))
            .build();
    assertThat(FilePlan.of(files).descriptors())
        .filteredOn(FileStep.MakeSocketpair.class::isInstance)
        .containsExactly(
            new FileStep.MakeSocketpair(
                new FileStep.End(1, 0), a, Optional.of(new FileStep.End(2, 0)), b),
            new FileStep.MakeSocketpair(
                new FileStep.End(3, 0),
                orphan,
                Optional.empty(),
                UnixSocket.newBuilder().setType(1).build()));
  }

  /// What is sent while other sockets are made is not theirs.
  @Test
  void packetSocketsAreBoundWhenAllOthersAreMade() {
    PacketSocket socket =
        PacketSocket.newBuilder()
            .setType(3)
            .setProtocol(0x88cc)
            .setInterface(NetworkInterface.newBuilder().setName("eth0").setIndex(2))
            .build();
    Files files =
        Files.newBuilder()
            .addDescriptors(fd(3, 1))
            .addDescriptions(description(1).setFlags(2).setPacketSocket(socket))
            .build();
    FilePlan plan = FilePlan.of(files);
    assertThat(plan.descriptors()).contains(new FileStep.MakePacketSocket(1, socket, 2));
    FileStep start = new FileStep.StartPacketSocket(1, socket);
    assertThat(plan.last()).containsExactly(start);
    assertThat(start.describe()).isEqualTo("bind a packet socket of protocol 0x88cc at eth0");
  }

  @Test
  void connectionsAreMadeByWayOfTheirListenerAndThoseThatWaitComeLast() {
    ByteString name = ByteString.copyFromUtf8("/l");
    UnixSocket client = UnixSocket.newBuilder().setType(1).setSocketId(1).setPeerId(2).build();
    UnixSocket server =
        UnixSocket.newBuilder()
            .setType(1)
            .setSocketId(2)
            .setPeerId(1)
            .setAddress(name)
            .setAccepted(true)
            .build();
    UnixSocket listener =
        UnixSocket.newBuilder()
            .setType(1)
            .setSocketId(3)
            .setAddress(name)
            .setListening(true)
            .addWaitingIds(4)
            .build();
    UnixSocket waiting = UnixSocket.newBuilder().setType(1).setSocketId(4).build();
    Files files =
        Files.newBuilder()
            .addDescriptors(fd(3, 1))
            .addDescriptors(fd(4, 2))
            .addDescriptors(fd(5, 3))
            .addDescriptors(fd(6, 4))
            .addDescriptions(description(1).setUnixSocket(client))
            .addDescriptions(description(2).setUnixSocket(server))
            .addDescriptions(description(3).setUnixSocket(listener))
            .addDescriptions(description(4).setUnixSocket(waiting))
            .build();
    assertThat(FilePlan.of(files).descriptors())
        .containsSubsequence(
            new FileStep.MakeUnixSocket(3, listener, 0),
            new FileStep.MakeUnixConnection(
                new FileStep.End(2, 0), server, Optional.of(new FileStep.End(1, 0)), client, 3),
            new FileStep.ConnectUnixSocket(4, name, true));
  }

  @Test
  void queuesAreFilledWhenAllIsThereThatMayBeInThem() {
    UnixSocket a =
        UnixSocket.newBuilder()
            .setType(1)
            .setSocketId(1)
            .setPeerId(2)
            .addReceiveQueue(ByteString.copyFromUtf8("x"))
            .addAttachments(Attachment.newBuilder().addDescriptionIds(3).addDescriptionIds(1))
            .build();
    UnixSocket b = UnixSocket.newBuilder().setType(1).setSocketId(2).setPeerId(1).build();
    PipeEnd pipe = PipeEnd.newBuilder().setPipeId(3).build();
    Files files =
        Files.newBuilder()
            .addDescriptors(fd(3, 1))
            .addDescriptors(fd(4, 2))
            .addDescriptions(description(1).setUnixSocket(a))
            .addDescriptions(description(2).setUnixSocket(b))
            .addDescriptions(description(3).setPipe(pipe))
            .build();
    FileStep.FillUnixQueues fill =
        new FileStep.FillUnixQueues(
            new FileStep.End(1, 0), a, Optional.of(new FileStep.End(2, 0)), b);
    assertThat(FilePlan.of(files).descriptors())
        .containsSubsequence(
            new FileStep.MakePipe(pipe, List.of(new FileStep.End(3, 0))),
            fill,
            new FileStep.InstallDescriptor(3, 1, false),
            new FileStep.CloseTemporary());
    assertThat(fill.describe()).isEqualTo("put 1 messages with 2 descriptors into unix sockets");
  }

  @Test
  void oneShotRegistrationsThatHaveFiredComeFirst() {
    EpollTarget armed = EpollTarget.newBuilder().setFd(3).setEvents(0x40000001).build();
    EpollTarget spent = EpollTarget.newBuilder().setFd(4).setEvents(0x40000000).build();
    Files files =
        Files.newBuilder()
            .addDescriptors(fd(5, 1))
            .addDescriptions(
                description(1).setEpoll(Epoll.newBuilder().addTargets(armed).addTargets(spent)))
            .build();
    assertThat(FilePlan.of(files).descriptors())
        .containsSubsequence(
            new FileStep.AddEpollTarget(1, spent, 0), new FileStep.AddEpollTarget(1, armed, 0));
  }

  @Test
  void standardDescriptorsFromOutsideStayThoseOfJcr() {
    Files files =
        Files.newBuilder()
            .addDescriptors(fd(0, 1))
            .addDescriptors(fd(1, 2))
            .addDescriptors(fd(10, 1))
            .addDescriptions(
                description(1)
                    .setTerminal(TerminalEnd.newBuilder().setPath("/dev/pts/3").setDevice(0x8803)))
            .addDescriptions(
                description(2).setInherited(Inherited.newBuilder().setName("pipe:[12]")))
            .addTerminals(Terminal.newBuilder().setDevice(0x8803).setForeground(true))
            .build();
    FilePlan plan = FilePlan.of(files);
    assertThat(plan.descriptors())
        .containsExactly(
            new FileStep.Inherit(1, 0),
            new FileStep.Inherit(2, 1),
            new FileStep.CloseDescriptor(2),
            new FileStep.KeepDescriptor(0, false, "/dev/pts/3"),
            new FileStep.KeepDescriptor(1, false, "pipe:[12]"),
            new FileStep.InstallDescriptor(10, 1, false),
            new FileStep.CloseTemporary());
    assertThat(plan.last())
        .containsExactly(
            new FileStep.SetTerminal(
                0, Terminal.newBuilder().setDevice(0x8803).setForeground(true).build()));
  }

  @Test
  void aTerminalWhoseMasterIsInsideIsMadeAgain() {
    Terminal terminal = Terminal.newBuilder().setIndex(4).setDevice(0x8804).setOwned(true).build();
    Files files =
        Files.newBuilder()
            .addDescriptors(fd(0, 1))
            .addDescriptors(fd(5, 2))
            .addDescriptions(
                description(1)
                    .setTerminal(TerminalEnd.newBuilder().setPath("/dev/pts/4").setDevice(0x8804)))
            .addDescriptions(
                description(2)
                    .setTerminal(
                        TerminalEnd.newBuilder()
                            .setPath("/dev/pts/ptmx")
                            .setDevice(0x8804)
                            .setMaster(true)))
            .addTerminals(terminal)
            .build();
    assertThat(FilePlan.of(files).descriptors())
        .contains(
            new FileStep.MakeTerminal(
                terminal,
                "/dev/pts/ptmx",
                List.of(new FileStep.End(2, 0)),
                List.of(new FileStep.End(1, 0))),
            new FileStep.InstallDescriptor(0, 1, false));
  }

  @Test
  void sealsAgainstWritingComeBeforeMappingAndOthersAfter() {
    SharedObject written =
        SharedObject.newBuilder()
            .setId(1)
            .setKind(SharedObject.Kind.KIND_MEMFD)
            .setSeals(8)
            .build();
    SharedObject grown = written.toBuilder().setId(2).setSeals(4).build();
    Files files =
        Files.newBuilder()
            .addObjects(written)
            .addObjects(grown)
            .addDescriptors(fd(3, 1))
            .addDescriptions(
                description(1).setPosition(6).setMemfd(MemoryFile.newBuilder().setObjectId(1)))
            .build();
    FilePlan plan = FilePlan.of(files);
    assertThat(plan.objects())
        .containsExactly(new FileStep.CreateObject(written), new FileStep.CreateObject(grown));
    assertThat(plan.seals()).containsExactly(new FileStep.SealObject(1, 8));
    assertThat(plan.descriptors())
        .contains(
            new FileStep.OpenObject(1, 1, 0, 6),
            new FileStep.SealObject(2, 4),
            new FileStep.StampObject(grown));
  }

  @Test
  void ownersAndLocksComeLastAndLocksBehindAllClosing() {
    FileLock lock = FileLock.newBuilder().setKind(FileLock.Kind.KIND_POSIX).setLast(9).build();
    Owner owner = Owner.newBuilder().setType(1).setPid(12).build();
    FileIdentity identity = FileIdentity.newBuilder().setPath("/f").build();
    Files files =
        Files.newBuilder()
            .addDescriptors(fd(3, 1))
            .addDescriptors(fd(4, 2))
            .addDescriptions(
                description(1)
                    .setRegular(RegularFile.newBuilder().setFile(identity).addLocks(lock)))
            .addDescriptions(
                description(2)
                    .setFlags(0x2002)
                    .setOwner(owner)
                    .setEventfd(EventFd.newBuilder().setCount(3)))
            .build();
    FilePlan plan = FilePlan.of(files);
    assertThat(plan.descriptors()).last().isEqualTo(new FileStep.CloseTemporary());
    assertThat(plan.last())
        .containsExactly(
            new FileStep.SetFlags(4, 0x2002, Optional.of(owner)), new FileStep.TakeLock(3, lock));
  }

  @Test
  void anEpollTargetKnowsWhoHasItsNumberNow() {
    EpollTarget replaced = EpollTarget.newBuilder().setFd(4).setDescriptionId(3).build();
    EpollTarget plain = EpollTarget.newBuilder().setFd(5).setDescriptionId(3).build();
    Files files =
        Files.newBuilder()
            .addDescriptors(fd(3, 1))
            .addDescriptors(fd(4, 2))
            .addDescriptors(fd(5, 3))
            .addDescriptions(
                description(1).setEpoll(Epoll.newBuilder().addTargets(replaced).addTargets(plain)))
            .addDescriptions(description(2).setEventfd(EventFd.newBuilder()))
            .addDescriptions(description(3).setEventfd(EventFd.newBuilder()))
            .build();
    assertThat(FilePlan.of(files).descriptors())
        .contains(
            new FileStep.AddEpollTarget(1, replaced, 2), new FileStep.AddEpollTarget(1, plain, 3));
  }

  @Test
  void everyStepDescribesItself() {
    assertThat(
            new FileStep.OpenRegular(
                    1, FileIdentity.newBuilder().setPath("/tmp/log").build(), 0, 77)
                .describe())
        .isEqualTo("open /tmp/log at offset 77");
    assertThat(
            new FileStep.MakeUnixSocket(
                    1,
                    UnixSocket.newBuilder()
                        .setAddress(ByteString.copyFromUtf8("\0name"))
                        .setListening(true)
                        .build(),
                    0)
                .describe())
        .isEqualTo("make a unix socket at @name, listening");
  }
}
