package dev.jcr.parasite.procfs;

import dev.jcr.image.v1.Arch;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FileName;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.linux.ThreadBuffer;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Optional;

/// Reader of one folder of `/proc`. Paths are relative to it: "status", "task/12/stat".
///
/// Goes through system calls, not `java.nio.file`, because that decodes names by the locale and
/// loses those that are not ASCII when the locale is C.
public final class Proc {
  private static final int CHUNK = 64 * 1024;
  private static final ThreadBuffer BUFFER = new ThreadBuffer(CHUNK);
  private static final int PATH_MAX = 4096;

  /// Shorter than any mapping's record in smaps.
  private static final int SMAPS_CHUNK = 512;

  private static final int O_DIRECTORY = Kernel.HOST == Arch.ARCH_AARCH64 ? 0x4000 : 0x10000;

  private final String folder;

  private Proc(String folder) {
    this.folder = folder;
  }

  public static Proc of(int pid) {
    return new Proc("/proc/" + pid);
  }

  /// A folder that is no process: "/proc", "/proc/net".
  public static Proc at(String folder) {
    return new Proc(folder);
  }

  public String path(String relative) {
    return folder + "/" + relative;
  }

  /// False when the process is gone, also as a zombie.
  public boolean exists() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment path = arena.allocateFrom(folder);
      MemorySegment buffer = arena.allocate(256);
      return !Kernel.isError(
          Kernel.raw(Syscall.NEWFSTATAT, Fd.AT_FDCWD, path.address(), buffer.address(), 0));
    }
  }

  /// The whole file, one character per byte.
  public String text(String relative) throws IOException {
    return new String(bytes(relative), StandardCharsets.ISO_8859_1);
  }

  public byte[] bytes(String relative) throws IOException {
    return bytes(relative, false, CHUNK);
  }

  /// @param record the file is one record, which the kernel gives whole by the first read(2)
  ///   (fs/seq_file.c, single_open)
  /// @param chunk bytes of a read(2)
  private byte[] bytes(String relative, boolean record, int chunk) throws IOException {
    String path = path(relative);
    try (Fd fd = Fd.open(path, Fd.O_RDONLY, 0)) {
      MemorySegment buffer = BUFFER.get();
      byte[] all = new byte[0];
      int used = 0;
      while (true) {
        long result = Kernel.raw(Syscall.READ, fd.number(), buffer.address(), chunk);
        if (Kernel.isError(result)) {
          throw new SyscallException("read " + path, Syscall.READ, (int) -result);
        }
        int count = (int) result;
        if (used + count > all.length) {
          all = Arrays.copyOf(all, Math.max(used + count, 2 * used));
        }
        MemorySegment.copy(buffer, ValueLayout.JAVA_BYTE, 0, all, used, count);
        used += count;
        if (count == 0 || (record && count < chunk)) {
          return used == all.length ? all : Arrays.copyOf(all, used);
        }
      }
    }
  }

  private String record(String relative) throws IOException {
    return new String(bytes(relative, true, CHUNK), StandardCharsets.ISO_8859_1);
  }

  /// Like [#text], but empty when the file does not exist in this kernel (or any more).
  public Optional<String> optionalText(String relative) throws IOException {
    try {
      return Optional.of(text(relative));
    } catch (SyscallException e) {
      if (e.errno() == Errno.ENOENT) {
        return Optional.empty();
      }
      throw e;
    }
  }

  /// Target of a symbolic link, text as of [FileName]; may end in " (deleted)" or be no path at all
  /// ("pipe:[12]").
  public String link(String relative) throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment path = FileName.allocate(arena, path(relative));
      MemorySegment buffer = arena.allocate(PATH_MAX);
      long length =
          Kernel.call(
              "read the link " + path(relative),
              Syscall.READLINKAT,
              Fd.AT_FDCWD,
              path.address(),
              buffer.address(),
              PATH_MAX);
      return FileName.text(buffer.asSlice(0, length).toArray(ValueLayout.JAVA_BYTE));
    }
  }

  /// Names in a folder without "." and "..", sorted.
  public List<String> list(String relative) throws IOException {
    List<String> names = new ArrayList<>();
    try (Fd fd = Fd.open(path(relative), Fd.O_RDONLY | O_DIRECTORY, 0)) {
      MemorySegment buffer = BUFFER.get();
      while (true) {
        long count =
            Kernel.call(
                "list " + path(relative), Syscall.GETDENTS64, fd.number(), buffer.address(), CHUNK);
        if (count == 0) {
          Collections.sort(names);
          return names;
        }
        // struct linux_dirent64: u64 ino, s64 off, u16 reclen, u8 type, name.
        long at = 0;
        while (at < count) {
          int length = Short.toUnsignedInt(buffer.get(ValueLayout.JAVA_SHORT, at + 16));
          String name = buffer.getString(at + 19, StandardCharsets.UTF_8);
          if (!name.equals(".") && !name.equals("..")) {
            names.add(name);
          }
          at += length;
        }
      }
    }
  }

  /// Thread ids, ascending.
  public List<Integer> tasks() throws IOException {
    return numbers("task");
  }

  /// Open descriptors, ascending.
  public List<Integer> fds() throws IOException {
    return numbers("fd");
  }

  private List<Integer> numbers(String relative) throws IOException {
    return list(relative).stream().map(Integer::valueOf).sorted().toList();
  }

  public List<MapsEntry> maps() throws IOException {
    return MapsEntry.parse(text("maps"));
  }

  /// Those with this path. Parses no others: there may be tens of thousands.
  public List<MapsEntry> maps(String path) throws IOException {
    String all = text("maps");
    StringBuilder lines = new StringBuilder();
    String end = " " + path + "\n";
    int at = all.indexOf(end);
    while (at >= 0) {
      lines.append(all, all.lastIndexOf('\n', at) + 1, at + end.length());
      at = all.indexOf(end, at + 1);
    }
    return MapsEntry.parse(lines.toString()).stream()
        .filter(entry -> entry.path().equals(path))
        .toList();
  }

  /// The kernel walks all pages of a mapping to write its record, and does it again when that does
  /// not fit behind others into what it gives at once (fs/seq_file.c, seq_read_iter): it is asked
  /// for less than a record at a time.
  public List<Smaps> smaps() throws IOException {
    byte[] bytes = bytes("smaps", false, SMAPS_CHUNK);
    return Smaps.parse(new String(bytes, StandardCharsets.ISO_8859_1));
  }

  public ProcStatus status() throws IOException {
    return ProcStatus.parse(record("status"));
  }

  /// Of one thread.
  public ProcStatus status(int tid) throws IOException {
    return ProcStatus.parse(record("task/" + tid + "/status"));
  }

  public ProcStat stat() throws IOException {
    return ProcStat.parse(record("stat"));
  }

  /// Of one thread.
  public ProcStat stat(int tid) throws IOException {
    return ProcStat.parse(record("task/" + tid + "/stat"));
  }

  public BlockedIn blockedIn(int tid) throws IOException {
    return BlockedIn.parse(record("task/" + tid + "/syscall"));
  }

  /// Where in the kernel a thread sleeps; "0" where it does not.
  public String place(int tid) throws IOException {
    return record("task/" + tid + "/wchan").strip();
  }

  public SchedFile sched(int tid) throws IOException {
    return SchedFile.parse(record("task/" + tid + "/sched"));
  }

  public List<PosixTimerEntry> timers() throws IOException {
    return PosixTimerEntry.parse(text("timers"));
  }

  public FdInfo fdInfo(int fd) throws IOException {
    return FdInfo.parse(text("fdinfo/" + fd));
  }

  public Limits limits() throws IOException {
    return Limits.parse(text("limits"));
  }

  public Auxv auxv() throws IOException {
    return Auxv.parse(bytes("auxv"));
  }
}
