package dev.jcr.parasite.remote;

import dev.jcr.image.CheckpointException;
import dev.jcr.parasite.arch.Machine;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;

/// Instructions that a process already has, by whose addresses its first injected call runs without
/// a changed byte of its code. Found before the freeze.
///
/// @param syscall a system call instruction; 0 when none was found
/// @param syscallReturn one with a return behind it, as in getpid(2) of every C library; 0 when
///   none
/// @param signalReturn the signal trampoline of the C library or the vDSO; 0 when none
public record Gadgets(Machine machine, long syscall, long syscallReturn, long signalReturn) {
  private static final int WINDOW = 1 << 20;

  /// A readable and executable range to search.
  public record Range(long start, long end) {}

  /// Searches the ranges in order until all three are known.
  public static Gadgets find(Machine machine, ProcessMemory memory, List<Range> executable)
      throws CheckpointException {
    return find(machine, memory, executable, false);
  }

  /// Address of the first system call instruction in the ranges; 0 when there is none.
  public static long systemCall(Machine machine, ProcessMemory memory, List<Range> executable)
      throws CheckpointException {
    return find(machine, memory, executable, true).syscall();
  }

  private static Gadgets find(
      Machine machine, ProcessMemory memory, List<Range> executable, boolean callOnly)
      throws CheckpointException {
    List<byte[]> signalReturns = machine.signalReturns();
    int step = machine.instructionAlignment();
    long syscall = 0;
    long syscallReturn = 0;
    long signalReturn = 0;
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment window = arena.allocate(WINDOW, 8);
      for (Range range : executable) {
        long at = range.start();
        while (at < range.end()
            && (callOnly ? syscall == 0 : syscallReturn == 0 || signalReturn == 0)) {
          long length = Math.min(WINDOW, range.end() - at);
          long read = memory.readAccessible(at, window.asSlice(0, length));
          byte[] bytes = window.asSlice(0, read).toArray(java.lang.foreign.ValueLayout.JAVA_BYTE);
          syscall = syscall != 0 ? syscall : found(at, bytes, machine.syscallInstruction(), step);
          syscallReturn =
              syscallReturn != 0 ? syscallReturn : found(at, bytes, machine.syscallReturn(), step);
          for (byte[] pattern : signalReturns) {
            signalReturn = signalReturn != 0 ? signalReturn : found(at, bytes, pattern, step);
          }
          if (read < length) {
            break;
          }
          // Overlap, so that no sequence is cut by the window.
          at += length == WINDOW ? WINDOW - 16 : length;
        }
      }
    }
    return new Gadgets(machine, syscall, syscallReturn, signalReturn);
  }

  private static long found(long base, byte[] bytes, byte[] pattern, int step) {
    for (int i = 0; i + pattern.length <= bytes.length; i += step) {
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
    return isAt(memory, syscall, List.of(machine.syscallInstruction()))
        && isAt(memory, syscallReturn, List.of(machine.syscallReturn()))
        && isAt(memory, signalReturn, machine.signalReturns());
  }

  private static boolean isAt(ProcessMemory memory, long address, List<byte[]> patterns)
      throws CheckpointException {
    if (address == 0) {
      return true;
    }
    for (byte[] pattern : patterns) {
      if (Arrays.equals(memory.bytes(address, pattern.length), pattern)) {
        return true;
      }
    }
    return false;
  }

  /// The first call can be made so that the thread finds its way back if jcr is killed in it.
  public boolean safe() {
    return syscallReturn != 0 && signalReturn != 0;
  }
}
