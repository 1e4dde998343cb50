package dev.jcr.dump.files;

import com.google.protobuf.ByteString;
import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.PipeEnd;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.OpenFlags;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// Pipes and FIFOs.
final class Pipes {
  private static final int POLLERR = 8;
  private static final int POLLHUP = 0x10;

  private Pipes() {}

  static void describe(Scene scene, OpenFile file, Description.Builder description)
      throws IOException, Refusal {
    boolean fifo = !file.link().startsWith("pipe:[");
    PipeEnd.Builder pipe = PipeEnd.newBuilder().setPipeId(firstEnd(scene, file));
    Optional<String> holder = scene.outside().holder(file);
    Optional<String> path = fifo ? path(file) : Optional.empty();
    if (holder.isPresent() && path.isPresent() && file.standard()) {
      // Its name leads to it again. What waits in it stays there as long as the other has it.
      pipe.setOutside(true);
      scene.lose(
          file,
          "the FIFO %s, which %s has open too: until the restore that process writes to nobody and reads to the end"
              .formatted(file.link(), holder.get()));
    } else if (holder.isPresent()) {
      String what = fifo ? "the FIFO " + file.link() : "a pipe";
      boolean both = insideHas(scene, file, true) && insideHas(scene, file, false);
      Kinds.inheritOrRefuse(
          scene,
          file,
          description,
          what
              + (both ? " that " : " whose other end ")
              + holder.get()
              + " has open"
              + (both ? " too" : ""),
          "close it, or dump when the other process has closed it");
      return;
    }
    if (fifo) {
      pipe.setPath(path.isPresent() ? path.get() : PlainFiles.path(file));
    }
    int fd = file.duplicate().number();
    refuseUnseenEnd(scene, file, fd);
    long capacity = FdCalls.fcntl(fd, Fcntl.F_GETPIPE_SZ, 0);
    pipe.setCapacity((int) Math.max(0, capacity));
    if (!scene.running() && file.readable() && isFirstReader(scene, file)) {
      // Packets keep their bounds; a pipe is in packet mode when its writer is.
      boolean packets = packetMode(scene, file);
      for (ByteString part : content(fd, capacity, packets, holder.isPresent())) {
        if (packets) {
          pipe.addPackets(part);
        } else {
          pipe.setContent(part);
        }
      }
    }
    description.setPipe(pipe);
  }

  private static boolean samePipe(OpenFile a, OpenFile b) {
    return a.stat().is(Fcntl.S_IFIFO)
        && b.stat().is(Fcntl.S_IFIFO)
        && a.stat().sameFile(b.stat())
        && (a.flags() & OpenFlags.O_PATH) == 0;
  }

  private static int firstEnd(Scene scene, OpenFile file) {
    return scene.table().withInode(file.stat().inode()).stream()
        .filter(other -> samePipe(other, file))
        .findFirst()
        .orElse(file)
        .id();
  }

  private static boolean insideHas(Scene scene, OpenFile file, boolean reader) {
    return scene.table().withInode(file.stat().inode()).stream()
        .anyMatch(other -> samePipe(other, file) && (reader ? other.readable() : other.writable()));
  }

  private static boolean isFirstReader(Scene scene, OpenFile file) {
    return scene.table().withInode(file.stat().inode()).stream()
            .filter(other -> samePipe(other, file) && other.readable())
            .findFirst()
            .orElse(file)
            .id()
        == file.id();
  }

  private static boolean packetMode(Scene scene, OpenFile file) {
    int direct = OpenFlags.of(Kernel.HOST).direct();
    return scene.table().withInode(file.stat().inode()).stream()
        .anyMatch(other -> samePipe(other, file) && (other.flags() & direct) != 0);
  }

  /// An end can be held where no table of descriptors shows it: on its way through a socket of
  /// another process, in another pid namespace.
  private static void refuseUnseenEnd(Scene scene, OpenFile file, int fd)
      throws SyscallException, Refusal {
    boolean readers = insideHas(scene, file, true);
    boolean writers = insideHas(scene, file, false);
    if (readers && writers) {
      return;
    }
    boolean otherEndClosed = (FdCalls.poll(fd, 0) & (readers ? POLLHUP : POLLERR)) != 0;
    boolean maybePassing = scene.running() && scene.table().hasPassing();
    // A reader that no writer has ever opened a FIFO for polls nothing either.
    if (!otherEndClosed && !maybePassing && !file.link().startsWith("/")) {
      throw new Refusal(
          "a pipe whose other end is open in a process that jcr cannot see", "close it");
    }
  }

  /// Of a FIFO that still has its name.
  private static Optional<String> path(OpenFile file) throws IOException {
    try {
      return Optional.of(PlainFiles.path(file));
    } catch (Refusal _) {
      return Optional.empty();
    }
  }

  /// The bytes waiting in a pipe, left there: tee(2) duplicates them into a pipe of jcr's own.
  ///
  /// @param shared another process may read them meanwhile
  private static List<ByteString> content(int fd, long capacity, boolean packets, boolean shared)
      throws SyscallException {
    List<ByteString> parts = new ArrayList<>();
    int waiting = FdCalls.ioctlInt(fd, Fcntl.FIONREAD).orElse(0);
    if (waiting == 0) {
      return parts;
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment ends = arena.allocate(8, 4);
      Kernel.call(
          "make a pipe", Syscall.PIPE2, ends.address(), OpenFlags.O_NONBLOCK | Fd.O_CLOEXEC);
      try (Fd out = new Fd(ends.get(ValueLayout.JAVA_INT, 0));
          Fd in = new Fd(ends.get(ValueLayout.JAVA_INT, 4))) {
        long resized = FdCalls.fcntl(in.number(), Fcntl.F_SETPIPE_SZ, capacity);
        if (resized < 0 && resized != -Errno.EPERM) {
          throw new SyscallException(
              "set the capacity of a pipe to " + capacity, Syscall.FCNTL, (int) -resized);
        }
        long copied =
            Kernel.call(
                "copy what waits in a pipe",
                Syscall.TEE,
                fd,
                in.number(),
                waiting,
                Fcntl.SPLICE_F_NONBLOCK);
        MemorySegment buffer = arena.allocate(copied);
        long done = 0;
        while (done < copied) {
          long count =
              Kernel.call(
                  "read a copy of a pipe",
                  Syscall.READ,
                  out.number(),
                  buffer.address() + done,
                  copied - done);
          if (packets) {
            parts.add(bytes(buffer.asSlice(done, count)));
          }
          done += count;
        }
        if (done != waiting && !shared) {
          throw new SyscallException("copy all that waits in a pipe", Syscall.TEE, Errno.EAGAIN);
        }
        if (!packets) {
          parts.add(bytes(buffer));
        }
      }
    }
    return parts;
  }

  private static ByteString bytes(MemorySegment segment) {
    return ByteString.copyFrom(segment.asByteBuffer());
  }
}
