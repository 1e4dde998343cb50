package dev.jcr.parasite.remote;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.v1.Arch;
import dev.jcr.parasite.linux.Syscall;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.junit.jupiter.api.Test;

class BatchTest {
  private static final long DATA = 0x7f00_0000_8000L;

  private final Batch batch = new Batch(DATA, 64);

  @Test
  void roomIsInWords() {
    assertThat(batch.room(24)).isEqualTo(DATA);
    assertThat(batch.room(4)).isEqualTo(DATA + 24);
    assertThat(batch.room(9)).isEqualTo(DATA + 32);
    assertThat(batch.used()).isEqualTo(48);
    assertThat(batch.room(16)).isEqualTo(DATA + 48);
    assertThat(batch.data()).isEqualTo(DATA);
    assertThatIllegalStateException()
        .isThrownBy(() -> batch.room(1))
        .withMessage("a batch with more than 64 bytes of results");
  }

  @Test
  void callsKeepTheirOrder() {
    assertThat(batch.add(Syscall.GETPID)).isZero();
    assertThat(batch.require("read umask", Syscall.UMASK, 077)).isEqualTo(1);
    assertThat(batch.calls()).hasSize(2);
    assertThat(batch.calls().get(0).what()).isEmpty();
    assertThat(batch.calls().get(1).syscall()).isEqualTo(Syscall.UMASK);
    assertThat(batch.calls().get(1).arguments()).containsExactly(077);
  }

  @Test
  void resultsAreFoundByAddress() throws CheckpointException {
    long first = batch.room(8);
    long second = batch.room(4);
    int call = batch.add(Syscall.GETPID);
    byte[] memory =
        ByteBuffer.allocate(16)
            .order(ByteOrder.LITTLE_ENDIAN)
            .putLong(0x1122_3344_5566_7788L)
            .putInt(-5)
            .array();
    Batch.Results results = new Batch.Results(batch, new long[] {42}, memory);
    assertThat(results.value(call)).isEqualTo(42);
    assertThat(results.word(first)).isEqualTo(0x1122_3344_5566_7788L);
    assertThat(results.integer(second)).isEqualTo(-5);
  }

  @Test
  void inputLiesWhereItsAddressSays() {
    assertThat(batch.input()).isEmpty();
    long first = batch.room(8);
    byte[] text = {1, 2, 3};
    long second = batch.put(text);
    long third = batch.put(new byte[] {9, 8});
    text[0] = 7;
    assertThat(second).isEqualTo(first + 8);
    assertThat(third).isEqualTo(first + 16);
    assertThat(batch.input())
        .containsExactly(0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 0, 0, 0, 0, 0, 9, 8, 0, 0, 0, 0, 0, 0);
  }

  @Test
  void recordsAsTheMachineCodeReadsThem() {
    batch.add(Syscall.GETPID);
    batch.add(Syscall.MMAP, 1, 2, 3, 4, 5, 6);
    assertThat(batch.records(Arch.ARCH_X86_64))
        .containsExactly(39, 0, 0, 0, 0, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 0);
    assertThat(batch.records(Arch.ARCH_AARCH64))
        .containsExactly(172, 0, 0, 0, 0, 0, 0, 0, 222, 1, 2, 3, 4, 5, 6, 0);
  }

  @Test
  void recordsEndBeforeTheData() {
    for (int i = 0; i < 512; i++) {
      batch.add(Syscall.GETPID);
    }
    assertThatIllegalStateException()
        .isThrownBy(() -> batch.add(Syscall.GETPID))
        .withMessage("a batch with more than 512 calls");
  }

  @Test
  void anErrorIsAnAnswerUnlessRequired() throws CheckpointException {
    int optional = batch.add(Syscall.PRCTL, 1);
    assertThat(new Batch.Results(batch, new long[] {-22}, new byte[0]).value(optional))
        .isEqualTo(-22);

    batch.require("read the signal stack", Syscall.SIGALTSTACK, 0, DATA);
    assertThatExceptionOfType(CheckpointException.class)
        .isThrownBy(() -> new Batch.Results(batch, new long[] {-22, -14}, new byte[0]))
        .withMessage("cannot read the signal stack: EFAULT (bad address)")
        .satisfies(e -> assertThat(e.outcome()).isEqualTo(Outcome.FAILED));
  }
}
