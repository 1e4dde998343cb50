package dev.jcr.parasite.remote;

import static dev.jcr.parasite.arch.X8664Words.*;
import static org.assertj.core.api.Assertions.assertThat;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.junit.jupiter.api.Test;

/// `struct rt_sigframe`, `struct ucontext` and `struct sigcontext_64` by their offsets
/// (arch/x86/include/asm/sigframe.h, `<asm/ucontext.h>`, `<asm/sigcontext.h>`).
class SignalFrameTest {
  private static final long ADDRESS = 0x7ffc_0000_1000L;
  private static final int UC = 8;
  private static final int GREGS = UC + 40;

  private static long[] registers() {
    long[] registers = new long[COUNT];
    for (int i = 0; i < COUNT; i++) {
      registers[i] = 0x1122_3344_5566_0000L + i;
    }
    return registers;
  }

  private static ByteBuffer frame(byte[] xstate) {
    return ByteBuffer.wrap(SignalFrame.build(ADDRESS, 0x4321, registers(), 0x8000_0002L, xstate))
        .order(ByteOrder.LITTLE_ENDIAN);
  }

  @Test
  void returnAddressAndContext() {
    ByteBuffer frame = frame(new byte[0]);
    assertThat(frame.getLong(0)).describedAs("pretcode").isEqualTo(0x4321);
    assertThat(frame.getLong(UC)).describedAs("uc_flags").isEqualTo(7);
    assertThat(frame.getLong(UC + 8)).describedAs("uc_link").isZero();
    assertThat(frame.getLong(UC + 16)).describedAs("ss_sp").isZero();
    assertThat(frame.getInt(UC + 24)).describedAs("ss_flags, refused").isEqualTo(0xff);
    assertThat(frame.getLong(UC + 32)).describedAs("ss_size").isZero();
    assertThat(frame.getLong(UC + 296)).describedAs("uc_sigmask").isEqualTo(0x8000_0002L);
  }

  @Test
  void generalRegisters() {
    ByteBuffer frame = frame(new byte[0]);
    // enum of <sys/ucontext.h>: REG_R8 = 0 ... REG_RIP = 16, REG_EFL, REG_CSGSFS
    int[] order = {
      R8, R9, R10, R11, R12, R13, R14, R15, RDI, RSI, RBP, RBX, RDX, RAX, RCX, RSP, RIP, EFLAGS
    };
    for (int i = 0; i < order.length; i++) {
      assertThat(frame.getLong(GREGS + 8 * i))
          .describedAs("gregs[%d]", i)
          .isEqualTo(registers()[order[i]]);
    }
    assertThat(frame.getShort(GREGS + 144)).describedAs("cs").isEqualTo((short) CS);
    assertThat(frame.getShort(GREGS + 146)).describedAs("gs").isEqualTo((short) GS);
    assertThat(frame.getShort(GREGS + 148)).describedAs("fs").isEqualTo((short) FS);
    assertThat(frame.getShort(GREGS + 150)).describedAs("ss").isEqualTo((short) SS);
    assertThat(frame.getLong(GREGS + 152)).describedAs("err").isZero();
    assertThat(frame.getLong(GREGS + 160)).describedAs("trapno").isZero();
    assertThat(frame.getLong(GREGS + 168)).describedAs("oldmask").isZero();
    assertThat(frame.getLong(GREGS + 176)).describedAs("cr2").isZero();
    assertThat(frame.getLong(GREGS + 184)).describedAs("fpstate").isZero();
  }

  @Test
  void floatingPointStateIsAligned() {
    byte[] xstate = new byte[832];
    xstate[24] = (byte) 0x80;
    ByteBuffer frame = frame(xstate);
    long fpstate = frame.getLong(GREGS + 184);
    assertThat(fpstate % 64).isZero();
    int at = (int) (fpstate - ADDRESS);
    assertThat(at).isGreaterThanOrEqualTo(SignalFrame.CONTEXT_SIZE);
    assertThat(frame.get(at + 24)).isEqualTo((byte) 0x80);
    assertThat(frame.getInt(at + 464)).describedAs("magic1").isEqualTo(0x46505853);
    assertThat(frame.getInt(at + 832)).describedAs("magic2").isEqualTo(0x46505845);
    assertThat(frame.capacity()).isEqualTo(at + 836);
  }
}
