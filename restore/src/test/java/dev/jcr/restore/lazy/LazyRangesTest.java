package dev.jcr.restore.lazy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.image.v1.BlockedCall;
import dev.jcr.image.v1.GuardRange;
import dev.jcr.image.v1.Memory;
import dev.jcr.image.v1.PageKind;
import dev.jcr.image.v1.PageRun;
import dev.jcr.image.v1.PageSpace;
import dev.jcr.image.v1.Pagemap;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.Registers;
import dev.jcr.image.v1.Rseq;
import dev.jcr.image.v1.Thread;
import dev.jcr.image.v1.Vma;
import dev.jcr.image.v1.VmaKind;
import dev.jcr.image.v1.X8664Registers;
import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.Test;

class LazyRangesTest {
  private static final int PAGE = 4096;
  private static final long MIB = 1 << 20;

  private static Vma.Builder anonymous() {
    return Vma.newBuilder()
        .setStart(MIB)
        .setEnd(3 * MIB)
        .setProtection(3)
        .setKind(VmaKind.VMA_PRIVATE_ANONYMOUS);
  }

  private static Pagemap stored(long start, long end) {
    return Pagemap.newBuilder()
        .setPageSize(PAGE)
        .addSpaces(
            PageSpace.newBuilder()
                .addRuns(
                    PageRun.newBuilder()
                        .setStart(start)
                        .setPages((end - start) / PAGE)
                        .setKind(PageKind.PAGE_STORED)))
        .build();
  }

  private static LazyRanges of(Vma.Builder vma, Thread... threads) {
    return LazyRanges.of(
        ProcessState.newBuilder()
            .setMemory(Memory.newBuilder().addVmas(vma))
            .addAllThreads(List.of(threads))
            .build(),
        stored(MIB, 2 * MIB));
  }

  @Test
  void storedPagesOfLargePrivateMappings() {
    LazyRanges ranges = of(anonymous());
    assertThat(ranges.mappings()).hasToString("100000-300000");
    assertThat(ranges.pages()).hasToString("100000-200000");
    assertThat(ranges.bytes()).isEqualTo(MIB);
  }

  @Test
  void notWhereTheyCannotComeLater() {
    assertThat(of(anonymous().setKind(VmaKind.VMA_PRIVATE_FILE)).mappings().size()).isZero();
    assertThat(of(anonymous().setKind(VmaKind.VMA_SHARED_MEMORY)).mappings().size()).isZero();
    for (String flag : List.of("lo", "lf", "wf", "ss")) {
      assertThat(of(anonymous().addVmFlags(flag)).mappings().size()).as(flag).isZero();
    }
    assertThat(of(anonymous().setFlags(0x100)).mappings().size()).as("grows down").isZero();
    assertThat(of(anonymous().setFlags(8)).mappings().size()).as("droppable").isZero();
    assertThat(of(anonymous().setProtection(3 | 0x20)).mappings().size()).as("tags").isZero();
    assertThat(of(anonymous().setProtection(0)).mappings().size()).as("not readable").isZero();
    assertThat(
            of(anonymous()
                    .addGuards(GuardRange.newBuilder().setStart(2 * MIB).setEnd(2 * MIB + PAGE)))
                .mappings()
                .size())
        .isZero();
    assertThat(of(anonymous().setEnd(MIB + 63 * PAGE)).mappings().size()).as("small").isZero();
  }

  @Test
  void whatIsTouchedBeforeItRunsIsThere() {
    List<Long> general = new java.util.ArrayList<>(Collections.nCopies(27, 0L));
    general.set(19, MIB + 100 * PAGE + 8);
    Thread thread =
        Thread.newBuilder()
            .setTid(1)
            .setRegisters(
                Registers.newBuilder().setX8664(X8664Registers.newBuilder().addAllGeneral(general)))
            .setRseq(Rseq.newBuilder().setAddress(MIB + 200 * PAGE + PAGE - 16).setLength(32))
            .setBlockedCall(BlockedCall.newBuilder().addArguments(MIB + 8).addArguments(-1L))
            .build();
    assertThat(of(anonymous(), thread).pages())
        .hasToString("101000-163000 175000-1c8000 1ca000-200000");
  }
}
