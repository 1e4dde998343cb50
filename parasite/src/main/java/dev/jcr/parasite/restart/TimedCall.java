package dev.jcr.parasite.restart;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.v1.Arch;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.remote.ProcessMemory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Optional;
import java.util.OptionalLong;

/// Calls that sleep for a relative time, and how the time left can be put back.
///
/// Not listed: absolute times (exact by themselves), and select, pselect6 and ppoll, for which the
/// kernel writes the time left into the caller's memory when it interrupts them (fs/select.c,
/// poll_select_finish).
///
/// @param argument index of the timeout argument
/// @param form what the argument is
/// @param restart how the kernel itself resumes it
public record TimedCall(int argument, Form form, Restart restart) {
  /// What the timeout argument is.
  public enum Form {
    /// Pointer to `struct timespec`; NULL waits for ever.
    TIMESPEC,
    /// int milliseconds; negative waits for ever.
    MILLISECONDS,
    /// A socket whose SO_RCVTIMEO counts.
    SOCKET_RECEIVE,
    /// A socket whose SO_SNDTIMEO counts.
    SOCKET_SEND;

    /// The kernel's timer wheel counts, no high resolution timer.
    public boolean isSocket() {
      return this == SOCKET_RECEIVE || this == SOCKET_SEND;
    }
  }

  /// What becomes of the call when it is interrupted without a handler.
  public enum Restart {
    /// -ERESTART_RESTARTBLOCK: the kernel keeps the end of the sleep and resumes exactly.
    RESTART_BLOCK,
    /// EINTR, although nothing happened that the program asked for.
    EINTR
  }

  private static final long FUTEX_COMMAND = 0x7f;
  private static final long FUTEX_WAIT = 0;
  private static final long TIMER_ABSTIME = 1;

  private static final long NANOS = 1_000_000_000L;
  private static final long NANOS_PER_MILLI = 1_000_000L;

  /// The timeout of a call in nanoseconds; empty when it waits for ever or cannot be read.
  public OptionalLong timeout(long[] arguments, ProcessMemory memory) {
    long value = arguments[argument];
    return switch (form) {
      case MILLISECONDS ->
          (int) value < 0 ? OptionalLong.empty() : OptionalLong.of((int) value * NANOS_PER_MILLI);
      case SOCKET_RECEIVE, SOCKET_SEND -> {
        try (SocketTimeout socket =
            SocketTimeout.of(memory.anchor(), value, form == Form.SOCKET_RECEIVE).orElse(null)) {
          yield socket == null ? OptionalLong.empty() : socket.nanos();
        }
      }
      case TIMESPEC -> {
        if (value == 0) {
          yield OptionalLong.empty();
        }
        try {
          ByteBuffer timespec =
              ByteBuffer.wrap(memory.bytes(value, 16)).order(ByteOrder.LITTLE_ENDIAN);
          long seconds = timespec.getLong(0);
          yield seconds < 0 || seconds > Long.MAX_VALUE / NANOS - 1
              ? OptionalLong.empty()
              : OptionalLong.of(seconds * NANOS + timespec.getLong(8));
        } catch (CheckpointException _) {
          yield OptionalLong.empty();
        }
      }
    };
  }

  /// The row for a call with these arguments; empty when it has no relative timeout.
  public static Optional<TimedCall> of(Arch arch, long number, long[] arguments) {
    return Syscall.of(arch, number)
        .flatMap(call ->
            Optional.ofNullable(
                switch (call) {
                  case NANOSLEEP -> new TimedCall(0, Form.TIMESPEC, Restart.RESTART_BLOCK);
                  case CLOCK_NANOSLEEP ->
                      (arguments[1] & TIMER_ABSTIME) != 0
                          ? null
                          : new TimedCall(2, Form.TIMESPEC, Restart.RESTART_BLOCK);
                  case POLL -> new TimedCall(2, Form.MILLISECONDS, Restart.RESTART_BLOCK);
                  // FUTEX_WAIT_BITSET and the rest take absolute times.
                  case FUTEX ->
                      (arguments[1] & FUTEX_COMMAND) == FUTEX_WAIT
                          ? new TimedCall(3, Form.TIMESPEC, Restart.RESTART_BLOCK)
                          : null;
                  case EPOLL_WAIT, EPOLL_PWAIT ->
                      new TimedCall(3, Form.MILLISECONDS, Restart.EINTR);
                  case EPOLL_PWAIT2 -> new TimedCall(3, Form.TIMESPEC, Restart.EINTR);
                  case RT_SIGTIMEDWAIT -> new TimedCall(2, Form.TIMESPEC, Restart.EINTR);
                  case SEMTIMEDOP -> new TimedCall(3, Form.TIMESPEC, Restart.EINTR);
                  case IO_GETEVENTS, IO_PGETEVENTS ->
                      new TimedCall(4, Form.TIMESPEC, Restart.EINTR);
                  case READ, READV, RECVFROM, RECVMSG, ACCEPT, ACCEPT4 ->
                      new TimedCall(0, Form.SOCKET_RECEIVE, Restart.EINTR);
                  case WRITE, WRITEV, SENDTO, SENDMSG, SENDMMSG, CONNECT ->
                      new TimedCall(0, Form.SOCKET_SEND, Restart.EINTR);
                  default -> null;
                }));
  }
}
