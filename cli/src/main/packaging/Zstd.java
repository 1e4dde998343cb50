import com.github.luben.zstd.ZstdOutputStream;
import java.io.IOException;

/// Compresses stdin to stdout, for the packaging script: a bare machine has no zstd program.
final class Zstd {
  private Zstd() {}

  public static void main(String[] args) throws IOException {
    try (var out = new ZstdOutputStream(System.out, 9)) {
      System.in.transferTo(out);
    }
  }
}
