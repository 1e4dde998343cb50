package dev.jcr.parasite.ptrace;

import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.parasite.ptrace.WaitStatus.EventStop;
import dev.jcr.parasite.ptrace.WaitStatus.Exited;
import dev.jcr.parasite.ptrace.WaitStatus.GroupStop;
import dev.jcr.parasite.ptrace.WaitStatus.Killed;
import dev.jcr.parasite.ptrace.WaitStatus.SignalStop;
import dev.jcr.parasite.ptrace.WaitStatus.SyscallStop;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class WaitStatusTest {
  static Stream<Arguments> statuses() {
    return Stream.of(
        Arguments.of(0x0000, new Exited(0)),
        Arguments.of(0x0300, new Exited(3)),
        Arguments.of(0xff00, new Exited(255)),
        Arguments.of(0x0009, new Killed(9)),
        Arguments.of(0x008b, new Killed(11)), // with a core dump
        Arguments.of(0x137f, new SignalStop(19)),
        Arguments.of(0x057f, new SignalStop(5)), // a SIGTRAP that somebody sent
        Arguments.of(0x407f, new SignalStop(64)),
        Arguments.of(0x857f, new SyscallStop()),
        Arguments.of(0x80057f, new EventStop(128)), // PTRACE_INTERRUPT
        Arguments.of(0x80137f, new GroupStop(19)), // SIGSTOP
        Arguments.of(0x80147f, new GroupStop(20)), // SIGTSTP
        Arguments.of(0x80167f, new GroupStop(22)), // SIGTTOU
        Arguments.of(0x01057f, new EventStop(1)), // fork
        Arguments.of(0x03057f, new EventStop(3)), // clone
        Arguments.of(0x06057f, new EventStop(6))); // exit
  }

  @ParameterizedTest
  @MethodSource("statuses")
  void decode(int status, WaitStatus expected) {
    assertThat(WaitStatus.decode(status)).isEqualTo(expected);
    assertThat(expected.ended())
        .isEqualTo(expected instanceof Exited || expected instanceof Killed);
  }
}
