package dev.jcr.parasite.remote;

import dev.jcr.image.CheckpointException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;

/// Instructions that a process already has, by whose addresses its first injected call runs without
/// a changed byte of its code. Found before the freeze.
///
/// @param syscall a system call instruction; 0 when none was found
/// @param syscallReturn `syscall; ret`, as in getpid(2) of every C library; 0 when none
/// @param signalReturn the C library's signal trampoline, `mov $15, %eax; syscall`; 0 when none
public record Gadgets(long syscall, long syscallReturn, long signalReturn) {
  private static final byte[] SYSCALL = {0x0f, 0x05};
  private static final byte[] SYSCALL_RET = {0x0f, 0x05, (byte) 0xc3};
  private static final byte[] SIGRETURN = {0x48, (byte) 0xc7, (byte) 0xc0, 15, 0, 0, 0, 0x0f, 0x05};
  private static final byte[] SIGRETURN_SHORT = {(byte) 0xb8, 15, 0, 0, 0, 0x0f, 0x05};
  private static final int WINDOW = 1 << 20;

  /// A readable and executable range to search.
  public record Range(long start, long end) {}

  /// Searches the ranges in order until all three are known.
  public static Gadgets find(ProcessMemory memory, List<Range> executable)
      throws CheckpointException {
    long syscall = 0;
    long syscallReturn = 0;
    long signalReturn = 0;
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment window = arena.allocate(WINDOW, 8);
      for (Range range : executable) {
        long at = range.start();
        while (at < range.end() && (syscallReturn == 0 || signalReturn == 0)) {
          long length = Math.min(WINDOW, range.end() - at);
          long read = memory.readAccessible(at, window.asSlice(0, length));
          byte[] bytes = window.asSlice(0, read).toArray(java.lang.foreign.ValueLayout.JAVA_BYTE);
          syscall = syscall != 0 ? syscall : found(at, bytes, SYSCALL);
          syscallReturn = syscallReturn != 0 ? syscallReturn : found(at, bytes, SYSCALL_RET);
          signalReturn = signalReturn != 0 ? signalReturn : found(at, bytes, SIGRETURN);
          signalReturn = signalReturn != 0 ? signalReturn : found(at, bytes, SIGRETURN_SHORT);
          if (read < length) {
            break;
          }
          // Overlap, so that no sequence is cut by the window.
          at += length == WINDOW ? WINDOW - 16 : length;
        }
      }
    }
    return new Gadgets(syscall, syscallReturn, signalReturn);
  }

  private static long found(long base, byte[] bytes, byte[] pattern) {
    for (int i = 0; i + pattern.length <= bytes.length; i++) {
      int k = 0;
      while (k < pattern.length && bytes[i + k] == pattern[k]) {
        k++;
      }
      if (k == pattern.length) {
        return base + i;
      }
    }
    return 0;
  }

  /// The instructions are still where they were found: the process did not execute another program
  /// or unmap a library since.
  public boolean stillIn(ProcessMemory memory) throws CheckpointException {
    return (syscall == 0 || Arrays.equals(memory.bytes(syscall, SYSCALL.length), SYSCALL))
        && (syscallReturn == 0
            || Arrays.equals(memory.bytes(syscallReturn, SYSCALL_RET.length), SYSCALL_RET))
        && (signalReturn == 0
            || Arrays.equals(memory.bytes(signalReturn, SIGRETURN.length), SIGRETURN)
            || Arrays.equals(memory.bytes(signalReturn, SIGRETURN_SHORT.length), SIGRETURN_SHORT));
  }

  /// The first call can be made so that the thread finds its way back if jcr is killed in it.
  public boolean safe() {
    return syscallReturn != 0 && signalReturn != 0;
  }
}
