package dev.jcr.parasite.remote;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.v1.Arch;
import dev.jcr.parasite.arch.Machine;
import dev.jcr.parasite.remote.Gadgets.Range;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/// Searches in the test's own memory.
class GadgetsTest {
  private static final Machine MACHINE = Machine.of(Arch.ARCH_X86_64);
  private static final int WINDOW = 1 << 20;
  private static final byte[] SYSCALL = {0x0f, 0x05};
  private static final byte[] SYSCALL_RET = {0x0f, 0x05, (byte) 0xc3};
  private static final byte[] SIGRETURN = {0x48, (byte) 0xc7, (byte) 0xc0, 15, 0, 0, 0, 0x0f, 0x05};
  private static final byte[] SIGRETURN_SHORT = {(byte) 0xb8, 15, 0, 0, 0, 0x0f, 0x05};

  private Arena arena;
  private MemorySegment area;
  private ProcessMemory memory;

  @BeforeEach
  void open() throws CheckpointException {
    arena = Arena.ofConfined();
    area = arena.allocate(3L * WINDOW, 4096);
    memory = ProcessMemory.open((int) ProcessHandle.current().pid());
  }

  @AfterEach
  void close() {
    memory.close();
    arena.close();
  }

  private void put(long offset, byte[] bytes) {
    MemorySegment.copy(bytes, 0, area, JAVA_BYTE, offset, bytes.length);
  }

  private Gadgets find(long from, long to) throws CheckpointException {
    return Gadgets.find(
        MACHINE, memory, List.of(new Range(area.address() + from, area.address() + to)));
  }

  private long at(long offset) {
    return area.address() + offset;
  }

  @Test
  void nothing() throws CheckpointException {
    assertThat(find(0, area.byteSize())).isEqualTo(new Gadgets(MACHINE, 0, 0, 0));
    assertThat(Gadgets.find(MACHINE, memory, List.of())).isEqualTo(new Gadgets(MACHINE, 0, 0, 0));
    assertThat(new Gadgets(MACHINE, 1, 0, 1).safe()).isFalse();
    assertThat(new Gadgets(MACHINE, 1, 1, 0).safe()).isFalse();
    assertThat(new Gadgets(MACHINE, 1, 1, 1).safe()).isTrue();
  }

  @Test
  void theFirstOfEachKind() throws CheckpointException {
    put(100, SYSCALL);
    put(200, SYSCALL_RET);
    put(300, SIGRETURN);
    put(400, SYSCALL_RET);
    put(500, SIGRETURN);
    assertThat(find(0, area.byteSize())).isEqualTo(new Gadgets(MACHINE, at(100), at(200), at(300)));
  }

  @Test
  void shortTrampoline() throws CheckpointException {
    put(64, SIGRETURN_SHORT);
    put(128, SYSCALL_RET);
    assertThat(find(0, 4096)).isEqualTo(new Gadgets(MACHINE, at(69), at(128), at(64)));
  }

  @Test
  void sequencesAcrossTheBorderOfAWindow() throws CheckpointException {
    for (int cut = 1; cut < SIGRETURN.length; cut++) {
      area.fill((byte) 0);
      put(WINDOW - cut, SIGRETURN);
      put(2L * WINDOW, SYSCALL_RET);
      assertThat(find(0, area.byteSize()).signalReturn()).isEqualTo(at(WINDOW - cut));
    }
    for (int cut = 1; cut < SYSCALL_RET.length; cut++) {
      area.fill((byte) 0);
      put(WINDOW - cut, SYSCALL_RET);
      assertThat(find(0, area.byteSize()).syscallReturn()).isEqualTo(at(WINDOW - cut));
    }
  }

  @Test
  void sequencesAtTheEndOfARange() throws CheckpointException {
    put(4096 - SYSCALL_RET.length, SYSCALL_RET);
    assertThat(find(0, 4096).syscallReturn()).isEqualTo(at(4093));
    // One that is cut by the range's end is not in it.
    assertThat(find(0, 4095)).isEqualTo(new Gadgets(MACHINE, at(4093), 0, 0));
    assertThat(find(0, 4094)).isEqualTo(new Gadgets(MACHINE, 0, 0, 0));
  }

  @Test
  void aCallAlone() throws CheckpointException {
    List<Range> all = List.of(new Range(4096, 8192), new Range(at(0), at(area.byteSize())));
    assertThat(Gadgets.systemCall(MACHINE, memory, all)).isZero();
    put(WINDOW + 8L, SYSCALL);
    put(WINDOW + 80L, SYSCALL_RET);
    assertThat(Gadgets.systemCall(MACHINE, memory, all)).isEqualTo(at(WINDOW + 8L));
  }

  @Test
  void inSeveralRangesOneOfWhichCannotBeRead() throws CheckpointException {
    put(10, SYSCALL_RET);
    put(WINDOW + 10L, SIGRETURN);
    List<Range> ranges =
        List.of(
            new Range(4096, 8192),
            new Range(at(0), at(4096)),
            new Range(at(WINDOW), at(WINDOW + 4096L)));
    assertThat(Gadgets.find(MACHINE, memory, ranges))
        .isEqualTo(new Gadgets(MACHINE, at(10), at(10), at(WINDOW + 10L)));
  }

  @Test
  void stillInTheirPlaces() throws CheckpointException {
    put(100, SYSCALL);
    put(200, SYSCALL_RET);
    put(300, SIGRETURN_SHORT);
    put(400, SIGRETURN);
    assertThat(new Gadgets(MACHINE, 0, 0, 0).stillIn(memory)).isTrue();
    assertThat(new Gadgets(MACHINE, at(100), at(200), at(300)).stillIn(memory)).isTrue();
    assertThat(new Gadgets(MACHINE, at(100), at(200), at(400)).stillIn(memory)).isTrue();
    assertThat(new Gadgets(MACHINE, at(101), 0, 0).stillIn(memory)).isFalse();
    assertThat(new Gadgets(MACHINE, at(100), at(100), 0).stillIn(memory)).isFalse();
    assertThat(new Gadgets(MACHINE, at(100), 0, at(301)).stillIn(memory)).isFalse();
  }
}
