package dev.jcr.cli.migrate;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.jcr.cli.migrate.Lasting.Carrier;
import dev.jcr.cli.migrate.Lasting.Terms;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.IntSupplier;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(120)
class LastingTest {
  private static final int SIZE = 24 << 20;
  private static final Terms QUICK = new Terms(16, 20_000_000, 60_000);

  /// A connection that breaks after so many bytes were written, in the middle of whatever it is.
  private static final class Brittle extends Socket {
    private final Socket inner;
    private final OutputStream out;
    private int left;

    Brittle(Socket inner, int left) throws IOException {
      this.inner = inner;
      this.out = inner.getOutputStream();
      this.left = left;
    }

    @Override
    public InputStream getInputStream() throws IOException {
      return inner.getInputStream();
    }

    @Override
    public OutputStream getOutputStream() {
      return new OutputStream() {
        @Override
        public void write(int value) throws IOException {
          write(new byte[] {(byte) value}, 0, 1);
        }

        @Override
        public void write(byte[] bytes, int offset, int length) throws IOException {
          out.write(bytes, offset, Math.min(length, left));
          left -= length;
          if (left < 0) {
            left = 0;
            inner.close();
            throw new IOException("cut");
          }
        }
      };
    }
  }

  /// Both ends of a connection.
  private record Cable(Line near, Line far) {}

  private final Queue<Cable> made = new ConcurrentLinkedQueue<>();

  /// @param nearBytes that may be written before it breaks
  private Cable cable(int nearBytes, int farBytes) throws IOException {
    try (ServerSocket listening = new ServerSocket(0, 50, InetAddress.getLoopbackAddress())) {
      Socket near = new Socket(listening.getInetAddress(), listening.getLocalPort());
      Socket far = listening.accept();
      Cable cable =
          new Cable(
              Line.of(new Brittle(near, nearBytes), near),
              Line.of(new Brittle(far, farBytes), far));
      made.add(cable);
      return cable;
    }
  }

  private Cable cable() throws IOException {
    return cable(Integer.MAX_VALUE, Integer.MAX_VALUE);
  }

  @AfterEach
  void hangUp() {
    for (Cable cable : made) {
      cable.near().hangUp();
      cable.far().hangUp();
    }
  }

  /// Two ends, and connections between them, made anew as they break.
  private final class Pair implements AutoCloseable {
    final Lasting near;
    final Lasting far;
    final AtomicInteger cables = new AtomicInteger();
    private final ExecutorService threads =
        Executors.newThreadPerTaskExecutor(Thread.ofPlatform().daemon().factory());

    Pair(int lines, int hold, Terms terms) {
      near = new Lasting(lines, hold, terms);
      far = new Lasting(lines, hold, terms);
    }

    /// @param nearBytes that may be written before a connection breaks
    void keep(int place, IntSupplier nearBytes, IntSupplier farBytes) {
      Object _ =
          threads.submit(() -> {
            while (near.isOpen() && far.isOpen()) {
              Cable cable = cable(nearBytes.getAsInt(), farBytes.getAsInt());
              Future<?> done = join(place, cable);
              done.get();
            }
            return true;
          });
    }

    /// @return done when both ends are
    Future<?> join(int place, Cable cable) throws IOException {
      Carrier first = near.join(place, cable.near());
      Carrier second = far.join(place, cable.far());
      cables.incrementAndGet();
      Future<?> other = threads.submit(() -> far.carry(place, second));
      return threads.submit(() -> {
        Object _ = near.carry(place, first);
        return other.get();
      });
    }

    <T> Future<T> start(java.util.concurrent.Callable<T> task) {
      return threads.submit(task);
    }

    @Override
    public void close() {
      near.hangUp();
      far.hangUp();
      threads.shutdown();
    }
  }

  private static RandomGenerator random(long seed) {
    return RandomGeneratorFactory.of("L64X128MixRandom").create(seed);
  }

  private static byte[] noise(int size) {
    byte[] data = new byte[size];
    random(1).nextBytes(data);
    return data;
  }

  /// Pieces of every size, and an answer behind each megabyte, while connections break in the
  /// middle of whatever is written, on either side.
  @ParameterizedTest
  @ValueSource(ints = {1, 2, 4, 8})
  void everyByteArrivesOnceWhateverBreaks(int lines) throws Exception {
    byte[] data = noise(SIZE);
    try (Pair pair = new Pair(lines, 60, QUICK)) {
      for (int place = 0; place < lines; place++) {
        RandomGenerator sizes = random(place + 2);
        pair.keep(
            place,
            () -> 9 + sizes.nextInt(1 << 20),
            () -> 9 + sizes.nextInt(sizes.nextInt(1, 500)));
      }
      Future<Integer> answers = pair.start(() -> send(pair.near, data));
      Future<byte[]> received = pair.start(() -> receive(pair.far));
      assertThat(answers.get()).isEqualTo(SIZE >> 20);
      assertThat(received.get()).isEqualTo(data);
      assertThat(pair.cables.get()).isGreaterThan(SIZE >> 20);
      System.out.println(pair.cables + " connections, " + lines + " at a time");
    }
  }

  private static int send(Lasting lasting, byte[] data) throws IOException {
    RandomGenerator random = random(3);
    OutputStream out = lasting.out();
    InputStream in = lasting.in();
    int answers = 0;
    for (int mebibyte = 0; mebibyte < data.length >> 20; mebibyte++) {
      int end = (mebibyte + 1) << 20;
      for (int at = mebibyte << 20; at < end; ) {
        int part = Math.min(end - at, 1 + random.nextInt(random.nextBoolean() ? 100 : 200_000));
        out.write(data, at, part);
        if (random.nextInt(3) == 0) {
          out.flush();
        }
        at += part;
      }
      out.flush();
      assertThat(in.read()).isEqualTo(mebibyte);
      answers++;
    }
    return answers;
  }

  private static byte[] receive(Lasting lasting) throws IOException {
    byte[] data = new byte[SIZE];
    OutputStream out = lasting.out();
    for (int mebibyte = 0; mebibyte < data.length >> 20; mebibyte++) {
      assertThat(lasting.in().readNBytes(data, mebibyte << 20, 1 << 20)).isEqualTo(1 << 20);
      out.write(mebibyte);
      out.flush();
    }
    return data;
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 4})
  void theEndIsToldWithAllThatWasWritten(int lines) throws Exception {
    byte[] data = noise(3 << 20);
    // The window holds it all, so that nobody has read any of it when the end comes.
    try (Pair pair = new Pair(lines, 60, Terms.USUAL)) {
      for (int place = 0; place < lines; place++) {
        Object _ = pair.join(place, cable());
      }
      OutputStream out = pair.near.out();
      out.write(data);
      out.flush();
      pair.near.close();
      assertThat(pair.far.in().readAllBytes()).isEqualTo(data);
      assertThat(pair.far.isOpen()).isFalse();
      assertThatThrownBy(() -> pair.far.out().write(new byte[1 << 20]))
          .isInstanceOf(IOException.class);
    }
  }

  @Test
  void whileNobodyIsWaitedForTheLastConnectionIsTheEnd() throws Exception {
    try (Pair pair = new Pair(2, 60, QUICK)) {
      Object _ = pair.join(0, cable());
      pair.near.holdOn(false);
      pair.far.holdOn(false);
      pair.near.out().write(new byte[1 << 16]);
      assertThat(pair.far.in().readNBytes(10)).isEqualTo(new byte[10]);
      Line other = cable().near();
      assertThatThrownBy(() -> pair.near.join(0, other)).hasMessageContaining("took its place");
      assertThat(other.below().isClosed()).isTrue();
      assertThatThrownBy(() -> pair.near.in().read()).hasMessageContaining("took its place");
      assertThat(pair.near.isOpen()).isFalse();
      assertThatThrownBy(() -> pair.far.in().readAllBytes()).isInstanceOf(IOException.class);
      assertThatThrownBy(() -> pair.far.join(1, cable().far())).hasMessage("the stream is over");
    }
  }

  @Test
  void whatArrivedIsThereWhenAllHasEnded() throws Exception {
    try (Pair pair = new Pair(1, 0, QUICK)) {
      Cable cable = cable();
      Future<?> both = pair.join(0, cable);
      OutputStream out = pair.near.out();
      out.write(new byte[] {1, 2, 3});
      out.flush();
      assertThat(pair.far.in().read()).isEqualTo(1);
      cable.near().hangUp();
      both.get();
      assertThat(pair.far.in().readNBytes(2)).containsExactly(2, 3);
      assertThatThrownBy(() -> pair.far.in().read()).isInstanceOf(IOException.class);
      assertThatThrownBy(() -> write(pair.near, new byte[1])).isInstanceOf(IOException.class);
    }
  }

  private static void write(Lasting lasting, byte[] bytes) throws IOException {
    OutputStream out = lasting.out();
    out.write(bytes);
    out.flush();
  }

  /// Of two connections one breaks, and another is one that nobody hears at the other end.
  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void theOthersGoOn(boolean deaf) throws Exception {
    byte[] data = noise(8 << 20);
    // Without the patience for another connection.
    try (Pair pair = new Pair(2, 0, new Terms(16, 20_000_000, 500))) {
      Object _ = pair.join(0, cable());
      if (deaf) {
        Carrier near = pair.near.join(1, cable().near());
        Object _ = pair.start(() -> pair.near.carry(1, near));
      } else {
        Object _ = pair.join(1, cable(100_000, Integer.MAX_VALUE));
      }
      Future<byte[]> received = pair.start(() -> pair.far.in().readNBytes(data.length));
      write(pair.near, data);
      assertThat(received.get()).isEqualTo(data);
    }
  }

  @Test
  void aSilentPeerIsGivenUp() throws Exception {
    try (Lasting lasting = new Lasting(1, 0, new Terms(16, 20_000_000, 100))) {
      Cable cable = cable();
      Carrier carrier = lasting.join(0, cable.near());
      assertThat(lasting.carry(0, carrier)).hasMessage("the other side was silent for 100 ms");
      assertThatThrownBy(() -> lasting.in().read())
          .isInstanceOf(IOException.class)
          .hasMessageContaining("silent");
      cable.far().hangUp();
    }
  }

  /// The host is there, and says nothing of use.
  @Test
  void anAnswerIsNotWaitedForForever() throws Exception {
    try (Pair pair = new Pair(1, 60, QUICK)) {
      Object _ = pair.join(0, cable());
      pair.near.patience(50);
      assertThatThrownBy(() -> pair.near.in().read())
          .isInstanceOf(java.net.SocketTimeoutException.class);
      assertThatThrownBy(() -> write(pair.near, new byte[4 << 20]))
          .isInstanceOf(java.net.SocketTimeoutException.class);
    }
  }

  private static byte[] piece(long number, int length, int value) {
    byte[] bytes = new byte[13 + Math.clamp(length, 0, 1 << 17)];
    Arrays.fill(bytes, (byte) value);
    ByteBuffer.wrap(bytes).put((byte) 0).putLong(number).putInt(length);
    return bytes;
  }

  private static byte[] count(int kind, long count) {
    return ByteBuffer.allocate(9).put((byte) kind).putLong(count).array();
  }

  /// What comes in another order, and again, is put right; the first of two that differ counts.
  @Test
  void piecesArePutInOrder() throws Exception {
    try (Lasting lasting = new Lasting(1, 0, QUICK)) {
      Cable cable = cable();
      Carrier carrier = lasting.join(0, cable.near());
      OutputStream out = cable.far().socket().getOutputStream();
      for (int number = 15; number >= 0; number--) {
        out.write(piece(number, 100, number));
        out.write(piece(number, 50, 77));
      }
      out.write(piece(0, 1, 78));
      out.write(count(2, 16));
      assertThat(lasting.carry(0, carrier)).hasMessageContaining("ended the stream");
      byte[] all = lasting.in().readAllBytes();
      assertThat(all).hasSize(1600);
      for (int i = 0; i < all.length; i++) {
        assertThat((int) all[i]).isEqualTo(i / 100);
      }
    }
  }

  /// Numbers and lengths that are not so cost no memory and end it, whatever would be waited for.
  @Test
  void aPeerThatLiesIsLeft() throws Exception {
    byte[][] lies = {
      piece(16, 10, 0),
      piece(Long.MAX_VALUE, 10, 0),
      piece(-1, 10, 0),
      piece(0, 0, 0),
      piece(0, -1, 0),
      piece(0, Lasting.PIECE + 1, 0),
      piece(0, Integer.MAX_VALUE, 0),
      count(1, 1),
      count(1, -1),
      count(2, 17),
      count(2, -1),
      count(3, 0),
      count(255, 0)
    };
    for (byte[] lie : lies) {
      try (Lasting lasting = new Lasting(1, 3600, QUICK)) {
        Cable cable = cable();
        Carrier carrier = lasting.join(0, cable.near());
        cable.far().socket().getOutputStream().write(lie);
        assertThat(lasting.carry(0, carrier)).hasMessageContaining("no stream");
        assertThatThrownBy(() -> lasting.in().read()).hasMessageContaining("no stream");
        assertThat(lasting.isOpen()).isFalse();
        cable.far().hangUp();
      }
    }
  }

  /// Nobody takes anything: no more than the window is sent, and kept.
  @Test
  void theWindowIsKept() throws Exception {
    try (Pair pair = new Pair(1, 60, QUICK)) {
      Cable cable = cable();
      Carrier carrier = pair.near.join(0, cable.near());
      Object _ = pair.start(() -> pair.near.carry(0, carrier));
      Future<Boolean> written =
          pair.start(() -> {
            write(pair.near, new byte[20 * Lasting.PIECE]);
            return true;
          });
      DataInputStream in = new DataInputStream(cable.far().socket().getInputStream());
      DataOutputStream out = new DataOutputStream(cable.far().socket().getOutputStream());
      assertThat(piecesUntilQuiet(in)).isEqualTo(16);
      assertThat(written.isDone()).isFalse();
      out.write(count(1, 3));
      assertThat(piecesUntilQuiet(in)).isEqualTo(3);
      out.write(count(1, 19));
      assertThat(piecesUntilQuiet(in)).isEqualTo(1);
      assertThat(written.get()).isTrue();
    }
  }

  /// Several heartbeats in a row are quiet.
  private static int piecesUntilQuiet(DataInputStream in) throws IOException {
    int pieces = 0;
    int beats = 0;
    while (beats < 10) {
      int kind = in.readUnsignedByte();
      long number = in.readLong();
      assertThat(number).isGreaterThanOrEqualTo(0);
      if (kind == 0) {
        in.skipNBytes(in.readInt());
        pieces++;
        beats = 0;
      } else {
        beats++;
      }
    }
    return pieces;
  }
}
