package dev.jcr.parasite.host;

import dev.jcr.image.registers.ArmFeatures;
import dev.jcr.image.v1.Arch;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.procfs.Proc;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;

/// What the running kernel and the rights of this process allow, found by asking: a call with
/// arguments that can do nothing, where ENOSYS or ENOTTY means "not there". Kernel versions are
/// never compared.
///
/// @param features every feature that was asked for, in the order in which they are shown
public record KernelFeatures(List<Feature> features) {
  /// How much depends on a feature.
  public enum Need {
    /// Neither dump nor restore works without it.
    REQUIRED,
    /// Some processes, or some users, cannot be dumped or restored without it.
    USEFUL,
    /// A property of the processor: only an image that uses it needs it.
    PROCESSOR
  }

  /// One feature.
  ///
  /// @param name as people know it
  /// @param purpose what jcr does with it
  /// @param available whether it is there
  /// @param remedy what gets it, empty where it is there or nothing does
  public record Feature(String name, String purpose, Need need, boolean available, String remedy) {}

  private static final int PR_SET_MM = 35;
  private static final int PR_SET_MM_MAP_SIZE = 15;
  private static final int PR_TIMER_CREATE_RESTORE_IDS = 77;
  private static final int PR_TIMER_CREATE_RESTORE_IDS_GET = 2;

  /// `_IOWR('f', 16, struct pm_scan_arg)` of `<linux/fs.h>`.
  private static final long PAGEMAP_SCAN = 0xc0606610L;

  private static final int CAP_SYS_PTRACE = 19;
  private static final int CAP_SYS_ADMIN = 21;
  private static final int CAP_SYS_RESOURCE = 24;
  private static final int CAP_SYS_TIME = 25;
  private static final int CAP_CHECKPOINT_RESTORE = 40;

  private static final String CONFIG =
      "needs a kernel built with CONFIG_CHECKPOINT_RESTORE, as those of Debian and Ubuntu are";
  private static final String NEWER = "needs a newer kernel";

  public KernelFeatures {
    features = List.copyOf(features);
  }

  /// Asks the running kernel. No process is stopped or traced.
  public static KernelFeatures probe() throws IOException {
    List<Feature> found = new ArrayList<>();
    found.add(
        kernel(
            "process_vm_readv",
            "reads memory",
            Need.REQUIRED,
            exists(Syscall.PROCESS_VM_READV, 0, 0, 0, 0, 0, 1),
            "needs a kernel built with CONFIG_CROSS_MEMORY_ATTACH"));
    found.add(
        kernel(
            "clone3 with set_tid",
            "gives a process its old pid",
            Need.REQUIRED,
            exists(Syscall.CLONE3, 0, 0),
            NEWER));
    found.add(
        kernel(
            "pidfd_getfd",
            "looks into open files",
            Need.REQUIRED,
            exists(Syscall.PIDFD_GETFD, -1, 0, 0),
            NEWER));
    found.add(
        kernel(
            "kcmp",
            "tells shared open files from equal ones",
            Need.REQUIRED,
            exists(Syscall.KCMP, 0, 0, -1, 0, 0),
            "needs a kernel built with CONFIG_KCMP"));
    found.add(
        kernel(
            "PR_SET_MM_MAP",
            "restores the borders of code, heap, stack and arguments",
            Need.REQUIRED,
            setMmMap(),
            CONFIG));
    found.add(
        kernel("map_files", "finds the files behind mappings", Need.REQUIRED, mapFiles(), CONFIG));
    found.add(
        kernel(
            "PAGEMAP_SCAN",
            "finds the pages to save quickly",
            Need.USEFUL,
            pagemapScan(),
            "needs Linux 6.7 or a kernel with it"));
    found.add(
        kernel(
            "timer ids",
            "gives POSIX timers their old ids",
            Need.USEFUL,
            Kernel.raw(
                    Syscall.PRCTL,
                    PR_TIMER_CREATE_RESTORE_IDS,
                    PR_TIMER_CREATE_RESTORE_IDS_GET,
                    0,
                    0,
                    0)
                >= 0,
            "needs Linux 6.15 or a kernel with it; other ids are found by trying"));
    found.add(timeNamespaces());
    found.addAll(rights());
    found.addAll(Kernel.HOST == Arch.ARCH_X86_64 ? x86Processor() : armProcessor());
    return new KernelFeatures(found);
  }

  /// Whether everything required is there.
  public boolean complete() {
    return features.stream().allMatch(f -> f.available || f.need != Need.REQUIRED);
  }

  /// Whether a process can get clocks that are not the host's.
  public static Feature timeNamespaces() throws IOException {
    long effective = Proc.at("/proc/self").status().capEff();
    boolean exist = TimeOffsets.exist();
    return kernel(
        "time namespaces",
        "lets the clocks of a process go on on another host, or after a reboot",
        Need.USEFUL,
        exist && has(effective, CAP_SYS_ADMIN) && has(effective, CAP_SYS_TIME),
        exist
            ? "give jcr CAP_SYS_ADMIN and CAP_SYS_TIME"
            : "needs a kernel built with CONFIG_TIME_NS, as those of Debian and Ubuntu are");
  }

  private static Feature kernel(
      String name, String purpose, Need need, boolean available, String remedy) {
    return new Feature(name, purpose, need, available, available ? "" : remedy);
  }

  private static boolean exists(Syscall call, long... arguments) {
    return Kernel.raw(call, arguments) != -Errno.ENOSYS;
  }

  private static boolean setMmMap() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment size = arena.allocate(ValueLayout.JAVA_INT);
      return Kernel.raw(Syscall.PRCTL, PR_SET_MM, PR_SET_MM_MAP_SIZE, size.address(), 0, 0) == 0;
    }
  }

  private static boolean mapFiles() {
    return Proc.at("/proc/self/map_files").exists();
  }

  private static boolean pagemapScan() {
    try (Fd pagemap = Fd.open("/proc/self/pagemap", Fd.O_RDONLY, 0)) {
      return Kernel.raw(Syscall.IOCTL, pagemap.number(), PAGEMAP_SCAN, 0) != -Errno.ENOTTY;
    } catch (SyscallException e) {
      return false;
    }
  }

  private static List<Feature> rights() throws IOException {
    long effective = Proc.at("/proc/self").status().capEff();
    String remedy = "give jcr the capability; root has it unless a container takes it away";
    return List.of(
        kernel(
            "CAP_SYS_PTRACE",
            "stops and reads processes of other users",
            Need.USEFUL,
            has(effective, CAP_SYS_PTRACE),
            remedy),
        kernel(
            "CAP_CHECKPOINT_RESTORE",
            "gives a process its old pid",
            Need.REQUIRED,
            has(effective, CAP_CHECKPOINT_RESTORE) || has(effective, CAP_SYS_ADMIN),
            remedy + " (CAP_SYS_ADMIN does as well)"),
        kernel(
            "CAP_SYS_RESOURCE",
            "raises limits that the process had raised",
            Need.USEFUL,
            has(effective, CAP_SYS_RESOURCE),
            remedy));
  }

  private static boolean has(long capabilities, int number) {
    return (capabilities >>> number & 1) != 0;
  }

  private static List<Feature> x86Processor() throws IOException {
    TreeSet<String> flags = new TreeSet<>();
    for (String line : Proc.at("/proc").text("cpuinfo").lines().toList()) {
      if (line.startsWith("flags")) {
        flags.addAll(List.of(line.substring(line.indexOf(':') + 1).strip().split(" ")));
        break; // the first processor is enough
      }
    }
    List<Feature> found = new ArrayList<>();
    found.add(register("AVX", "avx", "YMM registers", flags));
    found.add(register("AVX-512", "avx512f", "ZMM and opmask registers", flags));
    found.add(register("protection keys", "ospke", "the PKRU register", flags));
    found.add(register("AMX", "amx_tile", "tile registers", flags));
    found.add(register("APX", "apx", "general registers r16 to r31", flags));
    return found;
  }

  private static List<Feature> armProcessor() throws IOException {
    Set<String> features = ArmFeatures.names(HostFacts.armFeatures().build());
    return List.of(
        register("SVE", "sve", "Z, P and FFR registers", features),
        register("SME", "sme", "streaming mode, the ZA array, TPIDR2", features),
        register("SME2", "sme2", "the ZT0 register", features),
        register("FPMR", "fpmr", "the FPMR register", features),
        register("pointer authentication", "paca", "the keys of every thread", features),
        register("MTE", "mte", "tags of memory", features),
        register("permission overlays", "poe", "the POR_EL0 register", features),
        register("GCS", "gcs", "the guarded control stack of every thread", features));
  }

  private static Feature register(String name, String flag, String what, Set<String> flags) {
    return new Feature(name, "keeps " + what, Need.PROCESSOR, flags.contains(flag), "");
  }
}
