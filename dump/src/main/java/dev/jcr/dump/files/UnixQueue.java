package dev.jcr.dump.files;

import com.google.protobuf.ByteString;
import dev.jcr.image.v1.Attachment;
import dev.jcr.image.v1.UnixSocket;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Sockets;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.procfs.Proc;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// What waits to be read in a unix socket, looked at and left there (MSG_PEEK), with what came
/// along: descriptors, and credentials where the socket asks for them.
final class UnixQueue {
  private static final int MESSAGE_MAX = 1 << 20;

  /// 253 descriptors (SCM_MAX_FD), credentials, a pidfd, a security label.
  private static final int CONTROL = 4096;

  /// In the first page, where no JVM has memory.
  private static final long UNMAPPED = 8;

  private static final int POLLIN = 1;
  private static final int POLLRDHUP = 0x2000;

  /// struct cmsghdr: u64 length, s32 level, s32 type.
  private static final int CMSG_HEADER = 16;

  private final List<ByteString> contents = new ArrayList<>();
  private final List<Attachment> attachments = new ArrayList<>();

  /// struct ucred; pid 0 for none.
  record Credentials(int pid, int uid, int gid) {
    static final Credentials NONE = new Credentials(0, 0, 0);
  }

  /// @param descriptors jcr's own, which share the descriptions that are on their way
  record Message(ByteString content, List<Fd> descriptors, Credentials credentials) {}

  /// What one look gave; closes jcr's descriptors.
  record Peeked(List<Message> messages) implements AutoCloseable {
    @Override
    public void close() {
      messages.forEach(message -> message.descriptors().forEach(Fd::close));
    }
  }

  /// @param ids descriptions of the message's descriptors
  void add(Message message, List<Integer> ids) {
    Credentials sender = message.credentials();
    if (!ids.isEmpty() || sender.pid() != 0) {
      attachments.add(
          Attachment.newBuilder()
              .setMessage(contents.size())
              .addAllDescriptionIds(ids)
              .setPid(sender.pid())
              .setUid(sender.pid() == 0 ? 0 : sender.uid())
              .setGid(sender.pid() == 0 ? 0 : sender.gid())
              .build());
    }
    contents.add(message.content());
  }

  /// Of a socket in whose queue no descriptors are.
  static UnixQueue of(OpenFile socket) throws SyscallException, Refusal {
    UnixQueue queue = new UnixQueue();
    try (Peeked peeked = peek(socket)) {
      for (Message message : peeked.messages()) {
        if (!message.descriptors().isEmpty()) {
          throw new Refusal("a unix socket whose queue cannot be copied", "retry");
        }
        queue.add(message, List.of());
      }
    }
    return queue;
  }

  boolean isEmpty() {
    return contents.isEmpty();
  }

  void describe(UnixSocket.Builder socket) throws Refusal {
    for (Attachment attachment : attachments) {
      if (attachment.getPid() != 0 && !Proc.of(attachment.getPid()).exists()) {
        throw new Refusal(
            "a unix socket with a message in its queue from process "
                + attachment.getPid()
                + ", which has ended, and who sent it is asked (SO_PASSCRED)",
            "receive it, or retry");
      }
    }
    socket.addAllReceiveQueue(contents).addAllAttachments(attachments);
  }

  /// Copies what waits to be read, leaving it there. MSG_PEEK shows the first message of a queue
  /// only, unless SO_PEEK_OFF is on; that option is put back afterwards. The kernel shows an empty
  /// datagram that somebody has peeked at before to nobody again (`__skb_try_recv_from_queue`).
  static Peeked peek(OpenFile socket) throws SyscallException, Refusal {
    int fd = socket.duplicate().number();
    int waiting = FdCalls.ioctlInt(fd, Fcntl.FIONREAD).orElse(0);
    boolean stream =
        FdCalls.socketInt(fd, Sockets.SOL_SOCKET, Sockets.SO_TYPE, 0) == Sockets.SOCK_STREAM;
    if (stream ? waiting == 0 : (FdCalls.poll(fd, POLLIN) & POLLIN) == 0) {
      return new Peeked(List.of());
    }
    int peekOffset = FdCalls.socketInt(fd, Sockets.SOL_SOCKET, Sockets.SO_PEEK_OFF, -1);
    // A stream shows all of its queue at once, unless something comes along: then its options are
    // left alone.
    boolean step =
        !stream
            || peekOffset >= 0
            || socket.info().passedDescriptors() > 0
            || FdCalls.socketInt(fd, Sockets.SOL_SOCKET, Sockets.SO_PASSCRED, 0) != 0
            || FdCalls.socketInt(fd, Sockets.SOL_SOCKET, Sockets.SO_PASSPIDFD, 0) != 0;
    if (step) {
      FdCalls.setSocketInt(fd, Sockets.SOL_SOCKET, Sockets.SO_PEEK_OFF, 0);
    }
    List<Message> messages = new ArrayList<>();
    boolean whole = false;
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment buffer = arena.allocate(stream ? waiting : MESSAGE_MAX);
      if (stream) {
        stream(fd, buffer, step, messages);
      } else {
        packets(fd, buffer, messages);
      }
      whole = true;
    } finally {
      if (step) {
        FdCalls.setSocketInt(fd, Sockets.SOL_SOCKET, Sockets.SO_PEEK_OFF, peekOffset);
      }
      if (!whole) {
        new Peeked(messages).close();
      }
    }
    return new Peeked(messages);
  }

  private static void packets(int fd, MemorySegment buffer, List<Message> messages)
      throws SyscallException, Refusal {
    // Past the last message of a seqpacket that its peer has shut down there are only empty ones.
    boolean ends = (FdCalls.poll(fd, POLLRDHUP) & POLLRDHUP) != 0;
    while (true) {
      Optional<Message> message = look(fd, buffer);
      if (message.isEmpty() || (ends && isEmpty(message.get()))) {
        return;
      }
      messages.add(message.get());
    }
  }

  private static boolean isEmpty(Message message) {
    return message.content().isEmpty() && message.descriptors().isEmpty();
  }

  /// A look ends behind the piece that descriptors came with. Where that piece begins a second look
  /// tells: into memory that ends before the last byte. The kernel copies whole pieces or nothing
  /// of them, and gives those before the one that did not fit. The receiver gets the descriptors
  /// with the first byte of their piece.
  private static void stream(int fd, MemorySegment buffer, boolean step, List<Message> messages)
      throws SyscallException, Refusal {
    long size = buffer.byteSize();
    long done = 0;
    while (done < size) {
      Message message =
          lookAt(fd, buffer, step, done, size - done)
              .orElseThrow(
                  () -> new Refusal("a unix socket whose queue cannot be copied", "retry"));
      int count = message.content().size();
      if (count == 0 || (!step && count < size)) {
        throw new Refusal("a unix socket whose queue cannot be copied", "retry");
      }
      int before = message.descriptors().isEmpty() ? 0 : before(fd, buffer, done, count);
      if (before > 0) {
        messages.add(
            new Message(message.content().substring(0, before), List.of(), message.credentials()));
      }
      messages.add(
          new Message(
              message.content().substring(before), message.descriptors(), message.credentials()));
      done += count;
    }
  }

  /// Bytes from `offset` on that lie before the last piece of `count` bytes.
  private static int before(int fd, MemorySegment buffer, long offset, int count)
      throws SyscallException {
    FdCalls.setSocketInt(fd, Sockets.SOL_SOCKET, Sockets.SO_PEEK_OFF, (int) offset);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment iov =
          arena.allocateFrom(
              ValueLayout.JAVA_LONG, buffer.address(), count - 1L, UNMAPPED, MESSAGE_MAX);
      MemorySegment header = arena.allocate(56, 8);
      header.set(ValueLayout.JAVA_LONG, 16, iov.address());
      header.set(ValueLayout.JAVA_LONG, 24, 2);
      // Without room for descriptors: none are made.
      long before =
          Kernel.raw(
              Syscall.RECVMSG, fd, header.address(), Sockets.MSG_PEEK | Sockets.MSG_DONTWAIT);
      if (before == -Errno.EFAULT) {
        return 0;
      }
      if (Kernel.isError(before)) {
        throw new SyscallException("look into a socket's queue", Syscall.RECVMSG, (int) -before);
      }
      return (int) before;
    }
  }

  private static Optional<Message> lookAt(
      int fd, MemorySegment buffer, boolean step, long offset, long size)
      throws SyscallException, Refusal {
    if (step) {
      FdCalls.setSocketInt(fd, Sockets.SOL_SOCKET, Sockets.SO_PEEK_OFF, (int) offset);
    }
    return look(fd, buffer.asSlice(0, size));
  }

  /// The next message; empty at the end of the queue.
  private static Optional<Message> look(int fd, MemorySegment buffer)
      throws SyscallException, Refusal {
    try (Arena arena = Arena.ofConfined()) {
      // struct msghdr: name, namelen, iov, iovlen, control, controllen, flags
      MemorySegment iov = arena.allocate(16, 8);
      iov.set(ValueLayout.JAVA_LONG, 0, buffer.address());
      iov.set(ValueLayout.JAVA_LONG, 8, buffer.byteSize());
      MemorySegment control = arena.allocate(CONTROL, 8);
      MemorySegment header = arena.allocate(56, 8);
      header.set(ValueLayout.JAVA_LONG, 16, iov.address());
      header.set(ValueLayout.JAVA_LONG, 24, 1);
      header.set(ValueLayout.JAVA_LONG, 32, control.address());
      header.set(ValueLayout.JAVA_LONG, 40, CONTROL);
      long count =
          Kernel.raw(
              Syscall.RECVMSG,
              fd,
              header.address(),
              Sockets.MSG_PEEK | Sockets.MSG_DONTWAIT | Sockets.MSG_CMSG_CLOEXEC);
      if (count == -Errno.EAGAIN) {
        return Optional.empty();
      }
      if (Kernel.isError(count)) {
        throw new SyscallException("look into a socket's queue", Syscall.RECVMSG, (int) -count);
      }
      Message message =
          message(
              ByteString.copyFrom(buffer.asSlice(0, count).asByteBuffer()),
              control.asSlice(0, header.get(ValueLayout.JAVA_LONG, 40)));
      int flags = header.get(ValueLayout.JAVA_INT, 48);
      if ((flags & (Sockets.MSG_CTRUNC | Sockets.MSG_TRUNC)) != 0) {
        message.descriptors().forEach(Fd::close);
        throw (flags & Sockets.MSG_CTRUNC) != 0
            ? new Refusal(
                "a unix socket with descriptors in its queue that jcr may not open",
                "raise its limit of open files (ulimit -n)")
            : new Refusal("a unix socket with a message over 1 MiB in its queue", "receive it");
      }
      return Optional.of(message);
    }
  }

  private static Message message(ByteString content, MemorySegment control) {
    List<Fd> descriptors = new ArrayList<>();
    Credentials credentials = Credentials.NONE;
    long at = 0;
    while (at + CMSG_HEADER <= control.byteSize()) {
      long size = control.get(ValueLayout.JAVA_LONG, at);
      long end = Math.min(at + size, control.byteSize());
      if (size < CMSG_HEADER) {
        break;
      }
      long data = at + CMSG_HEADER;
      switch (control.get(ValueLayout.JAVA_INT, at + 12)) {
        case Sockets.SCM_RIGHTS -> {
          for (long each = data; each + 4 <= end; each += 4) {
            descriptors.add(new Fd(control.get(ValueLayout.JAVA_INT, each)));
          }
        }
        case Sockets.SCM_CREDENTIALS ->
            credentials =
                new Credentials(
                    control.get(ValueLayout.JAVA_INT, data),
                    control.get(ValueLayout.JAVA_INT, data + 4),
                    control.get(ValueLayout.JAVA_INT, data + 8));
        // Made for whoever looks.
        case Sockets.SCM_PIDFD -> new Fd(control.get(ValueLayout.JAVA_INT, data)).close();
        default -> {}
      }
      at += (size + 7) & ~7L;
    }
    return new Message(content, List.copyOf(descriptors), credentials);
  }
}
