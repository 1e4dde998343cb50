package dev.jcr.parasite.ptrace;

import java.util.Optional;

/// A thread in a `PTRACE_EVENT_STOP`, with what was captured right after the stop, before any
/// injection.
///
/// @param tracee the handle
/// @param stop the stop it is in: EventStop(128), or GroupStop with the stop signal
/// @param registers general registers as the kernel showed them at the stop
/// @param signalMask blocked signals, or the mask to return to inside sigsuspend and its like
/// @param userDispatch where its system calls go to a handler of its own
@SuppressWarnings("ArrayRecordComponent") // registers, as the regset has them; never compared
public record StoppedThread(
    Tracee tracee,
    WaitStatus stop,
    long[] registers,
    long signalMask,
    Optional<UserDispatch> userDispatch) {
  public int tid() {
    return tracee.tid();
  }
}
