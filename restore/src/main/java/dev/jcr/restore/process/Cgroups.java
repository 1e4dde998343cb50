package dev.jcr.restore.process;

import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.procfs.Proc;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/// Moves a new process into the control groups of the old one, cgroups(7). Where one is gone or may
/// not be entered, the process stays in jcr's.
public final class Cgroups {
  private Cgroups() {}

  /// What could not be done, for people.
  ///
  /// @param wanted lines of the old /proc/PID/cgroup
  public static List<String> join(int pid, List<String> wanted) throws IOException {
    List<String> notes = new ArrayList<>();
    List<String> own = Proc.of(pid).text("cgroup").lines().toList();
    for (String line : wanted) {
      // 4:memory:/user.slice, or 0::/user.slice for version 2
      String[] words = line.split(":", 3);
      if (own.contains(line) || words.length < 3) {
        continue;
      }
      Optional<String> mount = mount(words[1]);
      if (mount.isEmpty() || words[2].contains("..")) {
        notes.add("control group " + line + ": it is not mounted here");
        continue;
      }
      try {
        move(pid, mount.get() + words[2]);
      } catch (SyscallException e) {
        notes.add("control group " + line + ": " + e.getMessage() + "; the process is in jcr's");
      }
    }
    return notes;
  }

  private static void move(int pid, String group) throws SyscallException {
    try (Fd procs = Fd.open(group + "/cgroup.procs", Fd.O_WRONLY, 0);
        Arena arena = Arena.ofConfined()) {
      String number = Integer.toString(pid);
      procs.writeFully(arena.allocateFrom(number).asSlice(0, number.length()), 0);
    }
  }

  /// Takes a process of jcr's out of the groups that somebody may kill as a whole: those of version
  /// 2 and the named ones of version 1, which are there to keep track of processes. It goes to the
  /// root of the hierarchy, or, where it may not, to the group of `other`.
  ///
  /// @return the groups in which it is still with jcr
  public static List<String> leave(int pid, int other) throws IOException {
    List<String> left = new ArrayList<>();
    List<String> others = Proc.of(other).text("cgroup").lines().toList();
    for (String line : Proc.of(pid).text("cgroup").lines().toList()) {
      String[] words = line.split(":", 3);
      boolean tracks =
          words.length == 3
              && (words[1].isEmpty() || words[1].startsWith("name="))
              && !words[2].equals("/");
      Optional<String> mount = tracks ? mount(words[1]) : Optional.empty();
      if (mount.isEmpty()) {
        continue;
      }
      List<String> groups = new ArrayList<>(List.of("/"));
      others.stream()
          .filter(each -> each.startsWith(words[0] + ":") && !each.equals(line))
          .map(each -> each.split(":", 3)[2])
          .filter(each -> !each.contains(".."))
          .forEach(groups::add);
      if (groups.stream().noneMatch(group -> moves(pid, mount.get() + group))) {
        left.add(line);
      }
    }
    return left;
  }

  private static boolean moves(int pid, String group) {
    try {
      move(pid, group);
      return true;
    } catch (SyscallException _) {
      return false;
    }
  }

  /// Where the hierarchy of these controllers is mounted; that of version 2 has none.
  private static Optional<String> mount(String controllers) throws IOException {
    for (String line : Proc.at("/proc/self").text("mountinfo").lines().toList()) {
      // 36 35 98:0 / /sys/fs/cgroup/memory rw shared:1 - cgroup cgroup rw,memory
      int dash = line.indexOf(" - ");
      if (dash < 0) {
        continue;
      }
      String[] words = line.split(" ", 6);
      String[] end = line.substring(dash + 3).split(" ", 3);
      boolean fits =
          controllers.isEmpty()
              ? end[0].equals("cgroup2")
              : end[0].equals("cgroup")
                  && Arrays.asList(end[2].split(",", -1))
                      .containsAll(Arrays.asList(controllers.split(",", -1)));
      if (fits) {
        return Optional.of(words[4]);
      }
    }
    return Optional.empty();
  }
}
