package dev.jcr.dump.identity;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.v1.Credentials;
import dev.jcr.image.v1.Identity;
import dev.jcr.image.v1.ResourceLimit;
import dev.jcr.parasite.collect.FileIdentities;
import dev.jcr.parasite.linux.Prctl;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.procfs.ProcStat;
import dev.jcr.parasite.procfs.ProcStatus;
import dev.jcr.parasite.remote.Infection;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;

/// Who the process is: ids, credentials, file-system context, limits, process-wide settings.
public final class IdentityCollector {
  /// RLIMIT_CPU to RLIMIT_RTTIME.
  private static final int RESOURCES = 16;

  private IdentityCollector() {}

  public static Identity collect(Proc proc, Infection.InfectedThread thread)
      throws CheckpointException, IOException {
    ProcStat stat = proc.stat();
    ProcStatus status = proc.status();
    Identity.Builder identity =
        Identity.newBuilder()
            .setPid(stat.pid())
            .setParentPid(stat.ppid())
            .setProcessGroup(stat.pgrp())
            .setSession(stat.session())
            .setTerminalDevice(stat.ttyNr())
            .setTerminalForegroundGroup(Math.max(0, stat.tpgid()))
            .setPersonality((int) Long.parseLong(proc.text("personality").strip(), 16))
            .setUmask(status.umask())
            .setWorkingDirectory(proc.link("cwd"))
            .setRootDirectory(proc.link("root"))
            .setExecutable(FileIdentities.of(proc.link("exe")))
            .setOomScoreAdj(Integer.parseInt(proc.text("oom_score_adj").strip()))
            .setCoredumpFilter(Integer.parseInt(proc.text("coredump_filter").strip(), 16))
            .setDumpable((int) thread.require("read dumpable", Syscall.PRCTL, Prctl.GET_DUMPABLE));
    identity.setChildSubreaper(pointed(thread, Prctl.GET_CHILD_SUBREAPER) == 1);
    identity.setThpDisable(optional(thread, Prctl.GET_THP_DISABLE));
    identity.setMemoryDenyWriteExecute(optional(thread, Prctl.GET_MDWE));
    identity.setTimestampCounterMode(Math.max(0, pointed(thread, Prctl.GET_TSC)));
    identity.setMachineCheckKill(optional(thread, Prctl.MCE_KILL_GET));
    identity.setIoFlusher(optional(thread, Prctl.GET_IO_FLUSHER) == 1);
    identity.setMemoryMerge(optional(thread, Prctl.GET_MEMORY_MERGE) == 1);
    for (int resource = 0; resource < RESOURCES; resource++) {
      // From inside: prlimit(2) on another uid needs CAP_SYS_RESOURCE.
      thread.require("read limit " + resource, Syscall.PRLIMIT64, 0, resource, 0, thread.scratch());
      ByteBuffer limit = ByteBuffer.wrap(thread.fetch(16)).order(ByteOrder.LITTLE_ENDIAN);
      identity.addLimits(
          ResourceLimit.newBuilder()
              .setResource(resource)
              .setSoft(limit.getLong(0))
              .setHard(limit.getLong(8)));
    }
    return identity.build();
  }

  /// prctl that returns its value; 0 where the kernel lacks it.
  private static int optional(Infection.InfectedThread thread, int option)
      throws CheckpointException {
    return (int) Math.max(0, thread.call(Syscall.PRCTL, option));
  }

  /// prctl that stores an int; -1 where the kernel lacks it.
  private static int pointed(Infection.InfectedThread thread, int option)
      throws CheckpointException {
    return thread.call(Syscall.PRCTL, option, thread.scratch()) < 0
        ? -1
        : ByteBuffer.wrap(thread.fetch(4)).order(ByteOrder.LITTLE_ENDIAN).getInt(0);
  }

  /// Credentials of one thread from /proc/PID/task/TID/status; securebits come by prctl.
  public static Credentials credentials(ProcStatus status, int securebits) {
    Credentials.Builder credentials =
        Credentials.newBuilder()
            .setInheritable(status.capInh())
            .setPermitted(status.capPrm())
            .setEffective(status.capEff())
            .setBounding(status.capBnd())
            .setAmbient(status.capAmb())
            .setSecurebits(securebits)
            .setNoNewPrivs(status.noNewPrivs());
    credentials.addAllUids(list(status.uids()));
    credentials.addAllGids(list(status.gids()));
    credentials.addAllGroups(list(status.groups()));
    return credentials.build();
  }

  private static List<Integer> list(int[] values) {
    List<Integer> list = new ArrayList<>();
    for (int value : values) {
      list.add(value);
    }
    return list;
  }
}
