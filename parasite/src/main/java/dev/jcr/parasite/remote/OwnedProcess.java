package dev.jcr.parasite.remote;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.parasite.arch.Machine;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.ptrace.Ptrace;
import dev.jcr.parasite.ptrace.Tracee;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;

/// A thread of a process that jcr is building: system calls run at any instruction that suits,
/// nothing has to be put back, and the whole process dies with its tracer (`PTRACE_O_EXITKILL`).
public final class OwnedProcess implements RemoteCalls {
  private static final int RECORDS = Batch.MOST_CALLS * Batch.RECORD;

  /// SIGURG marks the end of a batch: ignored by default, and taken away by the tracer.
  public static final int BATCH_SIGNAL = 23;

  private final Machine machine;
  private final Tracee tracee;
  private final ProcessMemory memory;
  private final long[] base;
  private final Ids ids;
  private long syscallAt;
  private long scratch;
  private int scratchSize;

  /// What the thread knows itself and its process by: other numbers than jcr's in a pid namespace
  /// of its own.
  public record Ids(int process, int thread) {}

  /// In jcr's pid namespace.
  ///
  /// @param base registers to run with: the thread's own at its first stop
  /// @param syscallAt address of a system call instruction
  public OwnedProcess(
      Machine machine, Tracee tracee, ProcessMemory memory, long[] base, long syscallAt) {
    this(machine, tracee, memory, base, syscallAt, new Ids(memory.pid(), tracee.tid()));
  }

  /// In any pid namespace.
  public OwnedProcess(
      Machine machine, Tracee tracee, ProcessMemory memory, long[] base, long syscallAt, Ids ids) {
    this.ids = ids;
    this.machine = machine;
    this.tracee = tracee;
    this.memory = memory;
    this.base = base.clone();
    this.syscallAt = syscallAt;
  }

  public Tracee tracee() {
    return tracee;
  }

  public ProcessMemory memory() {
    return memory;
  }

  public long[] base() {
    return base.clone();
  }

  /// Where calls run from now on, and which memory they may use.
  public void moveTo(long syscallAt, long scratch, int scratchSize) {
    this.syscallAt = syscallAt;
    this.scratch = scratch;
    this.scratchSize = scratchSize;
  }

  public long syscallAt() {
    return syscallAt;
  }

  /// In jcr's pid namespace.
  @Override
  public int tid() {
    return tracee.tid();
  }

  /// In the thread's own pid namespace: what its calls take.
  public Ids ids() {
    return ids;
  }

  @Override
  public long call(Syscall call, long... arguments) throws CheckpointException {
    var _ = step(call, arguments);
    return machine.result(tracee.general(machine.words()));
  }

  /// A call that makes a task: the new id in jcr's pid namespace, or a negated errno.
  public long callMaking(Syscall call, long... arguments) throws CheckpointException {
    int made = step(call, arguments);
    long result = machine.result(tracee.general(machine.words()));
    return Kernel.isError(result) ? result : made;
  }

  private int step(Syscall call, long... arguments) throws CheckpointException {
    return SyscallStep.run(
        tracee, machine.syscall(base, syscallAt, call.number(machine.arch()), arguments));
  }

  @Override
  public long require(String what, Syscall call, long... arguments) throws CheckpointException {
    long result = call(call, arguments);
    if (Kernel.isError(result)) {
      throw new CheckpointException(
          result == -Errno.EPERM || result == -Errno.EACCES ? Outcome.PERMISSION : Outcome.FAILED,
          "cannot " + what + ": " + Errno.describe((int) -result));
    }
    return result;
  }

  /// An empty batch for this thread.
  public Batch batch() {
    return new Batch(scratch + RECORDS, scratchSize - RECORDS);
  }

  /// Runs the calls of a batch with one stop. Needs the code of [Machine#batchCode] before
  /// [#syscallAt], all signals blocked, and none of the process's own pending yet.
  public Batch.Results run(Batch batch) throws CheckpointException {
    int count = batch.calls().size();
    long[] values = new long[count];
    byte[] input = batch.input();
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment records = arena.allocateFrom(JAVA_LONG, batch.records(machine.arch()));
      memory.write(scratch, records);
      if (input.length > 0) {
        memory.write(batch.data(), arena.allocateFrom(JAVA_BYTE, input));
      }
      begin(scratch, count);
      awaitEnd();
      memory.read(scratch, records);
      for (int i = 0; i < count; i++) {
        values[i] = records.get(JAVA_LONG, (long) i * Batch.RECORD + Batch.RESULT);
      }
    }
    byte[] filled = batch.used() == 0 ? new byte[0] : memory.bytes(batch.data(), batch.used());
    return new Batch.Results(batch, values, filled);
  }

  /// What one of some threads is to do: adds at most 8 calls, which are required.
  @FunctionalInterface
  public interface Asked<T> {
    void ask(T of, Batch batch);
  }

  /// Runs one batch in each of some threads of a process, in many at the same time; needs the same
  /// as [#run(Batch)].
  ///
  /// @param threads of one process, with one scratch memory
  /// @param of what each is to be asked about, in the same order
  public static <T> void runInEach(List<OwnedProcess> threads, List<T> of, Asked<T> asked)
      throws CheckpointException {
    int atOnce = threads.isEmpty() ? 1 : threads.getFirst().scratchSize / Batch.SHARE;
    for (int from = 0; from < threads.size(); from += atOnce) {
      int to = Math.min(threads.size(), from + atOnce);
      runTogether(threads.subList(from, to), of.subList(from, to), asked);
    }
  }

  private static <T> void runTogether(List<OwnedProcess> threads, List<T> of, Asked<T> asked)
      throws CheckpointException {
    OwnedProcess first = threads.getFirst();
    List<Batch> batches = new ArrayList<>();
    byte[] shares = new byte[threads.size() * Batch.SHARE];
    ByteBuffer words = ByteBuffer.wrap(shares).order(ByteOrder.LITTLE_ENDIAN);
    for (int i = 0; i < threads.size(); i++) {
      Batch batch = Batch.sharing(first.scratch + (long) i * Batch.SHARE);
      asked.ask(of.get(i), batch);
      batch.store(words, i * Batch.SHARE, first.machine.arch());
      batches.add(batch);
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment areas = arena.allocateFrom(JAVA_BYTE, shares);
      first.memory.write(first.scratch, areas);
      for (int i = 0; i < threads.size(); i++) {
        threads.get(i).begin(first.scratch + (long) i * Batch.SHARE, batches.get(i).calls().size());
      }
      for (OwnedProcess thread : threads) {
        thread.awaitEnd();
      }
      first.memory.read(first.scratch, areas);
      MemorySegment.copy(areas, JAVA_BYTE, 0, shares, 0, shares.length);
    }
    for (int i = 0; i < threads.size(); i++) {
      var _ = batches.get(i).results(words, i * Batch.SHARE);
    }
  }

  /// Starts the batch of code that lies before [#syscallAt].
  private void begin(long records, int count) throws CheckpointException {
    long code = syscallAt - machine.syscallOffset();
    tracee.setSignalMask(~(1L << (BATCH_SIGNAL - 1)));
    tracee.setGeneral(
        machine.batch(base, code, records, count, ids.process(), ids.thread(), BATCH_SIGNAL));
    tracee.resume(0);
  }

  private void awaitEnd() throws CheckpointException {
    SyscallStep.awaitSignal(
        tracee, BATCH_SIGNAL, syscallAt + machine.syscallInstruction().length, machine);
    tracee.setSignalMask(-1L);
  }

  /// Makes `argument` what the thread's last call began with (orig_x0 of arm64), for kernels that
  /// do not take it with the registers.
  public void lastCallBegunWith(long argument) throws CheckpointException {
    SyscallStep.runAsBegunWith(
        tracee,
        machine.syscall(base, syscallAt, Syscall.GETPID.number(machine.arch())),
        argument,
        machine);
  }

  /// The first half of [#toEventStop], for many threads at the same time.
  public void beginEventStop() throws CheckpointException {
    SyscallStep.beginEventStop(tracee);
  }

  /// The second half of [#toEventStop].
  public void awaitEventStop() throws CheckpointException {
    SyscallStep.awaitEventStop(tracee);
  }

  /// To a stop in which registers are final.
  public void toEventStop() throws CheckpointException {
    SyscallStep.toEventStop(tracee);
  }

  /// Takes a SIGSTOP that was sent to the process, and stops with it; calls can be run all the
  /// same.
  public void toGroupStop() throws CheckpointException {
    SyscallStep.toGroupStop(tracee);
  }

  /// Lets the thread end alone, by exit(2), and lets go of it: the end of a leader is reported to
  /// its tracer only after that of all others (kernel/exit.c, delay_group_leader), so nobody waits
  /// for it here. All its signals must be blocked.
  ///
  /// @param instruction address of a system call instruction
  /// @param code for exit(2)
  /// @param signalMask what it is to have blocked when it has ended, which the kernel goes on
  ///   asking a leader for (kernel/signal.c, sig_ignored). Set when it cannot take a signal any
  ///   more.
  public void end(long instruction, int code, long signalMask) throws CheckpointException {
    tracee.setOptions(Ptrace.O_EXITKILL | Ptrace.O_TRACESYSGOOD | Ptrace.O_TRACEEXIT);
    toEventStop();
    tracee.setGeneral(
        machine.syscall(base, instruction, Syscall.EXIT.number(machine.arch()), code));
    tracee.resume(0);
    SyscallStep.awaitExit(tracee);
    tracee.setSignalMask(signalMask);
    tracee.detach(0);
  }

  /// Runs code that ends in a system call, with `argument` in the register for a code's own use.
  void runCode(long code, long argument, Syscall last) throws CheckpointException {
    var _ =
        SyscallStep.run(
            tracee,
            machine.withCodeArgument(
                machine.syscall(base, code, last.number(machine.arch())), argument));
  }

  @Override
  public long scratch() {
    return scratch;
  }

  @Override
  public int scratchSize() {
    return scratchSize;
  }

  @Override
  public void write(long address, MemorySegment bytes) throws CheckpointException {
    memory.write(address, bytes);
  }

  @Override
  public void read(long address, MemorySegment into) throws CheckpointException {
    memory.read(address, into);
  }
}
