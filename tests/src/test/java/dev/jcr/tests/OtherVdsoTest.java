package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.parasite.arch.VdsoFunction;
import dev.jcr.parasite.procfs.MapsEntry;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// A process from a kernel with another vDSO. There is one kernel here only, so the vDSO of the
/// target is changed before the dump: whatever its functions did, they do not do any more, and only
/// those of this kernel can be what answers after the restore.
@Tag("process")
@Timeout(180)
class OtherVdsoTest {
  private static MapsEntry vdso(Target target) throws IOException {
    return dev.jcr.parasite.procfs.Proc.of((int) target.pid()).maps().stream()
        .filter(mapping -> mapping.path().equals("[vdso]"))
        .findFirst()
        .orElseThrow();
  }

  /// Every function traps, but for the trampoline of signals.
  private static void ruin(Target target, MapsEntry vdso) throws IOException {
    try (RandomAccessFile memory = new RandomAccessFile("/proc/" + target.pid() + "/mem", "rw")) {
      byte[] code = new byte[(int) (vdso.end() - vdso.start())];
      memory.seek(vdso.start());
      memory.readFully(code);
      List<VdsoFunction> functions =
          VdsoFunction.of(code).stream().filter(f -> !f.name().endsWith("rt_sigreturn")).toList();
      assertThat(functions).hasSizeGreaterThan(2);
      byte[] trap = new byte[8];
      Arrays.fill(trap, (byte) (Arm64.IS_HOST ? 0 : 0xcc));
      for (VdsoFunction function : functions) {
        memory.seek(vdso.start() + function.offset());
        memory.write(trap);
      }
    }
  }

  @Test
  void itsFunctionsLeadToThisKernels() throws IOException {
    try (Target target = Target.start("vdso")) {
      MapsEntry old = vdso(target);
      ruin(target, old);
      Jcr.dump(target.pid(), target.image("first")).expectExit(0);
      target.awaitGone();
      assertThat(
              Jcr.run("restore", target.image("first").toString(), "--dry-run").expectExit(0).out())
          .contains("functions of the vDSO at 0x%x to this kernel's".formatted(old.start()));
      assertThat(Jcr.restore(target.image("first")).expectExit(0).err())
          .contains("the vDSO is another than that of kernel ");
      assertThat(vdso(target).start()).isNotEqualTo(old.start());
      // From now on it is a process of this kernel, with some more code of its own.
      for (String which : List.of("second", "third")) {
        Jcr.dump(target.pid(), target.image(which)).expectExit(0);
        target.awaitGone();
        assertThat(Jcr.restore(target.image(which)).expectExit(0).err()).doesNotContain("vDSO");
      }
      target.expectPass();
    }
  }

  /// Half of a function of another kernel cannot be finished here.
  @Test
  void aThreadInsideIsRefused() throws IOException {
    try (Target target = Target.start("odd", "vdso")) {
      MapsEntry old = vdso(target);
      try (RandomAccessFile memory = new RandomAccessFile("/proc/" + target.pid() + "/mem", "rw")) {
        // A field of the ELF header that nobody looks at.
        memory.seek(old.start() + 9);
        memory.write(1);
      }
      boolean refused = false;
      for (int i = 0; i < 20 && !refused; i++) {
        Jcr.dump(target.pid(), target.image("running-" + i), "-R").expectExit(0);
        refused =
            Jcr.restore(target.image("running-" + i))
                .expectExit(4)
                .err()
                .contains("it stands inside the vDSO of kernel ");
      }
      assertThat(refused).isTrue();
      target.expectPass();
    }
  }
}
