package dev.jcr.dump.files;

import dev.jcr.image.v1.Fanotify;
import dev.jcr.image.v1.FanotifyMark;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.OpenFlags;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.procfs.FdInfo;
import dev.jcr.parasite.procfs.MountEntry;
import dev.jcr.parasite.procfs.Proc;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// fanotify groups, by what fdinfo shows of them (fs/notify/fdinfo.c).
final class FanotifyGroups {
  private static final int CAP_SYS_ADMIN = 21;

  /// FAN_CLASS_CONTENT and FAN_CLASS_PRE_CONTENT.
  private static final int CLASSES = 0xc;

  private FanotifyGroups() {}

  static Fanotify describe(Scene scene, OpenFile file) throws IOException, Refusal {
    if (!scene.running()
        && FdCalls.ioctlInt(file.duplicate().number(), Fcntl.FIONREAD).orElse(0) > 0) {
      throw new Refusal(
          "a fanotify group with unread events, which nobody can put back",
          "let the process read them, or retry");
    }
    if ((scene.proc().status().capEff() >>> CAP_SYS_ADMIN & 1) == 0) {
      throw new Refusal(
          "a fanotify group of a process without CAP_SYS_ADMIN, which sees less", "close it");
    }
    Fanotify.Builder group = Fanotify.newBuilder();
    List<FanotifyMark> marks = new ArrayList<>();
    for (String line : file.info().fanotify()) {
      Map<String, String> fields = Watches.fields(line);
      if (fields.containsKey("event-flags")) {
        group.setFlags(hex(fields, "flags")).setEventFlags(hex(fields, "event-flags"));
      } else {
        marks.add(mark(scene, fields));
      }
    }
    if ((group.getFlags() & CLASSES) != 0) {
      throw new Refusal(
          "a fanotify group that gives permissions, of which nobody sees those that wait",
          "close it");
    }
    // The kernel shows the last first.
    marks.sort(Comparator.comparing(FanotifyMark::getKind).thenComparing(FanotifyMark::getPath));
    return group.addAllMarks(marks).build();
  }

  /// "ino:4f sdev:13 mflags:0 mask:3b ignored_mask:40000000 fhandle-bytes:8 ..", "mnt_id:12
  /// mflags:40 mask:38 ignored_mask:40000003", "sdev:13 mflags:0 mask:..".
  private static FanotifyMark mark(Scene scene, Map<String, String> fields)
      throws IOException, Refusal {
    FanotifyMark.Builder mark =
        FanotifyMark.newBuilder()
            .setFlags(hex(fields, "mflags"))
            .setMask(Integer.toUnsignedLong(hex(fields, "mask")))
            .setIgnored(Integer.toUnsignedLong(hex(fields, "ignored_mask")));
    if (fields.containsKey("ino")) {
      return mark.setKind(FanotifyMark.Kind.KIND_INODE)
          .setPath(Watches.path(scene, fields))
          .build();
    }
    boolean mount = fields.containsKey("mnt_id");
    String wanted =
        mount ? Integer.toString(hex(fields, "mnt_id")) : Watches.device(hex(fields, "sdev"));
    for (String line : scene.proc().text("mountinfo").lines().toList()) {
      // 36 35 98:0 /mnt1 /mnt2 rw,noatime ...
      String[] words = line.split(" ", -1);
      if (words.length > 4 && words[mount ? 0 : 2].equals(wanted)) {
        String path = MountEntry.unescaped(words[4]);
        if (mountOf(path).equals(Optional.of(Integer.parseInt(words[0])))) {
          return mark.setKind(
                  mount ? FanotifyMark.Kind.KIND_MOUNT : FanotifyMark.Kind.KIND_FILESYSTEM)
              .setPath(path)
              .build();
        }
      }
    }
    throw new Refusal(
        "a fanotify mark on %s %s, whose path cannot be found"
            .formatted(mount ? "mount" : "file system", wanted),
        "remove the mark");
  }

  /// The mount that a path leads to; empty when it leads nowhere.
  private static Optional<Integer> mountOf(String path) throws IOException {
    try (Fd fd = Fd.open(path, OpenFlags.O_PATH, 0)) {
      return Optional.of(
          FdInfo.parse(Proc.at("/proc/self").text("fdinfo/" + fd.number())).mountId());
    } catch (SyscallException _) {
      return Optional.empty();
    }
  }

  private static int hex(Map<String, String> fields, String name) throws Refusal {
    String value = fields.get(name);
    if (value == null) {
      throw new Refusal(
          "a fanotify group whose " + name + " this kernel does not show", "close it");
    }
    return (int) Long.parseLong(value, 16);
  }
}
