package dev.jcr.parasite.linux;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/// posix_spawn(3): the one safe way to make a child from a JVM. Unlike a `ProcessBuilder` child it
/// is unknown to the JVM's reaper, which would take its ptrace stops for its end.
public final class Spawn {
  private static final MethodHandle POSIX_SPAWN = link();

  private Spawn() {}

  @SuppressWarnings("restricted")
  private static MethodHandle link() {
    Linker linker = Linker.nativeLinker();
    return linker.downcallHandle(
        linker.defaultLookup().findOrThrow("posix_spawn"),
        FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS, ADDRESS, ADDRESS, ADDRESS, ADDRESS));
  }

  /// Starts the program at `path` as `jcr`, with no arguments and an empty environment; descriptors
  /// without close-on-exec are inherited. Returns its pid.
  public static int program(String path) throws SyscallException {
    return program(path, "jcr");
  }

  /// As [#program(String)] with these words as its command line.
  public static int program(String path, String... words) throws SyscallException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment pid = arena.allocate(JAVA_INT);
      MemorySegment arguments = arena.allocate(ADDRESS, words.length + 1L);
      for (int i = 0; i < words.length; i++) {
        arguments.setAtIndex(ADDRESS, i, arena.allocateFrom(words[i]));
      }
      MemorySegment environment = arena.allocate(ADDRESS, 1);
      int error =
          (int)
              POSIX_SPAWN.invokeExact(
                  pid,
                  arena.allocateFrom(path),
                  MemorySegment.NULL,
                  MemorySegment.NULL,
                  arguments,
                  environment);
      if (error != 0) {
        throw new SyscallException("start " + path, Syscall.EXECVE, error);
      }
      return pid.get(JAVA_INT, 0);
    } catch (SyscallException e) {
      throw e;
    } catch (Throwable failure) {
      throw new AssertionError("posix_spawn", failure);
    }
  }
}
