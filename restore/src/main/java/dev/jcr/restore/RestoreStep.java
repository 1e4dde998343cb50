package dev.jcr.restore;

import com.google.protobuf.ByteString;
import dev.jcr.image.v1.FileIdentity;
import dev.jcr.image.v1.Files;
import dev.jcr.image.v1.Identity;
import dev.jcr.image.v1.Memory;
import dev.jcr.image.v1.Namespace;
import dev.jcr.image.v1.SharedObject;
import dev.jcr.image.v1.Signals;
import dev.jcr.image.v1.TagRun;
import dev.jcr.image.v1.Thread;
import dev.jcr.image.v1.Timers;
import dev.jcr.image.v1.Vma;
import dev.jcr.image.v1.Zombie;
import dev.jcr.restore.files.FileStep;
import dev.jcr.restore.lazy.LazyRanges;
import dev.jcr.restore.process.ClockPlan;
import java.util.List;
import java.util.Optional;

/// One step of a plan. Steps are values: a plan can be printed, compared and tested without a
/// process; [RestoreSession] executes them.
public sealed interface RestoreStep {
  /// One line for people.
  String describe();

  /// Starts the stub program and clones the process with its pid from it.
  ///
  /// @param pids the pid namespace that it is born into; empty for jcr's
  record CreateProcess(long stubBase, int pid, Optional<Namespace> pids) implements RestoreStep {
    @Override
    public String describe() {
      return "create process "
          + pid
          + pids.map(namespace -> " in a " + JoinedNamespaces.label(namespace)).orElse("")
          + " from a stub at 0x"
          + Long.toHexString(stubBase);
    }
  }

  /// Gives the process its session and group.
  record JoinSession(int pid, int session, int group) implements RestoreStep {
    @Override
    public String describe() {
      return "session " + session + ", process group " + group;
    }
  }

  /// Enters the namespaces the old process was in.
  record JoinNamespaces(List<Namespace> namespaces) implements RestoreStep {
    public JoinNamespaces {
      namespaces = List.copyOf(namespaces);
    }

    @Override
    public String describe() {
      return "join the "
          + String.join(", the ", namespaces.stream().map(JoinedNamespaces::label).toList());
    }
  }

  /// Sheds the stub's memory but for the kernel's mappings, and runs from a page of its own.
  record EmptyAddressSpace(long bootstrap, int size) implements RestoreStep {
    @Override
    public String describe() {
      return "empty the address space but for 0x%x-0x%x".formatted(bootstrap, bootstrap + size);
    }
  }

  /// Children that have ended and wait to be waited for; while there is hardly any memory to copy.
  record MakeZombies(List<Zombie> zombies) implements RestoreStep {
    public MakeZombies {
      zombies = List.copyOf(zombies);
    }

    @Override
    public String describe() {
      return "make the ended children "
          + String.join(
              ", ", zombies.stream().map(zombie -> Integer.toString(zombie.getPid())).toList());
    }
  }

  /// Moves the kernel's mappings to where the image has them; an empty list removes them.
  record PlaceVdso(List<Vma> vmas, long temporary) implements RestoreStep {
    public PlaceVdso {
      vmas = List.copyOf(vmas);
    }

    @Override
    public String describe() {
      return vmas.isEmpty()
          ? "remove the vDSO"
          : "move the vDSO to 0x%x".formatted(vmas.getLast().getStart());
    }
  }

  /// Puts the code of another kernel's vDSO in place, changed to lead to this kernel's.
  ///
  /// @param functions how many do
  record RedirectVdso(long start, ByteString code, int functions) implements RestoreStep {
    @Override
    public String describe() {
      return "lead %d functions of the vDSO at 0x%x to this kernel's".formatted(functions, start);
    }
  }

  /// Compares the namespaces of the process with those it was to join, and jcr's.
  record ProveNamespaces() implements RestoreStep {
    @Override
    public String describe() {
      return "read back and compare the namespaces";
    }
  }

  /// Makes files that are gone or have changed again, from their copies in the image.
  record RecreateFiles(List<SharedObject> copies) implements RestoreStep {
    public RecreateFiles {
      copies = List.copyOf(copies);
    }

    @Override
    public String describe() {
      return "recreate what is missing of "
          + String.join(", ", copies.stream().map(RecreateFiles::name).toList());
    }

    private static String name(SharedObject copy) {
      return copy.getName() + (copy.getRemoved() ? " (for the process alone)" : "");
    }
  }

  /// Maps one VMA.
  ///
  /// @param writable it is mapped writable first, because pages will be put into it
  record MapVma(Vma vma, boolean writable) implements RestoreStep {
    @Override
    public String describe() {
      String what =
          vma.hasFile()
              ? vma.getFile().getPath() + " at offset " + vma.getOffset()
              : vma.getObjectId() != 0 ? "object " + vma.getObjectId() : "anonymous";
      return "map 0x%x-0x%x %s, %s"
          .formatted(vma.getStart(), vma.getEnd(), protection(vma.getProtection()), what);
    }
  }

  /// Gives the process the descriptor table to build in: jcr's standard descriptors and no others.
  record StartDescriptors(Files files) implements RestoreStep {
    @Override
    public String describe() {
      return "close all descriptors but 0, 1 and 2";
    }
  }

  /// One step of the descriptor column.
  record Descriptors(FileStep step) implements RestoreStep {
    @Override
    public String describe() {
      return step.describe();
    }
  }

  /// Contents of memory that is shared, and of unlinked files.
  record FillObjects(List<SharedObject> objects) implements RestoreStep {
    public FillObjects {
      objects = List.copyOf(objects);
    }

    @Override
    public String describe() {
      return "fill " + objects.size() + " shared objects";
    }
  }

  /// Makes a userfaultfd in the process, while it has the right to, and takes it over.
  record OpenUserfault() implements RestoreStep {
    @Override
    public String describe() {
      return "make a userfaultfd";
    }
  }

  /// Registers what comes on demand, and begins to serve it. After the proof, which shows the
  /// mappings as they are without.
  record ServePages(LazyRanges ranges) implements RestoreStep {
    @Override
    public String describe() {
      return "serve %d KiB of %d mappings on demand"
          .formatted(ranges.bytes() >> 10, ranges.mappings().size());
    }
  }

  /// Puts stored pages into the mappings.
  record FillPages(long pages) implements RestoreStep {
    @Override
    public String describe() {
      return "fill " + pages + " pages";
    }
  }

  /// Sets final protection, advice, locks and name.
  record FinishVma(Vma vma, boolean protect) implements RestoreStep {
    @Override
    public String describe() {
      return "finish 0x%x-0x%x %s%s"
          .formatted(
              vma.getStart(),
              vma.getEnd(),
              protection(vma.getProtection()),
              vma.getVmFlagsList().isEmpty() ? "" : " " + vma.getVmFlagsList());
    }
  }

  /// brk, stack, argument and environment ranges, auxv and the executable.
  record SetLayout(Memory memory, FileIdentity executable) implements RestoreStep {
    @Override
    public String describe() {
      return "memory layout, executable " + executable.getPath();
    }
  }

  /// Working directory, umask, personality, limits and other process-wide settings.
  record SetIdentity(Identity identity) implements RestoreStep {
    @Override
    public String describe() {
      return "working directory " + identity.getWorkingDirectory();
    }
  }

  /// Makes a thread with its tid.
  record CreateThread(int tid) implements RestoreStep {
    @Override
    public String describe() {
      return "create thread " + tid;
    }
  }

  /// Lists, stacks, scheduling, credentials of a thread.
  record ConfigureThread(Thread thread) implements RestoreStep {
    @Override
    public String describe() {
      return "configure thread " + thread.getTid();
    }
  }

  /// PR_SET_DUMPABLE, after the last change of credentials, which resets it.
  record SetDumpable(int dumpable) implements RestoreStep {
    @Override
    public String describe() {
      return "dumpable " + dumpable;
    }
  }

  /// Signal actions.
  record SetActions(Signals signals) implements RestoreStep {
    @Override
    public String describe() {
      return "signal actions of " + signals.getActionsCount() + " signals";
    }
  }

  /// Pending signals of the process and of its threads.
  record QueueSignals(Signals signals, List<Thread> threads) implements RestoreStep {
    public QueueSignals {
      threads = List.copyOf(threads);
    }

    @Override
    public String describe() {
      int count = signals.getPendingCount();
      for (Thread thread : threads) {
        count += thread.getPendingCount();
      }
      return count + " pending signals";
    }
  }

  /// SIGSTOP while all other signals are blocked: those that wait are not to be taken before.
  record StopProcess() implements RestoreStep {
    @Override
    public String describe() {
      return "stop it as it was stopped";
    }
  }

  /// Lets its clocks go on, in a time namespace; before its threads are there.
  record SetClocks(ClockPlan plan) implements RestoreStep {
    @Override
    public String describe() {
      return plan.note().orElse("leave its clocks as they are");
    }
  }

  /// Interval and POSIX timers; late, since they run from here.
  record SetTimers(Timers timers) implements RestoreStep {
    @Override
    public String describe() {
      return (timers.getIntervalCount() + timers.getPosixCount()) + " timers";
    }
  }

  /// The leader ends while the others are stopped, and with it the bootstrap pages go; a zombie
  /// with its status is left, as it was.
  record EndLeader(Thread leader) implements RestoreStep {
    @Override
    public String describe() {
      return "end leader thread %d with status 0x%x"
          .formatted(leader.getTid(), leader.getEnded().getStatus());
    }
  }

  /// Final registers of some threads, read back and compared; sleeps go on. With a leader that goes
  /// on, which is the last, the bootstrap pages go.
  record LoadRegisters(List<Thread> threads) implements RestoreStep {
    public LoadRegisters {
      threads = List.copyOf(threads);
    }

    @Override
    public String describe() {
      return "registers of " + threads.size() + " threads";
    }
  }

  /// Reads all pages back and compares them with the image. Before [RegisterRseq], because from
  /// there on the kernel writes into the process.
  record ProvePages() implements RestoreStep {
    @Override
    public String describe() {
      return "read back and compare the pages";
    }
  }

  /// Restartable sequences of all threads.
  record RegisterRseq(List<Thread> threads) implements RestoreStep {
    public RegisterRseq {
      threads = List.copyOf(threads);
    }

    @Override
    public String describe() {
      return "rseq of " + threads.stream().filter(Thread::hasRseq).count() + " threads";
    }
  }

  /// Tags of memory with PROT_MTE (arm64), after its contents and its final protection; they are
  /// read back and compared.
  record TagMemory(List<TagRun> runs) implements RestoreStep {
    public TagMemory {
      runs = List.copyOf(runs);
    }

    @Override
    public String describe() {
      return "tags of "
          + runs.stream().mapToLong(run -> run.getTags().size() * 32L).sum() / 1024
          + " KiB of memory";
    }
  }

  /// Reads the mappings back and compares them with the image.
  record ProveMappings() implements RestoreStep {
    @Override
    public String describe() {
      return "read back and compare the mappings";
    }
  }

  private static String protection(int bits) {
    return ((bits & 1) != 0 ? "r" : "-")
        + ((bits & 2) != 0 ? "w" : "-")
        + ((bits & 4) != 0 ? "x" : "-");
  }
}
