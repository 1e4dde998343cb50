package dev.jcr.cli.migrate;

import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.cli.migrate.Link.Kind;
import dev.jcr.dump.Outline;
import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.FileIdentity;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.RegularFile;
import dev.jcr.restore.NamespaceChanges;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.TreeMap;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import javax.net.ssl.SSLSocket;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// A paired host that sends nonsense: the destination answers with a refusal or hangs up, keeps
/// nothing, makes no process, and goes on listening.
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class ProtocolFuzzTest {
  private static final int CONVERSATIONS = 200;

  /// Made before a destination in this JVM opens files that will be gone.
  private final ProcessState real = outline();

  ProtocolFuzzTest() throws Exception {}

  @Test
  @Timeout(300)
  void aHostilePeerGetsNowhere(@TempDir Path folder) throws Exception {
    Path here = folder.resolve("here");
    Path there = folder.resolve("there");
    Credentials.trust(here, Credentials.create(there));
    Credentials.trust(there, Credentials.create(here));
    Credentials server = load(here);
    Credentials client = load(there);
    RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(20261121);
    Path file = folder.resolve("file");
    Files.writeString(file, "content");
    ProcessState other = withFile(real, file);
    TreeMap<String, Integer> answers = new TreeMap<>();
    try (Destination destination = new Destination(here, NamespaceChanges.NONE, _ -> {})) {
      destination.recover();
      Thread serving = serve(destination, server);
      int port = destination.port().get();
      for (int i = 0; i < CONVERSATIONS; i++) {
        answers.merge(
            talk(client, port, random, random.nextInt(4) == 0 ? other : real), 1, Integer::sum);
      }
      assertThat(serving.isAlive()).isTrue();
    }
    awaitEmpty(here.resolve("in"));
    assertThat(answers.keySet())
        .contains(Kind.REFUSE.toString(), Kind.ACCEPT.toString(), Kind.COMPARE.toString())
        .doesNotContain(Kind.PREPARED.toString(), Kind.RUNNING.toString());
    System.out.println(CONVERSATIONS + " conversations with a hostile peer: " + answers);
  }

  private static Thread serve(Destination destination, Credentials server) {
    InetSocketAddress any = new InetSocketAddress(InetAddress.getLoopbackAddress(), 0);
    return Thread.ofPlatform()
        .daemon()
        .start(() -> {
          try {
            destination.serve(server, any);
          } catch (dev.jcr.image.CheckpointException e) {
            throw new IllegalStateException(e);
          }
        });
  }

  private static Line call(Credentials client, int port) throws IOException {
    return Line.to(
        client, new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 30_000, 30_000);
  }

  private static byte[] hello(byte[] id, int seconds, int lines, ProcessState outline) {
    byte[] known = outline.toByteArray();
    return ByteBuffer.allocate(36 + known.length)
        .putInt(Link.VERSION)
        .put(id)
        .putLong(0)
        .putInt(seconds)
        .putInt(lines)
        .put(known)
        .array();
  }

  private static String join(Line line, byte[] id, int place) throws Exception {
    line.link()
        .send(
            Kind.JOIN, ByteBuffer.allocate(24).putInt(Link.VERSION).put(id).putInt(place).array());
    return line.link().receive().kind().toString();
  }

  /// A connection joins only the migration of its own host, for a place that there is.
  @Test
  @Timeout(300)
  void anotherHostJoinsNothing(@TempDir Path folder) throws Exception {
    Path here = folder.resolve("here");
    for (String name : new String[] {"owner", "other"}) {
      Path there = folder.resolve(name);
      Credentials.trust(here, Credentials.create(there));
      Credentials.trust(there, Credentials.create(here));
    }
    Credentials owner = load(folder.resolve("owner"));
    Credentials other = load(folder.resolve("other"));
    byte[] id = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    try (Destination destination = new Destination(here, NamespaceChanges.NONE, _ -> {})) {
      destination.recover();
      Thread serving = serve(destination, load(here));
      int port = destination.port().get();
      try (Line early = call(owner, port)) {
        assertThat(join(early, id, 0)).isEqualTo("REFUSE");
      }
      Line first = call(owner, port);
      first.link().send(Kind.HELLO, hello(id, 3600, 2, real));
      Link.Message accepted = first.link().receive();
      assertThat(accepted.kind()).as(accepted.text()).isEqualTo(Kind.ACCEPT);
      // As if the network was lost.
      first.hangUp();
      try (Line thief = call(other, port)) {
        assertThat(join(thief, id, 0)).isEqualTo("REFUSE");
      }
      byte[] unknown = id.clone();
      unknown[0]++;
      for (int place : new int[] {-1, 2, Integer.MAX_VALUE, Integer.MIN_VALUE}) {
        try (Line line = call(owner, port)) {
          assertThat(join(line, id, place)).isEqualTo("REFUSE");
        }
      }
      try (Line line = call(owner, port)) {
        assertThat(join(line, unknown, 0)).isEqualTo("REFUSE");
      }
      try (Line second = call(owner, port);
          Line third = call(owner, port)) {
        assertThat(join(second, id, 1)).isEqualTo("JOINED");
        assertThat(join(third, id, 1)).isEqualTo("JOINED");
        DataOutputStream out = new DataOutputStream(third.socket().getOutputStream());
        out.writeByte(0);
        out.writeLong(0);
        out.writeInt(5);
        out.writeByte(7);
        out.writeInt(0);
        out.flush();
        String answer = "";
        while (answer.isEmpty()) {
          answer = answer(third.link(), "");
        }
        // COMMIT where ROUND or FINAL is expected.
        assertThat(answer).isEqualTo("REFUSE in the stream");
      }
      assertThat(serving.isAlive()).isTrue();
      awaitEmpty(here.resolve("in"));
    }
  }

  /// Those that wait for another connection give up.
  private static void awaitEmpty(Path folder) throws IOException, InterruptedException {
    long end = System.nanoTime() + 60_000_000_000L;
    while (true) {
      try (var left = Files.newDirectoryStream(folder)) {
        if (!left.iterator().hasNext()) {
          return;
        }
      }
      assertThat(System.nanoTime()).as("migrations are left").isLessThan(end);
      Thread.sleep(20);
    }
  }

  /// One that this host would accept: of this very JVM, under the id of nobody.
  private static ProcessState outline() throws Exception {
    ProcessState own = Outline.of(Math.toIntExact(ProcessHandle.current().pid()));
    int free = 32_000;
    while (Files.exists(Path.of("/proc/" + free))) {
      free--;
    }
    return own.toBuilder()
        .setIdentity(own.getIdentity().toBuilder().setPid(free))
        .clearThreads()
        .addThreads(dev.jcr.image.v1.Thread.newBuilder().setTid(free))
        .build();
  }

  /// The same with a file that is here with another time.
  private static ProcessState withFile(ProcessState outline, Path file) {
    ProcessState.Builder state = outline.toBuilder();
    state
        .getFilesBuilder()
        .addDescriptions(
            Description.newBuilder()
                .setId(outline.getFiles().getDescriptionsCount() + 1)
                .setRegular(
                    RegularFile.newBuilder()
                        .setFile(
                            FileIdentity.newBuilder()
                                .setPath(file.toString())
                                .setMode(0100644)
                                .setSize(7)
                                .setMtimeSeconds(1))));
    return state.build();
  }

  private static Credentials load(Path folder) throws Exception {
    return Credentials.load(
        folder.resolve("key.pem"), folder.resolve("cert.pem"), folder.resolve("trusted"));
  }

  /// Random messages of the right form, or of none; the last answer.
  private static String talk(
      Credentials client, int port, RandomGenerator random, ProcessState real) throws IOException {
    String answer = "nothing";
    try (SSLSocket socket =
        (SSLSocket)
            client
                .context()
                .getSocketFactory()
                .createSocket(InetAddress.getLoopbackAddress(), port)) {
      socket.setSoTimeout(30_000);
      Link link = new Link(socket.getInputStream(), socket.getOutputStream());
      ByteArrayOutputStream bytes = new ByteArrayOutputStream();
      DataOutputStream out = new DataOutputStream(bytes);
      int messages = 1 + random.nextInt(4);
      long pieces = 0;
      for (int i = 0; i < messages; i++) {
        if (i == 0 || random.nextInt(4) == 0) {
          message(out, random, i == 0, real);
        } else if (random.nextInt(4) > 0) {
          piece(out, random, pieces++, real);
        } else {
          out.writeByte(random.nextInt(4));
          out.writeLong(random.nextBoolean() ? random.nextLong() : random.nextInt(300));
          out.writeInt(random.nextBoolean() ? random.nextInt() : random.nextInt(300));
        }
      }
      byte[] all = bytes.toByteArray();
      if (random.nextInt(4) == 0) {
        all[random.nextInt(all.length)] ^= (byte) (1 << random.nextInt(8));
      }
      socket
          .getOutputStream()
          .write(all, 0, random.nextInt(4) == 0 ? random.nextInt(all.length) : all.length);
      socket.getOutputStream().flush();
      socket.shutdownOutput();
      do {
        answer = link.receive().kind().toString();
      } while (!answer.equals(Kind.ACCEPT.toString()));
      while (true) {
        answer = answer(link, answer);
      }
    } catch (IOException | dev.jcr.image.CheckpointException e) {
      return answer;
    }
  }

  /// What is in the next frame of the stream behind ACCEPT.
  private static String answer(Link link, String before)
      throws IOException, dev.jcr.image.CheckpointException {
    DataInputStream in = new DataInputStream(link.in());
    int kind = in.readUnsignedByte();
    assertThat(kind).isLessThan(3);
    assertThat(in.readLong()).isBetween(0L, 300L);
    if (kind > 0) {
      return before;
    }
    byte[] piece = new byte[in.readInt()];
    in.readFully(piece);
    Link inner = new Link(new ByteArrayInputStream(piece), OutputStream.nullOutputStream());
    return inner.receive().kind() + " in the stream";
  }

  /// A message where one is expected behind ACCEPT.
  private static void piece(
      DataOutputStream out, RandomGenerator random, long number, ProcessState real)
      throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    message(new DataOutputStream(bytes), random, false, real);
    out.writeByte(0);
    out.writeLong(number);
    out.writeInt(bytes.size());
    bytes.writeTo(out);
  }

  private static void message(
      DataOutputStream out, RandomGenerator random, boolean first, ProcessState real)
      throws IOException {
    boolean hello = first && random.nextInt(4) > 0;
    byte[] content;
    if (hello) {
      int kind = random.nextInt(4);
      ProcessState outline =
          kind == 0
              ? ProcessState.getDefaultInstance()
              : kind > 1
                  ? real
                  : ProcessState.newBuilder()
                      .setIdentity(
                          dev.jcr.image.v1.Identity.newBuilder()
                              .setPid(random.nextInt())
                              .setRootDirectory("/"))
                      .setHost(
                          dev.jcr.image.v1.Host.newBuilder()
                              .setArchValue(random.nextInt(3))
                              .setPageSize(4096))
                      .build();
      byte[] known = outline.toByteArray();
      ByteBuffer buffer = ByteBuffer.allocate(36 + known.length);
      buffer.putInt(random.nextInt(5) == 0 ? random.nextInt() : Link.VERSION);
      buffer.putLong(random.nextLong()).putLong(random.nextLong());
      buffer.putLong(random.nextInt(3) == 0 ? random.nextLong() : 0);
      buffer.putInt(random.nextInt(2));
      buffer.putInt(random.nextInt(8) == 0 ? random.nextInt() : 1 + random.nextInt(8)).put(known);
      content = buffer.array();
    } else {
      content = new byte[random.nextInt(200)];
      random.nextBytes(content);
    }
    out.writeByte(hello ? 0 : random.nextInt(20));
    out.writeInt(random.nextInt(8) == 0 ? random.nextInt() : content.length);
    out.write(content);
  }
}
