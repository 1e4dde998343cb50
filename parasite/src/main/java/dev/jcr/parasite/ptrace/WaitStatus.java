package dev.jcr.parasite.ptrace;

/// A wait status of wait4(2), decoded into a closed set.
public sealed interface WaitStatus {
  /// The task ended by itself.
  record Exited(int code) implements WaitStatus {}

  /// The task was killed by a signal.
  record Killed(int signal) implements WaitStatus {}

  /// Signal-delivery-stop: the signal is not delivered yet.
  record SignalStop(int signal) implements WaitStatus {}

  /// `PTRACE_EVENT_STOP` by a stop signal: the whole thread group is stopped.
  record GroupStop(int signal) implements WaitStatus {}

  /// Entry or exit of a system call (`PTRACE_O_TRACESYSGOOD`).
  record SyscallStop() implements WaitStatus {}

  /// Another `PTRACE_EVENT_*`; 128 is `PTRACE_EVENT_STOP` of an interrupt or a new task.
  record EventStop(int event) implements WaitStatus {}

  int EVENT_CLONE = 3;
  int EVENT_FORK = 1;
  int EVENT_EXIT = 6;
  int EVENT_STOP = 128;
  int SIGTRAP = 5;

  /// Decodes the status word of wait4(2) for a seized task with `PTRACE_O_TRACESYSGOOD`.
  static WaitStatus decode(int status) {
    if ((status & 0x7f) == 0) {
      return new Exited(status >> 8 & 0xff);
    }
    if ((status & 0xff) != 0x7f) {
      return new Killed(status & 0x7f);
    }
    int signal = status >> 8 & 0xff;
    int event = status >> 16 & 0xff;
    if (event == EVENT_STOP && signal != SIGTRAP) {
      return new GroupStop(signal);
    }
    if (event != 0) {
      return new EventStop(event);
    }
    return signal == (SIGTRAP | 0x80) ? new SyscallStop() : new SignalStop(signal);
  }

  /// True for [Exited] and [Killed].
  default boolean ended() {
    return this instanceof Exited || this instanceof Killed;
  }
}
