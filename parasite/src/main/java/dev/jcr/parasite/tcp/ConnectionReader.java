package dev.jcr.parasite.tcp;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import com.google.protobuf.ByteString;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.v1.TcpConnection;
import dev.jcr.parasite.arch.Machine;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Prctl;
import dev.jcr.parasite.linux.Sockets;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.procfs.Anchor;
import dev.jcr.parasite.ptrace.Ptrace;
import dev.jcr.parasite.ptrace.Tracee;
import dev.jcr.parasite.ptrace.WaitStatus;
import dev.jcr.parasite.remote.Batch;
import dev.jcr.parasite.remote.OwnedProcess;
import dev.jcr.parasite.remote.ProcessMemory;
import dev.jcr.parasite.stub.StubProgram;
import java.lang.foreign.Arena;
import java.util.Optional;

/// Reads connections out of the kernel. A socket in repair mode neither sends nor receives, so one
/// that stayed in it would harm its process. That mode is therefore entered and left again by a
/// stub process, within one batch of calls, which goes on to its end when jcr is killed.
///
/// Confined to the tracer thread.
public final class ConnectionReader implements AutoCloseable {
  private static final long BASE = 16 << 20;
  private static final int SIZE = 256 * 1024;
  private static final int PAGE = 4096;
  private static final int SIGKILL = 9;
  private static final int PROT_ALL = 7;
  private static final int PROT_READ_WRITE = 3;
  private static final int MAP_PRIVATE_ANONYMOUS = 0x22;
  private static final long ALL_BLOCKED = -1L;

  /// Numbers in the stub, which has no descriptors of its own.
  private static final int PIDFD = 0;

  private static final int SOCKET = 1;
  private static final int REPAIR_OFF_SILENTLY = -1;
  private static final int WINDOW_SIZE = 20;

  /// struct tcp_info, linux/tcp.h: state u8 at 0, agreed options u8 at 5, both window scales at 6.
  private static final int INFO_SIZE = 8;

  private static final int INFO_OPTIONS = 5;
  private static final int INFO_SCALES = 6;

  /// `<linux/sockios.h>`: bytes in the send queue that were never sent.
  private static final int SIOCOUTQNSD = 0x894b;

  private final int stub;
  private final OwnedProcess inside;
  private final ProcessMemory memory;
  private long queues;
  private int queuesSize;

  private ConnectionReader(int stub, OwnedProcess inside, ProcessMemory memory) {
    this.stub = stub;
    this.inside = inside;
    this.memory = memory;
  }

  /// Starts the stub, which may look into a process.
  public static ConnectionReader start(Anchor process)
      throws CheckpointException, SyscallException {
    int stub = StubProgram.start(BASE);
    try {
      Tracee tracee =
          Tracee.seize(stub, Ptrace.O_TRACESYSGOOD)
              .orElseThrow(() ->
                  new CheckpointException(
                      Outcome.FAILED, "cannot start the stub program: it ended at once"));
      tracee.interrupt();
      while (!(tracee.await() instanceof WaitStatus.EventStop)) {
        tracee.interrupt();
        tracee.resume(0);
      }
      Machine machine = Machine.of(Kernel.HOST);
      ProcessMemory memory = ProcessMemory.open(stub);
      OwnedProcess inside =
          new OwnedProcess(
              machine,
              tracee,
              memory,
              tracee.general(machine.words()),
              StubProgram.syscallAddress(BASE));
      ConnectionReader reader = new ConnectionReader(stub, inside, memory);
      reader.prepare(machine, process);
      return reader;
    } catch (CheckpointException e) {
      end(stub);
      throw e;
    }
  }

  private void prepare(Machine machine, Anchor process) throws CheckpointException {
    inside.tracee().setSignalMask(ALL_BLOCKED);
    inside.require("close descriptors", Syscall.CLOSE_RANGE, 0, 0xffffffffL, 0);
    inside.require(
        "open a pidfd of process " + process.pid(),
        Syscall.PIDFD_OPEN,
        process.tid(),
        process.leaderEnded() ? Fd.PIDFD_THREAD : 0);
    long at =
        inside.require(
            "map the stub's memory", Syscall.MMAP, 0, SIZE, PROT_ALL, MAP_PRIVATE_ANONYMOUS, -1, 0);
    try (Arena arena = Arena.ofConfined()) {
      inside.write(at, arena.allocateFrom(JAVA_BYTE, machine.batchCode()));
    }
    inside.moveTo(at + machine.syscallOffset(), at + PAGE, SIZE - PAGE);
  }

  /// State of a TCP socket, one of `TCP_*` of [Sockets].
  public static int state(int own) {
    return info(own)[0];
  }

  private static byte[] info(int own) {
    return FdCalls.socketOption(own, Sockets.IPPROTO_TCP, Sockets.TCP_INFO, INFO_SIZE)
        .orElse(new byte[INFO_SIZE]);
  }

  /// Everything about the connection of the socket `fd` of the process. Its packets must be locked
  /// out, and nobody else may use it.
  ///
  /// @param own jcr's descriptor of the same socket
  public TcpConnection read(int fd, int own) throws CheckpointException {
    byte[] info = info(own);
    int state = info[0];
    int in = FdCalls.ioctlInt(own, Fcntl.FIONREAD).orElse(0);
    int out = FdCalls.ioctlInt(own, Fcntl.TIOCOUTQ).orElse(0);
    int unsent = FdCalls.ioctlInt(own, SIOCOUTQNSD).orElse(0);
    if (TcpStates.sentFin(state)) {
      // Both count the FIN, which is no data, while it is not acknowledged.
      out = Math.max(0, out - 1);
      unsent = Math.max(0, unsent - 1);
    }
    reserve(in + out);
    int reuse = FdCalls.socketInt(own, Sockets.SOL_SOCKET, Sockets.SO_REUSEADDR, 0);
    Batch batch = inside.batch();
    long on = word(batch, 1);
    long off = word(batch, REPAIR_OFF_SILENTLY);
    long receiving = word(batch, Sockets.TCP_RECV_QUEUE);
    long sending = word(batch, Sockets.TCP_SEND_QUEUE);
    long reusing = word(batch, reuse);
    // The death signal of the stub is off for as long as the socket is in repair mode.
    batch.require("prepare the stub", Syscall.PRCTL, Prctl.SET_PDEATHSIG, 0);
    batch.require("duplicate fd " + fd, Syscall.PIDFD_GETFD, PIDFD, fd, 0);
    set(batch, "enter repair mode of the connection of fd " + fd, Sockets.TCP_REPAIR, on);
    set(batch, "choose the receive queue of fd " + fd, Sockets.TCP_REPAIR_QUEUE, receiving);
    long inSequence = get(batch, Sockets.TCP_QUEUE_SEQ, 4);
    int received = peek(batch, "receive", fd, queues, in);
    set(batch, "choose the send queue of fd " + fd, Sockets.TCP_REPAIR_QUEUE, sending);
    long outSequence = get(batch, Sockets.TCP_QUEUE_SEQ, 4);
    int sent = peek(batch, "send", fd, queues + in, out);
    long segment = get(batch, Sockets.TCP_MAXSEG, 4);
    long timestamp = get(batch, Sockets.TCP_TIMESTAMP, 4);
    long window = get(batch, Sockets.TCP_REPAIR_WINDOW, WINDOW_SIZE);
    int left = set(batch, "", Sockets.TCP_REPAIR, off);
    // Which leaving has reset.
    batch.add(Syscall.SETSOCKOPT, SOCKET, Sockets.SOL_SOCKET, Sockets.SO_REUSEADDR, reusing, 4);
    batch.add(Syscall.CLOSE, SOCKET);
    batch.require("prepare the stub", Syscall.PRCTL, Prctl.SET_PDEATHSIG, SIGKILL);
    Batch.Results results = inside.run(batch);
    if (Kernel.isError(results.value(left))) {
      throw new CheckpointException(
          Outcome.TARGET_DOUBTFUL,
          "cannot leave repair mode of the connection of fd "
              + fd
              + ": "
              + Errno.describe((int) -results.value(left)));
    }
    byte[] data = in + out == 0 ? new byte[0] : memory.bytes(queues, in + out);
    int inLength = in == 0 ? 0 : (int) results.value(received);
    int outLength = out == 0 ? 0 : (int) results.value(sent);
    if (inLength != in || outLength != out) {
      throw new CheckpointException(
          Outcome.FAILED,
          "cannot read the queues of the connection of fd %d: %d of %d and %d of %d bytes"
              .formatted(fd, inLength, in, outLength, out));
    }
    return TcpConnection.newBuilder()
        .setState(state)
        .setReceiveSequence(results.integer(inSequence))
        .setSendSequence(results.integer(outSequence))
        .setReceiveQueue(ByteString.copyFrom(data, 0, in))
        .setSendQueue(ByteString.copyFrom(data, in, out))
        .setUnsent(Math.min(unsent, out))
        .setAgreed(info[INFO_OPTIONS] & 0xff)
        .setMaximumSegment(results.integer(segment))
        .setSendScale(info[INFO_SCALES] & 0xf)
        .setReceiveScale(info[INFO_SCALES] >> 4 & 0xf)
        .setTimestamp(results.integer(timestamp))
        .setWindowUpdateSequence(results.integer(window))
        .setSendWindow(results.integer(window + 4))
        .setLargestSendWindow(results.integer(window + 8))
        .setReceiveWindow(results.integer(window + 12))
        .setReceiveWindowStart(results.integer(window + 16))
        .build();
  }

  /// Memory for what waits in both queues.
  private void reserve(int bytes) throws CheckpointException {
    if (bytes > queuesSize) {
      if (queuesSize > 0) {
        inside.require("unmap queues", Syscall.MUNMAP, queues, queuesSize);
      }
      queuesSize = (bytes + PAGE - 1) / PAGE * PAGE;
      queues =
          inside.require(
              "map " + bytes + " bytes for queues",
              Syscall.MMAP,
              0,
              queuesSize,
              PROT_READ_WRITE,
              MAP_PRIVATE_ANONYMOUS,
              -1,
              0);
    }
  }

  private static long word(Batch batch, int value) {
    try (Arena arena = Arena.ofConfined()) {
      return batch.put(arena.allocateFrom(JAVA_INT, value).toArray(JAVA_BYTE));
    }
  }

  private static int set(Batch batch, String what, int name, long value) {
    return batch.require(what, Syscall.SETSOCKOPT, SOCKET, Sockets.IPPROTO_TCP, name, value, 4);
  }

  /// Address of the value.
  private static long get(Batch batch, int name, int size) {
    long length = word(batch, size);
    long value = batch.room(size);
    batch.require(
        "read TCP option " + name,
        Syscall.GETSOCKOPT,
        SOCKET,
        Sockets.IPPROTO_TCP,
        name,
        value,
        length);
    return value;
  }

  private static int peek(Batch batch, String which, int fd, long to, int bytes) {
    if (bytes == 0) {
      return -1;
    }
    return batch.require(
        "read the " + which + " queue of fd " + fd,
        Syscall.RECVFROM,
        SOCKET,
        to,
        bytes,
        Sockets.MSG_PEEK | Sockets.MSG_DONTWAIT,
        0,
        0);
  }

  /// Puts the socket into repair mode for good: closing it then sends nothing, and its addresses
  /// are free at once. Only for a process that is about to be killed.
  public static void silence(int own) throws SyscallException {
    long result = FdCalls.setSocketInt(own, Sockets.IPPROTO_TCP, Sockets.TCP_REPAIR, 1);
    if (Kernel.isError(result)) {
      throw new SyscallException(
          "enter repair mode of a connection", Syscall.SETSOCKOPT, (int) -result);
    }
  }

  /// Why this host and user cannot do it: the error of a socket of jcr's own; empty when it can.
  public static Optional<String> unable() throws SyscallException {
    try (Fd probe =
        new Fd(
            (int)
                Kernel.call(
                    "make a socket",
                    Syscall.SOCKET,
                    Sockets.AF_INET,
                    Sockets.SOCK_STREAM | Sockets.SOCK_CLOEXEC,
                    0))) {
      long result =
          FdCalls.setSocketInt(probe.number(), Sockets.IPPROTO_TCP, Sockets.TCP_REPAIR, 1);
      return Kernel.isError(result) ? Optional.of(Errno.describe((int) -result)) : Optional.empty();
    }
  }

  @Override
  public void close() {
    memory.close();
    end(stub);
  }

  private static void end(int stub) {
    Kernel.raw(Syscall.KILL, stub, SIGKILL);
    Kernel.raw(Syscall.WAIT4, stub, 0, Ptrace.WALL, 0);
  }
}
