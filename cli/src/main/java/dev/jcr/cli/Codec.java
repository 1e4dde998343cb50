package dev.jcr.cli;

import dev.jcr.image.v1.Compression;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/// A value of `--compress`: `none`, `zstd` or `zstd:LEVEL`.
record Codec(Compression compression, int level) {
  private static final int DEFAULT_LEVEL = 1;
  private static final int MAX_LEVEL = 22;

  static final class Converter implements ITypeConverter<Codec> {
    @Override
    public Codec convert(String value) {
      if (value.equals("none")) {
        return new Codec(Compression.COMPRESSION_NONE, 0);
      }
      if (value.equals("zstd")) {
        return new Codec(Compression.COMPRESSION_ZSTD, DEFAULT_LEVEL);
      }
      if (value.matches("zstd:[0-9]{1,2}")) {
        int level = Integer.parseInt(value.substring("zstd:".length()));
        if (level >= 1 && level <= MAX_LEVEL) {
          return new Codec(Compression.COMPRESSION_ZSTD, level);
        }
      }
      throw new TypeConversionException(
          "'" + value + "' is not none, zstd or zstd:LEVEL with a level of 1 to " + MAX_LEVEL);
    }
  }
}
