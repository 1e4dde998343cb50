package dev.jcr.cli.migrate;

import java.io.FilterOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.util.concurrent.locks.LockSupport;

/// Counts what is sent, and sends no faster than it may.
final class Counted extends FilterOutputStream {
  private final long bytesPerSecond;
  private final long began = System.nanoTime();
  private long bytes;

  Counted(OutputStream out, long bytesPerSecond) {
    super(out);
    this.bytesPerSecond = bytesPerSecond;
  }

  /// Those sent so far.
  long bytes() {
    return bytes;
  }

  @Override
  public void write(int value) throws IOException {
    out.write(value);
    bytes++;
  }

  @Override
  public void write(byte[] source, int offset, int length) throws IOException {
    out.write(source, offset, length);
    bytes += length;
    if (bytesPerSecond > 0) {
      long due = began + (long) (bytes * 1e9 / bytesPerSecond);
      LockSupport.parkNanos(Math.max(0, due - System.nanoTime()));
    }
  }
}
