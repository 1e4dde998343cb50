package dev.jcr.parasite.restart;

import dev.jcr.image.registers.Aarch64;
import dev.jcr.image.v1.Arch;
import dev.jcr.parasite.arch.Aarch64Machine;
import dev.jcr.parasite.arch.Machine;
import dev.jcr.parasite.arch.X8664Machine;
import dev.jcr.parasite.arch.X8664Words;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.procfs.BlockedIn;
import java.util.Arrays;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;

/// What stopping did to a thread's system call, and the registers that undo it. Pure: decided from
/// the registers at the stop, from /proc/TID/syscall before it, and from whether a handler is about
/// to run.
///
/// @param kind what was found
/// @param number the call it was in, as the program made it; -1 in user mode
/// @param arguments its arguments
/// @param resume registers with which another thread, or this one, resumes as the program expects
/// @param live registers for the stopped thread itself: what the kernel needs to see at the stop so
///   that it resumes exactly (with the time left, where it keeps it)
@SuppressWarnings("ArrayRecordComponent") // registers, as the regset has them; never compared
public record InterruptedCall(
    Kind kind, long number, long[] arguments, long[] resume, long[] live) {
  /// What was found.
  public enum Kind {
    /// Stopped in user mode.
    USER_MODE,
    /// The call is done and its result is on the way to the program.
    COMPLETED,
    /// The call starts again from its beginning.
    RESTART,
    /// The kernel holds the end of the sleep; in another process it starts again.
    RESTART_BLOCK,
    /// Stopping alone made the call fail with EINTR; it is started again.
    PUT_BACK,
    /// A sleep that was interrupted before, of which nothing else is known: the program sees EINTR.
    UNKNOWN,
    /// A handled signal is pending: the program sees EINTR, as without jcr.
    SIGNALLED
  }

  /// -ERESTARTSYS, -ERESTARTNOINTR, -ERESTARTNOHAND, -ERESTART_RESTARTBLOCK: `<linux/errno.h>` of
  /// the kernel, never seen by programs.
  private static final int ERESTARTSYS = 512;

  private static final int ERESTARTNOINTR = 513;
  private static final int ERESTARTNOHAND = 514;
  private static final int ERESTART_RESTARTBLOCK = 516;

  private static final int ARGUMENTS = 6;

  /// x8.
  private static final int AARCH64_NUMBER = 8;

  private static final long TIMER_ABSTIME = 1;
  private static final long FUTEX_COMMAND = 0x7f;
  private static final long FUTEX_WAIT = 0;
  private static final long FUTEX_WAIT_BITSET = 9;

  /// Calls that return EINTR after any stop, handler or not: signal(7), "Interruption of system
  /// calls and library functions by stop signals", and io_getevents, which it forgets.
  private static final Set<Syscall> EINTR_AFTER_STOP =
      Set.of(
          Syscall.EPOLL_WAIT,
          Syscall.EPOLL_PWAIT,
          Syscall.EPOLL_PWAIT2,
          Syscall.RT_SIGTIMEDWAIT,
          Syscall.SEMOP,
          Syscall.SEMTIMEDOP,
          Syscall.IO_GETEVENTS,
          Syscall.IO_PGETEVENTS,
          Syscall.MSGRCV,
          Syscall.MSGSND,
          // With SO_RCVTIMEO or SO_SNDTIMEO set.
          Syscall.READ,
          Syscall.READV,
          Syscall.WRITE,
          Syscall.WRITEV,
          Syscall.ACCEPT,
          Syscall.ACCEPT4,
          Syscall.CONNECT,
          Syscall.RECVFROM,
          Syscall.RECVMSG,
          Syscall.RECVMMSG,
          Syscall.SENDTO,
          Syscall.SENDMSG,
          Syscall.SENDMMSG);

  /// A signal that a handler will take as soon as the thread runs.
  ///
  /// @param restarts its action has SA_RESTART
  public record Handler(boolean restarts) {}

  /// The call behind restart_syscall(2) could not be told.
  public boolean isUnknown() {
    return kind == Kind.UNKNOWN;
  }

  /// Decides for the architecture of `machine`.
  ///
  /// @param stopped registers at the stop
  /// @param before /proc/TID/syscall before the stop
  /// @param handler the first deliverable signal with a handler, if any
  /// @param wchan /proc/TID/wchan before the stop: tells what a restart_syscall sleeps in
  /// @param atCall the program counter is at a system call instruction; asked for on aarch64 only
  public static InterruptedCall of(
      Machine machine,
      long[] stopped,
      Optional<BlockedIn> before,
      Optional<Handler> handler,
      String wchan,
      boolean atCall) {
    return switch (machine) {
      case X8664Machine _ -> x8664(stopped, before, handler, wchan);
      case Aarch64Machine _ -> aarch64(stopped, before, handler, wchan, atCall);
    };
  }

  /// Decides for aarch64, where the kernel has rewound before the stop (arch/arm64/kernel/signal.c,
  /// do_signal): the error is not visible, and that it was -ERESTART_RESTARTBLOCK is known to the
  /// kernel for this stop only, so that an injected call loses it. `live` says it in x8 instead.
  /// What the thread was blocked in before the stop is the evidence: the same call at the same
  /// place with the same arguments.
  static InterruptedCall aarch64(
      long[] shown,
      Optional<BlockedIn> before,
      Optional<Handler> handler,
      String wchan,
      boolean atCall) {
    long[] stopped = Aarch64Machine.withoutSingleStep(shown);
    long[] arguments = Arrays.copyOf(stopped, ARGUMENTS);
    long number = stopped[AARCH64_NUMBER];
    boolean asleep =
        before.isPresent()
            && !before.get().running()
            && before.get().number() == number
            && before.get().sp() == stopped[Aarch64.SP]
            && sameFrom(1, before.get().arguments(), arguments);
    if (!asleep) {
      boolean inSignalPath =
          before.isPresent()
              && !before.get().running()
              && before.get().number() == -1
              && before.get().pc() == stopped[Aarch64.PC];
      if (atCall && inSignalPath) {
        // Stopped by a signal before: rewound then, and the kernel shows no call any more. That it
        // was just about to make one is not told apart, and all but impossible.
        return aarch64Rewound(stopped, number, arguments, handler, wchan);
      }
      // In a call of which only the number of restart_syscall(2) is left: what it was is seen when
      // it sleeps.
      boolean unknown = atCall && number == Syscall.RESTART_SYSCALL.number(Arch.ARCH_AARCH64);
      return new InterruptedCall(
          unknown ? Kind.UNKNOWN : Kind.USER_MODE, -1, arguments, stopped, stopped.clone());
    }
    BlockedIn in = before.get();
    long behind = stopped[Aarch64.PC];
    if (in.pc() == behind + Integer.BYTES && in.arguments()[0] == arguments[0]) {
      return aarch64Rewound(stopped, number, arguments, handler, wchan);
    }
    if (in.pc() == behind
        && stopped[0] == -Errno.EINTR
        && handler.isEmpty()
        && Syscall.of(Arch.ARCH_AARCH64, number).filter(EINTR_AFTER_STOP::contains).isPresent()) {
      long[] again = stopped.clone();
      again[0] = in.arguments()[0];
      again[Aarch64.PC] -= Integer.BYTES;
      return new InterruptedCall(Kind.PUT_BACK, number, in.arguments(), again, again.clone());
    }
    return new InterruptedCall(Kind.USER_MODE, -1, arguments, stopped, stopped.clone());
  }

  private static InterruptedCall aarch64Rewound(
      long[] stopped, long number, long[] arguments, Optional<Handler> handler, String wchan) {
    long original = originalOf(Arch.ARCH_AARCH64, number, arguments, wchan).orElse(-1);
    long code = original == -1 ? ERESTART_RESTARTBLOCK : aarch64Code(original, arguments);
    boolean restartBlock = code == ERESTART_RESTARTBLOCK;
    long[] live = stopped.clone();
    if (restartBlock) {
      live[AARCH64_NUMBER] = Syscall.RESTART_SYSCALL.number(Arch.ARCH_AARCH64);
    }
    if (original == -1 || (handler.isPresent() && !restartsUnder(-code, handler.get()))) {
      long[] failed = stopped.clone();
      failed[0] = -Errno.EINTR;
      failed[Aarch64.PC] += Integer.BYTES;
      return original == -1
          ? new InterruptedCall(Kind.UNKNOWN, -1, arguments, failed, live)
          : new InterruptedCall(Kind.SIGNALLED, number, arguments, failed, failed.clone());
    }
    long[] again = stopped.clone();
    again[AARCH64_NUMBER] = original;
    return new InterruptedCall(
        restartBlock ? Kind.RESTART_BLOCK : Kind.RESTART, original, arguments, again, live);
  }

  /// With which error a call of the aarch64 table returns when a stop interrupts its sleep:
  /// kernel/time/hrtimer.c, kernel/futex/waitwake.c, fs/select.c, kernel/signal.c, ipc/msg.c. All
  /// others: -ERESTARTSYS.
  private static int aarch64Code(long number, long[] arguments) {
    Optional<Syscall> call = Syscall.of(Arch.ARCH_AARCH64, number);
    if (call.isEmpty()) {
      return ERESTARTSYS;
    }
    return switch (call.get()) {
      case NANOSLEEP -> ERESTART_RESTARTBLOCK;
      case CLOCK_NANOSLEEP ->
          (arguments[1] & TIMER_ABSTIME) != 0 ? ERESTARTNOHAND : ERESTART_RESTARTBLOCK;
      case FUTEX -> isTimedWait(arguments) ? ERESTART_RESTARTBLOCK : ERESTARTSYS;
      case PSELECT6, PPOLL, RT_SIGSUSPEND, MSGRCV, MSGSND -> ERESTARTNOHAND;
      default -> ERESTARTSYS;
    };
  }

  /// FUTEX_WAIT or FUTEX_WAIT_BITSET with a timeout.
  private static boolean isTimedWait(long[] arguments) {
    long command = arguments[1] & FUTEX_COMMAND;
    return (command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET) && arguments[3] != 0;
  }

  private static boolean sameFrom(int first, long[] one, long[] other) {
    for (int i = first; i < ARGUMENTS; i++) {
      if (one[i] != other[i]) {
        return false;
      }
    }
    return true;
  }

  /// Decides for x86_64, where the kernel rewinds only after the stop (arch/x86/kernel/signal.c,
  /// arch_do_signal_or_restart).
  ///
  /// @param stopped registers at the stop
  /// @param before /proc/TID/syscall before the stop
  /// @param handler the first deliverable signal with a handler, if any
  /// @param wchan /proc/TID/wchan before the stop: tells what a restart_syscall sleeps in
  static InterruptedCall x8664(
      long[] stopped, Optional<BlockedIn> before, Optional<Handler> handler, String wchan) {
    long number = stopped[X8664Words.ORIG_RAX];
    long[] arguments = {
      stopped[X8664Words.RDI],
      stopped[X8664Words.RSI],
      stopped[X8664Words.RDX],
      stopped[X8664Words.R10],
      stopped[X8664Words.R8],
      stopped[X8664Words.R9]
    };
    if (number == -1) {
      return new InterruptedCall(Kind.USER_MODE, -1, arguments, stopped.clone(), stopped.clone());
    }
    long result = stopped[X8664Words.RAX];
    boolean restartBlock = result == -ERESTART_RESTARTBLOCK;
    if (restartBlock
        || result == -ERESTARTSYS
        || result == -ERESTARTNOINTR
        || result == -ERESTARTNOHAND) {
      if (handler.isPresent() && !restartsUnder(result, handler.get())) {
        long[] failed = finished(stopped);
        failed[X8664Words.RAX] = -Errno.EINTR;
        return new InterruptedCall(Kind.SIGNALLED, number, arguments, failed, stopped.clone());
      }
      long original =
          restartBlock ? originalOf(Arch.ARCH_X86_64, number, arguments, wchan).orElse(-1) : number;
      long[] again;
      if (original == -1) {
        // The call behind restart_syscall(2) cannot be told: the program sees EINTR.
        again = finished(stopped);
        again[X8664Words.RAX] = -Errno.EINTR;
      } else {
        again = rewound(stopped, original);
      }
      return new InterruptedCall(
          original == -1 ? Kind.UNKNOWN : restartBlock ? Kind.RESTART_BLOCK : Kind.RESTART,
          original,
          arguments,
          again,
          stopped.clone());
    }
    if (result == -Errno.EINTR
        && handler.isEmpty()
        && before.isPresent()
        && !before.get().running()
        && before.get().number() == number
        && before.get().sp() == stopped[X8664Words.RSP]
        && before.get().pc() == stopped[X8664Words.RIP]
        && Syscall.of(Arch.ARCH_X86_64, number).filter(EINTR_AFTER_STOP::contains).isPresent()) {
      long[] again = rewound(stopped, number);
      return new InterruptedCall(Kind.PUT_BACK, number, arguments, again, again.clone());
    }
    return new InterruptedCall(
        Kind.COMPLETED, number, arguments, finished(stopped), stopped.clone());
  }

  /// arch/x86/kernel/signal.c, handle_signal.
  private static boolean restartsUnder(long result, Handler handler) {
    return result == -ERESTARTNOINTR || (result == -ERESTARTSYS && handler.restarts());
  }

  /// Registers that execute call `number` again at the same instruction.
  private static long[] rewound(long[] stopped, long number) {
    long[] registers = finished(stopped);
    registers[X8664Words.RAX] = number;
    registers[X8664Words.RIP] -= 2;
    return registers;
  }

  private static long[] finished(long[] stopped) {
    long[] registers = stopped.clone();
    registers[X8664Words.ORIG_RAX] = -1;
    return registers;
  }

  /// Clock ids are ints, negative for CPU clocks; pointers lie above the first page.
  private static boolean isClock(long argument) {
    return argument >>> 32 == 0 && (int) argument < 4096;
  }

  /// The code that calls a system call's function: do_syscall_64, x64_sys_call,
  /// __x64_sys_restart_syscall, invoke_syscall, el0_svc_common. Seen below a resumed nanosleep
  /// only: do_nanosleep counts as scheduler (kernel/time/hrtimer.c, __sched) and is not shown, and
  /// hrtimer_nanosleep_restart ends in a jump to it, so that nothing of it is on the stack. Which
  /// of them shows depends on the build: do_syscall_64 on 6.18.
  private static boolean isDispatcher(String wchan) {
    return wchan.contains("syscall") || wchan.contains("sys_call") || wchan.contains("el0_svc");
  }

  /// A task interrupted before executes restart_syscall(2): its arguments are still those of the
  /// original call, its number is gone from every interface, and only the place where it sleeps
  /// tells it.
  private static OptionalLong originalOf(Arch arch, long number, long[] arguments, String wchan) {
    if (number != Syscall.RESTART_SYSCALL.number(arch)) {
      return OptionalLong.of(number);
    }
    Syscall original;
    if (wchan.contains("futex")) {
      original = Syscall.FUTEX;
    } else if (wchan.contains("poll") && Syscall.POLL.exists(arch)) {
      original = Syscall.POLL;
    } else if (wchan.contains("nsleep") || wchan.contains("nanosleep") || isDispatcher(wchan)) {
      // clock_nanosleep has a small clock number where nanosleep has a pointer.
      original = isClock(arguments[0]) ? Syscall.CLOCK_NANOSLEEP : Syscall.NANOSLEEP;
    } else {
      return OptionalLong.empty();
    }
    return OptionalLong.of(original.number(arch));
  }
}
