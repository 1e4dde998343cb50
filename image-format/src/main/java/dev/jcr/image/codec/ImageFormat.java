package dev.jcr.image.codec;

import java.util.List;

/// Numbers and names of image format 1.0.
///
/// A reader takes its own major version and minor versions up to its own. A minor version may add
/// fields; an image that uses one of them says that minor version, so fields unknown to the reader
/// mean damage.
public final class ImageFormat {
  public static final int MAJOR = 1;
  public static final int MINOR = 0;

  public static final String MANIFEST = "manifest";
  public static final String STATE = "state";
  public static final String PAGEMAP = "pagemap";
  public static final String PAGES = "pages";

  /// Parts that the manifest lists, in its order.
  static final List<String> PARTS = List.of(STATE, PAGEMAP, PAGES);

  /// Those of a pre-dump: memory only.
  static final List<String> MEMORY_PARTS = List.of(PAGEMAP, PAGES);

  /// Most images of a chain.
  public static final int MAX_CHAIN = 1000;

  /// Longest manifest message, in bytes.
  static final int MAX_MANIFEST = 1 << 16;

  /// Longest parts that are read whole, in bytes.
  static final int MAX_STATE = 1 << 28;

  static final int MAX_PAGEMAP = 1 << 28;

  /// Most messages, strings and byte fields in lists inside one part: bounds the memory that a
  /// small hostile file can cost.
  static final int MAX_ELEMENTS = 1 << 22;

  /// Longest list of numbers, in bytes: NGROUPS_MAX groups of 5 bytes are 320 KiB.
  static final int MAX_NUMBERS = 1 << 19;

  private ImageFormat() {}
}
