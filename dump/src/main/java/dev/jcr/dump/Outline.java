package dev.jcr.dump;

import dev.jcr.dump.files.FileCollector;
import dev.jcr.dump.files.LinkPolicy;
import dev.jcr.dump.identity.NamespaceCollector;
import dev.jcr.dump.identity.OwnNumbers;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.v1.FileIdentity;
import dev.jcr.image.v1.Files;
import dev.jcr.image.v1.Host;
import dev.jcr.image.v1.Identity;
import dev.jcr.image.v1.Memory;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.Thread;
import dev.jcr.image.v1.Timers;
import dev.jcr.image.v1.Vma;
import dev.jcr.parasite.collect.FileIdentities;
import dev.jcr.parasite.collect.VmaCollector;
import dev.jcr.parasite.host.HostClocks;
import dev.jcr.parasite.host.HostFacts;
import dev.jcr.parasite.host.TimeOffsets;
import dev.jcr.parasite.namespace.Namespaces;
import dev.jcr.parasite.namespace.PidNumbers;
import dev.jcr.parasite.procfs.Anchor;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.remote.ProcessMemory;
import java.io.IOException;
import java.util.List;

/// What can be told of a process without stopping it, for another host to say whether it could take
/// it up: host, executable, mappings, ids of threads, descriptors, clocks.
public final class Outline {
  private Outline() {}

  /// Looks at a running process; what comes and goes meanwhile may be missing.
  public static ProcessState of(int pid) throws CheckpointException {
    try {
      return of(Anchor.of(pid));
    } catch (IOException e) {
      throw Preflight.lost(pid, e);
    }
  }

  private static ProcessState of(Anchor process) throws CheckpointException, IOException {
    int pid = process.pid();
    Proc proc = process.proc();
    try (ProcessMemory memory = ProcessMemory.open(process)) {
      Host.Builder host = HostFacts.read();
      List<Vma> vmas;
      FileIdentity executable;
      try (Namespaces namespaces = Namespaces.of(process.tid());
          Namespaces.Visit _ = namespaces.enter()) {
        vmas = VmaCollector.ofRunning().collect(proc.smaps(), _ -> 1);
        executable = FileIdentities.of(proc.link("exe"));
      }
      ProcessState.Builder state =
          ProcessState.newBuilder()
              .setHost(host.setVdso(Collector.vdso(memory, vmas)))
              .setIdentity(
                  Identity.newBuilder()
                      .setPid(pid)
                      .setExecutable(executable)
                      .setWorkingDirectory(proc.link("cwd"))
                      .setRootDirectory(proc.link("root"))
                      .addAllNamespaces(NamespaceCollector.collect(proc)))
              .setMemory(Memory.newBuilder().addAllVmas(vmas))
              .setFiles(files(pid))
              .setTimers(Timers.newBuilder().setClocks(HostClocks.read().of(TimeOffsets.of(proc))));
      for (int tid : proc.tasks()) {
        state.addThreads(Thread.newBuilder().setTid(tid));
      }
      ProcessState own = OwnNumbers.of(pid, PidNumbers.of(proc), state.build()).state();
      return own.toBuilder()
          .clearThreads()
          // Without those that have ended meanwhile.
          .addAllThreads(
              own.getThreadsList().stream().filter(thread -> thread.getTid() != 0).toList())
          .build();
    }
  }

  private static Files files(int pid) throws CheckpointException {
    try (FileCollector files = new FileCollector(pid, LinkPolicy.ANY)) {
      return files.outline();
    }
  }
}
