package dev.jcr.dump;

import com.google.protobuf.ByteString;
import dev.jcr.image.v1.Zombie;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.procfs.ProcStat;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/// Children that have ended and that the process has not waited for.
final class Zombies {
  private static final int SIGCHLD = 17;

  /// In a wait status: a core was dumped.
  private static final int CORE = 0x80;

  private Zombies() {}

  /// Whether a child can be made again as it is: ended, all of its threads too, and one that
  /// wait(2) gives without `__WCLONE`.
  static boolean isOne(int child) {
    try {
      return isOne(Proc.of(child).stat());
    } catch (IOException _) {
      return false;
    }
  }

  private static boolean isOne(ProcStat stat) {
    return stat.state() == 'Z' && stat.numThreads() <= 1 && stat.exitSignal() == SIGCHLD;
  }

  /// Those of a frozen process that are still there, by pid.
  ///
  /// @param ended all its children
  static List<Zombie> of(List<Integer> ended) throws IOException {
    Map<Integer, Zombie> zombies = new TreeMap<>();
    for (int child : ended) {
      zombie(child, zombies);
    }
    return List.copyOf(zombies.values());
  }

  private static void zombie(int pid, Map<Integer, Zombie> zombies) throws IOException {
    try {
      ProcStat stat = Proc.of(pid).stat();
      zombies.put(
          pid,
          Zombie.newBuilder()
              .setPid(pid)
              .setProcessGroup(stat.pgrp())
              .setSession(stat.session())
              .setStatus(stat.exitCode() & ~CORE)
              .setComm(ByteString.copyFrom(stat.comm(), StandardCharsets.ISO_8859_1))
              .build());
    } catch (SyscallException e) {
      if (Proc.of(pid).exists()) {
        throw e;
      }
    }
  }
}
