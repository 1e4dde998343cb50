package dev.jcr.restore;

import com.google.protobuf.ByteString;
import dev.jcr.image.CheckpointException.Problem;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.Thread;
import dev.jcr.image.v1.Vma;
import dev.jcr.image.v1.VmaKind;
import dev.jcr.parasite.arch.Machine;
import dev.jcr.parasite.arch.VdsoFunction;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.restore.threads.RegisterLoader;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/// Whether the vDSO of an image is that of this kernel. A process keeps the addresses of its
/// functions, so another vDSO cannot take its place. It stays as plain memory, each exported
/// function leads to the one of the same name in this kernel's vDSO, which lies elsewhere, or makes
/// the system call itself where this kernel has none of that name. Pure.
sealed interface VdsoVerdict {
  /// This kernel's own is put at the image's place; also where the process has none.
  record Same() implements VdsoVerdict {}

  /// Its functions lead to this kernel's.
  ///
  /// @param state the image's, with the mappings that the process will have
  /// @param start where the image's vDSO is
  /// @param code what is there
  record Redirected(ProcessState state, long start, ByteString code, int functions)
      implements VdsoVerdict {}

  record Refused(List<Problem> problems) implements VdsoVerdict {
    public Refused {
      problems = List.copyOf(problems);
    }
  }

  /// What the process will have.
  default ProcessState applied(ProcessState state) {
    return this instanceof Redirected redirected ? redirected.state : state;
  }

  default RestorePlan.Steps applied(RestorePlan.Steps steps) {
    return this instanceof Redirected redirected ? steps.with(redirected) : steps;
  }

  /// Functions that use none of the kernel's data: their code stays right. `rt_sigreturn` must stay
  /// what it is, too, since debuggers and unwinders know a signal frame by these instructions.
  Set<String> STAYING = Set.of("rt_sigreturn", "sgx_enter_enclave");

  /// What a function does without a vDSO (vdso(7)).
  Map<String, Syscall> CALLS =
      Map.of(
          "clock_gettime", Syscall.CLOCK_GETTIME,
          "clock_getres", Syscall.CLOCK_GETRES,
          "gettimeofday", Syscall.GETTIMEOFDAY,
          "time", Syscall.TIME,
          "getcpu", Syscall.GETCPU,
          "getrandom", Syscall.GETRANDOM);

  static VdsoVerdict of(ProcessState state, KernelMappings own) {
    List<Vma> wanted =
        state.getMemory().getVmasList().stream().filter(RestorePlan::isKernels).toList();
    if (wanted.isEmpty() || isSame(state, wanted, own)) {
      return new Same();
    }
    List<Vma> vdsos = wanted.stream().filter(vma -> vma.getKind() == VmaKind.VMA_VDSO).toList();
    if (vdsos.size() != 1 || own.code().isEmpty()) {
      return refused(state, "this kernel's differs from that of kernel ");
    }
    Vma vdso = vdsos.getFirst();
    long size = KernelMappings.size(vdso);
    ByteString stored = state.getHost().getVdso().getCode();
    if (stored.isEmpty() || stored.size() > size || size > 1 << 20) {
      return refused(state, "this kernel's differs from that of kernel ");
    }
    byte[] code = new byte[(int) size];
    stored.copyTo(code, 0);
    if (!digest(code).equals(state.getHost().getVdso().getSha256())) {
      return refused(state, "the image has other bytes of it than its digest says, of kernel ");
    }
    return redirected(state, own, vdso, code);
  }

  private static VdsoVerdict redirected(
      ProcessState state, KernelMappings own, Vma vdso, byte[] code) {
    Machine machine = Machine.of(state.getHost().getArch());
    NavigableMap<Integer, List<String>> functions =
        VdsoFunction.of(code).stream()
            .collect(
                Collectors.groupingBy(
                    VdsoFunction::offset,
                    TreeMap::new,
                    Collectors.mapping(VdsoFunction::name, Collectors.toList())));
    List<Problem> problems = new ArrayList<>(inside(state, machine, vdso, functions));
    List<Vma> others =
        state.getMemory().getVmasList().stream()
            .filter(vma -> vma.getKind() != VmaKind.VMA_VVAR)
            .toList();
    long place = place(others, vdso, own.size());
    if (functions.isEmpty() || place == 0) {
      return refused(
          state,
          place == 0
              ? "the address space has no room for this kernel's beside that of kernel "
              : "no functions are to be found in that of kernel ");
    }
    KernelMappings here = own.at(place);
    long start =
        here.parts().stream()
            .filter(vma -> vma.getKind() == VmaKind.VMA_VDSO)
            .findFirst()
            .map(Vma::getStart)
            .orElseThrow();
    Map<String, Integer> offsets =
        VdsoFunction.of(own.code().toByteArray()).stream()
            .collect(Collectors.toMap(VdsoFunction::name, VdsoFunction::offset, (a, _) -> a));
    int leading = 0;
    for (Map.Entry<Integer, List<String>> function : functions.entrySet()) {
      int at = function.getKey();
      List<String> names = function.getValue();
      if (isStaying(names)) {
        continue;
      }
      Integer next = functions.higherKey(at);
      byte[] instead = instead(machine, names, offsets, start);
      if (instead.length == 0 || at + instead.length > (next == null ? code.length : next)) {
        problems.add(
            new Problem(
                "host",
                "vDSO",
                "its function %s of kernel %s %s"
                    .formatted(
                        names.getFirst(),
                        state.getHost().getKernelRelease(),
                        instead.length == 0
                            ? "is not known here"
                            : "is too short to lead to this kernel's"),
                "restore on the same kernel build"));
        continue;
      }
      System.arraycopy(instead, 0, code, at, instead.length);
      leading++;
    }
    if (!problems.isEmpty()) {
      return new Refused(problems);
    }
    return new Redirected(
        withMappings(state, others, here), vdso.getStart(), ByteString.copyFrom(code), leading);
  }

  private static ProcessState withMappings(
      ProcessState state, List<Vma> others, KernelMappings here) {
    List<Vma> all =
        Stream.concat(
                others.stream()
                    .map(vma ->
                        vma.getKind() == VmaKind.VMA_VDSO
                            ? vma.toBuilder()
                                .setKind(VmaKind.VMA_PRIVATE_ANONYMOUS)
                                .clearVmFlags()
                                .clearFlags()
                                .build()
                            : vma),
                here.parts().stream())
            .sorted(Comparator.comparing(Vma::getStart, Long::compareUnsigned))
            .toList();
    ProcessState.Builder changed = state.toBuilder();
    changed.getMemoryBuilder().clearVmas().addAllVmas(all);
    return changed.build();
  }

  /// Threads that are on their way through code that will not be there.
  private static List<Problem> inside(
      ProcessState state,
      Machine machine,
      Vma vdso,
      NavigableMap<Integer, List<String>> functions) {
    List<Problem> problems = new ArrayList<>();
    for (Thread thread : state.getThreadsList()) {
      long[] words = RegisterLoader.words(thread);
      long at = words.length == 0 ? 0 : machine.pc(words) - vdso.getStart();
      if (at <= 0 || at >= KernelMappings.size(vdso)) {
        continue;
      }
      Map.Entry<Integer, List<String>> function = functions.floorEntry((int) at);
      if (function == null || !isStaying(function.getValue())) {
        problems.add(
            new Problem(
                "thread",
                "thread " + thread.getTid(),
                "it stands inside the vDSO of kernel %s, and this kernel has another"
                    .formatted(state.getHost().getKernelRelease()),
                "dump it again, or restore on the same kernel build"));
      }
    }
    return problems;
  }

  /// Names begin with `__vdso_` on x86_64, where they have an alias without it, and `__kernel_` on
  /// arm64.
  private static String plain(String name) {
    return name.replaceFirst("^__(vdso|kernel)_", "");
  }

  private static boolean isStaying(List<String> names) {
    return names.stream().anyMatch(name -> STAYING.contains(plain(name)));
  }

  /// Code for the beginning of a function; none where nothing can stand for it.
  private static byte[] instead(
      Machine machine, List<String> names, Map<String, Integer> offsets, long start) {
    for (String name : names) {
      Integer offset = offsets.get(name);
      if (offset != null) {
        return machine.jump(start + offset);
      }
    }
    for (String name : names) {
      Syscall call = CALLS.get(plain(name));
      if (call != null && call.exists(machine.arch())) {
        return machine.callingFunction(call.number(machine.arch()));
      }
    }
    return new byte[0];
  }

  /// Where this kernel's mappings go: beside the old vDSO, or else the highest hole, but not the
  /// one that a stack grows into. 0 where there is none.
  private static long place(List<Vma> others, Vma vdso, long size) {
    int index = others.indexOf(vdso);
    long before = index == 0 ? 0 : others.get(index - 1).getEnd();
    if (vdso.getStart() - size >= before && vdso.getStart() - size > 0) {
      return vdso.getStart() - size;
    }
    for (int i = others.size() - 1; i > 0; i--) {
      long start = others.get(i).getStart();
      boolean grows = (others.get(i).getFlags() & MAP_GROWSDOWN) != 0;
      if (!grows && start > 0 && start - others.get(i - 1).getEnd() >= size) {
        return start - size;
      }
    }
    return 0;
  }

  int MAP_GROWSDOWN = 0x100;

  private static boolean isSame(ProcessState state, List<Vma> wanted, KernelMappings own) {
    if (own.parts().size() != wanted.size()) {
      return false;
    }
    for (int i = 0; i < wanted.size(); i++) {
      if (wanted.get(i).getKind() != own.parts().get(i).getKind()
          || KernelMappings.size(wanted.get(i)) != KernelMappings.size(own.parts().get(i))) {
        return false;
      }
    }
    return state.getHost().getVdso().getSha256().equals(digest(own.code().toByteArray()));
  }

  private static ByteString digest(byte[] bytes) {
    try {
      return ByteString.copyFrom(MessageDigest.getInstance("SHA-256").digest(bytes));
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
  }

  private static Refused refused(ProcessState state, String reason) {
    return new Refused(
        List.of(
            new Problem(
                "host",
                "vDSO",
                reason + state.getHost().getKernelRelease(),
                "restore on the same kernel build")));
  }
}
