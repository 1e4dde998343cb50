package dev.jcr.parasite.linux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import dev.jcr.image.v1.Arch;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class SyscallTest {
  @ParameterizedTest
  @EnumSource(
      value = Arch.class,
      names = {"ARCH_X86_64", "ARCH_AARCH64"})
  void everyNumberHasOneName(Arch arch) {
    Map<Integer, Syscall> byNumber = new HashMap<>();
    for (Syscall call : Syscall.values()) {
      if (call.exists(arch)) {
        assertThat(byNumber.put(call.number(arch), call)).describedAs(call.name()).isNull();
        assertThat(Syscall.of(arch, call.number(arch))).contains(call);
      }
    }
  }

  @Test
  void callsOfTheOtherArchitectureOnly() {
    assertThat(Syscall.POLL.exists(Arch.ARCH_AARCH64)).isFalse();
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Syscall.POLL.number(Arch.ARCH_AARCH64))
        .withMessage("POLL does not exist on ARCH_AARCH64");
    for (Syscall call : Syscall.values()) {
      assertThat(call.exists(Arch.ARCH_X86_64)).describedAs(call.name()).isTrue();
    }
  }

  @Test
  void numbersWithoutARow() {
    assertThat(Syscall.of(Arch.ARCH_X86_64, -1)).isEmpty();
    assertThat(Syscall.of(Arch.ARCH_AARCH64, -1)).isEmpty();
    assertThat(Syscall.of(Arch.ARCH_X86_64, 100_000)).isEmpty();
    // Not the row of READ by its lower half.
    assertThat(Syscall.of(Arch.ARCH_X86_64, 1L << 32)).isEmpty();
    assertThat(Syscall.of(Arch.ARCH_AARCH64, 0)).contains(Syscall.IO_SETUP);
  }

  /// asm-generic/unistd.h and the x86 table agree from 424 (pidfd_send_signal) on.
  @Test
  void newCallsHaveOneNumberEverywhere() {
    Map<Syscall, Integer> x8664 = new EnumMap<>(Syscall.class);
    Map<Syscall, Integer> aarch64 = new EnumMap<>(Syscall.class);
    for (Syscall call : Syscall.values()) {
      if (call.number(Arch.ARCH_X86_64) >= 424) {
        x8664.put(call, call.number(Arch.ARCH_X86_64));
      }
      if (call.exists(Arch.ARCH_AARCH64) && call.number(Arch.ARCH_AARCH64) >= 424) {
        aarch64.put(call, call.number(Arch.ARCH_AARCH64));
      }
    }
    assertThat(x8664).isEqualTo(aarch64);
  }
}
