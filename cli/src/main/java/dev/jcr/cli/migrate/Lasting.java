package dev.jcr.cli.migrate;

import dev.jcr.cli.migrate.Link.Kind;
import java.io.Closeable;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.io.OutputStream;
import java.net.SocketTimeoutException;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/// A stream of bytes in both directions over one connection or several, which outlives them: it is
/// cut into numbered pieces, each of which goes by any connection that is free; the other side puts
/// them in order. A piece is kept until the other side says that it was taken; when its connection
/// ends before that, another one carries it again.
///
/// ```
/// 1  0 a piece:   8 number, 4 length (1 to [#PIECE]), that many bytes
///    1 taken:     8 how many pieces were taken here, from the first on
///    2 the end:   8 how many pieces there are; the sender reads no more
/// ```
///
/// At most `window` pieces are under way: those kept by the sender, and those that wait at the
/// receiver for an earlier one or for being read. Whoever sends a piece beyond it, or says that
/// more was taken than was sent, breaks the stream. So the thread that reads a connection never
/// waits for anything but the connection, and silence there is that of the other host: each side
/// says something every second.
///
/// Two threads a connection: one reads ([#carry]), one writes. One thread reads the stream; any
/// thread writes to it, a message at a time.
final class Lasting implements Wire, Closeable {
  /// Bytes of a piece: with what is before it, whole TLS records.
  static final int PIECE = (1 << 16) - 13;

  /// Connections of a stream.
  static final int MOST_LINES = 8;

  private static final int HEADER = 13;
  private static final byte DATA = 0;
  private static final byte TAKEN = 1;
  private static final byte END = 2;
  private static final long END_NANOS = 5_000_000_000L;

  /// Bounds, the same on both sides.
  ///
  /// @param window pieces under way in one direction
  /// @param beatNanos a connection is not silent for longer
  /// @param silentMillis one that is silent for so long is over
  record Terms(int window, long beatNanos, int silentMillis) {
    /// 16 MiB.
    static final Terms USUAL = new Terms(256, 1_000_000_000L, 10_000);
  }

  /// A connection while it carries the stream. Fields by the lock.
  static final class Carrier {
    private final Line line;
    private boolean over;
    private boolean saidEnd;
    private long spoke;

    private Carrier(Line line, long spoke) {
      this.line = line;
      this.spoke = spoke;
    }
  }

  private final Terms terms;
  private final ReentrantLock lock = new ReentrantLock();
  private final Condition work = lock.newCondition();
  private final Condition room = lock.newCondition();
  private final Condition news = lock.newCondition();

  private final @Nullable Carrier[] carriers;
  private int alive;

  /// When the last connection ended, or the stream began; when one began.
  private long alone;

  private long joined;
  private IOException why = new IOException("no connection");
  private final long mostNanos;
  private long holdNanos;
  private long patienceNanos;
  private @Nullable IOException failure;
  private boolean ending;
  private boolean cut;

  /// By number of the piece, modulo the window: its frame, and by which connection it went.
  private final byte[] @Nullable [] kept;

  private final @Nullable Carrier[] by;
  private long made;
  private long takenThere;

  /// No piece before this one has yet to be sent.
  private long unsent;

  /// By number of the piece, modulo the window.
  private final byte[] @Nullable [] arrived;

  private long taken;
  private long told;
  private long toldAt;
  private byte[] current = new byte[0];
  private int at;

  /// Pieces that the other side sent when it ended the stream; negative before.
  private long total = -1;

  /// @param lines connections at most
  /// @param holdSeconds how long it waits for a connection while it has none; with 0 it ends with
  ///   the last one
  Lasting(int lines, int holdSeconds, Terms terms) {
    this.terms = terms;
    this.carriers = new Carrier[lines];
    this.mostNanos = TimeUnit.SECONDS.toNanos(holdSeconds);
    this.holdNanos = mostNanos;
    this.kept = new byte[terms.window()][];
    this.by = new Carrier[terms.window()];
    this.arrived = new byte[terms.window()][];
    this.alone = System.nanoTime();
    this.toldAt = alone;
  }

  @Override
  public void patience(int millis) {
    lock.lock();
    try {
      patienceNanos = TimeUnit.MILLISECONDS.toNanos(millis);
      news.signalAll();
      room.signalAll();
    } finally {
      lock.unlock();
    }
  }

  /// Begins with a connection that lives, which it waits for.
  @Override
  public void holdOn(boolean on) throws IOException {
    lock.lock();
    try {
      long from = System.nanoTime();
      while (alive == 0) {
        await(news, from);
      }
      requireOpen();
      holdNanos = on ? mostNanos : 0;
    } finally {
      lock.unlock();
    }
  }

  /// Whether a connection may still be of use.
  boolean isOpen() {
    lock.lock();
    try {
      return failure == null && !ending && total < 0;
    } finally {
      lock.unlock();
    }
  }

  /// Whether it goes on without a connection that ended.
  boolean isCarried() {
    lock.lock();
    try {
      return alive > 0;
    } finally {
      lock.unlock();
    }
  }

  /// Whether it was over before it was closed here.
  boolean wasCut() {
    lock.lock();
    try {
      return cut;
    } finally {
      lock.unlock();
    }
  }

  /// There will be no other connection: it ends with those that it has.
  void abandon(IOException reason) {
    lock.lock();
    try {
      if (alive == 0) {
        fail(reason);
      }
    } finally {
      lock.unlock();
    }
  }

  @Override
  public void hangUp() {
    lock.lock();
    try {
      fail(new IOException("the stream was ended here"));
    } finally {
      lock.unlock();
    }
  }

  /// Takes a connection into use, in place of the one that was there.
  ///
  /// @param place 0 to the number of connections
  /// @return for [#carry]
  /// @throws IOException the stream is over; the connection is closed
  Carrier join(int place, Line line) throws IOException {
    return join(place, line, null);
  }

  /// @param greeting what is said on it before the stream
  Carrier join(int place, Line line, @Nullable Kind greeting) throws IOException {
    lock.lock();
    boolean done = false;
    try {
      if (!isOpen()) {
        throw new IOException("the stream is over", failure);
      }
      Carrier before = carriers[place];
      if (before != null) {
        drop(place, before, new IOException("another connection took its place"));
        requireOpen();
      }
      line.below().setSoTimeout(terms.silentMillis());
      joined = System.nanoTime();
      Carrier carrier = new Carrier(line, joined - terms.beatNanos());
      carriers[place] = carrier;
      alive++;
      news.signalAll();
      room.signalAll();
      Thread.ofPlatform()
          .daemon()
          .name("jcr-line-out")
          .start(() -> write(place, carrier, greeting));
      done = true;
      return carrier;
    } finally {
      if (!done) {
        line.hangUp();
      }
      lock.unlock();
    }
  }

  /// Reads a connection until it ends.
  ///
  /// @return why it ended
  IOException carry(int place, Carrier carrier) {
    IOException reason;
    try {
      reason = read(carrier.line.link().in());
    } catch (SocketTimeoutException _) {
      reason =
          new IOException("the other side was silent for %d ms".formatted(terms.silentMillis()));
    } catch (EOFException _) {
      reason = new IOException("the connection ended");
    } catch (IOException e) {
      reason = e;
    }
    lock.lock();
    try {
      drop(place, carrier, reason);
      return reason;
    } finally {
      lock.unlock();
    }
  }

  private IOException read(InputStream from) throws IOException {
    DataInputStream in = new DataInputStream(from);
    while (true) {
      int kind = in.readUnsignedByte();
      long number = in.readLong();
      switch (kind) {
        case DATA -> {
          int length = in.readInt();
          if (length < 1 || length > PIECE || !mayArrive(number)) {
            throw strange();
          }
          byte[] piece = new byte[length];
          in.readFully(piece);
          arrive(number, piece);
        }
        case TAKEN -> takenThere(number);
        case END -> {
          end(number);
          return new EOFException("the other side ended the stream");
        }
        default -> throw strange();
      }
    }
  }

  /// Whoever sends this once would do it again.
  private IOException strange() {
    IOException problem = new IOException("the other side sent what is no stream");
    lock.lock();
    try {
      fail(problem);
    } finally {
      lock.unlock();
    }
    return problem;
  }

  private boolean mayArrive(long number) {
    lock.lock();
    try {
      return number >= 0 && number < taken + arrived.length && (total < 0 || number < total);
    } finally {
      lock.unlock();
    }
  }

  /// One that came before by another connection is dropped.
  private void arrive(long number, byte[] piece) {
    lock.lock();
    try {
      int slot = (int) (number % arrived.length);
      if (number >= taken && arrived[slot] == null) {
        arrived[slot] = piece;
        if (number == taken) {
          news.signalAll();
        }
      }
    } finally {
      lock.unlock();
    }
  }

  private void takenThere(long count) throws IOException {
    lock.lock();
    try {
      if (count < 0 || count > made) {
        throw strange();
      }
      for (; takenThere < count; takenThere++) {
        int slot = (int) (takenThere % kept.length);
        kept[slot] = null;
        by[slot] = null;
      }
      unsent = Math.max(unsent, takenThere);
      room.signalAll();
    } finally {
      lock.unlock();
    }
  }

  private void end(long count) throws IOException {
    lock.lock();
    try {
      if (count < taken || count > taken + arrived.length || (total >= 0 && total != count)) {
        throw strange();
      }
      total = count;
      news.signalAll();
      room.signalAll();
    } finally {
      lock.unlock();
    }
  }

  private void drop(int place, Carrier carrier, IOException reason) {
    if (carrier.over) {
      return;
    }
    carrier.over = true;
    carrier.line.hangUp();
    if (carriers[place] == carrier) {
      carriers[place] = null;
    }
    for (long number = takenThere; number < made; number++) {
      int slot = (int) (number % by.length);
      if (by[slot] == carrier) {
        by[slot] = null;
        unsent = Math.min(unsent, number);
      }
    }
    if (--alive == 0) {
      alone = System.nanoTime();
      why = reason;
      if (holdNanos == 0 || total >= 0) {
        fail(reason);
      }
    }
    work.signalAll();
    room.signalAll();
    news.signalAll();
  }

  private void fail(IOException reason) {
    if (failure != null) {
      return;
    }
    failure = reason;
    for (int place = 0; place < carriers.length; place++) {
      Carrier carrier = carriers[place];
      if (carrier != null) {
        drop(place, carrier, reason);
      }
    }
    work.signalAll();
    room.signalAll();
    news.signalAll();
  }

  private void write(int place, Carrier carrier, @Nullable Kind greeting) {
    try {
      if (greeting != null) {
        carrier.line.link().send(greeting, "");
      }
      OutputStream out = carrier.line.socket().getOutputStream();
      byte[] frame = next(carrier);
      while (frame.length > 0) {
        out.write(frame);
        out.flush();
        frame = next(carrier);
      }
    } catch (IOException e) {
      lock.lock();
      try {
        drop(place, carrier, e);
      } finally {
        lock.unlock();
      }
    }
  }

  /// What a connection is to send next; nothing when it is to send no more.
  private byte[] next(Carrier carrier) throws InterruptedIOException {
    lock.lock();
    try {
      while (true) {
        if (carrier.over || carrier.saidEnd) {
          return new byte[0];
        }
        long now = System.nanoTime();
        long silent = now - carrier.spoke;
        boolean late = taken > told && now - toldAt >= terms.beatNanos();
        if (late || silent >= terms.beatNanos() || taken - told >= arrived.length / 8) {
          carrier.spoke = now;
          told = taken;
          toldAt = now;
          return count(TAKEN, taken);
        }
        while (unsent < made && by[(int) (unsent % by.length)] != null) {
          unsent++;
        }
        if (unsent < made) {
          int slot = (int) (unsent++ % kept.length);
          byte[] frame = kept[slot];
          if (frame == null) {
            throw new IllegalStateException("a piece that was taken is not to be sent");
          }
          by[slot] = carrier;
          carrier.spoke = now;
          return frame;
        }
        if (ending) {
          carrier.saidEnd = true;
          return count(END, made);
        }
        pause(work, terms.beatNanos() - silent);
      }
    } finally {
      lock.unlock();
    }
  }

  private static byte[] count(byte kind, long count) {
    return ByteBuffer.allocate(9).put(kind).putLong(count).array();
  }

  OutputStream out() {
    return new OutputStream() {
      private final byte[] frame = new byte[HEADER + PIECE];
      private int length = HEADER;

      @Override
      public void write(int value) throws IOException {
        write(new byte[] {(byte) value}, 0, 1);
      }

      @Override
      public void write(byte[] bytes, int offset, int count) throws IOException {
        for (int i = 0; i < count; ) {
          int part = Math.min(count - i, frame.length - length);
          System.arraycopy(bytes, offset + i, frame, length, part);
          i += part;
          length += part;
          if (length == frame.length) {
            flush();
          }
        }
      }

      @Override
      public void flush() throws IOException {
        if (length > HEADER) {
          byte[] whole = Arrays.copyOf(frame, length);
          length = HEADER;
          send(whole);
        }
      }
    };
  }

  private void send(byte[] frame) throws IOException {
    lock.lock();
    try {
      long from = System.nanoTime();
      while (made - takenThere >= kept.length) {
        if (total >= 0) {
          throw new EOFException("the other side ended the stream");
        }
        await(room, from);
      }
      requireOpen();
      if (ending || total >= 0) {
        throw new EOFException("the stream was ended");
      }
      ByteBuffer.wrap(frame).put(DATA).putLong(made).putInt(frame.length - HEADER);
      kept[(int) (made % kept.length)] = frame;
      made++;
      work.signal();
    } finally {
      lock.unlock();
    }
  }

  InputStream in() {
    return new InputStream() {
      @Override
      public int read() throws IOException {
        byte[] one = new byte[1];
        return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
      }

      @Override
      public int read(byte[] bytes, int offset, int length) throws IOException {
        if (length == 0) {
          return 0;
        }
        if (at == current.length && !take()) {
          return -1;
        }
        int count = Math.min(length, current.length - at);
        System.arraycopy(current, at, bytes, offset, count);
        at += count;
        return count;
      }
    };
  }

  /// Waits for the next piece. What arrived is there even if all has ended since.
  private boolean take() throws IOException {
    lock.lock();
    try {
      long from = System.nanoTime();
      while (true) {
        int slot = (int) (taken % arrived.length);
        byte[] piece = arrived[slot];
        if (piece != null) {
          arrived[slot] = null;
          taken++;
          current = piece;
          at = 0;
          if (taken - told >= arrived.length / 8) {
            work.signal();
          }
          return true;
        }
        if (taken == total) {
          return false;
        }
        await(news, from);
      }
    } finally {
      lock.unlock();
    }
  }

  private void requireOpen() throws IOException {
    if (failure != null) {
      throw new IOException(failure.getMessage(), failure);
    }
  }

  /// Waits for a signal, no longer than there is hope.
  ///
  /// @param from when it began to wait
  private void await(Condition condition, long from) throws IOException {
    requireOpen();
    long now = System.nanoTime();
    long left = Long.MAX_VALUE;
    if (alive == 0) {
      left = holdNanos - (now - alone);
      if (left <= 0) {
        fail(why);
        requireOpen();
      }
    } else if (patienceNanos > 0) {
      left = patienceNanos - (now - Math.max(from, joined));
      if (left <= 0) {
        throw new SocketTimeoutException(
            "no answer within %d s".formatted(TimeUnit.NANOSECONDS.toSeconds(patienceNanos)));
      }
    }
    pause(condition, left);
  }

  @SuppressWarnings("WaitNotInLoop") // whoever calls it does so in a loop
  private static void pause(Condition condition, long nanos) throws InterruptedIOException {
    try {
      long _ = condition.awaitNanos(nanos);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      InterruptedIOException interrupted = new InterruptedIOException("interrupted");
      interrupted.initCause(e);
      throw interrupted;
    }
  }

  /// Sends what was written, tells the other side that this is the end, and waits until it has
  /// heard that, for a few seconds at most.
  @Override
  public void close() {
    lock.lock();
    try {
      cut = !isOpen();
      ending = true;
      work.signalAll();
      long end = System.nanoTime() + END_NANOS;
      while (alive > 0 && System.nanoTime() - end < 0) {
        pause(news, end - System.nanoTime());
      }
    } catch (InterruptedIOException _) {
      // It will notice.
    } finally {
      fail(new EOFException("the stream was ended here"));
      lock.unlock();
    }
  }
}
