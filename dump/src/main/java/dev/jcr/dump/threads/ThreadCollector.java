package dev.jcr.dump.threads;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import com.google.protobuf.ByteString;
import dev.jcr.dump.identity.IdentityCollector;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.Modes;
import dev.jcr.image.v1.BlockedCall;
import dev.jcr.image.v1.Identity;
import dev.jcr.image.v1.PendingSignal;
import dev.jcr.image.v1.Resume;
import dev.jcr.image.v1.Rseq;
import dev.jcr.image.v1.Scheduling;
import dev.jcr.image.v1.Seccomp;
import dev.jcr.image.v1.SeccompFilter;
import dev.jcr.image.v1.SignalStack;
import dev.jcr.image.v1.Thread;
import dev.jcr.image.v1.ThreadModes;
import dev.jcr.image.v1.UserDispatch;
import dev.jcr.image.v1.UtilizationClamp;
import dev.jcr.parasite.collect.NumaPolicies;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Prctl;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.ThreadBuffer;
import dev.jcr.parasite.procfs.ProcStatus;
import dev.jcr.parasite.ptrace.StoppedThread;
import dev.jcr.parasite.ptrace.Tracee;
import dev.jcr.parasite.remote.Batch;
import dev.jcr.parasite.remote.Infection;
import dev.jcr.parasite.restart.InterruptedCall;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Optional;

/// What the kernel keeps per task, besides registers: what can be read from outside at once, the
/// rest by a visit of an infection.
public final class ThreadCollector implements Infection.Visit {
  private static final int STACK_T_SIZE = 24;
  private static final int SCHED_ATTR_SIZE = 56;
  private static final int WHOLE_CLAMP = 1024;
  private static final int AFFINITY_WORDS = 128;
  private static final int IOPRIO_WHO_PROCESS = 1;
  private static final int SECCOMP_MODE_FILTER = 2;

  private static final ThreadBuffer BUFFER = new ThreadBuffer(Long.BYTES * AFFINITY_WORDS);

  private final StoppedThread stopped;
  private final InterruptedCall call;
  private final ProcStatus status;
  private final Thread.Builder thread;
  private long stack;
  private long tidAddress;
  private long deathSignal;
  private int slack;
  private int securebits;
  private long policy;
  private int personality;
  private long timestampMode;
  private int machineCheckKill;
  private int ioFlusher;

  /// Reads what is to be had from outside: all but registers and the pending signals' effect on
  /// them.
  ///
  /// @param status of this thread, read since the stop
  /// @param pending its own queue
  /// @param remaining nanoseconds left of a relative timeout, 0 when none is known
  public ThreadCollector(
      StoppedThread stopped,
      InterruptedCall call,
      ProcStatus status,
      List<PendingSignal> pending,
      long remaining)
      throws CheckpointException, IOException {
    this.stopped = stopped;
    this.call = call;
    this.status = status;
    int tid = stopped.tid();
    this.thread =
        Thread.newBuilder()
            .setTid(tid)
            .setComm(ByteString.copyFrom(comm(status)))
            .setSignalMask(stopped.signalMask())
            .addAllPending(pending)
            .setBlockedCall(blocked(call, remaining))
            .setScheduling(scheduling(tid));
    MemorySegment head = BUFFER.get();
    Kernel.call(
        "read the robust list of thread " + tid,
        Syscall.GET_ROBUST_LIST,
        tid,
        head.address(),
        head.address() + 8);
    thread.setRobustList(head.get(JAVA_LONG, 0)).setRobustListLength((int) head.get(JAVA_LONG, 8));
    stopped
        .tracee()
        .rseq()
        .ifPresent(rseq ->
            thread.setRseq(
                Rseq.newBuilder()
                    .setAddress(rseq.address())
                    .setLength(rseq.length())
                    .setSignature(rseq.signature())
                    .setFlags(rseq.flags())));
    stopped
        .userDispatch()
        .ifPresent(dispatch ->
            thread.setUserDispatch(
                UserDispatch.newBuilder()
                    .setSelector(dispatch.selector())
                    .setOffset(dispatch.offset())
                    .setLength(dispatch.length())));
    thread.setSeccomp(seccomp(stopped.tracee(), status.seccomp()));
  }

  @Override
  public StoppedThread thread() {
    return stopped;
  }

  @Override
  public InterruptedCall call() {
    return call;
  }

  @Override
  public void ask(Batch batch) {
    stack = batch.room(STACK_T_SIZE);
    batch.require("read the signal stack", Syscall.SIGALTSTACK, 0, stack);
    tidAddress = batch.room(8);
    batch.require("read clear_child_tid", Syscall.PRCTL, Prctl.GET_TID_ADDRESS, tidAddress);
    deathSignal = batch.room(8);
    batch.require("read the parent death signal", Syscall.PRCTL, Prctl.GET_PDEATHSIG, deathSignal);
    // From outside (/proc/TID/timerslack_ns) it needs CAP_SYS_NICE.
    slack = batch.require("read timer slack", Syscall.PRCTL, Prctl.GET_TIMERSLACK);
    securebits = batch.require("read securebits", Syscall.PRCTL, Prctl.GET_SECUREBITS);
    policy = NumaPolicies.ask(batch);
    personality = batch.require("read the personality", Syscall.PERSONALITY, 0xffffffffL);
    timestampMode = batch.room(8);
    // Answered with an error where the architecture or the kernel lacks them, as in Identity.
    batch.add(Syscall.PRCTL, Prctl.GET_TSC, timestampMode);
    machineCheckKill = batch.add(Syscall.PRCTL, Prctl.MCE_KILL_GET);
    ioFlusher = batch.add(Syscall.PRCTL, Prctl.GET_IO_FLUSHER);
  }

  @Override
  public void answered(Batch.Results results) {
    NumaPolicies.answer(results, policy).ifPresent(thread::setNumaPolicy);
    thread.setSignalStack(
        SignalStack.newBuilder()
            .setAddress(results.word(stack))
            .setFlags(results.integer(stack + 8))
            .setSize(results.word(stack + 16)));
    thread.setClearChildTid(results.word(tidAddress));
    thread.setParentDeathSignal(results.integer(deathSignal));
    thread.setTimerSlack(results.value(slack));
    thread.setCredentials(IdentityCollector.credentials(status, (int) results.value(securebits)));
    thread.setModes(
        ThreadModes.newBuilder()
            .setPersonality((int) results.value(personality))
            .setTimestampCounterMode(results.integer(timestampMode))
            .setMachineCheckKill((int) Math.max(0, results.value(machineCheckKill)))
            .setIoFlusher(results.value(ioFlusher) == 1));
  }

  /// What was found; complete when it was [#answered].
  ///
  /// @param identity of the process
  public Thread.Builder found(Identity identity) {
    return thread.getModes().equals(Modes.of(identity)) ? thread.clearModes() : thread;
  }

  private static Seccomp seccomp(Tracee tracee, int mode) throws CheckpointException {
    Seccomp.Builder seccomp = Seccomp.newBuilder().setMode(mode);
    for (int index = 0; mode == SECCOMP_MODE_FILTER; index++) {
      Optional<byte[]> program = tracee.seccompFilter(index);
      if (program.isEmpty()) {
        break;
      }
      seccomp.addFilters(
          SeccompFilter.newBuilder()
              .setProgram(ByteString.copyFrom(program.get()))
              .setFlags(tracee.seccompFlags(index)));
    }
    return seccomp.build();
  }

  /// The call as an image has it.
  ///
  /// @param remaining nanoseconds left of a relative timeout, 0 when none is known
  public static BlockedCall blocked(InterruptedCall call, long remaining) {
    BlockedCall.Builder blocked = BlockedCall.newBuilder();
    switch (call.kind()) {
      case USER_MODE, COMPLETED -> blocked.setResume(Resume.RESUME_USER_MODE);
      case SIGNALLED, UNKNOWN -> blocked.setResume(Resume.RESUME_EINTR);
      case RESTART, RESTART_BLOCK, PUT_BACK -> {
        blocked.setResume(Resume.RESUME_AGAIN).setNumber((int) call.number());
        for (long argument : call.arguments()) {
          blocked.addArguments(argument);
        }
        blocked.setRemaining(remaining);
      }
    }
    return blocked.build();
  }

  static byte[] comm(ProcStatus status) {
    return status.name().getBytes(StandardCharsets.ISO_8859_1);
  }

  /// sched_getattr(2), sched_getaffinity(2) and ioprio_get(2) from outside.
  static Scheduling scheduling(int tid) throws IOException {
    MemorySegment attributes = BUFFER.get();
    // Of a kernel that knows fewer, the rest stays.
    attributes.asSlice(0, SCHED_ATTR_SIZE).fill((byte) 0);
    Kernel.call(
        "read scheduling of thread " + tid,
        Syscall.SCHED_GETATTR,
        tid,
        attributes.address(),
        SCHED_ATTR_SIZE,
        0);
    Scheduling.Builder scheduling =
        Scheduling.newBuilder()
            .setPolicy(attributes.get(JAVA_INT, 4))
            .setFlags(attributes.get(JAVA_LONG, 8))
            .setNice(attributes.get(JAVA_INT, 16))
            .setPriority(attributes.get(JAVA_INT, 20));
    if (attributes.get(JAVA_INT, 4) == SCHED_DEADLINE) {
      scheduling
          .setRuntime(attributes.get(JAVA_LONG, 24))
          .setDeadline(attributes.get(JAVA_LONG, 32))
          .setPeriod(attributes.get(JAVA_LONG, 40));
    }
    int minimum = attributes.get(JAVA_INT, 48);
    int maximum = attributes.get(JAVA_INT, 52);
    // A kernel without clamps leaves both 0, a task without has all of the range.
    if (maximum != 0 && (minimum != 0 || maximum != WHOLE_CLAMP)) {
      scheduling.setClamp(UtilizationClamp.newBuilder().setMinimum(minimum).setMaximum(maximum));
    }
    MemorySegment mask = BUFFER.get();
    // The result is how much of the mask the kernel has.
    long size =
        Kernel.call(
            "read the affinity of thread " + tid,
            Syscall.SCHED_GETAFFINITY,
            tid,
            mask.byteSize(),
            mask.address());
    int words = (int) (size / Long.BYTES);
    while (words > 0 && mask.getAtIndex(JAVA_LONG, words - 1) == 0) {
      words--;
    }
    for (int i = 0; i < words; i++) {
      scheduling.addAffinity(mask.getAtIndex(JAVA_LONG, i));
    }
    return scheduling
        .setIoPriority((int) Math.max(0, Kernel.raw(Syscall.IOPRIO_GET, IOPRIO_WHO_PROCESS, tid)))
        .build();
  }

  private static final int SCHED_DEADLINE = 6;
}
