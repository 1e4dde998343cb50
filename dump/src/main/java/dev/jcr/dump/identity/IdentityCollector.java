package dev.jcr.dump.identity;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.v1.Credentials;
import dev.jcr.image.v1.FileIdentity;
import dev.jcr.image.v1.Identity;
import dev.jcr.image.v1.ResourceLimit;
import dev.jcr.parasite.collect.FileIdentities;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Prctl;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.namespace.Namespaces;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.procfs.ProcStat;
import dev.jcr.parasite.procfs.ProcStatus;
import dev.jcr.parasite.remote.Batch;
import dev.jcr.parasite.remote.Infection;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/// Who the process is: ids, credentials, file-system context, limits, process-wide settings.
public final class IdentityCollector {
  /// RLIMIT_CPU to RLIMIT_RTTIME.
  private static final int RESOURCES = 16;

  /// `<asm/prctl.h>`; fails with EINVAL before Linux 5.16 and leaves the word 0.
  private static final int ARCH_GET_XCOMP_PERM = 0x1022;

  private static final int MEMBARRIER_CMD_GET_REGISTRATIONS = 1 << 9;

  private IdentityCollector() {}

  /// Everything, read from outside and by calls of `thread`.
  ///
  /// @param namespaces of the process
  public static Identity collect(Proc proc, Infection.InfectedThread thread, Namespaces namespaces)
      throws CheckpointException, IOException {
    ProcStat stat = proc.stat();
    ProcStatus status = proc.status();
    Batch batch = thread.batch();
    int dumpable = batch.require("read dumpable", Syscall.PRCTL, Prctl.GET_DUMPABLE);
    long subreaper = batch.room(8);
    batch.add(Syscall.PRCTL, Prctl.GET_CHILD_SUBREAPER, subreaper);
    long timestampMode = batch.room(8);
    batch.add(Syscall.PRCTL, Prctl.GET_TSC, timestampMode);
    // Answered with an error where the kernel lacks them.
    int thpDisable = batch.add(Syscall.PRCTL, Prctl.GET_THP_DISABLE);
    int denyWriteExecute = batch.add(Syscall.PRCTL, Prctl.GET_MDWE);
    int machineCheckKill = batch.add(Syscall.PRCTL, Prctl.MCE_KILL_GET);
    int ioFlusher = batch.add(Syscall.PRCTL, Prctl.GET_IO_FLUSHER);
    int memoryMerge = batch.add(Syscall.PRCTL, Prctl.GET_MEMORY_MERGE);
    long permissions = batch.room(8);
    if (Syscall.ARCH_PRCTL.exists(Kernel.HOST)) {
      batch.add(Syscall.ARCH_PRCTL, ARCH_GET_XCOMP_PERM, permissions);
    }
    // Since Linux 6.3.
    int membarrier = batch.add(Syscall.MEMBARRIER, MEMBARRIER_CMD_GET_REGISTRATIONS, 0, 0);
    long limits = batch.room(16 * RESOURCES);
    for (int resource = 0; resource < RESOURCES; resource++) {
      // From inside: prlimit(2) on another uid needs CAP_SYS_RESOURCE.
      batch.require(
          "read limit " + resource, Syscall.PRLIMIT64, 0, resource, 0, limits + 16L * resource);
    }
    Batch.Results results = thread.run(batch);
    Identity.Builder identity =
        Identity.newBuilder()
            .setPid(status.tgid())
            .setParentPid(stat.ppid())
            .setProcessGroup(stat.pgrp())
            .setSession(stat.session())
            .setTerminalDevice(stat.ttyNr())
            .setTerminalForegroundGroup(Math.max(0, stat.tpgid()))
            .setPersonality((int) Long.parseLong(proc.text("personality").strip(), 16))
            .setUmask(status.umask())
            .setWorkingDirectory(proc.link("cwd"))
            .setRootDirectory(proc.link("root"))
            .setExecutable(executable(proc, namespaces))
            .setOomScoreAdj(Integer.parseInt(proc.text("oom_score_adj").strip()))
            .setCoredumpFilter(Integer.parseInt(proc.text("coredump_filter").strip(), 16))
            .setDumpable((int) results.value(dumpable))
            .setChildSubreaper(results.integer(subreaper) == 1)
            .setTimestampCounterMode(results.integer(timestampMode))
            .setThpDisable((int) Math.max(0, results.value(thpDisable)))
            .setMemoryDenyWriteExecute((int) Math.max(0, results.value(denyWriteExecute)))
            .setMachineCheckKill((int) Math.max(0, results.value(machineCheckKill)))
            .setMembarrierRegistrations((int) Math.max(0, results.value(membarrier)))
            .setXstatePermissions(results.word(permissions))
            .setIoFlusher(results.value(ioFlusher) == 1)
            .setMemoryMerge(results.value(memoryMerge) == 1);
    proc.optionalText("loginuid")
        .ifPresent(text -> identity.setLoginUid(Integer.parseUnsignedInt(text.strip())));
    proc.optionalText("autogroup")
        .ifPresent(text -> identity.setAutogroupNice(autogroupNice(text)));
    proc.optionalText("cgroup").ifPresent(text -> text.lines().forEach(identity::addCgroups));
    identity.addAllNamespaces(NamespaceCollector.collect(proc));
    for (int resource = 0; resource < RESOURCES; resource++) {
      identity.addLimits(
          ResourceLimit.newBuilder()
              .setResource(resource)
              .setSoft(results.word(limits + 16L * resource))
              .setHard(results.word(limits + 16L * resource + 8)));
    }
    return identity.build();
  }

  /// "/autogroup-31274 nice 0"; empty in a kernel without.
  private static int autogroupNice(String text) {
    String line = text.strip();
    return line.isEmpty() ? 0 : Integer.parseInt(line.substring(line.lastIndexOf(' ') + 1));
  }

  /// Preflight refuses a deleted executable; the program of a rehearsal is one.
  private static FileIdentity executable(Proc proc, Namespaces namespaces)
      throws CheckpointException, IOException {
    String path = proc.link("exe");
    if (path.endsWith(" (deleted)")) {
      return FileIdentity.newBuilder().setPath(path).build();
    }
    try (Namespaces.Visit _ = namespaces.enter()) {
      return FileIdentities.of(path);
    }
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
