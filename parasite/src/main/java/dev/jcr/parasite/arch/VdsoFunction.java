package dev.jcr.parasite.arch;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/// A function that a vDSO exports (vdso(7)). The C library finds it by name in the dynamic symbol
/// table and keeps the address.
///
/// @param offset behind the start of the vDSO, in bytes
public record VdsoFunction(String name, int offset) {
  private static final int ELF_MAGIC = 0x464c457f;
  private static final int PT_LOAD = 1;
  private static final int PT_DYNAMIC = 2;
  private static final int DT_HASH = 4;
  private static final int DT_STRTAB = 5;
  private static final int DT_SYMTAB = 6;
  private static final int DT_GNU_HASH = 0x6ffffef5;
  private static final int STT_FUNC = 2;
  private static final int PROGRAM_HEADER = 56;
  private static final int DYNAMIC_ENTRY = 16;
  private static final int SYMBOL = 24;

  /// Today's vDSOs have about a dozen.
  private static final int MOST_SYMBOLS = 1000;

  /// The functions of a vDSO, by offset and then by name; none where the bytes are not an ELF file
  /// with symbols. Nothing in the bytes is trusted.
  public static List<VdsoFunction> of(byte[] vdso) {
    ByteBuffer elf = ByteBuffer.wrap(vdso).order(ByteOrder.LITTLE_ENDIAN);
    try {
      if (elf.getInt(0) != ELF_MAGIC || elf.get(4) != 2 || elf.get(5) != 1) {
        return List.of();
      }
      return functions(elf).stream()
          .filter(function -> function.offset > 0 && function.offset < vdso.length)
          .sorted((a, b) ->
              a.offset == b.offset ? a.name.compareTo(b.name) : Integer.compare(a.offset, b.offset))
          .toList();
    } catch (IndexOutOfBoundsException | ArithmeticException _) {
      return List.of();
    }
  }

  private static List<VdsoFunction> functions(ByteBuffer elf) {
    int headers = Math.toIntExact(elf.getLong(32));
    int count = Short.toUnsignedInt(elf.getShort(56));
    // Kernels before 3.16 linked it to a high address.
    long base = 0;
    int dynamic = 0;
    for (int i = count - 1; i >= 0; i--) {
      int header = headers + i * PROGRAM_HEADER;
      switch (elf.getInt(header)) {
        case PT_LOAD -> base = elf.getLong(header + 16);
        case PT_DYNAMIC -> dynamic = Math.toIntExact(elf.getLong(header + 8));
        default -> {}
      }
    }
    int symbols = 0;
    int strings = 0;
    int hash = 0;
    int gnuHash = 0;
    for (int at = dynamic; dynamic > 0 && elf.getLong(at) != 0; at += DYNAMIC_ENTRY) {
      int value = (int) (elf.getLong(at + 8) - base);
      switch (Math.toIntExact(elf.getLong(at))) {
        case DT_SYMTAB -> symbols = value;
        case DT_STRTAB -> strings = value;
        case DT_HASH -> hash = value;
        case DT_GNU_HASH -> gnuHash = value;
        default -> {}
      }
    }
    List<VdsoFunction> found = new ArrayList<>();
    int number = hash > 0 ? elf.getInt(hash + 4) : gnuHash > 0 ? symbols(elf, gnuHash) : 0;
    for (int i = 1; i < Math.min(number, MOST_SYMBOLS); i++) {
      int symbol = symbols + i * SYMBOL;
      boolean defined = elf.getShort(symbol + 6) != 0;
      if (defined && (elf.get(symbol + 4) & 0xf) == STT_FUNC) {
        String name = string(elf, Math.addExact(strings, elf.getInt(symbol)));
        found.add(new VdsoFunction(name, Math.toIntExact(elf.getLong(symbol + 8) - base)));
      }
    }
    return found;
  }

  /// How many symbols a GNU hash table knows: the last chain ends with the last symbol.
  private static int symbols(ByteBuffer elf, int table) {
    int buckets = elf.getInt(table);
    int first = elf.getInt(table + 4);
    int bucketTable = table + 16 + Math.multiplyExact(elf.getInt(table + 8), Long.BYTES);
    int last = 0;
    for (int i = 0; i < Math.min(buckets, MOST_SYMBOLS); i++) {
      last = Math.max(last, elf.getInt(bucketTable + i * Integer.BYTES));
    }
    int chain = bucketTable + Math.multiplyExact(buckets, Integer.BYTES);
    while (last >= first && last < MOST_SYMBOLS) {
      if ((elf.getInt(chain + (last - first) * Integer.BYTES) & 1) != 0) {
        return last + 1;
      }
      last++;
    }
    return 0;
  }

  private static String string(ByteBuffer elf, int start) {
    int end = start;
    while (elf.get(end) != 0) {
      end++;
    }
    byte[] bytes = new byte[end - start];
    elf.get(start, bytes);
    return new String(bytes, StandardCharsets.US_ASCII);
  }
}
