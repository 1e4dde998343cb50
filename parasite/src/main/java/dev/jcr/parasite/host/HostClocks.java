package dev.jcr.parasite.host;

import com.google.protobuf.ByteString;
import dev.jcr.image.v1.Clocks;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.procfs.Proc;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HexFormat;

/// The clocks that count from the start of this host, as jcr reads them.
///
/// @param bootId which start: the digits of /proc/sys/kernel/random/boot_id, 16 bytes
/// @param own of the time namespace that jcr lives in
/// @param monotonic CLOCK_MONOTONIC at the look, in ns, as System.nanoTime
/// @param boottime CLOCK_BOOTTIME at the same time
public record HostClocks(ByteString bootId, TimeOffsets own, long monotonic, long boottime) {
  private static final int CLOCK_MONOTONIC = 1;
  private static final int CLOCK_BOOTTIME = 7;
  private static final int TRIES = 4;

  /// Looks at all of them.
  public static HostClocks read() throws IOException {
    Proc self = Proc.at("/proc/self");
    if (!TimeOffsets.ownNamespace(self)) {
      throw new IOException(
          "cannot tell the clocks of jcr: it was not started anew behind unshare(CLONE_NEWTIME)");
    }
    String id = Proc.at("/proc/sys/kernel/random").text("boot_id").strip();
    try {
      return new HostClocks(
              ByteString.copyFrom(HexFormat.of().parseHex(id.replace("-", ""))),
              TimeOffsets.of(self),
              0,
              0)
          .now();
    } catch (IllegalArgumentException e) {
      throw new IOException("cannot read /proc/sys/kernel/random/boot_id: " + id, e);
    }
  }

  /// The same host a moment later. The second clock is read between two readings of the first, as
  /// close as they come in a few tries.
  public HostClocks now() throws SyscallException {
    long before = nanos(CLOCK_MONOTONIC);
    long between = nanos(CLOCK_BOOTTIME);
    long after = nanos(CLOCK_MONOTONIC);
    for (int i = 1; i < TRIES; i++) {
      long first = nanos(CLOCK_MONOTONIC);
      long boottime = nanos(CLOCK_BOOTTIME);
      long second = nanos(CLOCK_MONOTONIC);
      if (second - first < after - before) {
        before = first;
        between = boottime;
        after = second;
      }
    }
    return new HostClocks(bootId, own, after, between + (after - before) / 2);
  }

  /// What a process reads at the same time.
  ///
  /// @param offsets of its time namespace
  public Clocks of(TimeOffsets offsets) {
    return Clocks.newBuilder()
        .setBootId(bootId)
        .setMonotonic(monotonic - own.monotonic() + offsets.monotonic())
        .setBoottime(boottime - own.boottime() + offsets.boottime())
        .setMonotonicOffset(offsets.monotonic())
        .setBoottimeOffset(offsets.boottime())
        .build();
  }

  /// The offsets of a namespace in which its clocks go on now from given readings.
  public TimeOffsets from(long wantedMonotonic, long wantedBoottime) {
    return new TimeOffsets(
        wantedMonotonic - monotonic + own.monotonic(), wantedBoottime - boottime + own.boottime());
  }

  private static long nanos(int clock) throws SyscallException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment time = arena.allocate(16, 8);
      Kernel.call("read clock " + clock, Syscall.CLOCK_GETTIME, clock, time.address());
      return time.get(ValueLayout.JAVA_LONG, 0) * 1_000_000_000L
          + time.get(ValueLayout.JAVA_LONG, 8);
    }
  }
}
