package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// `jcr restore --lazy-pages`: the process runs while its memory is still in the image.
@Timeout(240)
final class LazyPagesTest {
  private static final String RATE = "--prefetch-rate";

  /// Told before it runs to use its memory in every way, so that it does while nearly all of it is
  /// missing: threads, the kernel, discarding, moving, unmapping, children.
  @Tag("process")
  @ParameterizedTest
  @ValueSource(strings = {"0", "20", "100000"})
  void usesItsMemoryInEveryWayWhileItComes(String rate) throws Exception {
    try (Target target = Target.start("lazy", "48")) {
      Path image = dumped(target);
      Files.writeString(target.folder().resolve("check"), "");
      Jcr.restore(image, "--lazy-pages", RATE, rate).expectExit(0);
      target.expectPass();
      expectNothingLeft(target);
    }
  }

  /// A program that writes, discards, maps and moves all the time, from a chain of images.
  @Tag("process")
  @Test
  void fromAChainOfImages() throws Exception {
    try (Target target = Target.start("dirty", "48", "20")) {
      String pid = Long.toString(target.pid());
      Path first = target.image("first");
      Path second = target.image("second");
      Path third = target.image("third");
      Jcr.run("pre-dump", pid, "-D", first.toString()).expectExit(0);
      Jcr.run("pre-dump", pid, "-D", second.toString(), "--prev-images-dir", "../image-first")
          .expectExit(0);
      Jcr.run("dump", pid, "-D", third.toString(), "--prev-images-dir", "../image-second")
          .expectExit(0);
      target.awaitGone();
      Jcr.restore(third, "--lazy-pages", RATE, "30").expectExit(0);
      target.expectProgress();
      target.expectPass();
      expectNothingLeft(target);
    }
  }

  /// Without its server the process waits; it gets no zeros. The next one goes on. Meanwhile it
  /// cannot be dumped.
  @Tag("process")
  @Test
  void aKilledServerIsReplaced() throws Exception {
    try (Target target = Target.start("lazy", "16", "touch")) {
      Path image = dumped(target);
      String pid = Long.toString(target.pid());
      Path hold = Files.writeString(target.folder().resolve("hold"), "");
      Files.writeString(target.folder().resolve("check"), "");
      Jcr.restore(image, "--lazy-pages", RATE, "0").expectExit(0);
      target.await("touched");
      Command.of("kill", "-KILL", Long.toString(server(target).orElseThrow())).run().expectExit(0);
      Files.delete(hold);
      Target.nap(300);
      assertThat(target.proc().exists()).isTrue();
      assertThat(target.folder().resolve("result")).doesNotExist();
      Command.Result refused = Jcr.dump(target.pid(), target.image("early"));
      refused.expectExit(3);
      assertThat(refused.err()).contains("it is registered with a userfaultfd");
      Command.Result resumed =
          Jcr.run("restore", image.toString(), "--resume", pid, "--json").expectExit(0);
      assertThat(resumed.out()).contains("\"lazy_pages\":{\"bytes\":");
      target.expectPass();
      expectNothingLeft(target);
    }
  }

  /// As when all of a service is killed: what holds the memory is not in its control group. The
  /// process, which is not either, waits; it gets no zeros.
  @Tag("process")
  @Test
  void aKilledControlGroup() throws Exception {
    Path group = ControlGroup.make();
    try (Target target = Target.start("lazy", "16", "touch")) {
      Path image = dumped(target);
      String pid = Long.toString(target.pid());
      Path hold = Files.writeString(target.folder().resolve("hold"), "");
      Files.writeString(target.folder().resolve("check"), "");
      ControlGroup.in(
              group, Jcr.command("restore", image.toString(), "-d", "--lazy-pages", RATE, "0"))
          .run()
          .expectExit(0);
      target.await("touched");
      long server = server(target).orElseThrow();
      assertThat(Files.readAllLines(group.resolve("cgroup.procs")))
          .containsExactly(Long.toString(server));
      Files.writeString(group.resolve("cgroup.kill"), "1");
      Files.delete(hold);
      Target.nap(500);
      assertThat(server(target)).isEmpty();
      assertThat(target.proc().exists()).isTrue();
      assertThat(target.folder().resolve("result")).doesNotExist();
      Jcr.run("restore", image.toString(), "--resume", pid).expectExit(0);
      target.expectPass();
      expectNothingLeft(target);
    } finally {
      ControlGroup.remove(group);
    }
  }

  /// A server takes over from one that lives, in the background too.
  @Tag("process")
  @Test
  void aServerHandsOver() throws Exception {
    try (Target target = Target.start("lazy", "16", "touch")) {
      Path image = dumped(target);
      String pid = Long.toString(target.pid());
      Path hold = Files.writeString(target.folder().resolve("hold"), "");
      Files.writeString(target.folder().resolve("check"), "");
      Jcr.restore(image, "--lazy-pages", RATE, "0").expectExit(0);
      target.await("touched");
      long before = server(target).orElseThrow();
      Jcr.run("restore", image.toString(), "--resume", pid, "-d", RATE, "0").expectExit(0);
      assertThat(server(target).orElseThrow()).isNotEqualTo(before);
      Files.delete(hold);
      target.expectPass();
      expectNothingLeft(target);
    }
  }

  /// A page whose checksum is wrong stops the process; it never sees it. With the image put right
  /// it goes on.
  @Tag("process")
  @Test
  void aDamagedPageStopsTheProcess() throws Exception {
    try (Target target = Target.start("lazy", "16", "touch")) {
      Path image = dumped(target);
      String pid = Long.toString(target.pid());
      Files.writeString(target.folder().resolve("check"), "");
      flip(image.resolve("pages"));
      Command.Result damaged =
          Jcr.run("restore", image.toString(), "--lazy-pages", RATE, "0").expectExit(7);
      assertThat(damaged.err())
          .contains("cannot give process " + pid + " a page of its memory, so it is stopped")
          .contains("CRC32C of the stored bytes")
          .contains("go on with jcr restore DIR --resume " + pid);
      assertThat(target.proc().state()).isEqualTo('T');
      Jcr.run("restore", image.toString(), "--resume", pid).expectExit(7);
      assertThat(target.proc().state()).isEqualTo('T');
      assertThat(target.folder().resolve("result")).doesNotExist();
      flip(image.resolve("pages"));
      Jcr.run("restore", image.toString(), "--resume", pid).expectExit(0);
      target.expectPass();
      expectNothingLeft(target);
    }
  }

  @Tag("badinput")
  @Test
  void onlyItsOwnImageIsTaken() throws Exception {
    try (Target target = Target.start("lazy", "4", "touch");
        Target other = Target.start("lazy", "4", "touch")) {
      Path image = dumped(target);
      Path wrong = dumped(other);
      String pid = Long.toString(target.pid());
      Path hold = Files.writeString(target.folder().resolve("hold"), "");
      Files.writeString(target.folder().resolve("check"), "");
      Jcr.restore(image, "--lazy-pages", RATE, "0").expectExit(0);
      assertThat(Jcr.run("restore", wrong.toString(), "--resume", pid).expectExit(2).err())
          .contains("it was restored from another image; give the folder of that one");
      Files.delete(hold);
      target.expectPass();
      assertThat(Jcr.run("restore", image.toString(), "--resume", pid).expectExit(6).err())
          .contains("cannot give process " + pid + " its pages: it is gone");
    }
  }

  /// Time to the first instruction, for 64 MiB to 4 GiB.
  @Tag("bench")
  @Timeout(1200)
  @Test
  void timeToTheFirstInstruction() throws Exception {
    for (String size : List.of("64", "256", "1024", "4096")) {
      try (Target target = Target.start("lazy", size, "touch")) {
        Path image = target.image("one");
        Jcr.dump(target.pid(), image, "--compress", "none").expectExit(0);
        target.awaitGone();
        for (String how : List.of("--lazy-pages", "")) {
          Command.Result result =
              how.isEmpty()
                  ? Jcr.restore(image, "--json", "-s")
                  : Jcr.restore(image, "--json", "-s", how, RATE, "0");
          result.expectExit(0);
          System.out.printf(
              "%s MiB %s: runs after %s us%n",
              size,
              how.isEmpty() ? "whole" : "lazy",
              result.out().replaceFirst("(?s).*\"until_it_ran_us\":([0-9]+).*", "$1"));
          target.kill("KILL");
          target.awaitGone();
          expectNothingLeft(target);
        }
      }
    }
  }

  private static Path dumped(Target target) {
    Path image = target.image("one");
    Jcr.dump(target.pid(), image).expectExit(0);
    target.awaitGone();
    return image;
  }

  /// Inverts a byte in the last third, which is not read before the process runs.
  private static void flip(Path file) throws IOException {
    try (RandomAccessFile pages = new RandomAccessFile(file.toFile(), "rw")) {
      long at = pages.length() - (3 << 20);
      pages.seek(at);
      int value = pages.read();
      pages.seek(at);
      pages.write(~value);
    }
  }

  /// The jcr in the background that serves it.
  private static Optional<Long> server(Target target) throws IOException {
    return having("\0--resume\0" + target.pid() + "\0--background\0");
  }

  private static Optional<Long> having(String words) throws IOException {
    try (Stream<Path> processes = Files.list(Path.of("/proc"))) {
      return processes
          .filter(path -> path.getFileName().toString().matches("[0-9]+"))
          .filter(path -> commandLine(path).contains(words))
          .map(path -> Long.parseLong(path.getFileName().toString()))
          .findFirst();
    }
  }

  private static String commandLine(Path process) {
    try {
      return Files.readString(process.resolve("cmdline"), StandardCharsets.ISO_8859_1);
    } catch (IOException e) {
      return "";
    }
  }

  /// Neither server nor keeper outlive their work.
  private static void expectNothingLeft(Target target) throws IOException {
    long end = System.nanoTime() + 20_000_000_000L;
    while (System.nanoTime() < end) {
      if (server(target).isEmpty() && having("jcr-page-keeper\0" + target.pid() + "\0").isEmpty()) {
        return;
      }
      Target.nap(20);
    }
    throw new AssertionError("server or keeper of " + target + " are still there");
  }
}
