package dev.jcr.image.codec;

import static dev.jcr.image.codec.Rules.between;
import static dev.jcr.image.codec.Rules.each;
import static dev.jcr.image.codec.Rules.eachIs;
import static dev.jcr.image.codec.Rules.in;
import static dev.jcr.image.codec.Rules.isPid;
import static dev.jcr.image.codec.Rules.isPidOrNone;
import static dev.jcr.image.codec.Rules.that;
import static dev.jcr.image.codec.Rules.upTo;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.codec.Rules.Ascending;
import dev.jcr.image.codec.Rules.Invalid;
import dev.jcr.image.v1.Arch;
import dev.jcr.image.v1.Clocks;
import dev.jcr.image.v1.Host;
import dev.jcr.image.v1.Identity;
import dev.jcr.image.v1.Namespace;
import dev.jcr.image.v1.Pagemap;
import dev.jcr.image.v1.PendingSignal;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.Signals;
import dev.jcr.image.v1.Timers;
import dev.jcr.image.v1.X86Cpu;
import java.util.List;

/// Refuses states that no process can have: everything a restore trusts is bounded here. The writer
/// asks too, so that no dump ends with an image that cannot be restored.
///
/// A rule is here when a wrong value would lead restore astray (an index, a length, an order, a
/// reference); what the kernel itself checks on the way is left to the kernel.
public final class StateValidator {
  /// KTIME_MAX / 2 in whole seconds: as far as the kernel lets the clocks of a time namespace go
  /// (kernel/time/namespace.c, proc_timens_set_offset), in ns.
  private static final long CLOCK_END = Long.MAX_VALUE / 1_000_000_000 / 2 * 1_000_000_000;

  private static final int BOOT_ID = 16;

  private StateValidator() {}

  /// Checks every field that a restore uses.
  ///
  /// @param object the file, for messages
  /// @throws CheckpointException of outcome IMAGE, naming the field
  public static void check(String object, ProcessState state, Pagemap pagemap)
      throws CheckpointException {
    check(object, state, state.toByteArray(), pagemap);
  }

  /// The same of a state that is encoded already.
  ///
  /// @param bytes the state, encoded
  static void check(String object, ProcessState state, byte[] bytes, Pagemap pagemap)
      throws CheckpointException {
    try {
      that(state.hasHost(), "host is missing");
      that(state.hasIdentity(), "identity is missing");
      that(state.hasMemory(), "memory is missing");
      FieldRules.check(bytes, ProcessState.getDescriptor());
      in("host", state.getHost(), StateValidator::host);
      that(
          state.getHost().getPageSize() == pagemap.getPageSize(),
          "host.page_size differs from the pagemap's");
      in("identity", state.getIdentity(), StateValidator::identity);
      FileRules files = new FileRules(state.getFiles(), state.getMemory().getVmasList());
      in("files", state.getFiles(), _ -> files.check());
      MemoryRules memory = new MemoryRules(state.getHost(), files);
      in("memory", state.getMemory(), memory::check);
      in("signals", state.getSignals(), StateValidator::signals);
      in("timers", state.getTimers(), StateValidator::timers);
      threads(state);
      memory.pages(state.getMemory(), pagemap);
    } catch (Invalid e) {
      throw Damage.in(object, String.valueOf(e.getMessage()));
    }
  }

  private static void host(Host host) throws Invalid {
    that(host.getArch() != Arch.ARCH_UNSPECIFIED, "arch is missing");
    that(
        host.getArch() == Arch.ARCH_X86_64
            ? host.getPageSize() == 4096
            : List.of(4096, 16384, 65536).contains(host.getPageSize()),
        "page_size is none of this architecture");
    int digest = host.getVdso().getSha256().size();
    that(digest == 0 || digest == 32, "vdso.sha256 is not 32 bytes");
    that(upTo(host.getVdso().getCode().size(), 1 << 16), "vdso.code is beyond 64 KiB");
    that(host.getArch() == Arch.ARCH_X86_64 || !host.hasX86(), "x86 is there on another CPU");
    that(host.getArch() == Arch.ARCH_AARCH64 || !host.hasArm(), "arm is there on another CPU");
    in("x86", host.getX86(), StateValidator::x86);
    eachIs("arm.sve_vector_lengths", host.getArm().getSveVectorLengthsList(), v -> isVector(v));
    eachIs("arm.sme_vector_lengths", host.getArm().getSmeVectorLengthsList(), v -> isVector(v));
  }

  private static boolean isVector(int bytes) {
    return between(bytes, 16, 8192) && bytes % 16 == 0;
  }

  private static void x86(X86Cpu cpu) throws Invalid {
    that(upTo(cpu.getXstateSize(), 1 << 16), "xstate_size is beyond 64 KiB");
    Ascending features = new Ascending(2);
    each(
        "layout",
        cpu.getLayoutList(),
        component -> {
          features.next("feature", component.getFeature());
          that(component.getFeature() < 63, "feature is beyond 62");
          boolean used = (cpu.getXfeatures() >>> component.getFeature() & 1) != 0;
          that(
              !used
                  || (between(component.getOffset(), 576, cpu.getXstateSize())
                      && between(
                          component.getSize(), 1, cpu.getXstateSize() - component.getOffset())),
              "offset and size lie outside the area");
        });
  }

  private static void identity(Identity identity) throws Invalid {
    that(isPid(identity.getPid()), "pid is none");
    that(isPidOrNone(identity.getParentPid()), "parent_pid is none");
    that(isPidOrNone(identity.getProcessGroup()), "process_group is none");
    that(isPidOrNone(identity.getSession()), "session is none");
    that(upTo(identity.getUmask(), 0777), "umask has unknown bits");
    that(isDirectory(identity.getWorkingDirectory()), "working_directory is not absolute");
    that(isDirectory(identity.getRootDirectory()), "root_directory is not absolute");
    that(between(identity.getOomScoreAdj(), -1000, 1000), "oom_score_adj is beyond 1000");
    that(upTo(identity.getDumpable(), 2), "dumpable is beyond 2");
    that(between(identity.getAutogroupNice(), -20, 19), "autogroup_nice is beyond -20 to 19");
    Ascending zombies = new Ascending(1);
    each(
        "zombies",
        identity.getZombiesList(),
        zombie -> {
          that(isPid(zombie.getPid()) && zombie.getPid() != identity.getPid(), "pid is none");
          zombies.next("pid", zombie.getPid());
          that(isPidOrNone(zombie.getProcessGroup()), "process_group is none");
          that(isPidOrNone(zombie.getSession()), "session is none");
          boolean exited = (zombie.getStatus() & 0x7f) == 0;
          that(
              upTo(zombie.getStatus(), 0xffff)
                  && (exited || (zombie.getStatus() >>> 8 == 0 && zombie.getStatus() <= 64)),
              "status is none");
          that(zombie.getComm().size() < 16 && !Rules.hasNul(zombie.getComm()), "comm is none");
        });
    Ascending kinds = new Ascending(1);
    each(
        "namespaces",
        identity.getNamespacesList(),
        namespace -> {
          kinds.next("kind", namespace.getKindValue());
          that(namespace.getKind() != Namespace.Kind.UNRECOGNIZED, "kind is unknown");
          that(isDirectory(namespace.getPath()), "path is not absolute");
          that(namespace.getInode() != 0 || !namespace.getPath().isEmpty(), "inode is missing");
        });
    Ascending resources = new Ascending(0);
    each(
        "limits",
        identity.getLimitsList(),
        limit -> {
          resources.next("resource", limit.getResource());
          that(limit.getResource() < 16, "resource is beyond 15");
          that(
              Long.compareUnsigned(limit.getSoft(), limit.getHard()) <= 0,
              "soft is above the hard limit");
        });
  }

  private static boolean isDirectory(String path) {
    return path.isEmpty() || path.startsWith("/");
  }

  private static void signals(Signals signals) throws Invalid {
    Ascending numbers = new Ascending(1);
    each(
        "actions",
        signals.getActionsList(),
        action -> {
          numbers.next("signal", action.getSignal());
          that(action.getSignal() <= Rules.SIGNALS, "signal is beyond 64");
        });
    each("pending", signals.getPendingList(), StateValidator::pending);
    that(upTo(signals.getStoppedBy(), Rules.SIGNALS), "stopped_by is beyond 64");
  }

  static void pending(PendingSignal pending) throws Invalid {
    that(between(pending.getSignal(), 1, Rules.SIGNALS), "signal is not 1 to 64");
    that(pending.getInfo().size() == 128, "info is not 128 bytes");
  }

  private static void timers(Timers timers) throws Invalid {
    Ascending which = new Ascending(0);
    each(
        "interval",
        timers.getIntervalList(),
        timer -> {
          which.next("which", timer.getWhich());
          that(timer.getWhich() <= 2, "which is beyond 2");
          that(timer.getInterval() >= 0 && timer.getValue() >= 0, "value is beyond 63 bits");
        });
    Ascending ids = new Ascending(0);
    each(
        "posix",
        timers.getPosixList(),
        timer -> {
          ids.next("id", timer.getId());
          that(
              timer.getNotify() == 0 || timer.getNotify() == 1 || timer.getNotify() == 4,
              "notify is not 0, 1 or 4");
          that(upTo(timer.getSignal(), Rules.SIGNALS), "signal is beyond 64");
          that(isPidOrNone(timer.getThread()), "thread is none");
          that(timer.getInterval() >= 0 && timer.getRemaining() >= 0, "time is beyond 63 bits");
        });
    if (timers.hasClocks()) {
      in("clocks", timers.getClocks(), StateValidator::clocks);
    }
  }

  private static void clocks(Clocks clocks) throws Invalid {
    that(clocks.getBootId().size() == BOOT_ID, "boot_id is not 16 bytes");
    that(isClock(clocks.getMonotonic()), "monotonic is beyond the kernel's range");
    that(isClock(clocks.getBoottime()), "boottime is beyond the kernel's range");
    // The host's own clocks count from 0.
    that(
        isOffset(clocks.getMonotonicOffset())
            && isClock(clocks.getMonotonic() - clocks.getMonotonicOffset()),
        "monotonic_offset is none");
    that(
        isOffset(clocks.getBoottimeOffset())
            && isClock(clocks.getBoottime() - clocks.getBoottimeOffset()),
        "boottime_offset is none");
  }

  private static boolean isClock(long nanos) {
    return nanos >= 0 && nanos <= CLOCK_END;
  }

  private static boolean isOffset(long nanos) {
    return nanos >= -CLOCK_END && nanos <= CLOCK_END;
  }

  private static void threads(ProcessState state) throws Invalid {
    that(state.getThreadsCount() > 0, "threads are missing");
    int leader = state.getThreads(0).getTid();
    that(leader == state.getIdentity().getPid(), "threads[0].tid is not the process id");
    ThreadRules rules = new ThreadRules(state.getHost());
    // The leader counts as 0: it comes first, and once.
    Ascending tids = new Ascending(0);
    each(
        "threads",
        state.getThreadsList(),
        thread -> {
          that(isPid(thread.getTid()), "tid is none");
          tids.next("tid", thread.getTid() == leader ? 0 : thread.getTid());
          that(
              !thread.hasEnded() || thread.getTid() == leader,
              "ended is there in one that is not the leader");
          rules.check(thread);
        });
    if (state.getThreads(0).hasEnded()) {
      that(state.getThreadsCount() > 1, "threads are missing: the leader has ended");
      // The kernel shows the signal in the place of the leader's status.
      that(
          state.getSignals().getStoppedBy() == 0,
          "signals.stopped_by is there, and the leader has ended");
    }
  }
}
