package dev.jcr.restore;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import dev.jcr.image.CheckpointException.Problem;
import dev.jcr.image.v1.Arch;
import dev.jcr.image.v1.Host;
import dev.jcr.image.v1.Memory;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.Registers;
import dev.jcr.image.v1.Thread;
import dev.jcr.image.v1.Vdso;
import dev.jcr.image.v1.Vma;
import dev.jcr.image.v1.VmaKind;
import dev.jcr.image.v1.X8664Registers;
import dev.jcr.parasite.arch.Machine;
import dev.jcr.parasite.linux.Syscall;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/// Made-up vDSOs of two kernels, on both architectures.
class VdsoVerdictTest {
  private static final int PAGE = 4096;
  private static final long VDSO = 0x7ffff7fc1000L;
  private static final int RIP = 16;

  /// An ELF file of one page with a dynamic symbol table and a hash table that tells its length.
  private static byte[] elf(Map<String, Integer> functions) {
    ByteBuffer elf = ByteBuffer.allocate(PAGE).order(ByteOrder.LITTLE_ENDIAN);
    elf.putInt(0, 0x464c457f).put(4, (byte) 2).put(5, (byte) 1);
    elf.putLong(32, 64).putShort(56, (short) 2);
    elf.putInt(64, 1);
    elf.putInt(120, 2).putLong(128, 0x100);
    long[] dynamic = {4, 0x180, 5, 0x400, 6, 0x200, 0, 0};
    for (int i = 0; i < dynamic.length; i++) {
      elf.putLong(0x100 + 8 * i, dynamic[i]);
    }
    elf.putInt(0x184, functions.size() + 1);
    int symbol = 0x200;
    int name = 0x401;
    for (Map.Entry<String, Integer> function : new TreeMap<>(functions).entrySet()) {
      symbol += 24;
      elf.putInt(symbol, name - 0x400).put(symbol + 4, (byte) 2).putShort(symbol + 6, (short) 1);
      elf.putLong(symbol + 8, function.getValue());
      byte[] text = function.getKey().getBytes(StandardCharsets.US_ASCII);
      elf.put(name, text);
      name += text.length + 1;
    }
    return elf.array();
  }

  private static Vma vma(long start, long end, VmaKind kind) {
    return Vma.newBuilder()
        .setStart(start)
        .setEnd(end)
        .setKind(kind)
        .setProtection(kind == VmaKind.VMA_VVAR ? 1 : 5)
        .build();
  }

  private static ByteString digest(byte[] bytes) {
    try {
      return ByteString.copyFrom(MessageDigest.getInstance("SHA-256").digest(bytes));
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
  }

  /// Four pages of data, then the code; a heap far below, something close above.
  private static ProcessState state(Arch arch, byte[] vdso, long pc) {
    List<Long> words = new ArrayList<>(Collections.nCopies(34, 0L));
    words.set(RIP, pc);
    return ProcessState.newBuilder()
        .setHost(
            Host.newBuilder()
                .setArch(arch)
                .setPageSize(PAGE)
                .setKernelRelease("6.1.0")
                .setVdso(
                    Vdso.newBuilder().setSha256(digest(vdso)).setCode(ByteString.copyFrom(vdso))))
        .setMemory(
            Memory.newBuilder()
                .addVmas(vma(0x10000, 0x20000, VmaKind.VMA_PRIVATE_ANONYMOUS))
                .addVmas(vma(VDSO - 4 * PAGE, VDSO, VmaKind.VMA_VVAR))
                .addVmas(vma(VDSO, VDSO + PAGE, VmaKind.VMA_VDSO))
                .addVmas(vma(VDSO + 2 * PAGE, VDSO + 3 * PAGE, VmaKind.VMA_PRIVATE_ANONYMOUS)))
        .addThreads(
            Thread.newBuilder()
                .setTid(42)
                .setRegisters(
                    Registers.newBuilder()
                        .setX8664(X8664Registers.newBuilder().addAllGeneral(words))))
        .build();
  }

  /// This kernel has six pages of data.
  private static KernelMappings own(byte[] vdso) {
    return new KernelMappings(
        List.of(
            vma(0x100000, 0x104000, VmaKind.VMA_VVAR),
            vma(0x104000, 0x106000, VmaKind.VMA_VVAR),
            vma(0x106000, 0x107000, VmaKind.VMA_VDSO)),
        ByteString.copyFrom(vdso));
  }

  private static List<String> problems(VdsoVerdict verdict) {
    return ((VdsoVerdict.Refused) verdict).problems().stream().map(Problem::toString).toList();
  }

  private static byte[] at(VdsoVerdict.Redirected verdict, int offset, int length) {
    return verdict.code().substring(offset, offset + length).toByteArray();
  }

  @Test
  void theSame() {
    byte[] vdso = elf(Map.of("__vdso_time", 0x600));
    KernelMappings same =
        new KernelMappings(
            List.of(
                vma(0x100000, 0x104000, VmaKind.VMA_VVAR),
                vma(0x104000, 0x105000, VmaKind.VMA_VDSO)),
            ByteString.copyFrom(vdso));
    assertThat(VdsoVerdict.of(state(Arch.ARCH_X86_64, vdso, 0), same))
        .isEqualTo(new VdsoVerdict.Same());
    assertThat(VdsoVerdict.of(ProcessState.getDefaultInstance(), same))
        .isEqualTo(new VdsoVerdict.Same());
  }

  @ParameterizedTest
  @EnumSource(names = {"ARCH_X86_64", "ARCH_AARCH64"})
  void functionsLeadToThoseOfTheSameName(Arch arch) {
    Machine machine = Machine.of(arch);
    String prefix = arch == Arch.ARCH_X86_64 ? "__vdso_" : "__kernel_";
    byte[] theirs =
        elf(
            Map.of(
                prefix + "clock_gettime", 0x600,
                prefix + "getrandom", 0x640,
                prefix + "rt_sigreturn", 0x680));
    byte[] ours = elf(Map.of(prefix + "clock_gettime", 0x900, prefix + "rt_sigreturn", 0x700));
    VdsoVerdict.Redirected verdict =
        (VdsoVerdict.Redirected) VdsoVerdict.of(state(arch, theirs, 0), own(ours));
    assertThat(verdict.start()).isEqualTo(VDSO);
    assertThat(verdict.functions()).isEqualTo(2);
    // Right below the old vDSO, where its data was: six pages of data, then the code.
    byte[] jump = machine.jump(VDSO - PAGE + 0x900);
    assertThat(at(verdict, 0x600, jump.length)).isEqualTo(jump);
    byte[] call = machine.callingFunction(Syscall.GETRANDOM.number(arch));
    assertThat(at(verdict, 0x640, call.length)).isEqualTo(call);
    assertThat(at(verdict, 0x680, 64)).containsOnly(0);
    assertThat(at(verdict, 0, 0x600)).isEqualTo(Arrays.copyOf(theirs, 0x600));
    assertThat(verdict.state().getMemory().getVmasList())
        .containsExactly(
            vma(0x10000, 0x20000, VmaKind.VMA_PRIVATE_ANONYMOUS),
            vma(VDSO - 7 * PAGE, VDSO - 3 * PAGE, VmaKind.VMA_VVAR),
            vma(VDSO - 3 * PAGE, VDSO - PAGE, VmaKind.VMA_VVAR),
            vma(VDSO - PAGE, VDSO, VmaKind.VMA_VDSO),
            vma(VDSO, VDSO + PAGE, VmaKind.VMA_PRIVATE_ANONYMOUS),
            vma(VDSO + 2 * PAGE, VDSO + 3 * PAGE, VmaKind.VMA_PRIVATE_ANONYMOUS));
  }

  @Test
  void anAliasIsTheSameFunction() {
    byte[] theirs = elf(Map.of("getcpu", 0x600, "__vdso_getcpu", 0x600));
    byte[] ours = elf(Map.of("__vdso_getcpu", 0x900));
    VdsoVerdict.Redirected verdict =
        (VdsoVerdict.Redirected) VdsoVerdict.of(state(Arch.ARCH_X86_64, theirs, 0), own(ours));
    byte[] jump = Machine.of(Arch.ARCH_X86_64).jump(VDSO - PAGE + 0x900);
    assertThat(at(verdict, 0x600, jump.length)).isEqualTo(jump);
    assertThat(verdict.functions()).isEqualTo(1);
  }

  @Test
  void whatCannotBe() {
    byte[] ours = elf(Map.of("__vdso_time", 0x900));
    assertThat(
            problems(
                VdsoVerdict.of(
                    state(
                        Arch.ARCH_X86_64,
                        elf(Map.of("__vdso_time", 0x600, "__vdso_news", 0x604)),
                        VDSO + 0x700),
                    own(ours))))
        .containsExactly(
            "thread 42: it stands inside the vDSO of kernel 6.1.0, and this kernel has another;"
                + " dump it again, or restore on the same kernel build",
            "vDSO: its function __vdso_time of kernel 6.1.0 is too short to lead to this"
                + " kernel's; restore on the same kernel build",
            "vDSO: its function __vdso_news of kernel 6.1.0 is not known here; restore on the"
                + " same kernel build");
    assertThat(problems(VdsoVerdict.of(state(Arch.ARCH_X86_64, new byte[PAGE], 0), own(ours))))
        .containsExactly(
            "vDSO: no functions are to be found in that of kernel 6.1.0; restore on the same"
                + " kernel build");
    ProcessState forged = state(Arch.ARCH_X86_64, ours, 0);
    ProcessState.Builder changed = forged.toBuilder();
    changed.getHostBuilder().getVdsoBuilder().setSha256(digest(new byte[1]));
    assertThat(problems(VdsoVerdict.of(changed.build(), own(elf(Map.of())))))
        .containsExactly(
            "vDSO: the image has other bytes of it than its digest says, of kernel 6.1.0; restore"
                + " on the same kernel build");
  }

  /// In the trampoline of signals, whose code stays.
  @Test
  void aThreadThatReturnsFromASignal() {
    byte[] theirs = elf(Map.of("__kernel_rt_sigreturn", 0x600, "__kernel_clock_gettime", 0x640));
    assertThat(
            VdsoVerdict.of(
                state(Arch.ARCH_X86_64, theirs, VDSO + 0x604),
                own(elf(Map.of("__kernel_clock_gettime", 0x900)))))
        .isInstanceOf(VdsoVerdict.Redirected.class);
  }
}
