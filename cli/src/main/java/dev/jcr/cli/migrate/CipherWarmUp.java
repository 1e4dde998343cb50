package dev.jcr.cli.migrate;

import java.nio.ByteBuffer;
import java.security.GeneralSecurityException;
import java.util.concurrent.TimeUnit;
import javax.crypto.Cipher;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/// Makes the cipher of TLS 1.3 fast before it is needed: until the last of Java's compilers has
/// seen its callers, it does without the instructions of the CPU and a megabyte takes 20 ms and not
/// 3. A small process is sent in less.
///
/// What counts for the compiler is how often a method was called, not how much it did: most records
/// are small ones.
final class CipherWarmUp {
  private static final int LARGE = 1 << 14;
  private static final int SMALL = 1 << 10;
  private static final int LARGE_EVERY = 16;
  private static final int TAG = 16;

  /// Calls after which a method is compiled for good (Tier4InvocationThreshold, 5000), and some.
  private static final int RECORDS = 7000;

  private static final long MOST_NANOS = TimeUnit.SECONDS.toNanos(2);

  private CipherWarmUp() {}

  /// Takes half a second, two at most. Before other code is made fast: the compiler takes what is
  /// wanted most, and one thing at a time. Not in the training of the AOT cache: what that has seen
  /// compiled by the quick compiler alone is never given to the other one.
  static void run() {
    if (System.getProperty("jcr.training") != null) {
      return;
    }
    try {
      long began = System.nanoTime();
      for (int i = 0; i < RECORDS && System.nanoTime() - began < MOST_NANOS; i++) {
        record(i, i % LARGE_EVERY == 0 ? LARGE : SMALL);
      }
    } catch (GeneralSecurityException _) {
      // TLS will tell.
    }
  }

  /// One there and back, in place, as JSSE does it.
  private static void record(int number, int length) throws GeneralSecurityException {
    SecretKeySpec key = new SecretKeySpec(new byte[32], "AES");
    byte[] nonce = ByteBuffer.allocate(12).putInt(8, number).array();
    Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
    cipher.init(Cipher.ENCRYPT_MODE, key, new GCMParameterSpec(8 * TAG, nonce));
    cipher.updateAAD(nonce);
    ByteBuffer bytes = ByteBuffer.allocate(length + TAG);
    cipher.doFinal(bytes.duplicate().limit(length), bytes);
    bytes.flip();
    cipher.init(Cipher.DECRYPT_MODE, key, new GCMParameterSpec(8 * TAG, nonce));
    cipher.updateAAD(nonce);
    cipher.doFinal(bytes.duplicate(), bytes);
  }
}
