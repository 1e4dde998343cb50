package dev.jcr.restore.files;

import com.google.protobuf.ByteString;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.v1.PipeEnd;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.OpenFlags;
import dev.jcr.parasite.linux.Syscall;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;

/// Pipes and FIFOs with what waits in them.
final class Pipes {
  private final Inside inside;

  Pipes(Inside inside) {
    this.inside = inside;
  }

  void make(PipeEnd pipe, List<FileStep.End> ends) throws CheckpointException {
    int direct = OpenFlags.of(Kernel.HOST).direct();
    int reader;
    int writer;
    if (pipe.getPath().isEmpty()) {
      inside.require(
          "make a pipe", Syscall.PIPE2, inside.scratch(), OpenFlags.O_NONBLOCK | Fd.O_CLOEXEC);
      int[] fds = inside.ints(2);
      reader = inside.lift(fds[0]);
      writer = inside.lift(fds[1]);
    } else {
      // Opened for both, a FIFO blocks nobody.
      reader =
          inside.lift(
              inside.open(pipe.getPath(), OpenFlags.O_RDWR | OpenFlags.O_NONBLOCK | Fd.O_CLOEXEC));
      writer = reader;
    }
    fill(pipe, writer);
    boolean readerTaken = false;
    boolean writerTaken = false;
    for (FileStep.End end : ends) {
      int access = end.flags() & OpenFlags.O_ACCMODE;
      int settable = end.flags() & (OpenFlags.O_NONBLOCK | direct | OpenFlags.O_APPEND);
      boolean plain = pipe.getPath().isEmpty();
      if (plain && access == OpenFlags.O_RDONLY && !readerTaken) {
        readerTaken = true;
        hold(end.id(), reader, settable);
      } else if (plain && access == OpenFlags.O_WRONLY && !writerTaken) {
        writerTaken = true;
        hold(end.id(), writer, settable);
      } else {
        // A second description of the same end, or of a FIFO. The pair above keeps it from
        // blocking.
        String path = "/proc/" + inside.pid() + "/fd/" + (access == 0 ? reader : writer);
        int flags = (end.flags() & ~OpenFlags.O_ASYNC) | OpenFlags.O_NONBLOCK | Fd.O_CLOEXEC;
        int fd = inside.open(plain ? path : pipe.getPath(), flags);
        hold(end.id(), inside.lift(fd), settable);
      }
    }
    if (!readerTaken) {
      inside.close(reader);
    }
    if (!writerTaken && writer != reader) {
      inside.close(writer);
    }
  }

  private void hold(int id, int fd, int flags) throws CheckpointException {
    inside.hold(id, fd);
    try (Fd local = inside.local(fd)) {
      long result = FdCalls.fcntl(local.number(), Fcntl.F_SETFL, flags);
      if (Kernel.isError(result)) {
        throw Inside.failure("set the flags of a pipe", result);
      }
    }
  }

  private void fill(PipeEnd pipe, int writer) throws CheckpointException {
    int direct = OpenFlags.of(Kernel.HOST).direct();
    try (Fd local = inside.local(writer)) {
      if (pipe.getOutside() && FdCalls.ioctlInt(local.number(), Fcntl.FIONREAD).orElse(0) > 0) {
        return; // Another process kept what waits in it.
      }
      if (pipe.getCapacity() != 0
          && FdCalls.fcntl(local.number(), Fcntl.F_GETPIPE_SZ, 0) != pipe.getCapacity()) {
        long result =
            FdCalls.fcntl(
                local.number(), Fcntl.F_SETPIPE_SZ, Integer.toUnsignedLong(pipe.getCapacity()));
        if (Kernel.isError(result)) {
          throw Inside.failure(
              "set the capacity of a pipe to "
                  + Integer.toUnsignedString(pipe.getCapacity())
                  + " (more than /proc/sys/fs/pipe-max-size needs CAP_SYS_RESOURCE)",
              result);
        }
      }
      if (pipe.getPacketsCount() > 0) {
        FdCalls.fcntl(local.number(), Fcntl.F_SETFL, OpenFlags.O_NONBLOCK | direct);
        for (ByteString packet : pipe.getPacketsList()) {
          write(local, packet);
        }
        FdCalls.fcntl(local.number(), Fcntl.F_SETFL, OpenFlags.O_NONBLOCK);
      } else if (!pipe.getContent().isEmpty()) {
        if (!pipe.getPath().isEmpty()
            && FdCalls.ioctlInt(local.number(), Fcntl.FIONREAD).orElse(0) > 0) {
          throw new CheckpointException(
              Outcome.FAILED,
              "cannot fill FIFO " + pipe.getPath() + ": another process has written into it");
        }
        write(local, pipe.getContent());
      }
    }
  }

  static void write(Fd local, ByteString content) throws CheckpointException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment bytes = arena.allocateFrom(ValueLayout.JAVA_BYTE, content.toByteArray());
      long done = 0;
      while (done < bytes.byteSize()) {
        long count =
            Kernel.raw(
                Syscall.WRITE, local.number(), bytes.address() + done, bytes.byteSize() - done);
        if (Kernel.isError(count)) {
          throw Inside.failure("write " + bytes.byteSize() + " bytes into a pipe", count);
        }
        done += count;
      }
    }
  }
}
