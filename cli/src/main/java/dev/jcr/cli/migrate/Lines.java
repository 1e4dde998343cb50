package dev.jcr.cli.migrate;

import dev.jcr.cli.migrate.Lasting.Carrier;
import dev.jcr.cli.migrate.Link.Kind;
import dev.jcr.image.CheckpointException;
import java.io.IOException;
import java.net.ConnectException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.security.cert.Certificate;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/// The connections of a migration, made by its source: one thread for each calls the destination,
/// reads, and calls again when it ended, as long as the stream is of use.
///
/// @param id of the migration
/// @param peer certificate of the destination: no other host goes on with it
/// @param seconds how long a connection that ended is made again; with 0 not at all
/// @param listener told from threads of their own
@SuppressWarnings("ArrayRecordComponent") // never compared
record Lines(
    Lasting lasting,
    Credentials credentials,
    InetSocketAddress address,
    byte[] id,
    Certificate peer,
    int seconds,
    Source.Listener listener) {
  private static final int CONNECT_MILLIS = 3_000;
  private static final int ANSWER_MILLIS = 10_000;
  private static final long REFUSED_NANOS = 2_000_000_000L;
  private static final long PAUSE_NANOS = 100_000_000L;
  private static final long MOST_PAUSE_NANOS = 1_000_000_000L;

  /// Begins with a connection that is there.
  void begin(Line first, int lines) throws IOException {
    Carrier carrier = lasting.join(0, first);
    keep(0, carrier);
    for (int place = 1; place < lines; place++) {
      keep(place, null);
    }
  }

  private void keep(int place, @Nullable Carrier first) {
    Thread.ofPlatform()
        .daemon()
        .name("jcr-line-" + place)
        .start(() -> {
          try {
            Carrier carrier = first == null ? call(place, null) : first;
            while (carrier != null) {
              IOException why = lasting.carry(place, carrier);
              carrier = seconds > 0 && lasting.isOpen() ? call(place, why) : null;
            }
          } catch (RuntimeException | Error e) {
            // A listener that calls it off.
            lasting.hangUp();
            throw e;
          }
        });
  }

  /// Makes a connection.
  ///
  /// @param why the one before ended; null for the first one
  /// @return null when there is no use, or no hope
  private @Nullable Carrier call(int place, @Nullable IOException why) {
    String line = Integer.toString(place);
    if (why != null) {
      listener.event("broken", "line", line, "why", String.valueOf(why.getMessage()));
    }
    long began = System.nanoTime();
    for (int tries = 1; lasting.isOpen(); tries++) {
      try {
        Carrier carrier = lasting.join(place, joined(place));
        long millis = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - began);
        listener.event(
            why == null ? "connected" : "reconnected",
            "line",
            line,
            "tries",
            Integer.toString(tries),
            "ms",
            Long.toString(millis));
        return carrier;
      } catch (CheckpointException e) {
        lasting.abandon(new IOException(e.getMessage(), e));
        return null;
      } catch (IOException e) {
        if (isRefused(e) && System.nanoTime() - began > REFUSED_NANOS) {
          lasting.abandon(e);
        }
        if (why == null && seconds == 0) {
          return null;
        }
        LockSupport.parkNanos(Math.min(MOST_PAUSE_NANOS, tries * PAUSE_NANOS));
      }
    }
    return null;
  }

  /// The host is there, and nobody listens. ETIMEDOUT is a ConnectException too.
  private static boolean isRefused(IOException e) {
    return e instanceof ConnectException && String.valueOf(e.getMessage()).contains("refused");
  }

  private Line joined(int place) throws IOException, CheckpointException {
    Line line = Line.to(credentials, address, CONNECT_MILLIS, ANSWER_MILLIS);
    boolean done = false;
    try {
      if (!peer.equals(line.peer())) {
        throw new IOException("another host answers at " + address);
      }
      line.link()
          .send(
              Kind.JOIN,
              ByteBuffer.allocate(4 + id.length + 4)
                  .putInt(Link.VERSION)
                  .put(id)
                  .putInt(place)
                  .array());
      var _ = line.link().expect(Kind.JOINED);
      done = true;
      return line;
    } finally {
      if (!done) {
        line.hangUp();
      }
    }
  }
}
