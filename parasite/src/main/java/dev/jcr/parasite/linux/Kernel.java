package dev.jcr.parasite.linux;

import dev.jcr.image.v1.Arch;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.StructLayout;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;

/// The one door to the running kernel: libc's `syscall(2)` with six long arguments. Everything
/// above it is typed Java, and the table of calls ([Syscall]) serves injected calls as well.
///
/// One generic handle for everything, since linking a downcall costs 2-10 ms and two dozen typed
/// ones 65-325 ms, which no AOT cache shortens: [#function] uses it for other functions as well.
///
/// Thread-safe. A call blocks its carrier: never use it from a virtual thread.
public final class Kernel {
  /// The architecture jcr runs on; the only place that asks.
  public static final Arch HOST = hostArch();

  private static final StructLayout STATE = Linker.Option.captureStateLayout();

  /// Not by a VarHandle of the layout: that costs another ten classes made at the start.
  private static final long ERRNO =
      STATE.byteOffset(MemoryLayout.PathElement.groupElement("errno"));

  private static final ThreadBuffer CAPTURED = new ThreadBuffer(STATE.byteSize());
  private static final MethodHandle FUNCTION = link();
  private static final MemorySegment SYSCALL =
      Linker.nativeLinker().defaultLookup().findOrThrow("syscall");

  private Kernel() {}

  /// Of its address, the place for errno and seven words. All but the first count as variadic, as
  /// they are for `syscall`: without floating point these are passed like any others.
  @SuppressWarnings("restricted")
  private static MethodHandle link() {
    return Linker.nativeLinker()
        .downcallHandle(
            FunctionDescriptor.of(
                ValueLayout.JAVA_LONG,
                ValueLayout.JAVA_LONG,
                ValueLayout.JAVA_LONG,
                ValueLayout.JAVA_LONG,
                ValueLayout.JAVA_LONG,
                ValueLayout.JAVA_LONG,
                ValueLayout.JAVA_LONG,
                ValueLayout.JAVA_LONG),
            Linker.Option.firstVariadicArg(1),
            Linker.Option.captureCallState("errno"));
  }

  private static Arch hostArch() {
    return switch (System.getProperty("os.arch")) {
      case "amd64", "x86_64" -> Arch.ARCH_X86_64;
      case "aarch64" -> Arch.ARCH_AARCH64;
      default ->
          throw new IllegalStateException(
              "jcr runs on x86_64 and aarch64, not on " + System.getProperty("os.arch"));
    };
  }

  /// Makes a call and returns its result, or the negated errno, as the kernel itself does. Missing
  /// arguments are zero. Memory passed as an address must outlive the call.
  public static long raw(Syscall call, long... arguments) {
    return rawNumber(call.number(HOST), arguments);
  }

  static long rawNumber(int number, long... arguments) {
    MemorySegment state = CAPTURED.get();
    try {
      long result =
          (long)
              FUNCTION.invokeExact(
                  SYSCALL,
                  state,
                  (long) number,
                  argument(arguments, 0),
                  argument(arguments, 1),
                  argument(arguments, 2),
                  argument(arguments, 3),
                  argument(arguments, 4),
                  argument(arguments, 5));
      return result == -1 ? -state.get(ValueLayout.JAVA_INT, ERRNO) : result;
    } catch (Throwable failure) {
      throw new AssertionError("downcall of system call " + number, failure);
    }
  }

  /// Calls a C function of at most six integers and addresses; its result as it is. The memory they
  /// name must outlive the call.
  static long function(MemorySegment function, long... arguments) {
    try {
      return (long)
          FUNCTION.invokeExact(
              function,
              CAPTURED.get(),
              argument(arguments, 0),
              argument(arguments, 1),
              argument(arguments, 2),
              argument(arguments, 3),
              argument(arguments, 4),
              argument(arguments, 5),
              0L);
    } catch (Throwable failure) {
      throw new AssertionError("downcall", failure);
    }
  }

  private static long argument(long[] arguments, int index) {
    return index < arguments.length ? arguments[index] : 0;
  }

  /// Like [#raw], but an error becomes a [SyscallException] that says what was tried.
  public static long call(String what, Syscall call, long... arguments) throws SyscallException {
    long result = raw(call, arguments);
    if (isError(result)) {
      throw new SyscallException(what, call, (int) -result);
    }
    return result;
  }

  /// True for results -4095..-1.
  public static boolean isError(long result) {
    return result < 0 && result >= -4095;
  }
}
