package dev.jcr.restore.process;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.ptrace.Ptrace;
import dev.jcr.parasite.ptrace.Tracee;
import dev.jcr.parasite.ptrace.WaitStatus;
import dev.jcr.parasite.remote.Batch;
import dev.jcr.parasite.remote.OwnedProcess;
import dev.jcr.parasite.stub.StubProgram;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.locks.LockSupport;

/// Makes tasks with wanted ids: the stub, and clones of it and of what came of it.
public final class TaskMaker {
  /// A task that jcr makes dies with jcr until it is let go.
  public static final long OPTIONS =
      Ptrace.O_EXITKILL | Ptrace.O_TRACESYSGOOD | Ptrace.O_TRACECLONE | Ptrace.O_TRACEFORK;

  /// CLONE_NEWPID: the child is PID 1 of a pid namespace of its own.
  public static final long NEW_PIDS = 0x20000000L;

  private static final int SIGKILL = 9;
  private static final int SIGCHLD = 17;
  private static final long CLONE_PARENT = 0x8000;
  private static final long CLONE_THREAD = 0x10000;
  private static final long ID_NANOS = 200_000_000L;
  private static final int CLONE_ARGS_SIZE = 88;

  private TaskMaker() {}

  /// Starts the stub program as a child of a thread that lasts as long as jcr: the parent of a task
  /// is a thread, and its end would send the parent-death signal.
  public static int startStub(long stubBase) throws CheckpointException, IOException {
    FutureTask<Integer> start = new FutureTask<>(() -> StubProgram.start(stubBase));
    Thread.ofPlatform()
        .daemon()
        .name("jcr-parent")
        .start(() -> {
          start.run();
          while (true) {
            LockSupport.park();
          }
        });
    try {
      return start.get();
    } catch (ExecutionException e) {
      if (e.getCause() instanceof IOException failure) {
        throw failure;
      }
      throw new IllegalStateException(e.getCause());
    } catch (InterruptedException e) {
      throw new CheckpointException(
          Outcome.FAILED, "cannot start the stub program: interrupted", e);
    }
  }

  /// A started stub, stopped.
  public static Tracee seizeStub(int pid) throws CheckpointException {
    Tracee stub =
        Tracee.seize(pid, OPTIONS)
            .orElseThrow(() ->
                new CheckpointException(
                    Outcome.FAILED, "cannot start the stub program: it ended at once"));
    stub.interrupt();
    awaitEventStop(stub);
    return stub;
  }

  /// Ends a stub, or a process that comes of it, and takes its status.
  public static void endStub(int pid) throws CheckpointException {
    Kernel.raw(Syscall.KILL, pid, SIGKILL);
    Tracee stub = Tracee.attached(pid);
    while (!stub.await().ended()) {
      // Its exit on the way.
    }
  }

  /// clone3(2) with set_tid; the arguments lie at `scratch`.
  ///
  /// @param tid wanted id in the pid namespace of the child
  /// @return its id in jcr's, or a negated errno
  public static long clone(OwnedProcess in, long scratch, long flags, int tid)
      throws CheckpointException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment arguments = arena.allocate(CLONE_ARGS_SIZE + 8, 8);
      arguments.set(JAVA_LONG, 0, flags);
      // A child of jcr or a thread takes its exit signal from the caller.
      arguments.set(JAVA_LONG, 32, (flags & (CLONE_PARENT | CLONE_THREAD)) == 0 ? SIGCHLD : 0);
      arguments.set(JAVA_LONG, 64, scratch + CLONE_ARGS_SIZE);
      arguments.set(JAVA_LONG, 72, 1);
      arguments.set(JAVA_INT, CLONE_ARGS_SIZE, tid);
      in.write(scratch, arguments);
    }
    long deadline = System.nanoTime() + ID_NANOS;
    while (true) {
      long result = in.callMaking(Syscall.CLONE3, scratch, CLONE_ARGS_SIZE);
      // The kernel gives an id back a little after its last user is gone from /proc (release_task).
      if (result != -Errno.EEXIST || Proc.of(tid).exists() || System.nanoTime() > deadline) {
        return result;
      }
      LockSupport.parkNanos(200_000);
    }
  }

  /// Threads that one [#threads] makes: as many as there are arguments of in the scratch memory.
  public static final int MOST_THREADS = 256;

  /// Makes threads by one batch of clone3(2) with set_tid; all but those whose id is in use.
  ///
  /// @param tids at most [#MOST_THREADS]
  /// @param refused takes those whose id is in use
  /// @param born takes those that were made, last first, also where this fails
  public static List<Tracee> threads(
      OwnedProcess in, long flags, List<Integer> tids, List<Integer> refused, List<Tracee> born)
      throws CheckpointException {
    Batch batch = in.batch();
    for (int tid : tids) {
      long id = batch.put(littleEndian(Long.BYTES).putInt(tid).array());
      long arguments =
          batch.put(
              littleEndian(CLONE_ARGS_SIZE)
                  .putLong(0, flags)
                  .putLong(64, id)
                  .putLong(72, 1)
                  .array());
      batch.add(Syscall.CLONE3, arguments, CLONE_ARGS_SIZE);
    }
    List<Tracee> made = new ArrayList<>();
    Batch.Results results;
    try {
      results = in.run(batch);
    } catch (CheckpointException e) {
      for (int tid : tids) {
        Tracee tracee = Tracee.attached(tid);
        if (!tracee.poll().map(WaitStatus::ended).orElse(false)) {
          born.addFirst(tracee);
        }
      }
      throw e;
    }
    for (int i = 0; i < tids.size(); i++) {
      if (!Kernel.isError(results.value(i))) {
        made.add(Tracee.attached(tids.get(i)));
        born.addFirst(made.getLast());
      }
    }
    for (int i = 0; i < tids.size(); i++) {
      if (results.value(i) == -Errno.EEXIST) {
        refused.add(tids.get(i));
      } else {
        require("create thread " + tids.get(i), results.value(i));
      }
    }
    return made;
  }

  private static ByteBuffer littleEndian(int bytes) {
    return ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }

  /// A clone that did not fail. EEXIST is the caller's ([#idInUse]).
  public static void require(String what, long result) throws CheckpointException {
    if (result == -Errno.EPERM) {
      throw new CheckpointException(
          Outcome.PERMISSION,
          "cannot "
              + what
              + ": EPERM (operation not permitted); choosing a pid needs"
              + " CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN");
    }
    if (Kernel.isError(result)) {
      throw new CheckpointException(
          Outcome.FAILED, "cannot " + what + ": " + Errno.describe((int) -result));
    }
  }

  /// A clone of the first task of a pid namespace that did not fail.
  public static void requireNamespace(long result) throws CheckpointException {
    if (result == -Errno.EPERM) {
      throw new CheckpointException(
          Outcome.PERMISSION,
          "cannot make a pid namespace: EPERM (operation not permitted); it needs CAP_SYS_ADMIN");
    }
    require("make a pid namespace", result);
  }

  /// Why a task could not have its id.
  ///
  /// @param pid the process that is made
  /// @param wanted the id of it, or of one of its threads or children
  public static CheckpointException idInUse(int pid, int wanted) {
    String by = "";
    try {
      Proc proc = Proc.of(wanted);
      var status = proc.status();
      by =
          " by process "
              + status.tgid()
              + " ("
              + status.name()
              + (status.state() == 'Z' ? ", a zombie of " + status.ppid() : "")
              + ")";
    } catch (IOException _) {
      // Gone again, or the id of a group or session.
    }
    return new CheckpointException(
        Outcome.FAILED,
        "cannot create "
            + (pid == wanted ? "process " : "thread ")
            + wanted
            + ": EEXIST (the id is in use"
            + by
            + "); end that process, or restore in a pid namespace of its own (--pid-namespace)");
  }

  /// Waits for the stop that a new or an interrupted task comes to.
  public static void awaitEventStop(Tracee tracee) throws CheckpointException {
    while (true) {
      WaitStatus status = tracee.await();
      switch (status) {
        case WaitStatus.EventStop(int event) when event == WaitStatus.EVENT_STOP -> {
          return;
        }
        case WaitStatus.Exited _, WaitStatus.Killed _ ->
            throw new CheckpointException(
                Outcome.FAILED,
                "cannot build the process: task " + tracee.tid() + " ended: " + status);
        case WaitStatus.SignalStop _,
            WaitStatus.GroupStop _,
            WaitStatus.SyscallStop _,
            WaitStatus.EventStop _ -> {
          tracee.interrupt();
          tracee.resume(0);
        }
      }
    }
  }
}
