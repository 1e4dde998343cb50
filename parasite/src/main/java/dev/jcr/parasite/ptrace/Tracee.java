package dev.jcr.parasite.ptrace;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.ThreadBuffer;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.procfs.ProcStat;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;

/// One traced thread. All methods must run on the thread that seized it: ptrace(2) belongs to a
/// kernel thread, not to a process, and another one gets ESRCH.
///
/// Preconditions: every method but [#seize] and [#interrupt] needs the task to be stopped.
public final class Tracee implements Regsets {
  private static final int SIGINFO_SIZE = 128;
  private static final int SIGKILL = 9;

  /// `struct ptrace_syscall_info`, `<linux/ptrace.h>`.
  private static final int SYSCALL_INFO_SIZE = 88;

  private static final byte SYSCALL_INFO_ENTRY = 1;

  private final int tid;
  private final Thread owner = Thread.currentThread();

  private List<Tracee> others = List.of();

  /// An iovec, and behind it what a request reads or fills.
  private static final ThreadBuffer BUFFER = new ThreadBuffer(8192);

  private static final long DATA = 64;

  private static MemorySegment data(long bytes) {
    return BUFFER.get().asSlice(DATA, bytes);
  }

  private Tracee(int tid) {
    this.tid = tid;
  }

  /// PTRACE_SEIZE: the task goes on running. `options` are `PTRACE_O_*` bits. Returns the raw
  /// result's errno as an empty value for ESRCH (the task is gone).
  ///
  /// Throws PERMISSION for EPERM, with what is missing.
  public static Optional<Tracee> seize(int tid, long options) throws CheckpointException {
    Tracee tracee = new Tracee(tid);
    long result = Kernel.raw(Syscall.PTRACE, Ptrace.SEIZE, tid, 0, options);
    if (result == -Errno.ESRCH) {
      return Optional.empty();
    }
    // A dying thread gives EPERM as well.
    if (result == -Errno.EPERM && ending(tid)) {
      return Optional.empty();
    }
    if (result == -Errno.EPERM) {
      throw new CheckpointException(
          Outcome.PERMISSION,
          "cannot seize thread "
              + tid
              + ": EPERM (operation not permitted); needs CAP_SYS_PTRACE, or the same uid with"
              + " kernel.yama.ptrace_scope=0");
    }
    tracee.check("seize", result);
    return Optional.of(tracee);
  }

  /// A call that was injected takes some microseconds.
  private static final long SPIN_NANOS = 500_000;

  private static final long POLL_NANOS = 20_000;
  private static final long LOOK_NANOS = 2_000_000;

  /// PF_EXITING of `<linux/sched.h>`: in exit(2), after which comes no stop.
  private static final long EXITING = 4;

  private static boolean ending(int tid) {
    try {
      ProcStat stat = Proc.of(tid).stat();
      return (stat.flags() & EXITING) != 0 || stat.state() == 'Z' || stat.state() == 'X';
    } catch (IOException _) {
      return true;
    }
  }

  /// Whether the task ends or has ended: it will not stop any more.
  public boolean isEnding() {
    return ending(tid);
  }

  /// A task that the kernel attached by itself (`PTRACE_O_TRACECLONE`, `PTRACE_O_TRACEFORK`).
  public static Tracee attached(int tid) {
    return new Tracee(tid);
  }

  @Override
  public int tid() {
    return tid;
  }

  private long raw(int request, long address, long data) {
    if (!Thread.currentThread().equals(owner)) {
      throw new IllegalStateException(
          "ptrace of thread " + tid + " from " + Thread.currentThread() + ", not " + owner);
    }
    return Kernel.raw(Syscall.PTRACE, request, tid, address, data);
  }

  private long check(String verb, long result) throws CheckpointException {
    if (!Kernel.isError(result)) {
      return result;
    }
    int errno = (int) -result;
    String message = "cannot " + verb + " thread " + tid + ": " + Errno.describe(errno);
    throw new CheckpointException(
        errno == Errno.ESRCH ? Outcome.TARGET_LOST : Outcome.FAILED, message);
  }

  /// PTRACE_INTERRUPT; false when the task is gone.
  public boolean interrupt() throws CheckpointException {
    long result = raw(Ptrace.INTERRUPT, 0, 0);
    if (result == -Errno.ESRCH) {
      return false;
    }
    check("interrupt", result);
    return true;
  }

  /// PTRACE_CONT with a signal to deliver, 0 for none.
  public void resume(int signal) throws CheckpointException {
    check("resume", raw(Ptrace.CONT, 0, signal));
  }

  /// PTRACE_SYSCALL: runs to the next entry or exit of a system call.
  public void resumeToSyscall(int signal) throws CheckpointException {
    check("step", raw(Ptrace.SYSCALL, 0, signal));
  }

  /// PTRACE_DETACH; a task that vanished meanwhile is no error.
  public void detach(int signal) throws CheckpointException {
    long result = raw(Ptrace.DETACH, 0, signal);
    if (result != -Errno.ESRCH) {
      check("detach from", result);
    }
  }

  public void setOptions(long options) throws CheckpointException {
    check("set options of", raw(Ptrace.SETOPTIONS, 0, options));
  }

  /// PTRACE_SETOPTIONS that may be refused (`PTRACE_O_SUSPEND_SECCOMP`).
  public boolean trySetOptions(long options) {
    return raw(Ptrace.SETOPTIONS, 0, options) == 0;
  }

  /// Waits for the next stop or end of this task.
  public WaitStatus await() throws CheckpointException {
    if (!others.isEmpty()) {
      return awaitLeader();
    }
    MemorySegment status = BUFFER.get();
    while (true) {
      long result = Kernel.raw(Syscall.WAIT4, tid, status.address(), Ptrace.WALL, 0);
      if (result == tid) {
        return WaitStatus.decode(status.get(JAVA_INT, 0));
      }
      if (result != -Errno.EINTR) {
        int errno = (int) -result;
        throw new CheckpointException(
            errno == Errno.ECHILD ? Outcome.TARGET_LOST : Outcome.FAILED,
            "cannot wait for thread " + tid + ": " + Errno.describe(errno));
      }
    }
  }

  /// The end of a thread group's leader is reported when that of all its other threads was taken,
  /// and of those that are traced the tracer takes it (kernel/exit.c, delay_group_leader): who
  /// waits for a leader that is killed meanwhile has to take the others' first, or waits for ever.
  @SuppressWarnings("ThreadPriorityCheck") // on one CPU the leader has to run for its stop
  private WaitStatus awaitLeader() {
    long begin = System.nanoTime();
    long look = begin + LOOK_NANOS;
    while (true) {
      Optional<WaitStatus> status = poll();
      if (status.isPresent()) {
        return status.get();
      }
      long now = System.nanoTime();
      if (now - look > 0) {
        if (isEnding()) {
          for (Tracee other : others) {
            var _ = other.poll();
          }
        }
        look = now + LOOK_NANOS;
      }
      if (now - begin < SPIN_NANOS) {
        Thread.yield();
      } else {
        LockSupport.parkNanos(POLL_NANOS);
      }
    }
  }

  /// This is the leader of a thread group whose other threads are traced too.
  void leads(List<Tracee> threads) {
    others = threads;
  }

  /// Takes a stop that is already there; empty when the task is still running.
  public Optional<WaitStatus> poll() {
    MemorySegment status = BUFFER.get();
    long result = Kernel.raw(Syscall.WAIT4, tid, status.address(), Ptrace.WALL | Ptrace.WNOHANG, 0);
    if (result == -Errno.ECHILD) {
      // Gone without a word: another thread executed a program.
      return Optional.of(new WaitStatus.Killed(SIGKILL));
    }
    return result == tid
        ? Optional.of(WaitStatus.decode(status.get(JAVA_INT, 0)))
        : Optional.empty();
  }

  /// Takes the ends of the threads of a process that was killed, in whatever order they come: the
  /// leader's comes last, and in a process that is PID 1 of a pid namespace that of the last thread
  /// to exit waits for the others to be taken (kernel/pid_namespace.c, zap_pid_ns_processes).
  public static void awaitEnds(List<Tracee> threads) {
    List<Tracee> left = new ArrayList<>(threads);
    while (true) {
      left.removeIf(tracee -> tracee.poll().map(WaitStatus::ended).orElse(false));
      if (left.isEmpty()) {
        return;
      }
      LockSupport.parkNanos(POLL_NANOS);
    }
  }

  /// PTRACE_GETREGSET of 64-bit words; `words` is the most that is read, the result has the length
  /// that the kernel gave.
  public long[] general(int words) throws CheckpointException {
    MemorySegment buffer = data((long) words * Long.BYTES);
    long size = getRegset(Ptrace.NT_PRSTATUS, buffer);
    check("read registers of", size);
    long[] registers = new long[(int) (size / Long.BYTES)];
    MemorySegment.copy(buffer, JAVA_LONG, 0, registers, 0, registers.length);
    return registers;
  }

  public void setGeneral(long[] registers) throws CheckpointException {
    MemorySegment buffer = data((long) registers.length * Long.BYTES);
    MemorySegment.copy(registers, 0, buffer, JAVA_LONG, 0, registers.length);
    check("write registers of", setRegset(Ptrace.NT_PRSTATUS, buffer));
  }

  @Override
  public long getRegset(int note, MemorySegment buffer) {
    MemorySegment iovec = iovec(buffer);
    long result = raw(Ptrace.GETREGSET, note, iovec.address());
    return result < 0 ? result : iovec.get(JAVA_LONG, 8);
  }

  @Override
  public long setRegset(int note, MemorySegment bytes) {
    return raw(Ptrace.SETREGSET, note, iovec(bytes).address());
  }

  private static MemorySegment iovec(MemorySegment bytes) {
    MemorySegment iovec = BUFFER.get();
    iovec.set(JAVA_LONG, 0, bytes.address());
    iovec.set(JAVA_LONG, 8, bytes.byteSize());
    return iovec;
  }

  /// PTRACE_GETSIGMASK. Inside sigsuspend, ppoll and their like this is the mask to return to.
  public long signalMask() throws CheckpointException {
    MemorySegment mask = BUFFER.get();
    check("read the signal mask of", raw(Ptrace.GETSIGMASK, 8, mask.address()));
    return mask.get(JAVA_LONG, 0);
  }

  public void setSignalMask(long mask) throws CheckpointException {
    MemorySegment memory = BUFFER.get();
    memory.set(JAVA_LONG, 0, mask);
    check("write the signal mask of", raw(Ptrace.SETSIGMASK, 8, memory.address()));
  }

  /// PTRACE_PEEKSIGINFO: the pending signals of this thread, or the queue shared by all, oldest
  /// first, as 128-byte siginfo_t.
  public List<byte[]> pendingSignals(boolean shared) throws CheckpointException {
    int batch = 32;
    List<byte[]> all = new ArrayList<>();
    MemorySegment arguments = BUFFER.get();
    MemorySegment infos = data((long) batch * SIGINFO_SIZE);
    while (true) {
      arguments.set(JAVA_LONG, 0, all.size());
      arguments.set(JAVA_INT, 8, shared ? 1 : 0);
      arguments.set(JAVA_INT, 12, batch);
      long count =
          check(
              "read pending signals of",
              raw(Ptrace.PEEKSIGINFO, arguments.address(), infos.address()));
      for (int i = 0; i < count; i++) {
        all.add(infos.asSlice((long) i * SIGINFO_SIZE, SIGINFO_SIZE).toArray(JAVA_BYTE));
      }
      if (count < batch) {
        return all;
      }
    }
  }

  /// PTRACE_GETEVENTMSG: the new tid of a clone event.
  public long eventMessage() throws CheckpointException {
    MemorySegment message = BUFFER.get();
    check("read the event of", raw(Ptrace.GETEVENTMSG, 0, message.address()));
    return message.get(JAVA_LONG, 0);
  }

  /// PTRACE_GET_RSEQ_CONFIGURATION: address, length, signature, flags; empty when none is
  /// registered or the kernel lacks the request (before 5.13).
  public Optional<RseqConfiguration> rseq() {
    MemorySegment c = BUFFER.get();
    long result = raw(Ptrace.GET_RSEQ_CONFIGURATION, 24, c.address());
    return result < 0 || c.get(JAVA_LONG, 0) == 0
        ? Optional.empty()
        : Optional.of(
            new RseqConfiguration(
                c.get(JAVA_LONG, 0), c.get(JAVA_INT, 8), c.get(JAVA_INT, 12), c.get(JAVA_INT, 16)));
  }

  /// `struct ptrace_rseq_configuration`.
  public record RseqConfiguration(long address, int length, int signature, int flags) {}

  /// PTRACE_SECCOMP_GET_FILTER: the instructions of the filter with this index, 0 being the oldest;
  /// empty past the last. Throws for a filter that is no classic one.
  public Optional<byte[]> seccompFilter(int index) throws CheckpointException {
    long count = raw(Ptrace.SECCOMP_GET_FILTER, index, 0);
    if (count == -Errno.ENOENT || count == -Errno.EINVAL) {
      return Optional.empty();
    }
    check("read seccomp filter " + index + " of", count);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment program = arena.allocate(8 * count, 8);
      check(
          "read seccomp filter " + index + " of",
          raw(Ptrace.SECCOMP_GET_FILTER, index, program.address()));
      return Optional.of(program.toArray(java.lang.foreign.ValueLayout.JAVA_BYTE));
    }
  }

  /// PTRACE_SECCOMP_GET_METADATA: the flags of that filter; 0 on kernels (before 4.16) that do not
  /// tell.
  public int seccompFlags(int index) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment metadata = arena.allocate(JAVA_LONG, 2);
      metadata.set(JAVA_LONG, 0, index);
      long result = raw(Ptrace.SECCOMP_GET_METADATA, metadata.byteSize(), metadata.address());
      return result < 0 ? 0 : (int) metadata.get(JAVA_LONG, 8);
    }
  }

  /// PTRACE_SET_SYSCALL_INFO in a syscall-entry stop of PTRACE_SYSCALL: another call, with other
  /// arguments; on arm64 the only way to set orig_x0 besides making a call. False on kernels
  /// (before 6.16) that lack the request.
  ///
  /// @param arguments six
  public boolean trySetCall(long number, long... arguments) throws CheckpointException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment info = arena.allocate(SYSCALL_INFO_SIZE, 8);
      info.set(JAVA_BYTE, 0, SYSCALL_INFO_ENTRY);
      info.set(JAVA_LONG, 24, number);
      MemorySegment.copy(arguments, 0, info, JAVA_LONG, 32, 6);
      long result = raw(Ptrace.SET_SYSCALL_INFO, SYSCALL_INFO_SIZE, info.address());
      if (result == -Errno.EIO) {
        return false;
      }
      check("set the call of", result);
      return true;
    }
  }

  /// PTRACE_GET_SYSCALL_INFO in a syscall-entry stop: the number and the six arguments, the first
  /// of which is orig_x0 on arm64. Empty in any other stop.
  public long[] call() throws CheckpointException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment info = arena.allocate(SYSCALL_INFO_SIZE, 8);
      check("read the call of", raw(Ptrace.GET_SYSCALL_INFO, SYSCALL_INFO_SIZE, info.address()));
      return info.get(JAVA_BYTE, 0) == SYSCALL_INFO_ENTRY
          ? info.asSlice(24, 7L * Long.BYTES).toArray(JAVA_LONG)
          : new long[0];
    }
  }

  /// PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG; empty when its calls are not dispatched, or when the
  /// kernel (before 6.4) does not tell.
  public Optional<UserDispatch> userDispatch() {
    // struct ptrace_sud_config: mode, selector, offset, length.
    MemorySegment config = data(4L * Long.BYTES);
    long result = raw(Ptrace.GET_SYSCALL_USER_DISPATCH_CONFIG, config.byteSize(), config.address());
    return result < 0 || config.get(JAVA_LONG, 0) == 0
        ? Optional.empty()
        : Optional.of(
            new UserDispatch(
                config.get(JAVA_LONG, 8), config.get(JAVA_LONG, 16), config.get(JAVA_LONG, 24)));
  }

  /// PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG. Throws FAILED, with EIO where the kernel lacks it.
  public void setUserDispatch(UserDispatch dispatch) throws CheckpointException {
    long[] words = dispatch.config();
    MemorySegment config = data((long) words.length * Long.BYTES);
    MemorySegment.copy(words, 0, config, JAVA_LONG, 0, words.length);
    check(
        "set the syscall user dispatch of",
        raw(Ptrace.SET_SYSCALL_USER_DISPATCH_CONFIG, config.byteSize(), config.address()));
  }

  /// PTRACE_PEEKUSER of a word of `struct user` (x86 debug registers).
  public long peekUser(long offset) throws CheckpointException {
    MemorySegment word = BUFFER.get();
    check("read debug registers of", raw(Ptrace.PEEKUSER, offset, word.address()));
    return word.get(JAVA_LONG, 0);
  }

  /// PTRACE_POKEUSER; zero or a negated errno.
  public long pokeUser(long offset, long value) {
    return raw(Ptrace.POKEUSER, offset, value);
  }

  /// PTRACE_PEEKMTETAGS: tags of memory from `address`, one byte for each 16 bytes; the number that
  /// was read, or a negated errno (EIO: no memory with tags there).
  public long peekTags(long address, MemorySegment into) {
    return tags(Ptrace.PEEKMTETAGS, address, into);
  }

  /// PTRACE_POKEMTETAGS: the number that was written, or a negated errno.
  public long pokeTags(long address, MemorySegment from) {
    return tags(Ptrace.POKEMTETAGS, address, from);
  }

  private long tags(int request, long address, MemorySegment bytes) {
    MemorySegment iovec = iovec(bytes);
    long result = raw(request, address, iovec.address());
    return result < 0 ? result : iovec.get(JAVA_LONG, 8);
  }
}
