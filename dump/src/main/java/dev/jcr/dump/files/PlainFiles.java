package dev.jcr.dump.files;

import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.Directory;
import dev.jcr.image.v1.FileIdentity;
import dev.jcr.image.v1.FileLock;
import dev.jcr.image.v1.MemoryFile;
import dev.jcr.image.v1.PathOnly;
import dev.jcr.image.v1.RegularFile;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.FileStat;
import dev.jcr.parasite.linux.OpenFlags;
import dev.jcr.parasite.linux.SyscallException;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/// Regular files, directories, paths, unlinked files and memfds.
final class PlainFiles {
  /// `linux/magic.h`: proc, sysfs, cgroup, cgroup2, debugfs, tracefs, securityfs, configfs,
  /// selinuxfs, bpf, pstore, efivarfs. Their sizes and times say nothing.
  private static final Set<Long> VIRTUAL =
      Set.of(
          0x9fa0L,
          0x62656572L,
          0x27e0ebL,
          0x63677270L,
          0x64626720L,
          0x74726163L,
          0x73636673L,
          0x62656570L,
          0xf97cff8cL,
          0xcafe4a11L,
          0x6165676cL,
          0xde5e81e4L);

  private static final int PERMISSIONS = 07777;

  private PlainFiles() {}

  static void regular(Scene scene, OpenFile file, Description.Builder description)
      throws IOException, Refusal {
    FileStat stat = file.stat();
    RegularFile.Builder regular = RegularFile.newBuilder();
    List<FileLock> locks = locks(file);
    if (SecretMemory.isSecret(file.link())) {
      description.setMemfd(
          MemoryFile.newBuilder()
              .setObjectId(scene.objects().of(file.duplicate().number(), stat, file.link())));
      return;
    }
    if (stat.links() == 0) {
      int fd = file.duplicate().number();
      int object = scene.objects().of(fd, stat, file.link());
      if (SharedObjects.isMemfd(file.link()) && FdCalls.fcntl(fd, Fcntl.F_GET_SEALS, 0) >= 0) {
        if (!locks.isEmpty()) {
          throw new Refusal("a lock on a memfd is not restorable", "release it");
        }
        description.setMemfd(MemoryFile.newBuilder().setObjectId(object));
        return;
      }
      regular
          .setObjectId(object)
          .setFile(identity(SharedObjects.withoutDeleted(file.link()), stat));
    } else {
      String path = path(file);
      boolean virtual = isVirtual(file.duplicate().number());
      regular.setFile(
          virtual
              ? FileIdentity.newBuilder().setPath(path).setMode(stat.mode()).build()
              : identity(path, stat));
    }
    description.setRegular(regular.addAllLocks(locks));
  }

  /// Whether a file is made up by the kernel as it is read.
  static boolean isVirtual(int fd) throws SyscallException {
    return VIRTUAL.contains(FdCalls.fileSystem(fd));
  }

  static void directory(OpenFile file, Description.Builder description)
      throws IOException, Refusal {
    description.setDirectory(
        Directory.newBuilder()
            .setFile(FileIdentity.newBuilder().setPath(path(file)).setMode(file.stat().mode())));
  }

  static void pathOnly(OpenFile file, Description.Builder description) throws IOException, Refusal {
    description.setPathOnly(
        PathOnly.newBuilder()
            .setFile(FileIdentity.newBuilder().setPath(path(file)).setMode(file.stat().mode())));
  }

  private static FileIdentity identity(String path, FileStat stat) {
    return FileIdentity.newBuilder()
        .setPath(path)
        .setSize(stat.size())
        .setMtimeSeconds(stat.mtimeSeconds())
        .setMtimeNanos(stat.mtimeNanos())
        .setMode(stat.mode())
        .build();
  }

  /// The path by which a restored process opens the same file again.
  static String path(OpenFile file) throws IOException, Refusal {
    String link = file.link();
    if (!link.startsWith("/")) {
      throw new Refusal(link + " has no path that reaches it (its mount may be gone)", "close it");
    }
    boolean itself = (file.flags() & OpenFlags.O_PATH) != 0 && file.stat().is(Fcntl.S_IFLNK);
    Optional<FileStat> found = itself ? Optional.of(FileStat.ofLink(link)) : FileStat.find(link);
    if (found.isPresent() && found.get().sameFile(file.stat())) {
      return link;
    }
    if (SharedObjects.withoutDeleted(link).equals(link)) {
      throw new Refusal(
          "its path " + link + " leads to another file now",
          "close it, or move the file or the mount that hides it away");
    }
    String path = SharedObjects.withoutDeleted(link);
    throw new Refusal(
        path + " has been removed" + (file.stat().links() > 0 ? ", but has another name" : ""),
        "close it, or give the file its name back");
  }

  private static List<FileLock> locks(OpenFile file) throws Refusal {
    List<FileLock> locks = new ArrayList<>();
    for (String line : file.info().locks()) {
      // 1: POSIX  ADVISORY  WRITE 5339 fe:00:2147374 0 9
      List<String> words = Arrays.stream(line.split(" ")).filter(word -> !word.isEmpty()).toList();
      if (words.size() < 8) {
        throw new Refusal("its lock '" + line + "' is of an unknown kind", "release it");
      }
      FileLock.Kind kind =
          switch (words.get(1)) {
            case "FLOCK" -> FileLock.Kind.KIND_FLOCK;
            case "POSIX" -> FileLock.Kind.KIND_POSIX;
            case "OFDLCK" -> FileLock.Kind.KIND_DESCRIPTION;
            case "LEASE" -> FileLock.Kind.KIND_LEASE;
            default ->
                throw new Refusal(
                    "its lock of kind " + words.get(1) + " is not restorable", "release it");
          };
      if (kind == FileLock.Kind.KIND_LEASE && !words.get(2).equals("ACTIVE")) {
        throw new Refusal("its lease is being broken by another process", "retry");
      }
      locks.add(
          FileLock.newBuilder()
              .setKind(kind)
              .setWrite(words.get(3).equals("WRITE"))
              .setStart(Long.parseUnsignedLong(words.get(6)))
              .setLast(words.get(7).equals("EOF") ? -1L : Long.parseUnsignedLong(words.get(7)))
              .build());
    }
    return locks;
  }

  static int permissions(FileStat stat) {
    return stat.mode() & PERMISSIONS;
  }
}
