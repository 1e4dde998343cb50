package dev.jcr.parasite.linux;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.Arena;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;

/// posix_spawn(3): the one safe way to make a child from a JVM. Unlike a `ProcessBuilder` child it
/// is unknown to the JVM's reaper, which would take its ptrace stops for its end.
public final class Spawn {
  private static final MemorySegment POSIX_SPAWN =
      Linker.nativeLinker().defaultLookup().findOrThrow("posix_spawn");

  private Spawn() {}

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
              Kernel.function(
                  POSIX_SPAWN,
                  pid.address(),
                  arena.allocateFrom(path).address(),
                  0,
                  0,
                  arguments.address(),
                  environment.address());
      if (error != 0) {
        throw new SyscallException("start " + path, Syscall.EXECVE, error);
      }
      return pid.get(JAVA_INT, 0);
    }
  }
}
