package dev.jcr.parasite.stub;

import dev.jcr.image.v1.Arch;
import java.nio.ByteBuffer;

/// The beginning of a static program of one segment, elf(5): the file, headers and all, is mapped
/// as it is.
final class ElfHeader {
  /// Bytes of the header and its one program header.
  static final int SIZE = 64 + 56;

  /// Rights of the segment.
  static final int READ_EXECUTE = 5;

  static final int ALL = 7;

  private static final short EM_X86_64 = 62;
  private static final short EM_AARCH64 = 183;

  private ElfHeader() {}

  /// Puts the headers at the beginning of a program, whose buffer is as long as it is.
  ///
  /// @param elf little endian; behind the headers afterwards
  /// @param base where it is mapped
  /// @param entry offset of its first instruction
  /// @param alignment of the segment, in bytes
  static void put(ByteBuffer elf, Arch arch, long base, int entry, int rights, long alignment) {
    elf.put(new byte[] {0x7f, 'E', 'L', 'F', 2, 1, 1, 0}).putLong(0);
    elf.putShort((short) 2); // ET_EXEC
    elf.putShort(arch == Arch.ARCH_AARCH64 ? EM_AARCH64 : EM_X86_64).putInt(1);
    elf.putLong(base + entry).putLong(64).putLong(0).putInt(0); // entry, phoff, shoff, flags
    elf.putShort((short) 64).putShort((short) 56).putShort((short) 1);
    elf.putShort((short) 0).putShort((short) 0).putShort((short) 0);
    elf.putInt(1).putInt(rights); // PT_LOAD
    elf.putLong(0).putLong(base).putLong(base);
    elf.putLong(elf.capacity()).putLong(elf.capacity()).putLong(alignment);
  }
}
