package dev.jcr.image.codec;

import static dev.jcr.image.codec.Rules.between;
import static dev.jcr.image.codec.Rules.each;
import static dev.jcr.image.codec.Rules.in;
import static dev.jcr.image.codec.Rules.that;
import static dev.jcr.image.codec.Rules.upTo;

import dev.jcr.image.codec.Rules.Ascending;
import dev.jcr.image.codec.Rules.Invalid;
import dev.jcr.image.registers.Aarch64;
import dev.jcr.image.registers.X8664;
import dev.jcr.image.registers.Xsave;
import dev.jcr.image.v1.Aarch64Registers;
import dev.jcr.image.v1.Arch;
import dev.jcr.image.v1.BlockedCall;
import dev.jcr.image.v1.Credentials;
import dev.jcr.image.v1.Host;
import dev.jcr.image.v1.Registers;
import dev.jcr.image.v1.Resume;
import dev.jcr.image.v1.Rseq;
import dev.jcr.image.v1.Scheduling;
import dev.jcr.image.v1.Seccomp;
import dev.jcr.image.v1.Thread;
import dev.jcr.image.v1.X8664Registers;
import dev.jcr.image.v1.XstateComponent;
import java.util.HashMap;
import java.util.Map;

/// Rules for one thread.
final class ThreadRules {
  /// TASK_COMM_LEN without the NUL.
  private static final int MAX_COMM = 15;

  /// Longest regset: ZA of a 2048-bit streaming vector length with its header, and room.
  private static final int MAX_REGSET = 1 << 17;

  private final Host host;
  private final Map<Integer, Integer> componentSizes = new HashMap<>();

  ThreadRules(Host host) {
    this.host = host;
    for (XstateComponent component : host.getX86().getLayoutList()) {
      componentSizes.put(component.getFeature(), component.getSize());
    }
  }

  void check(Thread thread) throws Invalid {
    that(
        thread.getComm().size() <= MAX_COMM && !Rules.hasNul(thread.getComm()),
        "comm is too long or has a NUL");
    if (thread.hasEnded()) {
      ended(thread);
    } else {
      in("registers", thread.getRegisters(), this::registers);
    }
    in("blocked_call", thread.getBlockedCall(), call -> blocked(call, thread.hasBlockedCall()));
    each("pending", thread.getPendingList(), StateValidator::pending);
    that(
        (thread.getSignalStack().getFlags() & 0x7ffffffc) == 0,
        "signal_stack.flags has unknown bits");
    that(upTo(thread.getRobustListLength(), 1 << 12), "robust_list_length is too long");
    in("rseq", thread.getRseq(), ThreadRules::rseq);
    in("scheduling", thread.getScheduling(), ThreadRules::scheduling);
    in(
        "credentials",
        thread.getCredentials(),
        credentials -> {
          if (thread.hasCredentials()) {
            credentials(credentials);
          }
        });
    that(upTo(thread.getParentDeathSignal(), Rules.SIGNALS), "parent_death_signal is beyond 64");
    in("seccomp", thread.getSeccomp(), ThreadRules::seccomp);
    // kernel/entry/syscall_user_dispatch.c takes none but an empty range at 0.
    that(
        thread.getUserDispatch().getOffset() == 0 || thread.getUserDispatch().getLength() != 0,
        "user_dispatch.length is none");
    that(
        upTo(thread.getModes().getTimestampCounterMode(), 2)
            && upTo(thread.getModes().getMachineCheckKill(), 2),
        "modes has one beyond 2");
    if (thread.hasNumaPolicy()) {
      in("numa_policy", thread.getNumaPolicy(), Rules::numaPolicy);
    }
    that(
        upTo(thread.getScheduling().getClamp().getMinimum(), 1024)
            && upTo(thread.getScheduling().getClamp().getMaximum(), 1024),
        "scheduling.clamp is beyond 1024");
  }

  /// What a thread that has ended cannot have.
  private static void ended(Thread thread) throws Invalid {
    int status = thread.getEnded().getStatus();
    that(upTo(status, 0xffff) && (status & 0xff) == 0, "ended.status is none of exit(2)");
    boolean none =
        !thread.hasRegisters()
            && !thread.hasBlockedCall()
            && thread.getPendingCount() == 0
            && !thread.hasSignalStack()
            && thread.getRobustList() == 0
            && thread.getClearChildTid() == 0
            && !thread.hasRseq()
            && thread.getParentDeathSignal() == 0
            && thread.getTimerSlack() == 0
            && !thread.hasSeccomp()
            && !thread.hasNumaPolicy()
            && !thread.hasUserDispatch()
            && !thread.hasModes();
    that(none, "ended is there in one that goes on");
  }

  private static void seccomp(Seccomp seccomp) throws Invalid {
    that(upTo(seccomp.getMode(), 2), "mode is beyond 2");
    that(
        (seccomp.getMode() == 2) == (seccomp.getFiltersCount() > 0),
        "filters are not those of mode 2");
    each(
        "filters",
        seccomp.getFiltersList(),
        filter -> {
          int size = filter.getProgram().size();
          // BPF_MAXINSNS.
          that(
              size > 0 && size % 8 == 0 && size <= 8 * 4096,
              "program is not 1 to 4096 instructions");
        });
  }

  private void registers(Registers registers) throws Invalid {
    switch (registers.getArchCase()) {
      case X86_64 -> {
        that(host.getArch() == Arch.ARCH_X86_64, "x86_64 is there on another architecture");
        in("x86_64", registers.getX8664(), this::x8664);
      }
      case AARCH64 -> {
        that(host.getArch() == Arch.ARCH_AARCH64, "aarch64 is there on another architecture");
        in("aarch64", registers.getAarch64(), ThreadRules::aarch64);
      }
      case ARCH_NOT_SET -> throw new Invalid("arch is missing");
    }
  }

  private void x8664(X8664Registers registers) throws Invalid {
    that(registers.getGeneralCount() == X8664.WORDS, "general does not have 27 words");
    that(registers.getFxsave().size() == Xsave.FXSAVE_BYTES, "fxsave does not have 464 bytes");
    that(
        registers.getDebugCount() == 0 || registers.getDebugCount() == 6,
        "debug does not have 6 words");
    long[] used = {3};
    Ascending features = new Ascending(2);
    each(
        "components",
        registers.getComponentsList(),
        component -> {
          int feature = component.getFeature();
          features.next("feature", feature);
          that(feature < 63, "feature is beyond 62");
          used[0] |= 1L << feature;
          Integer size = componentSizes.get(feature);
          that(
              size != null && size == component.getData().size(),
              "data does not have the size in host.x86.layout");
        });
    that(registers.getXstateBv() == used[0], "xstate_bv does not name the components");
  }

  private static void aarch64(Aarch64Registers registers) throws Invalid {
    int words = registers.getGeneralCount();
    that(
        words == Aarch64.WORDS || words == Aarch64.ORIG_X7 + 1,
        "general has neither 34 words nor 36");
    Ascending notes = new Ascending(1);
    each(
        "regsets",
        registers.getRegsetsList(),
        regset -> {
          notes.next("note", Integer.toUnsignedLong(regset.getNote()));
          that(
              !regset.getData().isEmpty() && regset.getData().size() <= MAX_REGSET,
              "data is empty or too long");
        });
  }

  private static void blocked(BlockedCall call, boolean present) throws Invalid {
    if (!present) {
      return;
    }
    that(call.getArgumentsCount() <= 6, "arguments are more than 6");
    that(call.getResume() != Resume.RESUME_UNSPECIFIED, "resume is missing");
    that(call.getRemaining() >= 0, "remaining is negative");
  }

  private static void rseq(Rseq rseq) throws Invalid {
    that(upTo(rseq.getLength(), 1 << 12), "length is too long");
  }

  private static void scheduling(Scheduling scheduling) throws Invalid {
    that(upTo(scheduling.getPolicy(), 7), "policy is beyond 7");
    that(between(scheduling.getNice(), -20, 19), "nice is not -20 to 19");
    that(upTo(scheduling.getPriority(), 99), "priority is beyond 99");
    that(scheduling.getAffinityCount() <= 1024, "affinity is longer than 65536 CPUs");
    int words = scheduling.getAffinityCount();
    that(words == 0 || scheduling.getAffinity(words - 1) != 0, "affinity ends with a zero word");
    that(upTo(scheduling.getIoPriority(), 0xffff), "io_priority is beyond 16 bits");
  }

  private static void credentials(Credentials credentials) throws Invalid {
    that(credentials.getUidsCount() == 4, "uids are not 4");
    that(credentials.getGidsCount() == 4, "gids are not 4");
    // NGROUPS_MAX of <linux/limits.h>.
    that(credentials.getGroupsCount() <= 65536, "groups are more than 65536");
  }
}
