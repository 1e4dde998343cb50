package dev.jcr.parasite.collect;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import com.google.protobuf.ByteString;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.v1.Arch;
import dev.jcr.image.v1.FileIdentity;
import dev.jcr.image.v1.Vma;
import dev.jcr.image.v1.VmaKind;
import dev.jcr.parasite.procfs.Smaps;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// On texts of Linux 6.18.
class VmaCollectorTest {
  private static final VmaCollector.Objects NO_OBJECTS =
      mapping -> {
        throw new AssertionError(mapping);
      };

  private static Smaps mapping(String line, String vmFlags) {
    return Smaps.parse(line + "\nVmFlags: " + vmFlags + " \n").getFirst();
  }

  private static Vma collect(String line, String vmFlags) throws CheckpointException {
    return VmaCollector.ofStopped().collect(List.of(mapping(line, vmFlags)), NO_OBJECTS).getFirst();
  }

  private static Vma.Builder anonymous(long start, long end) {
    return Vma.newBuilder()
        .setStart(start)
        .setEnd(end)
        .setProtection(3)
        .setKind(VmaKind.VMA_PRIVATE_ANONYMOUS);
  }

  private static List<String> problems(String line, String vmFlags) {
    return problems(line, vmFlags, Arch.ARCH_X86_64);
  }

  private static List<String> problems(String line, String vmFlags, Arch arch) {
    return VmaCollector.problems(List.of(mapping(line, vmFlags)), arch).stream()
        .map(Object::toString)
        .toList();
  }

  @Test
  void anonymousMemory() throws CheckpointException {
    assertThat(collect("7f0c28a93000-7f0c28a96000 rw-p 00000000 00:00 0 ", "rd wr mr mw me ac"))
        .isEqualTo(anonymous(0x7f0c28a93000L, 0x7f0c28a96000L).build());
    assertThat(collect("5581008b1000-5581008d2000 rw-p 00000000 00:00 0     [heap]", "rd wr mr"))
        .isEqualTo(anonymous(0x5581008b1000L, 0x5581008d2000L).build());
    assertThat(collect("7f0c28a93000-7f0c28a96000 ---p 00000000 00:00 0 ", "mr mw me nr"))
        .isEqualTo(
            anonymous(0x7f0c28a93000L, 0x7f0c28a96000L).setProtection(0).setFlags(0x4000).build());
  }

  @Test
  void stackGrowsDown() throws CheckpointException {
    assertThat(
            collect(
                "7fff05369000-7fff0538a000 rw-p 00000000 00:00 0    [stack]",
                "rd wr mr mw me gd ac"))
        .isEqualTo(anonymous(0x7fff05369000L, 0x7fff0538a000L).setFlags(0x100).build());
  }

  @Test
  void adviceIsKeptSortedAndNameAndKeyToo() throws CheckpointException {
    Smaps mapping =
        Smaps.parse(
                """
                7f0000000000-7f0000200000 r-xp 00000000 00:00 0      [anon:jit: code]
                ProtectionKey:         3
                VmFlags: rd ex mr mw me lo dc hg sd\s
                """)
            .getFirst();
    assertThat(VmaCollector.ofStopped().collect(List.of(mapping), NO_OBJECTS))
        .containsExactly(
            anonymous(0x7f0000000000L, 0x7f0000200000L)
                .setProtection(5)
                .addVmFlags("dc")
                .addVmFlags("hg")
                .addVmFlags("lo")
                .setName(ByteString.copyFromUtf8("jit: code"))
                .setProtectionKey(3)
                .build());
  }

  @Test
  void kernelsMappings() throws CheckpointException {
    assertThat(collect("7f00-7f01 r--p 00000000 00:00 0  [vvar]", "rd mr pf io de dd").getKind())
        .isEqualTo(VmaKind.VMA_VVAR);
    assertThat(collect("7f00-7f01 r--p 00000000 00:00 0  [vvar_vclock]", "rd io pf").getKind())
        .isEqualTo(VmaKind.VMA_VVAR);
    assertThat(collect("7f00-7f01 r-xp 00000000 00:00 0  [vdso]", "rd ex mr mw me de").getKind())
        .isEqualTo(VmaKind.VMA_VDSO);
    Vma vsyscall =
        collect("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]", "ex");
    assertThat(vsyscall.getKind()).isEqualTo(VmaKind.VMA_VSYSCALL);
    assertThat(vsyscall.getStart()).isEqualTo(0xffffffffff600000L);
    // They map device memory, and that is all right.
    assertThat(problems("7f00-7f01 r--p 00000000 00:00 0   [vvar]", "rd io pf")).isEmpty();
  }

  @Test
  void files(@TempDir Path folder) throws CheckpointException, IOException {
    Path file = Files.writeString(folder.resolve("a b"), "hello");
    String path = file.toRealPath().toString();
    FileIdentity identity = FileIdentities.of(path);
    assertThat(collect("1000-2000 rw-p 00003000 fe:00 5    " + path, "rd wr mr mw me"))
        .isEqualTo(
            anonymous(0x1000, 0x2000)
                .setKind(VmaKind.VMA_PRIVATE_FILE)
                .setOffset(0x3000)
                .setFile(identity)
                .build());
    Vma shared = collect("1000-2000 r--s 00000000 fe:00 5    " + path, "rd sh mr mw me ms");
    assertThat(shared.getKind()).isEqualTo(VmaKind.VMA_SHARED_FILE);
    assertThat(shared.getFile()).isEqualTo(identity);
    assertThat(shared.getMayWrite()).describedAs("open for writing").isTrue();
    assertThat(collect("1000-2000 r--s 00000000 fe:00 5    " + path, "rd mr me ms").getMayWrite())
        .describedAs("open for reading")
        .isFalse();
  }

  @Test
  void contentsWithoutAPathAreObjects() throws CheckpointException {
    List<String> asked = new ArrayList<>();
    List<Vma> vmas =
        VmaCollector.ofStopped()
            .collect(
                Smaps.parse(
                    """
                    1000-2000 rw-s 00000000 00:01 25          /dev/zero (deleted)
                    VmFlags: rd wr sh mr mw me ms\s
                    2000-3000 r--s 00001000 00:01 26          /memfd:x (deleted)
                    VmFlags: rd mr me ms\s
                    3000-4000 rw-p 00000000 fe:00 27          /tmp/gone (deleted)
                    VmFlags: rd wr mr mw me\s
                    """),
                mapping -> {
                  asked.add(mapping.path());
                  return asked.size();
                });
    assertThat(asked)
        .containsExactly("/dev/zero (deleted)", "/memfd:x (deleted)", "/tmp/gone (deleted)");
    assertThat(vmas)
        .extracting(Vma::getKind)
        .containsExactly(
            VmaKind.VMA_SHARED_MEMORY, VmaKind.VMA_SHARED_MEMORY, VmaKind.VMA_PRIVATE_FILE);
    assertThat(vmas).extracting(Vma::getObjectId).containsExactly(1, 2, 3);
    assertThat(vmas).extracting(Vma::getOffset).containsExactly(0L, 0x1000L, 0L);
    assertThat(vmas).extracting(Vma::getMayWrite).containsExactly(true, false, true);
    assertThat(vmas).noneMatch(Vma::hasFile);
  }

  @ParameterizedTest
  @CsvSource({
    "ht, huge TLB pages of a file or a System V segment are not supported yet",
    "um, it is registered with a userfaultfd",
    "ui, it is registered with a userfaultfd",
    "ss, shadow stacks are not supported yet",
    "io, it maps device memory",
    "pf, it maps device memory"
  })
  void refusedByFlag(String flag, String reason) {
    assertThat(problems("7f00-7f01 rw-p 00000000 00:00 0 ", "rd wr " + flag))
        .containsExactly("mapping 0x7f00-0x7f01: " + reason + "; unmap it before the dump");
  }

  @Test
  void guardedControlStackOfArm64() throws CheckpointException {
    String line = "7f0000-7f1000 rw-p 00000000 00:00 0 ";
    assertThat(problems(line, "rd wr mr mw me ac ss", Arch.ARCH_AARCH64)).isEmpty();
    assertThat(collect(line, "rd wr mr mw me ac ss").getVmFlagsList()).containsExactly("ss");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "anon_inode:[perf_event]|mappings of anon_inode:[perf_event] are not supported",
        "anon_inode:[io_uring]|mappings of anon_inode:[io_uring] are not supported",
        "[uprobes]|mappings of [uprobes] are not supported",
        "socket:[1234]|mappings of sockets are not supported",
        "/secretmem (deleted)|secret memory (memfd_secret) in core dumps (MADV_DODUMP)"
      })
  void refusedByPath(String path, String reason) {
    assertThat(problems("7f00-7f01 rw-s 00000000 00:0e 7    " + path, "rd wr sh"))
        .containsExactly(
            "mapping 0x7f00-0x7f01 of " + path + ": " + reason + "; unmap it before the dump");
  }

  @Test
  void allProblemsAreNamed() {
    assertThat(
            VmaCollector.problems(
                Smaps.parse(
                    """
                    1000-2000 rw-s 00001000 00:01 25          /SYSV00000000 (deleted)
                    VmFlags: rd wr sh\s
                    2000-3000 rw-p 00000000 00:00 0\s
                    VmFlags: rd wr\s
                    3000-4000 rw-p 00000000 00:00 0\s
                    VmFlags: rd wr ht\s
                    """)))
        .extracting(CheckpointException.Problem::object)
        .containsExactly(
            "mapping 0x1000-0x2000 of /SYSV00000000 (deleted)", "mapping 0x3000-0x4000");
  }

  @ParameterizedTest
  @ValueSource(strings = {"[heap]", "[stack]", "[anon:x]", "/usr/bin/cat", "/memfd:a (deleted)"})
  void ordinaryMappingsAreNoProblem(String path) {
    assertThat(problems("7f00-7f01 rw-p 00000000 00:00 0   " + path, "rd wr mr mw me")).isEmpty();
  }

  @Test
  void unknownKernelMapping() {
    assertThatExceptionOfType(CheckpointException.class)
        .isThrownBy(() -> collect("1000-2000 r-xp 00000000 00:00 0    [future]", "rd ex"))
        .withMessage("cannot dump mapping 0x1000-0x2000: [future] is not known")
        .satisfies(e -> assertThat(e.outcome()).isEqualTo(Outcome.UNSUPPORTED));
  }

  /// As a list that was read while the second and the third mapping joined those before them.
  @Test
  void mappingsOfARunningProcessDoNotOverlap() throws CheckpointException {
    String flags = "rd wr mr mw me ac";
    List<Smaps> torn =
        List.of(
            mapping("7f0000000000-7f0000004000 rw-p 00000000 00:00 0 ", flags),
            mapping("7f0000002000-7f0000008000 rw-p 00000000 00:00 0 ", flags),
            mapping("7f0000001000-7f0000007000 rw-p 00000000 00:00 0 ", flags),
            mapping("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]", "ex"));
    List<Vma> vmas = VmaCollector.ofRunning().collect(torn, NO_OBJECTS);
    assertThat(vmas).hasSize(3);
    assertThat(vmas.get(0)).isEqualTo(anonymous(0x7f0000000000L, 0x7f0000004000L).build());
    assertThat(vmas.get(1)).isEqualTo(anonymous(0x7f0000004000L, 0x7f0000008000L).build());
    assertThat(vmas.get(2).getStart()).isEqualTo(0xffffffffff600000L);
  }

  @Test
  void neighboursThatDifferInNothingAreMerged() {
    Vma first = anonymous(0x1000, 0x2000).build();
    Vma second = anonymous(0x2000, 0x3000).build();
    Vma third = anonymous(0x3000, 0x5000).build();
    assertThat(VmaCollector.merged(List.of(first, second, third)))
        .containsExactly(anonymous(0x1000, 0x5000).build());
    assertThat(VmaCollector.merged(List.of())).isEmpty();
  }

  @Test
  void neighboursThatDifferStay() {
    Vma first = anonymous(0x1000, 0x2000).build();
    for (Vma next :
        List.of(
            anonymous(0x3000, 0x4000).build(),
            anonymous(0x2000, 0x3000).setProtection(1).build(),
            anonymous(0x2000, 0x3000).addVmFlags("lo").build(),
            anonymous(0x2000, 0x3000).setName(ByteString.copyFromUtf8("x")).build(),
            anonymous(0x2000, 0x3000).setFlags(0x4000).build(),
            anonymous(0x2000, 0x3000).setProtectionKey(1).build())) {
      assertThat(VmaCollector.merged(List.of(first, next))).containsExactly(first, next);
    }
  }

  @Test
  void filesAreMergedWhereTheOffsetGoesOn() {
    FileIdentity file = FileIdentity.newBuilder().setPath("/f").build();
    Vma first = anonymous(0x1000, 0x3000).setFile(file).setOffset(0x5000).build();
    Vma goesOn = anonymous(0x3000, 0x4000).setFile(file).setOffset(0x7000).build();
    Vma again = anonymous(0x3000, 0x4000).setFile(file).setOffset(0x5000).build();
    assertThat(VmaCollector.merged(List.of(first, goesOn)))
        .containsExactly(anonymous(0x1000, 0x4000).setFile(file).setOffset(0x5000).build());
    assertThat(VmaCollector.merged(List.of(first, again))).containsExactly(first, again);

    Vma object = anonymous(0x1000, 0x2000).setObjectId(1).build();
    Vma objectGoesOn = anonymous(0x2000, 0x3000).setObjectId(1).setOffset(0x1000).build();
    Vma otherObject = anonymous(0x2000, 0x3000).setObjectId(2).setOffset(0x1000).build();
    assertThat(VmaCollector.merged(List.of(object, objectGoesOn)))
        .containsExactly(anonymous(0x1000, 0x3000).setObjectId(1).build());
    assertThat(VmaCollector.merged(List.of(object, otherObject)))
        .containsExactly(object, otherObject);
  }
}
