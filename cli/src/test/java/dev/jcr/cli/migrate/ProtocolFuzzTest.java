package dev.jcr.cli.migrate;

import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.cli.migrate.Link.Kind;
import dev.jcr.dump.Outline;
import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.FileIdentity;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.RegularFile;
import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
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
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// A paired host that sends nonsense: the destination answers with a refusal or hangs up, keeps
/// nothing, makes no process, and goes on listening.
class ProtocolFuzzTest {
  private static final int CONVERSATIONS = 200;

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
    ProcessState real = outline();
    Path file = folder.resolve("file");
    Files.writeString(file, "content");
    ProcessState other = withFile(real, file);
    TreeMap<String, Integer> answers = new TreeMap<>();
    try (Destination destination = new Destination(here, _ -> {})) {
      destination.recover();
      InetSocketAddress any = new InetSocketAddress(InetAddress.getLoopbackAddress(), 0);
      Thread serving =
          Thread.ofPlatform()
              .daemon()
              .start(() -> {
                try {
                  destination.serve(server, any);
                } catch (dev.jcr.image.CheckpointException e) {
                  throw new IllegalStateException(e);
                }
              });
      int port = destination.port().get();
      for (int i = 0; i < CONVERSATIONS; i++) {
        answers.merge(
            talk(client, port, random, random.nextInt(4) == 0 ? other : real), 1, Integer::sum);
      }
      assertThat(serving.isAlive()).isTrue();
    }
    try (var left = Files.newDirectoryStream(here.resolve("in"))) {
      assertThat(left.iterator().hasNext()).isFalse();
    }
    assertThat(answers.keySet())
        .contains(Kind.REFUSE.toString(), Kind.ACCEPT.toString(), Kind.COMPARE.toString())
        .doesNotContain(Kind.PREPARED.toString(), Kind.RUNNING.toString());
    System.out.println(CONVERSATIONS + " conversations with a hostile peer: " + answers);
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
      for (int i = 0; i < messages; i++) {
        message(out, random, i == 0, real);
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
      while (true) {
        answer = link.receive().kind().toString();
      }
    } catch (IOException | dev.jcr.image.CheckpointException e) {
      return answer;
    }
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
      ByteBuffer buffer = ByteBuffer.allocate(28 + known.length);
      buffer.putInt(random.nextInt(5) == 0 ? random.nextInt() : Link.VERSION);
      buffer.putLong(random.nextLong()).putLong(random.nextLong());
      buffer.putLong(random.nextInt(3) == 0 ? random.nextLong() : 0).put(known);
      content = buffer.array();
    } else {
      content = new byte[random.nextInt(200)];
      random.nextBytes(content);
    }
    out.writeByte(hello ? 0 : random.nextInt(18));
    out.writeInt(random.nextInt(8) == 0 ? random.nextInt() : content.length);
    out.write(content);
  }
}
