package dev.jcr.restore.threads;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.v1.Credentials;
import dev.jcr.image.v1.NumaPolicy;
import dev.jcr.image.v1.Scheduling;
import dev.jcr.image.v1.Seccomp;
import dev.jcr.image.v1.SeccompFilter;
import dev.jcr.image.v1.Thread;
import dev.jcr.image.v1.ThreadModes;
import dev.jcr.parasite.collect.NumaPolicies;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Prctl;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.procfs.ProcStatus;
import dev.jcr.parasite.ptrace.Ptrace;
import dev.jcr.parasite.ptrace.Tracee;
import dev.jcr.parasite.ptrace.UserDispatch;
import dev.jcr.parasite.remote.Batch;
import dev.jcr.parasite.remote.OwnedProcess;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/// Gives a new thread what the kernel keeps per task.
public final class ThreadBuilder {
  private static final int SCHED_ATTR_SIZE = 56;
  private static final int AFFINITY_WORDS = 128;

  /// Policy and parameters stay; `<linux/sched.h>`.
  private static final long SCHED_FLAG_KEEP_ALL = 0x18;

  private static final long SCHED_FLAG_UTIL_CLAMP = 0x60;
  private static final int SCHED_OTHER = 0;
  private static final int SCHED_IDLE = 5;
  private static final int SCHED_DEADLINE = 6;
  private static final int CAPABILITY_VERSION_3 = 0x20080522;
  private static final int SECBIT_KEEP_CAPS = 1 << 4;
  private static final int SECBIT_NO_SETUID_FIXUP = 1 << 2;
  private static final int IOPRIO_WHO_PROCESS = 1;
  private static final int SS_DISABLE = 2;
  private static final int SECCOMP_MODE_STRICT = 1;
  private static final int SECCOMP_SET_MODE_STRICT = 0;
  private static final int SECCOMP_SET_MODE_FILTER = 1;
  private static final int SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4;

  /// SS_ONSTACK: reported while the thread runs on its signal stack, never set.
  private static final int SS_ONSTACK = 1;

  private final ProcStatus fresh;

  /// @param fresh /proc/PID/status of the new process before any of its credentials changed: all
  ///   its threads begin with them
  public ThreadBuilder(ProcStatus fresh) {
    this.fresh = fresh;
  }

  /// Everything but credentials, which take the right to do the rest.
  ///
  /// @param inside the threads, in the same order
  public static void configure(List<Thread> threads, List<OwnedProcess> inside)
      throws CheckpointException {
    OwnedProcess.runInEach(inside, threads, ThreadBuilder::ask);
    for (int i = 0; i < threads.size(); i++) {
      schedule(threads.get(i), inside.get(i).tid());
    }
  }

  /// What a thread has to do itself.
  private static void ask(Thread thread, Batch batch) {
    int tid = thread.getTid();
    // By the thread itself: /proc/TID/comm takes names only from its own process.
    byte[] name = thread.getComm().toByteArray();
    batch.require(
        "name thread " + tid,
        Syscall.PRCTL,
        Prctl.SET_NAME,
        batch.put(Arrays.copyOf(name, name.length + 1)));
    if (thread.hasEnded()) {
      return; // nothing else has an effect any more
    }
    if (thread.getClearChildTid() != 0) {
      batch.require(
          "set clear_child_tid of thread " + tid,
          Syscall.SET_TID_ADDRESS,
          thread.getClearChildTid());
    }
    if (thread.getRobustList() != 0) {
      batch.require(
          "set the robust list of thread " + tid,
          Syscall.SET_ROBUST_LIST,
          thread.getRobustList(),
          thread.getRobustListLength());
    }
    if ((thread.getSignalStack().getFlags() & SS_DISABLE) == 0) {
      long stack =
          batch.put(
              ByteBuffer.allocate(24)
                  .order(ByteOrder.LITTLE_ENDIAN)
                  .putLong(thread.getSignalStack().getAddress())
                  .putInt(thread.getSignalStack().getFlags() & ~SS_ONSTACK)
                  .putInt(0)
                  .putLong(thread.getSignalStack().getSize())
                  .array());
      batch.require("set the signal stack of thread " + tid, Syscall.SIGALTSTACK, stack, 0);
    }
    batch.require(
        "set timer slack of thread " + tid,
        Syscall.PRCTL,
        Prctl.SET_TIMERSLACK,
        thread.getTimerSlack());
    if (thread.hasModes()) {
      modes(" of thread " + tid, thread.getModes(), batch);
    }
    NumaPolicy policy = thread.getNumaPolicy();
    if (thread.hasNumaPolicy()) {
      batch.require(
          "set the NUMA policy of thread " + tid + " (this host must have its nodes)",
          Syscall.SET_MEMPOLICY,
          policy.getMode(),
          policy.getNodesCount() == 0 ? 0 : batch.put(NumaPolicies.mask(policy)),
          NumaPolicies.maskBits(policy));
    } else {
      // jcr may have been started with one.
      batch.add(Syscall.SET_MEMPOLICY, 0, 0, 0);
    }
  }

  /// What a task has for itself and its threads inherit.
  ///
  /// @param of whose, for a message
  public static void modes(String of, ThreadModes wanted, Batch batch) {
    batch.require(
        "set the personality" + of,
        Syscall.PERSONALITY,
        Integer.toUnsignedLong(wanted.getPersonality()));
    batch.require(
        "set machine check kill" + of,
        Syscall.PRCTL,
        Prctl.MCE_KILL,
        Prctl.MCE_KILL_SET,
        wanted.getMachineCheckKill(),
        0,
        0);
    if (wanted.getTimestampCounterMode() != 0) {
      batch.require(
          "set the TSC mode" + of, Syscall.PRCTL, Prctl.SET_TSC, wanted.getTimestampCounterMode());
    }
    if (wanted.getIoFlusher()) {
      batch.require("set I/O flusher" + of, Syscall.PRCTL, Prctl.SET_IO_FLUSHER, 1, 0, 0, 0);
    } else {
      // It takes CAP_SYS_RESOURCE, which whoever has set it had: where it is off, it may fail.
      batch.add(Syscall.PRCTL, Prctl.SET_IO_FLUSHER, 0, 0, 0, 0);
    }
  }

  /// Installs the thread's filters, suspended until the tracing ends, while it still has the right
  /// to do so without no_new_privs.
  ///
  /// @param options of the tracing
  public void seccomp(Thread thread, OwnedProcess inside, long options) throws CheckpointException {
    Seccomp seccomp = thread.getSeccomp();
    if (seccomp.getMode() == 0) {
      return;
    }
    String of = " of thread " + thread.getTid();
    if (!inside.tracee().trySetOptions(options | Ptrace.O_SUSPEND_SECCOMP)) {
      throw new CheckpointException(
          Outcome.PERMISSION,
          "cannot suspend seccomp"
              + of
              + ": EPERM (operation not permitted); needs CAP_SYS_ADMIN and no seccomp filter of"
              + " jcr's own");
    }
    if (seccomp.getMode() == SECCOMP_MODE_STRICT) {
      inside.require(
          "enter strict seccomp mode" + of, Syscall.SECCOMP, SECCOMP_SET_MODE_STRICT, 0, 0);
      return;
    }
    for (SeccompFilter filter : seccomp.getFiltersList()) {
      byte[] program = filter.getProgram().toByteArray();
      try (Arena arena = Arena.ofConfined()) {
        // struct sock_fprog: u16 length, pointer.
        MemorySegment memory = arena.allocate(16L + program.length, 8);
        memory.set(ValueLayout.JAVA_SHORT, 0, (short) (program.length / 8));
        memory.set(JAVA_LONG, 8, inside.scratch() + 16);
        MemorySegment.copy(program, 0, memory, ValueLayout.JAVA_BYTE, 16, program.length);
        inside.write(inside.scratch(), memory);
      }
      inside.require(
          "install a seccomp filter" + of,
          Syscall.SECCOMP,
          SECCOMP_SET_MODE_FILTER,
          // Not to change what is set about speculation.
          filter.getFlags() | SECCOMP_FILTER_FLAG_SPEC_ALLOW,
          inside.scratch());
    }
  }

  /// Syscall user dispatch, read back: its own calls go to its handler again.
  public static void dispatch(Thread thread, Tracee tracee) throws CheckpointException {
    UserDispatch wanted =
        new UserDispatch(
            thread.getUserDispatch().getSelector(),
            thread.getUserDispatch().getOffset(),
            thread.getUserDispatch().getLength());
    tracee.setUserDispatch(wanted);
    if (!tracee.userDispatch().equals(Optional.of(wanted))) {
      throw new CheckpointException(
          Outcome.FAILED,
          "cannot prove the syscall user dispatch of thread %d: it is %s, not %s"
              .formatted(thread.getTid(), tracee.userDispatch(), wanted));
    }
  }

  /// Registering rseq(2) lets the kernel write into the thread's area at any time: last.
  public static void registerRseq(Thread thread, OwnedProcess inside) throws CheckpointException {
    inside.require(registering(thread), Syscall.RSEQ, registration(thread));
  }

  private static String registering(Thread thread) {
    return "register rseq of thread " + thread.getTid();
  }

  private static long[] registration(Thread thread) {
    return new long[] {
      thread.getRseq().getAddress(),
      thread.getRseq().getLength(),
      0,
      Integer.toUnsignedLong(thread.getRseq().getSignature())
    };
  }

  /// The same in many threads, while no [OwnedProcess#BATCH_SIGNAL] is pending.
  ///
  /// @param threads that have one
  /// @param inside the same, in the same order
  public static void registerRseq(List<Thread> threads, List<OwnedProcess> inside)
      throws CheckpointException {
    OwnedProcess.runInEach(
        inside,
        threads,
        (thread, batch) -> batch.require(registering(thread), Syscall.RSEQ, registration(thread)));
  }

  /// sched_setattr(2), sched_setaffinity(2) and ioprio_set(2) from outside.
  ///
  /// @param tid in jcr's pid namespace
  private static void schedule(Thread thread, int tid) throws CheckpointException {
    Scheduling scheduling = thread.getScheduling();
    try (Arena arena = Arena.ofConfined()) {
      if (scheduling.getAffinityCount() > 0) {
        MemorySegment mask = arena.allocate(JAVA_LONG, scheduling.getAffinityCount());
        for (int i = 0; i < scheduling.getAffinityCount(); i++) {
          mask.setAtIndex(JAVA_LONG, i, scheduling.getAffinity(i));
        }
        // Setting it can wait for the CPU that the thread is queued on: not where it is right.
        MemorySegment own = arena.allocate(JAVA_LONG, AFFINITY_WORDS);
        long size = Kernel.raw(Syscall.SCHED_GETAFFINITY, tid, own.byteSize(), own.address());
        boolean same =
            size >= mask.byteSize()
                && own.asSlice(0, mask.byteSize()).mismatch(mask) < 0
                && isZero(own.asSlice(mask.byteSize(), size - mask.byteSize()));
        if (!same) {
          Kernel.call(
              "set the affinity of thread " + tid,
              Syscall.SCHED_SETAFFINITY,
              tid,
              mask.byteSize(),
              mask.address());
        }
      }
      MemorySegment attributes = arena.allocate(SCHED_ATTR_SIZE, 8);
      attributes.set(JAVA_INT, 0, SCHED_ATTR_SIZE);
      attributes.set(JAVA_INT, 4, scheduling.getPolicy());
      attributes.set(JAVA_LONG, 8, scheduling.getFlags());
      attributes.set(JAVA_INT, 16, scheduling.getNice());
      attributes.set(JAVA_INT, 20, scheduling.getPriority());
      if (scheduling.getPolicy() == SCHED_DEADLINE) {
        attributes.set(JAVA_LONG, 24, scheduling.getRuntime());
        attributes.set(JAVA_LONG, 32, scheduling.getDeadline());
        attributes.set(JAVA_LONG, 40, scheduling.getPeriod());
      }
      MemorySegment own = arena.allocate(SCHED_ATTR_SIZE, 8);
      Kernel.call(
          "read scheduling of thread " + tid,
          Syscall.SCHED_GETATTR,
          tid,
          own.address(),
          SCHED_ATTR_SIZE,
          0);
      // Policy, flags, nice and priority.
      if (own.asSlice(4, 20).mismatch(attributes.asSlice(4, 20)) >= 0
          || scheduling.getPolicy() == SCHED_DEADLINE) {
        if (scheduling.getPolicy() == SCHED_IDLE) {
          // Under this policy the kernel takes no nice value, but keeps one.
          attributes.set(JAVA_INT, 4, SCHED_OTHER);
          Kernel.call(
              "set the nice value of thread " + tid,
              Syscall.SCHED_SETATTR,
              tid,
              attributes.address(),
              0);
          attributes.set(JAVA_INT, 4, SCHED_IDLE);
        }
        Kernel.call(
            "set scheduling of thread " + tid, Syscall.SCHED_SETATTR, tid, attributes.address(), 0);
      }
      if (scheduling.hasClamp()) {
        attributes.set(JAVA_LONG, 8, SCHED_FLAG_KEEP_ALL | SCHED_FLAG_UTIL_CLAMP);
        attributes.set(JAVA_INT, 48, scheduling.getClamp().getMinimum());
        attributes.set(JAVA_INT, 52, scheduling.getClamp().getMaximum());
        Kernel.call(
            "clamp the utilization of thread " + tid,
            Syscall.SCHED_SETATTR,
            tid,
            attributes.address(),
            0);
      }
      // A new process has that of jcr.
      long priority = Math.max(0, Kernel.raw(Syscall.IOPRIO_GET, IOPRIO_WHO_PROCESS, tid));
      if (scheduling.getIoPriority() != priority) {
        Kernel.call(
            "set the I/O priority of thread " + tid,
            Syscall.IOPRIO_SET,
            IOPRIO_WHO_PROCESS,
            tid,
            scheduling.getIoPriority());
      }
    } catch (SyscallException e) {
      throw failed("schedule thread " + tid, e);
    }
  }

  private static boolean isZero(MemorySegment bytes) {
    for (long i = 0; i < bytes.byteSize(); i++) {
      if (bytes.get(ValueLayout.JAVA_BYTE, i) != 0) {
        return false;
      }
    }
    return true;
  }

  private static CheckpointException failed(String what, SyscallException e) {
    return new CheckpointException(
        e.errno() == Errno.EPERM || e.errno() == Errno.EACCES ? Outcome.PERMISSION : Outcome.FAILED,
        "cannot " + what + ": " + e.getMessage(),
        e);
  }

  /// setresuid(2) and the rest, in the one order in which each step still has the right to be done.
  /// Calls made in a task change that task alone: what libc does for all threads is done for each.
  public void credentials(Thread thread, OwnedProcess inside) throws CheckpointException {
    Credentials wanted = thread.getCredentials();
    int tid = thread.getTid();
    ProcStatus own = fresh;
    boolean same =
        list(own.uids()).equals(wanted.getUidsList())
            && list(own.gids()).equals(wanted.getGidsList())
            && list(own.groups()).equals(wanted.getGroupsList())
            && own.capInh() == wanted.getInheritable()
            && own.capPrm() == wanted.getPermitted()
            && own.capEff() == wanted.getEffective()
            && own.capBnd() == wanted.getBounding()
            && own.capAmb() == wanted.getAmbient()
            && wanted.getSecurebits() == 0;
    if (!same) {
      change(tid, wanted, own, inside);
    }
    if (thread.getParentDeathSignal() != 0) {
      // Cleared by a change of credentials, so after it.
      inside.require(
          "set the parent death signal of thread " + tid,
          Syscall.PRCTL,
          Prctl.SET_PDEATHSIG,
          thread.getParentDeathSignal());
    }
    if (wanted.getNoNewPrivs()) {
      inside.require("set no_new_privs", Syscall.PRCTL, Prctl.SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    }
  }

  /// Only what differs: a user who may not change ids can still give up capabilities.
  private void change(int tid, Credentials wanted, ProcStatus own, OwnedProcess inside)
      throws CheckpointException {
    String of = " of thread " + tid;
    boolean sameIds =
        list(own.uids()).equals(wanted.getUidsList())
            && list(own.gids()).equals(wanted.getGidsList())
            && list(own.groups()).equals(wanted.getGroupsList());
    if (!sameIds) {
      // Ids may change without the kernel touching capabilities.
      inside.require(
          "keep capabilities" + of,
          Syscall.PRCTL,
          Prctl.SET_SECUREBITS,
          SECBIT_NO_SETUID_FIXUP | SECBIT_KEEP_CAPS);
    }
    bounding(tid, wanted, own, inside);
    if (!sameIds) {
      ids(wanted, inside, of);
    }
    if (inside.require("read securebits" + of, Syscall.PRCTL, Prctl.GET_SECUREBITS)
        != wanted.getSecurebits()) {
      // Needs CAP_SETPCAP, so before the final sets; inheritable before ambient.
      inside.require(
          "set securebits" + of, Syscall.PRCTL, Prctl.SET_SECUREBITS, wanted.getSecurebits());
    }
    capabilities(wanted, inside, of);
  }

  private static void bounding(int tid, Credentials wanted, ProcStatus own, OwnedProcess inside)
      throws CheckpointException {
    for (int capability = 0; capability < 64; capability++) {
      boolean has = (own.capBnd() >>> capability & 1) != 0;
      boolean wants = (wanted.getBounding() >>> capability & 1) != 0;
      if (has && !wants) {
        inside.require(
            "drop bounding capability " + capability + " of thread " + tid + " (needs CAP_SETPCAP)",
            Syscall.PRCTL,
            Prctl.CAPBSET_DROP,
            capability);
      } else if (wants && !has) {
        throw new CheckpointException(
            Outcome.PERMISSION,
            "cannot give thread "
                + tid
                + " bounding capability "
                + capability
                + ": jcr itself lacks it; run jcr with more capabilities");
      }
    }
  }

  private static void ids(Credentials wanted, OwnedProcess inside, String of)
      throws CheckpointException {
    try (Arena arena = Arena.ofConfined()) {
      int count = wanted.getGroupsCount();
      MemorySegment groups = arena.allocate(JAVA_INT, Math.max(1, count));
      for (int i = 0; i < count; i++) {
        groups.setAtIndex(JAVA_INT, i, wanted.getGroups(i));
      }
      inside.write(inside.scratch(), groups);
    }
    inside.require(
        "set groups" + of + " (needs CAP_SETGID)",
        Syscall.SETGROUPS,
        wanted.getGroupsCount(),
        inside.scratch());
    inside.require(
        "set group ids" + of + " (needs CAP_SETGID)",
        Syscall.SETRESGID,
        wanted.getGids(0),
        wanted.getGids(1),
        wanted.getGids(2));
    inside.call(Syscall.SETFSGID, wanted.getGids(3));
    inside.require(
        "set user ids" + of + " (needs CAP_SETUID)",
        Syscall.SETRESUID,
        wanted.getUids(0),
        wanted.getUids(1),
        wanted.getUids(2));
    inside.call(Syscall.SETFSUID, wanted.getUids(3));
  }

  private static void capabilities(Credentials wanted, OwnedProcess inside, String of)
      throws CheckpointException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment caps = arena.allocate(8 + 24, 4);
      caps.set(JAVA_INT, 0, CAPABILITY_VERSION_3);
      for (int half = 0; half < 2; half++) {
        caps.set(JAVA_INT, 8 + 12L * half, (int) (wanted.getEffective() >>> (32 * half)));
        caps.set(JAVA_INT, 12 + 12L * half, (int) (wanted.getPermitted() >>> (32 * half)));
        caps.set(JAVA_INT, 16 + 12L * half, (int) (wanted.getInheritable() >>> (32 * half)));
      }
      inside.write(inside.scratch(), caps);
    }
    inside.require("set capabilities" + of, Syscall.CAPSET, inside.scratch(), inside.scratch() + 8);
    for (int capability = 0; capability < 64; capability++) {
      if ((wanted.getAmbient() >>> capability & 1) != 0) {
        inside.require(
            "raise ambient capability " + capability + of,
            Syscall.PRCTL,
            Prctl.CAP_AMBIENT,
            Prctl.CAP_AMBIENT_RAISE,
            capability,
            0,
            0);
      }
    }
  }

  private static List<Integer> list(int[] values) {
    return java.util.Arrays.stream(values).boxed().toList();
  }
}
