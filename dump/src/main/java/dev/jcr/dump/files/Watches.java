package dev.jcr.dump.files;

import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.Inotify;
import dev.jcr.image.v1.InotifyWatch;
import dev.jcr.image.v1.MessageQueue;
import dev.jcr.image.v1.Pidfd;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.FileStat;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.OpenFlags;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.procfs.MountEntry;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.procfs.ProcStat;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// inotify instances, pidfds and POSIX message queues.
final class Watches {
  /// `linux/magic.h`.
  static final long MQUEUE_MAGIC = 0x19800202L;

  /// IN_ALL_EVENTS with IN_UNMOUNT and its like, IN_ONLYDIR and so on: what a program may ask for.
  private static final int IN_MASK = 0x84000fff | 0x04000000;

  private static final int QUEUE_TEXT = 128;

  private Watches() {}

  static Inotify inotify(Scene scene, OpenFile file) throws IOException, Refusal {
    int fd = file.duplicate().number();
    // Reading takes them away from a process that is to run on.
    int unread = scene.running() ? 0 : FdCalls.ioctlInt(fd, Fcntl.FIONREAD).orElse(0);
    if (unread > 0 && !scene.losesEvents()) {
      throw new Refusal(
          "an inotify instance with unread events, which nobody can put back",
          "let the process read them, retry, or dump with --inotify-overflow to give it"
              + " IN_Q_OVERFLOW instead");
    }
    if (unread > 0) {
      scene.lose(
          file,
          "%d bytes of unread inotify events: the restored process reads IN_Q_OVERFLOW instead"
              .formatted(unread));
    }
    List<InotifyWatch> watches = new ArrayList<>();
    for (String line : file.info().inotify()) {
      Map<String, String> fields = fields(line);
      watches.add(
          InotifyWatch.newBuilder()
              .setNumber(Integer.parseInt(required(fields, "wd")))
              .setMask((int) Long.parseLong(required(fields, "mask"), 16) & IN_MASK)
              .setPath(path(scene, fields))
              .build());
    }
    watches.sort(Comparator.comparingInt(InotifyWatch::getNumber));
    return Inotify.newBuilder().addAllWatches(watches).setEventsLost(unread > 0).build();
  }

  /// "wd:1 ino:3f7e8 sdev:fe00000 mask:100 .. fhandle-bytes:8 fhandle-type:1 f_handle:e8f7".
  static Map<String, String> fields(String line) {
    Map<String, String> fields = new HashMap<>();
    for (String word : line.split(" ", -1)) {
      int colon = word.indexOf(':');
      if (colon > 0) {
        fields.put(word.substring(0, colon), word.substring(colon + 1));
      }
    }
    return fields;
  }

  private static String required(Map<String, String> fields, String name) throws Refusal {
    String value = fields.get(name);
    if (value == null) {
      throw new Refusal("a watch on a file system without file handles", "remove it");
    }
    return value;
  }

  /// The path of a watched inode, by its file handle: open_by_handle_at(2) on its mount.
  static String path(Scene scene, Map<String, String> fields) throws IOException, Refusal {
    long inode = Long.parseLong(required(fields, "ino"), 16);
    long device = Long.parseLong(required(fields, "sdev"), 16);
    byte[] handle = HexFormat.of().parseHex(required(fields, "f_handle"));
    int type = Integer.parseInt(required(fields, "fhandle-type"), 16);
    String number = device(device);
    for (MountEntry mount : MountEntry.parse(scene.proc().text("mountinfo"))) {
      if (mount.device().equals(number)) {
        Optional<String> path = path(mount.place(), type, handle);
        if (path.isPresent()) {
          Optional<FileStat> found = FileStat.find(path.get());
          if (found.isPresent() && found.get().inode() == inode) {
            return path.get();
          }
        }
      }
    }
    throw new Refusal(
        "a watch on inode "
            + inode
            + " of device "
            + number
            + ", whose path cannot be found (needs CAP_DAC_READ_SEARCH)",
        "remove the watch");
  }

  /// As mountinfo has it.
  static String device(long number) {
    return (number >>> 20) + ":" + (number & 0xfffff);
  }

  private static Optional<String> path(String mount, int type, byte[] handle) {
    try (Fd at = Fd.open(mount, Fd.O_RDONLY, 0);
        Arena arena = Arena.ofConfined()) {
      // struct file_handle: u32 bytes, s32 type, bytes.
      MemorySegment memory = arena.allocate(8L + handle.length, 8);
      memory.set(ValueLayout.JAVA_INT, 0, handle.length);
      memory.set(ValueLayout.JAVA_INT, 4, type);
      MemorySegment.copy(handle, 0, memory, ValueLayout.JAVA_BYTE, 8, handle.length);
      try (Fd file =
          new Fd(
              (int)
                  Kernel.call(
                      "open a watched file",
                      Syscall.OPEN_BY_HANDLE_AT,
                      at.number(),
                      memory.address(),
                      OpenFlags.O_PATH | Fd.O_CLOEXEC))) {
        String path = Proc.at("/proc/self").link("fd/" + file.number());
        return path.startsWith("/") ? Optional.of(path) : Optional.empty();
      }
    } catch (SyscallException _) {
      return Optional.empty();
    } catch (IOException _) {
      return Optional.empty();
    }
  }

  static Pidfd pidfd(Scene scene, OpenFile file) throws Refusal {
    int pid = file.info().pidfdPid().orElse(-1);
    if (pid == scene.pid()) {
      return Pidfd.newBuilder().setPid(pid).build();
    }
    if (scene.isThread(pid)) {
      throw new Refusal("a pidfd of thread " + pid + " is not restorable", "close it");
    }
    try {
      ProcStat other = Proc.of(pid).stat();
      // An ended child is made again, anybody else must be there.
      return Pidfd.newBuilder()
          .setPid(pid)
          .setStartTime(other.ppid() == scene.pid() ? 0 : other.startTime())
          .build();
    } catch (IOException _) {
      throw new Refusal("a pidfd of a process that has ended", "close it");
    }
  }

  static void messageQueue(Scene scene, OpenFile file, Description.Builder description)
      throws IOException, Refusal {
    String link = file.link();
    if (file.stat().links() == 0 || !link.startsWith("/")) {
      throw new Refusal("a POSIX message queue without a name is not restorable", "close it");
    }
    // QSIZE:129 NOTIFY:2 SIGNO:0 NOTIFY_PID:8260, mq_overview(7); only readable ones tell.
    try (Fd own = Fd.open("/proc/self/fd/" + file.duplicate().number(), Fd.O_RDONLY, 0);
        Arena arena = Arena.ofConfined()) {
      MemorySegment text = arena.allocate(QUEUE_TEXT);
      int size = (int) own.readFully(text, 0);
      String line =
          new String(
              text.asSlice(0, size).toArray(ValueLayout.JAVA_BYTE), StandardCharsets.US_ASCII);
      if (line.strip().endsWith("NOTIFY_PID:" + scene.pid())) {
        throw new Refusal(
            "a message queue that notifies the process (mq_notify)", "end the notification");
      }
    } catch (SyscallException e) {
      if (e.errno() != Errno.EACCES) {
        throw e;
      }
      throw new Refusal(
          "a message queue that jcr may not read, so that nobody can say whether it notifies the"
              + " process (mq_notify)",
          "run jcr as root, or allow its user to read the queue");
    }
    description.setMessageQueue(MessageQueue.newBuilder().setName(link));
  }
}
