package dev.jcr.image.registers;

import com.google.protobuf.ByteString;
import dev.jcr.image.v1.Aarch64Registers;
import dev.jcr.image.v1.Regset;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// The register sets of an aarch64 thread besides the general one: one row each (note type of
/// `<linux/elf.h>`, greatest size, form, when it is written), in the order in which they have to be
/// written (arch/arm64/kernel/ptrace.c): a vector length is set before what it would discard, ZA
/// before streaming mode is entered, and of V, Z and the streaming Z, which are the same registers,
/// only one is written.
///
/// In an image a set has one form: what was not in use is left out, and so is what only the host
/// determines (the greatest vector length).
public enum ArmRegset {
  TAGGED_ADDR_CTRL(0x409, 8, Form.WHOLE, Use.ALWAYS),
  PACA_KEYS(0x407, 64, Form.WHOLE, Use.ALWAYS),
  PACG_KEYS(0x408, 16, Form.WHOLE, Use.ALWAYS),
  PAC_ENABLED_KEYS(0x40a, 8, Form.WHOLE, Use.ALWAYS),
  ZA(0x40c, 65552, Form.ARRAY, Use.WITH_REGISTERS),
  ZT(0x40d, 64, Form.WHOLE, Use.WITH_ZA),
  SSVE(0x40b, 8768, Form.VECTORS, Use.WITH_REGISTERS),
  SVE(0x405, 8768, Form.VECTORS, Use.WITH_REGISTERS),
  FPSIMD(2, 528, Form.WHOLE, Use.WITHOUT_VECTORS),
  FPMR(0x40e, 8, Form.WHOLE, Use.ALWAYS),
  TLS(0x401, 16, Form.WHOLE, Use.ALWAYS),
  POE(0x40f, 8, Form.WHOLE, Use.ALWAYS),
  GCS(0x410, 24, Form.WHOLE, Use.NOT_ZERO),
  HW_BREAK(0x402, 264, Form.SLOTS, Use.ALWAYS),
  HW_WATCH(0x403, 264, Form.SLOTS, Use.ALWAYS),
  SYSTEM_CALL(0x404, 4, Form.WHOLE, Use.ALWAYS),
  /// Read-only: which bits of a pointer hold its signature.
  PAC_MASK(0x406, 16, Form.WHOLE, Use.NEVER);

  /// How the true size of a set is found; the kernel returns the size of the buffer.
  enum Form {
    /// As long as the kernel says.
    WHOLE,
    /// `struct user_sve_header`; registers only where its flags say so.
    VECTORS,
    /// `struct user_za_header`; rows only when ZA is on.
    ARRAY,
    /// `struct user_hwdebug_state`: the number of slots is in the low byte.
    SLOTS
  }

  /// When a set is written.
  enum Use {
    ALWAYS,
    NEVER,
    NOT_ZERO,
    WITH_REGISTERS,
    WITH_ZA,
    WITHOUT_VECTORS
  }

  /// Bytes of the header of [#SVE], [#SSVE] and [#ZA].
  public static final int HEADER = 16;

  /// NT_PRSTATUS: the general registers.
  public static final int GENERAL_NOTE = 1;

  private static final int MAX_SIZE_AT = 4;
  private static final int LENGTH_AT = 8;
  private static final int MAX_LENGTH_AT = 10;
  private static final int FLAGS_AT = 12;
  private static final int HAS_REGISTERS = 1;
  private static final int INHERIT = 2;
  private static final int SLOTS_AT = 8;
  private static final int SLOT = 16;

  private final int note;
  private final int capacity;
  private final Form form;
  private final Use use;

  ArmRegset(int note, int capacity, Form form, Use use) {
    this.note = note;
    this.capacity = capacity;
    this.form = form;
    this.use = use;
  }

  /// The row of a note type; empty for one that this version does not know.
  public static Optional<ArmRegset> of(int note) {
    return Arrays.stream(values()).filter(regset -> regset.note == note).findFirst();
  }

  /// Rows in the order of their note types, as in an image.
  public static List<ArmRegset> byNote() {
    return Arrays.stream(values()).sorted(Comparator.comparingInt(ArmRegset::note)).toList();
  }

  /// "NT_ARM_SVE".
  public String label() {
    return this == FPSIMD ? "NT_PRFPREG" : "NT_ARM_" + name();
  }

  public int note() {
    return note;
  }

  /// Bytes of the longest contents: a multiple of the set's element, as the kernel wants the size
  /// of a buffer to be.
  public int capacity() {
    return capacity;
  }

  /// Contents in the form of an image.
  ///
  /// @param buffer of [#capacity] bytes
  /// @param returned the length that the kernel gave
  /// @return empty when nothing is in use
  public byte[] trim(byte[] buffer, long returned) {
    int length = (int) Math.min(returned, buffer.length);
    return switch (form) {
      case WHOLE -> Arrays.copyOf(buffer, length);
      case VECTORS, ARRAY -> trimVectors(buffer, length);
      case SLOTS -> trimSlots(buffer, length);
    };
  }

  private byte[] trimVectors(byte[] buffer, int length) {
    if (length < HEADER) {
      return new byte[0];
    }
    ByteBuffer header = littleEndian(buffer);
    int flags = header.getShort(FLAGS_AT);
    long size = Integer.toUnsignedLong(header.getInt(0));
    boolean registers =
        size > HEADER && size <= length && (form == Form.ARRAY || (flags & HAS_REGISTERS) != 0);
    byte[] bytes = Arrays.copyOf(buffer, registers ? (int) size : HEADER);
    int kept = form == Form.ARRAY ? INHERIT : registers ? INHERIT | HAS_REGISTERS : INHERIT;
    littleEndian(bytes)
        .putInt(0, bytes.length)
        .putInt(MAX_SIZE_AT, 0)
        .putShort(MAX_LENGTH_AT, (short) 0)
        .putShort(FLAGS_AT, (short) (flags & kept));
    return bytes;
  }

  private static byte[] trimSlots(byte[] buffer, int length) {
    int slots = length == 0 ? 0 : Byte.toUnsignedInt(buffer[0]);
    byte[] bytes = Arrays.copyOf(buffer, Math.min(length, SLOTS_AT + slots * SLOT));
    for (int i = SLOTS_AT; i < bytes.length; i++) {
      if (bytes[i] != 0) {
        return bytes;
      }
    }
    return new byte[0];
  }

  /// Whether contents of [#SVE], [#SSVE] or [#ZA] hold registers, not only a vector length.
  public static boolean hasRegisters(byte[] contents) {
    return contents.length > HEADER;
  }

  /// Vector length in bytes of contents of [#SVE], [#SSVE] or [#ZA]; 0 of none.
  public static int vectorLength(byte[] contents) {
    return contents.length < HEADER
        ? 0
        : Short.toUnsignedInt(littleEndian(contents).getShort(LENGTH_AT));
  }

  /// A 64-bit word of the contents of a set; 0 of none.
  public static long word(byte[] contents, int index) {
    int at = index * Long.BYTES;
    return contents.length < at + Long.BYTES ? 0 : littleEndian(contents).getLong(at);
  }

  /// One write of a set.
  @SuppressWarnings("ArrayRecordComponent") // for the kernel; never compared
  public record Write(ArmRegset regset, byte[] bytes) {}

  /// The sets of a thread by row; unknown ones are left out.
  public static Map<ArmRegset, byte[]> contents(Aarch64Registers registers) {
    Map<ArmRegset, byte[]> contents = new EnumMap<>(ArmRegset.class);
    for (Regset regset : registers.getRegsetsList()) {
      of(regset.getNote()).ifPresent(row -> contents.put(row, regset.getData().toByteArray()));
    }
    return contents;
  }

  /// `registers` with the contents in the order of an image.
  public static void put(Map<ArmRegset, byte[]> contents, Aarch64Registers.Builder registers) {
    registers.clearRegsets();
    for (ArmRegset row : byNote()) {
      byte[] bytes = contents.getOrDefault(row, new byte[0]);
      if (bytes.length > 0) {
        registers.addRegsets(
            Regset.newBuilder().setNote(row.note).setData(ByteString.copyFrom(bytes)));
      }
    }
  }

  /// Everything to be written to a thread that shall have these registers, in order.
  public static List<Write> writes(Aarch64Registers registers) {
    Map<ArmRegset, byte[]> all = contents(registers);
    List<Write> writes = new ArrayList<>();
    for (ArmRegset row : values()) {
      if (row == ZA) {
        lengths(all, writes);
      }
      byte[] bytes = all.getOrDefault(row, new byte[0]);
      if (bytes.length > 0 && row.isWritten(bytes, all)) {
        writes.add(new Write(row, bytes));
      }
    }
    return writes;
  }

  /// Vector lengths by headers alone. The header of [#SVE] also leaves streaming mode; that of
  /// [#SSVE] would enter it, so the streaming length goes by [#ZA].
  private static void lengths(Map<ArmRegset, byte[]> all, List<Write> writes) {
    for (ArmRegset row : List.of(SVE, ZA)) {
      byte[] bytes = all.getOrDefault(row, new byte[0]);
      if (bytes.length >= HEADER) {
        byte[] header = Arrays.copyOf(bytes, HEADER);
        int flags = littleEndian(header).getShort(FLAGS_AT) & INHERIT;
        littleEndian(header).putInt(0, HEADER).putShort(FLAGS_AT, (short) flags);
        writes.add(new Write(row, header));
      }
    }
  }

  private boolean isWritten(byte[] bytes, Map<ArmRegset, byte[]> all) {
    return switch (use) {
      case ALWAYS -> true;
      case NEVER -> false;
      case NOT_ZERO -> {
        boolean zero = true;
        for (byte one : bytes) {
          zero &= one == 0;
        }
        yield !zero;
      }
      case WITH_REGISTERS -> hasRegisters(bytes);
      case WITH_ZA -> hasRegisters(all.getOrDefault(ZA, new byte[0]));
      case WITHOUT_VECTORS ->
          !hasRegisters(all.getOrDefault(SVE, new byte[0]))
              && !hasRegisters(all.getOrDefault(SSVE, new byte[0]));
    };
  }

  private static ByteBuffer littleEndian(byte[] bytes) {
    return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }
}
