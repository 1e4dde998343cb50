package dev.jcr.dump.files;

import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.procfs.Anchor;
import dev.jcr.parasite.procfs.Proc;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/// Which pipes and sockets of the target other processes have open as well. A look at all of
/// `/proc`, so it is taken once, before the freeze.
final class Outside {
  private final Set<String> asked;
  private final Map<String, String> holders;

  private Outside(Set<String> asked, Map<String, String> holders) {
    this.asked = asked;
    this.holders = holders;
  }

  /// True for what other processes may share and jcr must know about.
  static boolean concerns(OpenFile file) {
    return file.link().startsWith("pipe:[")
        || file.link().startsWith("socket:[")
        || file.stat().is(Fcntl.S_IFIFO);
  }

  static Outside look(int pid, List<OpenFile> files) throws IOException {
    Set<String> asked = new HashSet<>();
    for (OpenFile file : files) {
      if (concerns(file)) {
        asked.add(file.link());
      }
    }
    Map<String, String> holders = new HashMap<>();
    if (!asked.isEmpty()) {
      int self = (int) ProcessHandle.current().pid();
      for (String name : Proc.at("/proc").list(".")) {
        if (Character.isDigit(name.charAt(0))) {
          int other = Integer.parseInt(name);
          if (other != pid && other != self) {
            look(other, asked, holders);
          }
        }
      }
    }
    return new Outside(asked, holders);
  }

  private static void look(int other, Set<String> asked, Map<String, String> holders) {
    Proc proc = Proc.of(other);
    List<Integer> fds;
    try {
      fds = proc.fds();
      if (fds.isEmpty()) {
        // Without any, or its leader has ended.
        proc = Anchor.of(other).proc();
        fds = proc.fds();
      }
    } catch (IOException _) {
      return; // It ended meanwhile, or is nobody's business of ours.
    }
    for (int fd : fds) {
      try {
        String link = proc.link("fd/" + fd);
        if (asked.contains(link) && !holders.containsKey(link)) {
          String comm = new String(proc.bytes("comm"), StandardCharsets.UTF_8).strip();
          holders.put(link, "process " + other + " (" + comm + ")");
        }
      } catch (IOException _) {
        // Closed meanwhile.
      }
    }
  }

  /// Whether the answer for all these files is known.
  boolean covers(List<OpenFile> files) {
    return files.stream().allMatch(file -> !concerns(file) || asked.contains(file.link()));
  }

  /// "process 12 (name)" of another process that has it open.
  Optional<String> holder(OpenFile file) {
    return Optional.ofNullable(holders.get(file.link()));
  }
}
