package dev.jcr.parasite.host;

import static java.nio.charset.StandardCharsets.US_ASCII;

import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.procfs.Proc;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.util.Optional;

/// What a time namespace (time_namespaces(7)) adds to the clocks of the host, in ns: always against
/// those outside of every namespace, also in a nested one.
///
/// @param monotonic for CLOCK_MONOTONIC and its _COARSE and _RAW
/// @param boottime for CLOCK_BOOTTIME and its _ALARM
public record TimeOffsets(long monotonic, long boottime) {
  /// CLONE_NEWTIME.
  public static final long NAMESPACE = 0x80;

  /// The host's clocks.
  public static final TimeOffsets NONE = new TimeOffsets(0, 0);

  private static final String FILE = "timens_offsets";
  private static final String MONOTONIC = "1";
  private static final String BOOTTIME = "7";
  private static final long SECOND = 1_000_000_000L;

  /// Whether this kernel has time namespaces.
  public static boolean exist() {
    return Proc.at("/proc/self/" + FILE).exists();
  }

  /// Those of the namespace that the children of a process will live in, as a rule its own
  /// ([#ownNamespace]).
  public static TimeOffsets of(Proc proc) throws IOException {
    Optional<String> text = proc.optionalText(FILE);
    return text.isEmpty() ? NONE : parse(text.get());
  }

  /// Whether a process and its children live in one time namespace: it has not called
  /// unshare(CLONE_NEWTIME), or executed a program since.
  public static boolean ownNamespace(Proc proc) throws IOException {
    try {
      return proc.link("ns/time").equals(proc.link("ns/time_for_children"));
    } catch (SyscallException e) {
      if (e.errno() == Errno.ENOENT && proc.exists()) {
        return true; // a kernel without
      }
      throw e;
    }
  }

  /// Lines "monotonic SECONDS NANOSECONDS"; Linux 5.6 has numbers for the names.
  static TimeOffsets parse(String text) throws IOException {
    long monotonic = 0;
    long boottime = 0;
    try {
      for (String line : text.lines().toList()) {
        String[] words = line.strip().split(" +", -1);
        if (words.length != 3) {
          throw new IOException("cannot read " + FILE + ": line \"" + line + "\"");
        }
        long nanos =
            Math.addExact(
                Math.multiplyExact(Long.parseLong(words[1]), SECOND), Long.parseLong(words[2]));
        switch (words[0]) {
          case "monotonic", MONOTONIC -> monotonic = nanos;
          case "boottime", BOOTTIME -> boottime = nanos;
          default -> throw new IOException("cannot read " + FILE + ": clock " + words[0]);
        }
      }
    } catch (ArithmeticException | NumberFormatException e) {
      throw new IOException("cannot read " + FILE + ": " + e.getMessage(), e);
    }
    return new TimeOffsets(monotonic, boottime);
  }

  /// Makes them those of the namespace that `pid` has made for its children, while nobody lives
  /// there.
  public void writeTo(int pid) throws SyscallException {
    byte[] text = text().getBytes(US_ASCII);
    try (Fd file = Fd.open(Proc.of(pid).path(FILE), Fd.O_WRONLY, 0);
        Arena arena = Arena.ofConfined()) {
      long result =
          Kernel.raw(
              Syscall.WRITE,
              file.number(),
              arena.allocateFrom(ValueLayout.JAVA_BYTE, text).address(),
              text.length);
      if (result != text.length) {
        throw new SyscallException(
            "set the clocks of process " + pid + " (" + this + ")", Syscall.WRITE, (int) -result);
      }
    }
  }

  /// One write for both clocks. Numbers, which every kernel takes; nanoseconds count up.
  String text() {
    return line(MONOTONIC, monotonic) + line(BOOTTIME, boottime);
  }

  private static String line(String clock, long nanos) {
    return clock + " " + Math.floorDiv(nanos, SECOND) + " " + Math.floorMod(nanos, SECOND) + "\n";
  }

  @Override
  public String toString() {
    return "CLOCK_MONOTONIC %s s, CLOCK_BOOTTIME %s s"
        .formatted(signed(monotonic), signed(boottime));
  }

  private static String signed(long nanos) {
    return (nanos < 0 ? "-" : "+") + seconds(Math.abs(nanos));
  }

  /// Nanoseconds as seconds with three digits behind the point.
  public static String seconds(long nanos) {
    return "%d.%03d".formatted(nanos / SECOND, nanos % SECOND / 1_000_000);
  }
}
