package dev.jcr.restore.files;

import com.google.protobuf.ByteString;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.v1.Attachment;
import dev.jcr.image.v1.UnixSocket;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Sockets;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.namespace.PidNumbers;
import dev.jcr.parasite.procfs.Proc;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// Sends what is to wait in a unix socket from its other end, with the descriptors and credentials
/// that came along. Inside the process, which may send credentials of its own without any right;
/// what is too large for its scratch memory is sent by jcr.
final class UnixFiller {
  private static final int ROOMY = 16 << 20;

  /// struct msghdr (56 bytes), struct iovec (16), control messages.
  private static final int IOV = 56;

  private static final int CONTROL = IOV + 16;

  /// struct cmsghdr: u64 length, s32 level, s32 type.
  private static final int CMSG_HEADER = 16;

  private static final int UCRED = 12;

  private static final int FLAGS = Sockets.MSG_DONTWAIT | Sockets.MSG_NOSIGNAL;

  private final Inside inside;

  UnixFiller(Inside inside) {
    this.inside = inside;
  }

  /// The buffer sizes and what messages carry are other than in the image afterwards.
  ///
  /// @param fd sends, under that number inside and as `local`
  /// @param receiver gets
  /// @param socket what the receiver is to have
  void fill(int fd, Fd local, Fd receiver, UnixSocket socket) throws CheckpointException {
    if (socket.getReceiveQueueCount() == 0) {
      return;
    }
    // Room for all at once, whatever pieces it came in.
    FdCalls.setSocketInt(local.number(), Sockets.SOL_SOCKET, Sockets.SO_SNDBUFFORCE, ROOMY);
    // The kernel adds the sender's credentials where one of the two asks for them; messages that
    // were
    // sent before that have none.
    for (Fd end : List.of(local, receiver)) {
      for (int option : new int[] {Sockets.SO_PASSCRED, Sockets.SO_PASSPIDFD}) {
        FdCalls.setSocketInt(end.number(), Sockets.SOL_SOCKET, option, 0);
      }
      FdCalls.setSocketInt(end.number(), Sockets.SOL_SOCKET, Sockets.SO_PASSRIGHTS, 1);
    }
    Map<Integer, Attachment> attachments = new HashMap<>();
    socket.getAttachmentsList().forEach(each -> attachments.put(each.getMessage(), each));
    for (int i = 0; i < socket.getReceiveQueueCount(); i++) {
      ByteString message = socket.getReceiveQueue(i);
      Attachment attachment = attachments.getOrDefault(i, Attachment.getDefaultInstance());
      int done = 0;
      do {
        long count = send(fd, local, message.substring(done), attachment);
        if (Kernel.isError(count)) {
          throw Inside.failure(
              "put a message of "
                  + message.size()
                  + " bytes and "
                  + attachment.getDescriptionIdsCount()
                  + " descriptors into a socket",
              count);
        }
        done += (int) count;
        attachment = attachment.toBuilder().clearDescriptionIds().build();
      } while (done < message.size());
    }
  }

  private long send(int fd, Fd local, ByteString content, Attachment attachment)
      throws CheckpointException {
    int[] descriptors = new int[attachment.getDescriptionIdsCount()];
    for (int i = 0; i < descriptors.length; i++) {
      descriptors[i] = inside.of(attachment.getDescriptionIds(i));
    }
    if (CONTROL + control(descriptors, attachment).length + content.size()
        <= inside.calls().scratchSize()) {
      inside.put(message(inside.scratch(), content, control(descriptors, attachment)));
      return inside.calls().call(Syscall.SENDMSG, fd, inside.scratch(), FLAGS);
    }
    List<Fd> duplicates = new ArrayList<>();
    try (Arena arena = Arena.ofConfined()) {
      for (int i = 0; i < descriptors.length; i++) {
        Fd duplicate = inside.local(descriptors[i]);
        duplicates.add(duplicate);
        descriptors[i] = duplicate.number();
      }
      byte[] control = control(descriptors, asJcrSees(attachment));
      MemorySegment memory = arena.allocate(CONTROL + control.length + (long) content.size(), 8);
      byte[] message = message(memory.address(), content, control);
      MemorySegment.copy(message, 0, memory, ValueLayout.JAVA_BYTE, 0, message.length);
      return Kernel.raw(Syscall.SENDMSG, local.number(), memory.address(), FLAGS);
    } finally {
      duplicates.forEach(Fd::close);
    }
  }

  /// The process has another number in jcr's pid namespace than in one of its own.
  private Attachment asJcrSees(Attachment attachment) throws CheckpointException {
    try {
      return attachment.getPid() != 0
              && attachment.getPid() == PidNumbers.of(Proc.of(inside.pid())).require(inside.pid())
          ? attachment.toBuilder().setPid(inside.pid()).build()
          : attachment;
    } catch (IOException e) {
      throw new CheckpointException(Outcome.TARGET_LOST, String.valueOf(e.getMessage()), e);
    }
  }

  /// Header, vector, control messages and content, to lie at `address`.
  private static byte[] message(long address, ByteString content, byte[] control) {
    byte[] bytes = new byte[CONTROL + control.length + content.size()];
    ByteBuffer message = wrap(bytes);
    message.putLong(16, address + IOV).putLong(24, 1);
    if (control.length > 0) {
      message.putLong(32, address + CONTROL).putLong(40, control.length);
    }
    message.putLong(IOV, address + CONTROL + control.length).putLong(IOV + 8, content.size());
    message.position(CONTROL);
    message.put(control).put(content.asReadOnlyByteBuffer());
    return bytes;
  }

  private static byte[] control(int[] descriptors, Attachment attachment) {
    int rights = 4 * descriptors.length;
    int credentials = attachment.getPid() == 0 ? 0 : UCRED;
    byte[] bytes = new byte[space(rights) + space(credentials)];
    ByteBuffer control = wrap(bytes);
    if (rights > 0) {
      head(control, rights, Sockets.SCM_RIGHTS);
      for (int descriptor : descriptors) {
        control.putInt(descriptor);
      }
      control.position(space(rights));
    }
    if (credentials > 0) {
      head(control, credentials, Sockets.SCM_CREDENTIALS);
      control.putInt(attachment.getPid()).putInt(attachment.getUid()).putInt(attachment.getGid());
    }
    return bytes;
  }

  private static void head(ByteBuffer control, int data, int type) {
    control.putLong(CMSG_HEADER + (long) data).putInt(Sockets.SOL_SOCKET).putInt(type);
  }

  /// CMSG_SPACE; none for no data.
  private static int space(int data) {
    return data == 0 ? 0 : CMSG_HEADER + ((data + 7) & ~7);
  }

  private static ByteBuffer wrap(byte[] bytes) {
    return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }
}
