package dev.jcr.parasite.arch;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.junit.jupiter.api.Test;

class GuardedStackTest {
  private static final long POINTER = 0xffff_8000_3010L;

  private static byte[] words(long... words) {
    ByteBuffer bytes = ByteBuffer.allocate(8 * words.length).order(ByteOrder.LITTLE_ENDIAN);
    for (long word : words) {
      bytes.putLong(word);
    }
    return bytes.array();
  }

  @Test
  void onlyWhereItIsOn() {
    assertThat(GuardedStack.of(new byte[0])).isEmpty();
    assertThat(GuardedStack.of(words(0, 7, POINTER))).describedAs("was on once").isEmpty();
    assertThat(GuardedStack.of(words(3, 1, POINTER))).contains(new GuardedStack(3, 1, POINTER));
  }

  @Test
  void regsetThereAndBack() {
    byte[] regset = words(5, 1, POINTER);
    assertThat(GuardedStack.of(regset).map(GuardedStack::regset)).contains(regset);
  }

  @Test
  void whatASignalWrites() {
    GuardedStack stack = new GuardedStack(1, 0, POINTER);
    assertThat(stack.capAt()).isEqualTo(POINTER - 8);
    assertThat(stack.withTrampoline()).isEqualTo(new GuardedStack(1, 0, POINTER - 16));
    assertThat(stack.signalEntry(0x4000))
        .describedAs("the trampoline, and the page of the cap above it")
        .isEqualTo(words(0x4000, 0xffff_8000_3000L));
    assertThat(new GuardedStack(1, 0, 0xffff_8000_3000L).signalEntry(0))
        .describedAs("the cap lies in the page below the pointer's")
        .isEqualTo(words(0, 0xffff_8000_2000L));
  }
}
