package dev.jcr.restore;

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
final class Cgroups {
  private Cgroups() {}

  /// What could not be done, for people.
  ///
  /// @param wanted lines of the old /proc/PID/cgroup
  static List<String> join(int pid, List<String> wanted) throws IOException {
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
      String path = mount.get() + words[2] + "/cgroup.procs";
      try (Fd procs = Fd.open(path, Fd.O_WRONLY, 0);
          Arena arena = Arena.ofConfined()) {
        String number = Integer.toString(pid);
        procs.writeFully(arena.allocateFrom(number).asSlice(0, number.length()), 0);
      } catch (SyscallException e) {
        notes.add("control group " + line + ": " + e.getMessage() + "; the process is in jcr's");
      }
    }
    return notes;
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
