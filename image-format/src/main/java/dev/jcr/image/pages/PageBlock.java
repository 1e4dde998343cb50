package dev.jcr.image.pages;

import com.github.luben.zstd.Zstd;
import com.github.luben.zstd.ZstdException;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.v1.Compression;
import java.nio.ByteBuffer;
import java.util.zip.CRC32C;

/// Some page contents on their way to another host, big endian:
///
/// ```
/// 0  4  CRC32C of the contents
/// 4  4  bytes of the contents
/// 8  1  0 as they are, 1 zstd
/// 9     contents
/// ```
public final class PageBlock {
  private static final int HEADER = 9;
  private static final byte PLAIN = 0;
  private static final byte ZSTD = 1;

  private PageBlock() {}

  /// Packs contents, compressed if that makes them shorter.
  public static byte[] pack(byte[] content, Compression compression, int level) {
    byte[] body = content;
    byte kind = PLAIN;
    if (compression == Compression.COMPRESSION_ZSTD) {
      byte[] shorter = Zstd.compress(content, level);
      if (shorter.length < content.length) {
        body = shorter;
        kind = ZSTD;
      }
    }
    return ByteBuffer.allocate(HEADER + body.length)
        .putInt(sum(content))
        .putInt(content.length)
        .put(kind)
        .put(body)
        .array();
  }

  /// The contents, which have matched their checksum.
  ///
  /// @param packed from its position to its limit
  /// @param length that they must have
  /// @throws CheckpointException of outcome IMAGE: damaged
  public static byte[] unpack(ByteBuffer packed, int length) throws CheckpointException {
    if (packed.remaining() < HEADER) {
      throw damaged(packed.remaining() + " bytes");
    }
    int sum = packed.getInt();
    int said = packed.getInt();
    byte kind = packed.get();
    if (said != length || (kind == PLAIN && packed.remaining() != length) || kind > ZSTD) {
      throw damaged("%d bytes of kind %d instead of %d".formatted(said, kind, length));
    }
    byte[] body = new byte[packed.remaining()];
    packed.get(body);
    byte[] content = body;
    if (kind == ZSTD) {
      content = new byte[length];
      try {
        long found = Zstd.decompress(content, body);
        if (found != length) {
          throw damaged("zstd gives " + found + " bytes");
        }
      } catch (ZstdException e) {
        throw damaged("zstd: " + e.getMessage());
      }
    }
    if (sum(content) != sum) {
      throw damaged("CRC32C differs");
    }
    return content;
  }

  private static int sum(byte[] content) {
    CRC32C crc = new CRC32C();
    crc.update(content);
    return (int) crc.getValue();
  }

  private static CheckpointException damaged(String problem) {
    return new CheckpointException(
        Outcome.IMAGE, "cannot take a block of pages: it arrived damaged: " + problem);
  }
}
