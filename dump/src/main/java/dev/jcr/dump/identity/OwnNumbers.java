package dev.jcr.dump.identity;

import dev.jcr.image.CheckpointException.Problem;
import dev.jcr.image.v1.Attachment;
import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.Files;
import dev.jcr.image.v1.Identity;
import dev.jcr.image.v1.Owner;
import dev.jcr.image.v1.PosixTimer;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.Thread;
import dev.jcr.image.v1.Timers;
import dev.jcr.image.v1.Zombie;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.namespace.PidNumbers;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.procfs.ProcStatus;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/// Rewrites what was collected of a process in a pid namespace below jcr's: from jcr's numbers, by
/// which everything is found out, to those of the process, which an image has.
///
/// The numbers in its memory, and in the signals that wait for it, are its own already: the kernel
/// translates a sender's for the receiver (kernel/signal.c, send_signal_locked).
public final class OwnNumbers {
  private final PidNumbers numbers;
  private final int pid;
  private final int group;
  private final ProcStatus status;
  private final List<Problem> problems = new ArrayList<>();

  private OwnNumbers(int pid, PidNumbers numbers) throws IOException {
    this.pid = pid;
    this.numbers = numbers;
    this.status = Proc.of(pid).status();
    this.group = Proc.of(pid).stat().pgrp();
  }

  /// A state in the process's numbers.
  ///
  /// @param problems what has none
  public record Translated(ProcessState state, List<Problem> problems) {
    public Translated {
      problems = List.copyOf(problems);
    }
  }

  /// The state of a stopped process, or as much of it as is known; threads by their new numbers,
  /// the leader first. Unchanged where the numbers are jcr's.
  ///
  /// @param numbers of the process
  public static Translated of(int pid, PidNumbers numbers, ProcessState state) throws IOException {
    if (!numbers.isNested()) {
      return new Translated(state, List.of());
    }
    OwnNumbers own = new OwnNumbers(pid, numbers);
    ProcessState translated = own.translate(state);
    return new Translated(translated, own.problems);
  }

  private ProcessState translate(ProcessState state) throws IOException {
    ProcessState.Builder changed =
        state.toBuilder()
            .setIdentity(identity(state.getIdentity()))
            .setTimers(timers(state.getTimers()))
            .setFiles(files(state.getFiles()))
            .clearThreads();
    List<Thread> threads = new ArrayList<>();
    for (Thread thread : state.getThreadsList()) {
      threads.add(
          thread.toBuilder()
              .setTid(number(thread.getTid(), "thread", "thread " + thread.getTid()))
              .build());
    }
    if (!threads.isEmpty()) {
      threads.subList(1, threads.size()).sort(Comparator.comparingInt(Thread::getTid));
    }
    return changed.addAllThreads(threads).build();
  }

  private Identity identity(Identity identity) throws IOException {
    Identity.Builder changed =
        identity.toBuilder()
            .setPid(number(pid, "process", "process " + pid))
            .setParentPid(numbers.of(identity.getParentPid()))
            .setProcessGroup(numbers.group(status))
            .setSession(numbers.session(status))
            .setTerminalForegroundGroup(
                identity.getTerminalForegroundGroup() == group
                    ? numbers.group(status)
                    : numbers.of(identity.getTerminalForegroundGroup()))
            .clearZombies();
    List<Zombie> zombies = new ArrayList<>();
    for (Zombie zombie : identity.getZombiesList()) {
      ProcStatus ended = Proc.of(zombie.getPid()).status();
      zombies.add(
          zombie.toBuilder()
              .setPid(number(zombie.getPid(), "process", "ended child " + zombie.getPid()))
              .setProcessGroup(numbers.group(ended))
              .setSession(numbers.session(ended))
              .build());
    }
    zombies.sort(Comparator.comparingInt(Zombie::getPid));
    return changed.addAllZombies(zombies).build();
  }

  private Timers timers(Timers timers) {
    Timers.Builder changed = timers.toBuilder().clearPosix();
    for (PosixTimer timer : timers.getPosixList()) {
      changed.addPosix(
          timer.getThread() == 0
              ? timer
              : timer.toBuilder()
                  .setThread(number(timer.getThread(), "timer", "timer " + timer.getId()))
                  .build());
    }
    return changed.build();
  }

  private Files files(Files files) {
    Files.Builder changed = files.toBuilder().clearDescriptions();
    for (Description description : files.getDescriptionsList()) {
      changed.addDescriptions(description(description));
    }
    return changed.build();
  }

  private Description description(Description description) {
    String object = "description " + description.getId();
    Description.Builder changed = description.toBuilder();
    Owner owner = description.getOwner();
    if (owner.getPid() != 0) {
      boolean ofGroup = owner.getType() == Fcntl.F_OWNER_PGRP;
      int number = ofGroup ? numbers.group(status) : numbers.of(owner.getPid());
      if (number == 0) {
        problem(object, "its owner for signals (F_SETOWN)", "reset the owner");
      }
      changed.setOwner(owner.toBuilder().setPid(number));
    }
    if (description.hasPidfd()) {
      int other = description.getPidfd().getPid();
      int number = numbers.of(other);
      if (number == 0 || description.getPidfd().getStartTime() != 0) {
        problem(object, "it is a pidfd of process " + other + ", which", "close it");
      }
      changed.setPidfd(description.getPidfd().toBuilder().setPid(number));
    }
    if (description.hasUnixSocket()) {
      changed.getUnixSocketBuilder().clearAttachments();
      for (Attachment attachment : description.getUnixSocket().getAttachmentsList()) {
        boolean own = attachment.getPid() == pid;
        if (attachment.getPid() != 0 && !own) {
          problem(
              object,
              "a message waits from process " + attachment.getPid() + ", which",
              "receive it");
        }
        changed
            .getUnixSocketBuilder()
            .addAttachments(
                attachment.toBuilder().setPid(own ? numbers.of(pid) : attachment.getPid()));
      }
    }
    return changed.build();
  }

  private int number(int id, String kind, String object) {
    int number = numbers.of(id);
    if (number == 0) {
      problems.add(
          new Problem(
              kind, object, "it has no number in the pid namespace of the process", "retry"));
    }
    return number;
  }

  private void problem(String object, String what, String remedy) {
    problems.add(
        new Problem(
            "descriptor",
            object,
            what + " is none that a restore makes in its pid namespace",
            remedy));
  }
}
