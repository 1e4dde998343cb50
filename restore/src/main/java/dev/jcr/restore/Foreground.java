package dev.jcr.restore;

import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/// Which process group the terminal listens to: jcr's own, or that of the process it has restored,
/// which otherwise would be stopped by SIGTTIN as soon as it reads.
final class Foreground {
  private static final int STANDARD_ERROR = 2;
  private static final int SIG_BLOCK = 0;
  private static final int SIG_SETMASK = 2;
  private static final long SIGTTOU_BIT = 1L << 21;

  private Foreground() {}

  /// Gives jcr's terminal to a group of the same session, if it is jcr's to give. True when that
  /// group has the terminal now.
  static boolean give(int group) {
    return change(group(0), group);
  }

  /// Takes the terminal back from a group, be it gone or stopped.
  static void takeBack(int group) {
    change(group, group(0));
  }

  static int group(int pid) {
    return (int) Kernel.raw(Syscall.GETPGID, pid);
  }

  private static boolean change(int from, int to) {
    if (from <= 0 || to <= 0) {
      return false;
    }
    for (int fd = 0; fd <= STANDARD_ERROR; fd++) {
      int has = FdCalls.ioctlInt(fd, Fcntl.TIOCGPGRP).orElse(0);
      if (has == to || (has == from && set(fd, to))) {
        return true;
      }
    }
    return false;
  }

  /// From the background this sends SIGTTOU to the caller, unless the calling thread blocks it.
  private static boolean set(int fd, int group) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment masks = arena.allocate(16, 8);
      masks.set(ValueLayout.JAVA_LONG, 0, SIGTTOU_BIT);
      Kernel.raw(Syscall.RT_SIGPROCMASK, SIG_BLOCK, masks.address(), masks.address() + 8, 8);
      byte[] value = ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(group).array();
      boolean done = FdCalls.ioctlSet(fd, Fcntl.TIOCSPGRP, value) == 0;
      Kernel.raw(Syscall.RT_SIGPROCMASK, SIG_SETMASK, masks.address() + 8, 0, 8);
      return done;
    }
  }
}
