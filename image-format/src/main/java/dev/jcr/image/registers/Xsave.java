package dev.jcr.image.registers;

import com.google.protobuf.ByteString;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.v1.X8664Registers;
import dev.jcr.image.v1.X86Cpu;
import dev.jcr.image.v1.XstateComponent;
import dev.jcr.image.v1.XstateData;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;

/// The XSAVE area of the regset NT_X86_XSTATE, non-compacted, taken apart and put together for any
/// CPU's layout (Intel SDM volume 1, 13.4; `arch/x86/kernel/fpu/xstate.c`).
///
/// ```
///   0  464  FXSAVE area: x87, MXCSR at 24, MXCSR_MASK at 28, XMM at 160
/// 464   48  software reserved: the kernel's feature mask, then 0; ignored when written
/// 512    8  XSTATE_BV
/// 520   56  XCOMP_BV and reserved, 0
/// 576       components, each at its CPUID offset; gaps and any order are possible
/// ```
///
/// In an image, one state has one form: components in their initial state (all zero) are left out;
/// x87 and SSE (bits 0 and 1) are always there, since the kernel takes MXCSR only together with
/// them; MXCSR_MASK, a fact of the CPU that XRSTOR ignores, is 0.
public final class Xsave {
  public static final int AVX = 2;
  public static final int OPMASK = 5;
  public static final int ZMM_HI256 = 6;
  public static final int HI16_ZMM = 7;
  public static final int PKRU = 9;
  public static final int TILECFG = 17;
  public static final int TILEDATA = 18;
  public static final int APX = 19;

  /// Bytes of [X8664Registers#getFxsave].
  public static final int FXSAVE_BYTES = 464;

  /// The kernel's PKRU for a new process: no access to keys 1 to 15 (init_pkru_value).
  public static final int DEFAULT_PKRU = 0x55555554;

  private static final int MASK_AT = 464;
  private static final int HEADER_AT = 512;
  private static final int HEADER_END = 576;
  private static final int MXCSR_MASK_AT = 28;
  private static final long LEGACY = 3;

  private Xsave() {}

  /// Where a CPU and kernel keep the components.
  ///
  /// @param features of the area, as at offset 464: XCR0 as the kernel set it
  /// @param size of the area in bytes; a regset write must have exactly this size
  public record Layout(long features, int size, List<XstateComponent> components) {
    public Layout {
      components =
          components.stream().sorted(Comparator.comparingInt(XstateComponent::getFeature)).toList();
      for (XstateComponent component : components) {
        int feature = component.getFeature();
        boolean known = feature >= 2 && feature < 63;
        if (!known || (features >>> feature & 1) == 0) {
          continue;
        }
        long end = (long) component.getOffset() + component.getSize();
        if (component.getOffset() < HEADER_END || component.getSize() <= 0 || end > size) {
          throw new IllegalArgumentException("xstate component " + component);
        }
      }
    }

    /// What an image or a probe says of a host.
    public static Layout of(X86Cpu cpu) {
      return new Layout(cpu.getXfeatures(), cpu.getXstateSize(), cpu.getLayoutList());
    }

    boolean has(int feature) {
      return (features >>> feature & 1) != 0;
    }

    Optional<XstateComponent> component(int feature) {
      return components.stream().filter(c -> c.getFeature() == feature).findFirst();
    }
  }

  /// "AVX", "ZMM_Hi256", ... or "xstate feature 42".
  public static String name(int feature) {
    return switch (feature) {
      case 0 -> "x87";
      case 1 -> "SSE";
      case AVX -> "AVX";
      case 3 -> "BNDREGS";
      case 4 -> "BNDCSR";
      case OPMASK -> "opmask";
      case ZMM_HI256 -> "ZMM_Hi256";
      case HI16_ZMM -> "Hi16_ZMM";
      case 8 -> "PT";
      case PKRU -> "PKRU";
      case 10 -> "PASID";
      case 11 -> "CET_U";
      case 12 -> "CET_S";
      case TILECFG -> "TILECFG";
      case TILEDATA -> "TILEDATA";
      case APX -> "APX";
      default -> "xstate feature " + feature;
    };
  }

  /// The feature mask the kernel put at offset 464 of an area it gave.
  public static long features(byte[] area) {
    return littleEndian(area).getLong(MASK_AT);
  }

  /// Takes an area apart, as the kernel gave it.
  ///
  /// @param into its `fxsave`, `xstate_bv` and `components` are replaced
  /// @throws CheckpointException of outcome UNSUPPORTED: compacted, or a component in use that the
  ///   layout does not place
  public static void parse(byte[] area, Layout layout, X8664Registers.Builder into)
      throws CheckpointException {
    if (area.length < HEADER_END) {
      throw new IllegalArgumentException("xsave area of " + area.length + " bytes");
    }
    ByteBuffer bytes = littleEndian(area);
    if (bytes.getLong(HEADER_AT + 8) != 0) {
      throw new CheckpointException(
          Outcome.UNSUPPORTED,
          "cannot read registers: the xsave area is compacted; this kernel is not known to jcr");
    }
    byte[] fxsave = Arrays.copyOf(area, FXSAVE_BYTES);
    Arrays.fill(fxsave, MXCSR_MASK_AT, MXCSR_MASK_AT + 4, (byte) 0);
    into.setFxsave(ByteString.copyFrom(fxsave)).clearComponents();
    long used = bytes.getLong(HEADER_AT) & ~LEGACY;
    long kept = LEGACY;
    for (int feature = 2; feature < 64; feature++) {
      if ((used >>> feature & 1) == 0) {
        continue;
      }
      XstateComponent place =
          layout
              .component(feature)
              .filter(c -> (long) c.getOffset() + c.getSize() <= area.length)
              .orElse(null);
      if (place == null) {
        throw new CheckpointException(
            Outcome.UNSUPPORTED,
            "cannot read registers: CPUID does not place "
                + name(feature)
                + ", which is in use; dump on a host whose CPUID is whole");
      }
      ByteString data = ByteString.copyFrom(area, place.getOffset(), place.getSize());
      if (!isInitial(data)) {
        kept |= 1L << feature;
        into.addComponents(XstateData.newBuilder().setFeature(feature).setData(data));
      }
    }
    into.setXstateBv(kept);
  }

  /// Puts together what this host's kernel takes.
  ///
  /// @param imageFeatures [X86Cpu#getXfeatures] of the host the image is from: says whether a PKRU
  ///   that is not there is 0 or was none
  /// @return of exactly the host's size
  /// @throws CheckpointException of outcome IMAGE: a component in use that this host does not have
  public static byte[] build(X8664Registers registers, long imageFeatures, Layout host)
      throws CheckpointException {
    byte[] area = new byte[host.size()];
    ByteBuffer bytes = littleEndian(area);
    registers.getFxsave().copyTo(area, 0);
    long used = LEGACY;
    for (XstateData component : registers.getComponentsList()) {
      int feature = component.getFeature();
      if (isInitial(component.getData())) {
        continue;
      }
      Optional<XstateComponent> place =
          host.has(feature) ? host.component(feature) : Optional.empty();
      if (place.isEmpty()) {
        throw new CheckpointException(
            Outcome.IMAGE,
            "cannot restore registers: "
                + name(feature)
                + " is in use and this CPU or kernel does not have it; restore on a host that has"
                + " it");
      }
      if (place.get().getSize() != component.getData().size()) {
        throw new CheckpointException(
            Outcome.IMAGE,
            "cannot restore registers: "
                + name(feature)
                + " has "
                + component.getData().size()
                + " bytes in the image and "
                + place.get().getSize()
                + " on this CPU; restore on a host like the first");
      }
      component.getData().copyTo(area, place.get().getOffset());
      used |= 1L << feature;
    }
    Optional<XstateComponent> pkru = host.has(PKRU) ? host.component(PKRU) : Optional.empty();
    if (pkru.isPresent()) {
      // Without bit 9 the kernel sets PKRU to 0, all access: always say what it shall be.
      if ((imageFeatures >>> PKRU & 1) == 0) {
        bytes.putInt(pkru.get().getOffset(), DEFAULT_PKRU);
      }
      used |= 1L << PKRU;
    }
    bytes.putLong(HEADER_AT, used);
    return area;
  }

  /// Components in use that a host does not have, or has in another size, by name.
  public static List<String> missing(X8664Registers registers, Layout host) {
    List<String> missing = new ArrayList<>();
    for (XstateData component : registers.getComponentsList()) {
      int feature = component.getFeature();
      int size = component.getData().size();
      boolean has =
          host.has(feature)
              && host.component(feature).filter(place -> place.getSize() == size).isPresent();
      if (!has && !isInitial(component.getData())) {
        missing.add("%s registers of %d bytes".formatted(name(feature), size));
      }
    }
    return missing;
  }

  /// Whether a component is in use by this thread.
  public static boolean uses(X8664Registers registers, int feature) {
    return (registers.getXstateBv() >>> feature & 1) != 0;
  }

  /// All components behind the header start as zero (SDM volume 1, 13.6).
  private static boolean isInitial(ByteString data) {
    for (int i = 0; i < data.size(); i++) {
      if (data.byteAt(i) != 0) {
        return false;
      }
    }
    return true;
  }

  private static ByteBuffer littleEndian(byte[] bytes) {
    return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }
}
