package dev.jcr.parasite.remote;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import dev.jcr.image.CheckpointException;
import dev.jcr.parasite.linux.Syscall;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// Brings up AMX tile state in a process that is being built: the kernel takes TILEDATA for a
/// thread only after the process has asked for the permission and the thread has used a tile
/// (Documentation/arch/x86/xstate.rst).
public final class AmxState {
  /// XFEATURE_XTILE_DATA.
  public static final int TILEDATA = 18;

  private static final int ARCH_REQ_XCOMP_PERM = 0x1023;
  private static final int TILE_CONFIG_SIZE = 64;

  /// ldtilecfg [rbx]; tilezero tmm0; tilerelease; syscall; int3 (Intel SDM vol. 2).
  private static final byte[] USE_A_TILE = {
    (byte) 0xc4,
    (byte) 0xe2,
    0x78,
    0x49,
    0x03, // ldtilecfg [rbx]
    (byte) 0xc4,
    (byte) 0xe2,
    0x7b,
    0x49,
    (byte) 0xc0, // tilezero tmm0
    (byte) 0xc4,
    (byte) 0xe2,
    0x78,
    0x49,
    (byte) 0xc0, // tilerelease
    0x0f,
    0x05,
    (byte) 0xcc
  };

  private AmxState() {}

  /// Asks for the permission, once for the process. Before signal stacks are set: a small one makes
  /// the kernel refuse.
  public static void permit(OwnedProcess inside) throws CheckpointException {
    inside.require(
        "get the permission for AMX tiles (this CPU or kernel may lack AMX)",
        Syscall.ARCH_PRCTL,
        ARCH_REQ_XCOMP_PERM,
        TILEDATA);
  }

  /// Lets a thread use a tile, so that the kernel makes room for its tiles.
  public static void use(OwnedProcess inside) throws CheckpointException {
    long config = inside.scratch();
    long code = config + TILE_CONFIG_SIZE;
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment memory = arena.allocate(TILE_CONFIG_SIZE + USE_A_TILE.length);
      memory.set(JAVA_BYTE, 0, (byte) 1); // palette 1
      memory.set(JAVA_BYTE, 16, (byte) 64); // tile 0: 64 bytes a row ...
      memory.set(JAVA_BYTE, 48, (byte) 1); // ... one row
      MemorySegment.copy(USE_A_TILE, 0, memory, JAVA_BYTE, TILE_CONFIG_SIZE, USE_A_TILE.length);
      inside.write(config, memory);
    }
    inside.runCode(code, config, Syscall.GETPID);
  }
}
