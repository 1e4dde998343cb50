package dev.jcr.parasite.remote;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.parasite.arch.GuardedStack;
import dev.jcr.parasite.arch.Machine;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.namespace.PidNumbers;
import dev.jcr.parasite.ptrace.StoppedThread;
import dev.jcr.parasite.ptrace.Tracee;
import dev.jcr.parasite.ptrace.UserDispatch;
import dev.jcr.parasite.restart.InterruptedCall;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/// Runs system calls in the threads of a live, stopped process and leaves no trace.
///
/// jcr may be killed at any instruction, and then the kernel lets the thread run from the registers
/// it has at that moment. So every injected call is followed, in the process's own memory, by code
/// that restores the thread: calls run at the start of a page whose rest is
/// [Machine#returningCode]; the two calls that map and unmap that page run on instructions the
/// process already has, with a signal frame below its stack that leads back ([SignalFrame]). What a
/// killed jcr leaves behind is at most that page and the scratch memory.
public final class Infection implements AutoCloseable {
  /// For the code, and a signal frame where there is one, of some threads. Much more than one
  /// needs.
  private static final int CODE_SIZE = 64 * 1024;

  private static final int CODE_ALIGNMENT = 64;

  private static final int SCRATCH = 64 * 1024;

  /// Part of the scratch memory for the records of a batch.
  private static final int RECORDS = Batch.MOST_CALLS * Batch.RECORD;

  /// SIGURG, SIGWINCH, SIGCHLD: ignored by default, so harmless if they are delivered after all.
  private static final int[] END_SIGNALS = {23, 28, 17};

  /// What delivering a signal writes to a guarded control stack.
  private static final int GUARDED_ENTRY = 2 * Long.BYTES;

  private static final long ALL_BLOCKED = -1L;
  private static final int PROT_READ = 1;
  private static final int PROT_WRITE = 2;
  private static final int PROT_EXEC = 4;
  private static final int MAP_PRIVATE_ANONYMOUS = 0x22;

  private final Machine machine;
  private final ProcessMemory memory;
  private final PidNumbers numbers;
  private final Gadgets gadgets;
  private final StackBottom stackBottom;
  private final StoppedThread first;
  private final InterruptedCall firstCall;
  private final int endSignal;
  private long code;
  private long scratch;
  private long calls;

  /// Where the bootstrap's signal frame may lie: the lowest bytes of the main stack, which no
  /// thread's stack pointer is near; size 0 when there is no such place.
  public record StackBottom(long address, long size) {}

  private Infection(
      Machine machine,
      ProcessMemory memory,
      PidNumbers numbers,
      Gadgets gadgets,
      StackBottom stackBottom,
      StoppedThread first,
      InterruptedCall firstCall,
      int endSignal) {
    this.endSignal = endSignal;
    this.machine = machine;
    this.memory = memory;
    this.numbers = numbers;
    this.gadgets = gadgets;
    this.stackBottom = stackBottom;
    this.first = first;
    this.firstCall = firstCall;
  }

  /// Address of memory that was mapped for the injection.
  public long scratch() {
    return scratch;
  }

  /// What marks the end of a batch; 0 where there is nothing. A traced task gets signals that it
  /// would ignore, and the tracer takes them away again.
  ///
  /// @param taken signals that cannot be used: they have a handler, or are waited for
  public static int endSignal(long taken) {
    for (int signal : END_SIGNALS) {
      if ((taken >>> (signal - 1) & 1) == 0) {
        return signal;
      }
    }
    return 0;
  }

  /// Maps code and scratch pages into the process through `first`, which must be in an event stop.
  /// Throws FAILED with the process as before.
  ///
  /// @param numbers of the process: by them it sends itself the signal that ends a batch
  /// @param endSignal of [#endSignal], or 0: the calls of a batch run one by one
  public static Infection begin(
      Machine machine,
      ProcessMemory memory,
      PidNumbers numbers,
      Gadgets gadgets,
      StackBottom stackBottom,
      StoppedThread first,
      InterruptedCall firstCall,
      int endSignal)
      throws CheckpointException {
    if (gadgets.syscall() == 0) {
      throw new CheckpointException(
          Outcome.UNSUPPORTED,
          "cannot inject into process "
              + memory.pid()
              + ": no system call instruction in its executable mappings");
    }
    Infection infection =
        new Infection(machine, memory, numbers, gadgets, stackBottom, first, firstCall, endSignal);
    infection.mapPages();
    return infection;
  }

  private void mapPages() throws CheckpointException {
    code =
        bootstrapCall(
            Syscall.MMAP, 0, CODE_SIZE, PROT_READ | PROT_EXEC, MAP_PRIVATE_ANONYMOUS, -1, 0);
    if (Kernel.isError(code)) {
      throw refused("map a code page in", code);
    }
    try (InfectedThread thread = enter(first, firstCall)) {
      scratch =
          thread.call(
              Syscall.MMAP, 0, SCRATCH, PROT_READ | PROT_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);
    }
    if (Kernel.isError(scratch)) {
      long error = scratch;
      scratch = 0;
      close();
      throw refused("map scratch memory in", error);
    }
  }

  private CheckpointException refused(String what, long error) {
    return new CheckpointException(
        Outcome.FAILED,
        "cannot " + what + " process " + memory.pid() + ": " + Errno.describe((int) -error));
  }

  /// Whether a thread can run injected calls, and without harm when jcr is killed meanwhile: one
  /// that hands its calls to a handler of its own at this moment gets those of the injected code
  /// excepted, for which it must not have excepted others.
  public static boolean canEnter(StoppedThread thread, ProcessMemory memory) {
    return armed(thread, memory).map(dispatch -> dispatch.length() == 0).orElse(true);
  }

  /// Whether a thread can run the first and the last injected call, which are made by instructions
  /// of the process, and for those nothing can be excepted.
  public static boolean canBegin(StoppedThread thread, ProcessMemory memory) {
    return armed(thread, memory).isEmpty();
  }

  /// Syscall user dispatch, where it would take an injected call.
  private static Optional<UserDispatch> armed(StoppedThread thread, ProcessMemory memory) {
    return thread.userDispatch().filter(dispatch -> !lets(dispatch, memory));
  }

  private static boolean lets(UserDispatch dispatch, ProcessMemory memory) {
    if (dispatch.selector() == 0) {
      return false;
    }
    try {
      return memory.bytes(dispatch.selector(), 1)[0] == UserDispatch.ALLOW;
    } catch (CheckpointException _) {
      return false; // it is nowhere: the next call ends the process
    }
  }

  /// One call on the process's own instructions. The thread is back in its event stop with its
  /// registers and mask afterwards.
  private long bootstrapCall(Syscall call, long... arguments) throws CheckpointException {
    Tracee tracee = first.tracee();
    byte[] saved = null;
    byte[] savedBelow = null;
    long pc = gadgets.syscall();
    long[] base = firstCall.resume();
    byte @Nullable [] frame = null;
    ExtendedState extended = ExtendedState.read(machine, tracee);
    @Nullable GuardedStack guarded = extended.guarded().orElse(null);
    if (gadgets.safe() && stackBottom.size() > 0) {
      frame =
          extended.signalFrame(
              stackBottom.address(), gadgets.signalReturn(), base, first.signalMask());
      if (frame.length <= stackBottom.size()) {
        saved = memory.bytes(stackBottom.address(), frame.length);
        memory.writeForced(stackBottom.address(), frame);
        pc = gadgets.syscallReturn();
        if (guarded != null) {
          savedBelow = memory.bytes(guarded.trampolineAt(), GUARDED_ENTRY);
          memory.writeForced(guarded.trampolineAt(), guarded.signalEntry(gadgets.signalReturn()));
        }
      } else {
        frame = null;
      }
    }
    int number = call.number(machine.arch());
    long[] registers = machine.syscall(base, pc, number, arguments);
    if (frame != null) {
      registers = machine.withReturn(registers, stackBottom.address(), gadgets.signalReturn());
    }
    // Straight to the trampoline: leads back whatever the pointer of the guarded stack is.
    long[] straightBack =
        machine.withStack(
            machine.syscall(
                base, gadgets.signalReturn(), Syscall.RT_SIGRETURN.number(machine.arch())),
            stackBottom.address());
    try {
      // Registers before the mask: from here on the thread would find its way back.
      tracee.setGeneral(savedBelow == null ? registers : straightBack);
      tracee.setSignalMask(ALL_BLOCKED);
      if (guarded != null && savedBelow != null) {
        ExtendedState.guard(tracee, guarded.withTrampoline());
      }
      var _ = SyscallStep.run(tracee, registers);
      long result = machine.result(tracee.general(machine.words()));
      calls++;
      SyscallStep.toEventStop(tracee);
      return result;
    } finally {
      tracee.setSignalMask(first.signalMask());
      extended.putBack(tracee);
      if (guarded != null && savedBelow != null) {
        tracee.setGeneral(straightBack);
        ExtendedState.guard(tracee, guarded);
      }
      tracee.setGeneral(firstCall.live());
      if (guarded != null && savedBelow != null) {
        memory.writeForced(guarded.trampolineAt(), savedBelow);
      }
      if (saved != null) {
        memory.writeForced(stackBottom.address(), saved);
      }
    }
  }

  /// Prepares a thread for calls; closing puts it back. One thread at a time.
  public InfectedThread enter(StoppedThread thread, InterruptedCall call)
      throws CheckpointException {
    InfectedThread inside = new InfectedThread(thread, call, code, scratch);
    memory.writeForced(code, inside.returningCode());
    inside.prepare();
    return inside;
  }

  /// What is to be asked in one thread by a batch of at most 12 calls.
  public interface Visit {
    StoppedThread thread();

    InterruptedCall call();

    /// Adds the calls.
    void ask(Batch batch);

    /// Their results; the thread is back in its event stop.
    void answered(Batch.Results results) throws CheckpointException;
  }

  /// Runs one batch in each thread, in some at the same time: while they run to their stops, the
  /// next are prepared. Each has code of its own that leads back.
  public void run(List<? extends Visit> visits) throws CheckpointException {
    int next = 0;
    while (next < visits.size()) {
      if (endSignal == 0) {
        runAlone(visits.get(next++));
      } else {
        next += runTogether(visits.subList(next, visits.size()));
      }
    }
  }

  private void runAlone(Visit visit) throws CheckpointException {
    Batch.Results results;
    try (InfectedThread inside = enter(visit.thread(), visit.call())) {
      Batch batch = inside.batch();
      visit.ask(batch);
      results = inside.run(batch);
    }
    visit.answered(results);
  }

  private record Guest(Visit visit, InfectedThread inside, Batch batch) {}

  /// As many as there is room for; returns how many.
  private int runTogether(List<? extends Visit> visits) throws CheckpointException {
    byte[] codes = new byte[CODE_SIZE];
    byte[] shares = new byte[SCRATCH];
    ByteBuffer words = ByteBuffer.wrap(shares).order(ByteOrder.LITTLE_ENDIAN);
    List<Guest> guests = new ArrayList<>();
    int used = 0;
    while (guests.size() < Math.min(visits.size(), SCRATCH / Batch.SHARE)) {
      Visit visit = visits.get(guests.size());
      int share = guests.size() * Batch.SHARE;
      InfectedThread inside =
          new InfectedThread(visit.thread(), visit.call(), code + used, scratch + share);
      byte[] bytes = inside.returningCode();
      if (used + bytes.length > CODE_SIZE && !guests.isEmpty()) {
        break;
      }
      System.arraycopy(bytes, 0, codes, used, bytes.length);
      used += (bytes.length + CODE_ALIGNMENT - 1) & -CODE_ALIGNMENT;
      Batch batch = Batch.sharing(scratch + share);
      visit.ask(batch);
      batch.store(words, share, machine.arch());
      guests.add(new Guest(visit, inside, batch));
    }
    try (Arena arena = Arena.ofConfined()) {
      memory.writeForced(code, Arrays.copyOf(codes, used));
      MemorySegment areas =
          arena.allocateFrom(JAVA_BYTE, Arrays.copyOf(shares, guests.size() * Batch.SHARE));
      memory.write(scratch, areas);
      runAll(guests, areas);
      MemorySegment.copy(areas, JAVA_BYTE, 0, shares, 0, (int) areas.byteSize());
    }
    for (int i = 0; i < guests.size(); i++) {
      Guest guest = guests.get(i);
      guest.visit().answered(guest.batch().results(words, i * Batch.SHARE));
    }
    return guests.size();
  }

  /// All to their batch's end, and back. Where one of them fails the others are brought back all
  /// the same: they run, each on its own.
  private void runAll(List<Guest> guests, MemorySegment areas) throws CheckpointException {
    @Nullable CheckpointException failure = null;
    try {
      for (Guest guest : guests) {
        guest.inside().prepare();
      }
      for (Guest guest : guests) {
        guest.inside().begin(guest.batch().calls().size());
      }
    } catch (CheckpointException e) {
      failure = e;
    }
    for (Guest guest : guests) {
      failure = attempt(guest.inside()::awaitEnd, failure);
    }
    if (failure == null) {
      failure = attempt(() -> memory.read(scratch, areas), failure);
    }
    for (Guest guest : guests) {
      failure = attempt(guest.inside()::beginLeaving, failure);
    }
    for (Guest guest : guests) {
      failure = attempt(guest.inside()::close, failure);
    }
    if (failure != null) {
      throw failure;
    }
  }

  @FunctionalInterface
  private interface Action {
    void run() throws CheckpointException;
  }

  private static @Nullable CheckpointException attempt(
      Action action, @Nullable CheckpointException before) {
    try {
      action.run();
      return before;
    } catch (CheckpointException e) {
      if (before == null) {
        return e;
      }
      before.addSuppressed(e);
      return before;
    }
  }

  /// System calls made in all threads so far.
  public long calls() {
    return calls;
  }

  /// Address ranges that injection added to the process, to be left out of its image.
  public boolean owns(long start) {
    return start == code || start == scratch;
  }

  @Override
  public void close() throws CheckpointException {
    end();
  }

  /// Unmaps everything that was mapped; does nothing the second time.
  public void end() throws CheckpointException {
    if (scratch != 0) {
      try (InfectedThread thread = enter(first, firstCall)) {
        thread.require("unmap scratch memory", Syscall.MUNMAP, scratch, SCRATCH);
      }
      scratch = 0;
    }
    if (code != 0) {
      long result = bootstrapCall(Syscall.MUNMAP, code, CODE_SIZE);
      code = 0;
      if (Kernel.isError(result)) {
        throw refused("unmap the code page in", result);
      }
    }
  }

  /// A thread that runs injected calls.
  public final class InfectedThread implements RemoteCalls, AutoCloseable {
    private final StoppedThread thread;
    private final InterruptedCall call;
    private final ExtendedState extended;
    private final Optional<UserDispatch> dispatch;
    private final long ownCode;
    private final long records;
    private byte[] below = new byte[0];
    private boolean guarded;
    private boolean excepted;
    private boolean entered;
    private boolean running;
    private boolean leaving;

    /// @param ownCode where its code lies
    /// @param records where the records of its batches lie
    private InfectedThread(StoppedThread thread, InterruptedCall call, long ownCode, long records)
        throws CheckpointException {
      this.thread = thread;
      this.call = call;
      this.extended = ExtendedState.read(machine, thread.tracee());
      this.dispatch = armed(thread, memory);
      this.ownCode = ownCode;
      this.records = records;
      if (dispatch.isPresent() && dispatch.get().length() != 0) {
        throw new CheckpointException(
            Outcome.UNSUPPORTED,
            "cannot inject into thread %d: it hands its system calls to a handler"
                .formatted(thread.tid()));
      }
    }

    private byte[] returningCode() {
      // A thread in its restart block goes back through restart_syscall, which keeps the time left.
      long[] registers = machine.restartInPlace(call.live(), call.resume());
      long mask = thread.signalMask();
      return machine.returningCode(
          registers, mask, offset -> extended.signalFrame(ownCode + offset, 0, registers, mask));
    }

    /// Before the first call: what the way back pops from a guarded stack, and that calls of the
    /// injected code are the kernel's.
    private void prepare() throws CheckpointException {
      if (extended.guarded().isPresent()) {
        GuardedStack stack = extended.guarded().get();
        below = memory.bytes(stack.trampolineAt(), GUARDED_ENTRY);
        guarded = true;
        memory.writeForced(stack.trampolineAt(), stack.signalEntry(0));
      }
      if (dispatch.isPresent()) {
        // Of the program's own calls no other passes than before, also when jcr is killed now.
        thread.tracee().setUserDispatch(dispatch.get().withRange(code, CODE_SIZE));
        excepted = true;
      }
    }

    /// Starts a batch whose records are in place. In this order the thread finds its way back at
    /// any moment.
    private void begin(int count) throws CheckpointException {
      Tracee tracee = thread.tracee();
      long[] registers =
          machine.batch(
              call.resume(),
              ownCode,
              records,
              count,
              numbers.require(memory.pid()),
              numbers.require(thread.tid()),
              endSignal);
      entered = true;
      tracee.setGeneral(registers);
      tracee.setSignalMask(ALL_BLOCKED & ~(1L << (endSignal - 1)));
      tracee.resume(0);
      running = true;
      calls += count;
    }

    /// Waits for the end of a batch that was begun.
    private void awaitEnd() throws CheckpointException {
      if (running) {
        running = false;
        SyscallStep.awaitSignal(thread.tracee(), endSignal, afterSyscall(), machine);
      }
    }

    /// The first half of [#close], which may be left out.
    private void beginLeaving() throws CheckpointException {
      if (entered && !leaving) {
        SyscallStep.beginEventStop(thread.tracee());
        leaving = true;
      }
    }

    @Override
    public int tid() {
      return thread.tid();
    }

    @Override
    public long call(Syscall syscall, long... arguments) throws CheckpointException {
      Tracee tracee = thread.tracee();
      long[] registers =
          machine.syscall(
              call.resume(),
              ownCode + machine.syscallOffset(),
              syscall.number(machine.arch()),
              arguments);
      if (!entered) {
        entered = true;
        tracee.setGeneral(registers);
        tracee.setSignalMask(ALL_BLOCKED);
      }
      var _ = SyscallStep.run(tracee, registers);
      calls++;
      return machine.result(tracee.general(machine.words()));
    }

    @Override
    public long require(String what, Syscall syscall, long... arguments)
        throws CheckpointException {
      long result = call(syscall, arguments);
      if (Kernel.isError(result)) {
        throw new CheckpointException(
            Outcome.FAILED, "cannot " + what + ": " + Errno.describe((int) -result));
      }
      return result;
    }

    @Override
    public long scratch() {
      return scratch;
    }

    @Override
    public int scratchSize() {
      return SCRATCH;
    }

    @Override
    public void write(long address, MemorySegment bytes) throws CheckpointException {
      memory.write(address, bytes);
    }

    @Override
    public void read(long address, MemorySegment into) throws CheckpointException {
      memory.read(address, into);
    }

    /// An empty batch for this thread.
    public Batch batch() {
      return new Batch(scratch + RECORDS, SCRATCH - RECORDS);
    }

    /// Runs the calls of a batch. Where no signal can mark its end unnoticed by the program, the
    /// calls run one by one.
    public Batch.Results run(Batch batch) throws CheckpointException {
      int count = batch.calls().size();
      long[] values = new long[count];
      if (endSignal == 0) {
        byte[] before = batch.input();
        if (before.length > 0) {
          memory.writeForced(batch.data(), before);
        }
        for (int i = 0; i < count; i++) {
          Batch.Call one = batch.calls().get(i);
          values[i] = call(one.syscall(), one.arguments());
        }
        return new Batch.Results(batch, values, fetch(batch.data(), batch.used()));
      }
      byte[] input = batch.input();
      try (Arena arena = Arena.ofConfined()) {
        MemorySegment records = arena.allocateFrom(JAVA_LONG, batch.records(machine.arch()));
        memory.write(scratch, records);
        if (input.length > 0) {
          memory.write(batch.data(), arena.allocateFrom(JAVA_BYTE, input));
        }
        begin(count);
        awaitEnd();
        memory.read(scratch, records);
        for (int i = 0; i < count; i++) {
          values[i] = records.get(JAVA_LONG, (long) i * Batch.RECORD + Batch.RESULT);
        }
      }
      return new Batch.Results(batch, values, fetch(batch.data(), batch.used()));
    }

    private long afterSyscall() {
      return ownCode + machine.syscallOffset() + machine.syscallInstruction().length;
    }

    private byte[] fetch(long address, int length) throws CheckpointException {
      return length == 0 ? new byte[0] : memory.bytes(address, length);
    }

    /// Runs a call that fills `length` bytes at the scratch address and returns them; the call's
    /// arguments name [#scratch()] themselves.
    public byte[] fetch(int length) throws CheckpointException {
      try (Arena arena = Arena.ofConfined()) {
        MemorySegment buffer = arena.allocate(length, 8);
        memory.read(scratch, buffer);
        return buffer.toArray(JAVA_BYTE);
      }
    }

    /// Back in an event stop with its own mask and registers.
    @Override
    public void close() throws CheckpointException {
      if (entered) {
        Tracee tracee = thread.tracee();
        beginLeaving();
        entered = false;
        leaving = false;
        SyscallStep.awaitEventStop(tracee);
        tracee.setSignalMask(thread.signalMask());
        extended.putBack(tracee);
        tracee.setGeneral(call.live());
      }
      if (excepted) {
        thread.tracee().setUserDispatch(dispatch.orElseThrow());
      }
      if (guarded) {
        memory.writeForced(extended.guarded().orElseThrow().trampolineAt(), below);
      }
    }
  }
}
