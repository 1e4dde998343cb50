package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.dump.Dump;
import dev.jcr.dump.DumpListener;
import dev.jcr.dump.DumpOptions;
import dev.jcr.dump.DumpOptions.Afterwards;
import dev.jcr.dump.DumpReport;
import dev.jcr.dump.PreDump;
import dev.jcr.image.v1.Compression;
import dev.jcr.image.v1.Statistics;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// Memory in rounds: a program that changes random pages in every way, pre-dumps, a dump of the
/// rest, and the program finds every page of its restored memory as it was at that instant.
class IncrementalTest {
  private static Path previous(int round) {
    return Path.of("..", Integer.toString(round));
  }

  @Tag("process")
  @Timeout(600)
  @Test
  void twoHundredRounds() throws Exception {
    rounds(200, "32", "4");
  }

  /// Short enough for each run on arm64.
  @Tag("once")
  @Test
  void twentyRounds() throws Exception {
    rounds(20, "2", "1");
  }

  /// For arm64, where a page of the program has 16 KiB and an emulated processor needs long for all
  /// of them.
  @Tag("soak")
  @Test
  void twoHundredRoundsOfLittleMemory() throws Exception {
    rounds(200, "2", "1");
  }

  /// In one JVM: three pre-dumps, then a dump that lets it run and tracks on, and so on; the last
  /// dump ends it. Each dump could be restored; those at each fifth of the rounds are.
  private static void rounds(int rounds, String mebibytes, String rate) throws Exception {
    long stored = 0;
    long unchanged = 0;
    long begin = System.nanoTime();
    try (Target target = Target.start("dirty", mebibytes, rate)) {
      int pid = Math.toIntExact(target.pid());
      Path chain = Files.createDirectory(target.folder().resolve("chain"));
      for (int round = 1; round <= rounds; round++) {
        Path image = chain.resolve(Integer.toString(round));
        Path parent = round == 1 ? null : previous(round - 1);
        Statistics statistics;
        if (round % 4 != 0) {
          PreDump.Report report =
              PreDump.run(
                  new PreDump.Options(pid, image, parent, Compression.COMPRESSION_ZSTD, 1, false));
          assertThat(report.notes()).isEmpty();
          statistics = report.manifest().getCreation().getStatistics();
        } else {
          boolean last = round == rounds;
          DumpReport report =
              Dump.run(
                  DumpOptions.of(pid, image)
                      .afterwards(last ? Afterwards.KILL : Afterwards.LEAVE_RUNNING)
                      .durable(false)
                      .parent(parent)
                      .trackMemory(!last)
                      .build(),
                  DumpListener.SILENT);
          assertThat(report.notes()).isEmpty();
          statistics = report.statistics();
        }
        stored += statistics.getPagesWritten();
        unchanged += statistics.getPagesParent();
        if (round > 1) {
          assertThat(statistics.getPagesParent()).as("round " + round).isPositive();
        }
      }
      target.awaitGone();
      Path flat = target.image("flat");
      Path lastImage = chain.resolve(Integer.toString(rounds));
      Jcr.run("verify", lastImage.toString()).expectExit(0);
      Jcr.run("merge", lastImage.toString(), "-D", flat.toString()).expectExit(0);
      Jcr.run("verify", flat.toString()).expectExit(0);
      Jcr.run("diff", lastImage.toString(), flat.toString()).expectExit(0);
      // Older instants of the chain, then the last, each restored, checked and gone.
      for (int fifth = 1; fifth <= 5; fifth++) {
        restoreAndCheck(target, chain.resolve(Integer.toString(rounds / 5 * fifth)));
      }
      restoreAndCheck(target, flat);
    }
    System.out.printf(
        "%d rounds: %d pages stored, %d unchanged; 5 instants of the chain and the flattened image"
            + " restored and passed, %.1f s%n",
        rounds, stored, unchanged, (System.nanoTime() - begin) / 1e9);
  }

  private static void restoreAndCheck(Target target, Path image) throws Exception {
    Files.deleteIfExists(target.folder().resolve("check"));
    Files.deleteIfExists(target.folder().resolve("result"));
    Jcr.restore(image).expectExit(0);
    target.expectPass();
  }

  /// By the command line, and what happens when the keeper is gone: a full dump, and nothing else.
  @Tag("process")
  @Timeout(120)
  @Test
  void aKilledKeeperMakesTheNextDumpAFullOne() throws Exception {
    try (Target target = Target.start("dirty", "4")) {
      String pid = Long.toString(target.pid());
      Path one = target.image("one");
      String out = Jcr.run("pre-dump", pid, "-D", one.toString(), "--json").expectExit(0).out();
      String keeper = out.replaceFirst("(?s).*\"keeper\":([0-9]+).*", "$1");
      target.expectRunning();
      assertThat(new Proc(Long.parseLong(keeper)).exists()).isTrue();
      Command.of("kill", "-KILL", keeper).run().expectExit(0);
      target.expectProgress();
      Path two = target.image("two");
      Command.Result second =
          Jcr.run("dump", pid, "-D", two.toString(), "--prev-images-dir", one.toString())
              .expectExit(0);
      assertThat(second.err()).contains("everything is stored again");
      target.awaitGone();
      Target.delete(one);
      Jcr.restore(two).expectExit(0);
      target.expectPass();
    }
  }

  /// Two images cannot both continue the same one.
  @Tag("process")
  @Timeout(120)
  @Test
  void onlyTheNewestImageIsContinued() throws Exception {
    try (Target target = Target.start("dirty", "4")) {
      String pid = Long.toString(target.pid());
      Path one = target.image("one");
      Path two = target.image("two");
      Path three = target.image("three");
      Jcr.run("pre-dump", pid, "-D", one.toString()).expectExit(0);
      Jcr.run("pre-dump", pid, "-D", two.toString(), "--prev-images-dir", "../image-one")
          .expectExit(0);
      Command.Result third =
          Jcr.run("dump", pid, "-D", three.toString(), "--prev-images-dir", "../image-one")
              .expectExit(0);
      assertThat(third.err()).contains("everything is stored again");
      target.awaitGone();
      Jcr.restore(three).expectExit(0);
      target.expectPass();
    }
  }

  /// An image whose parent is missing, another one, or damaged is refused with its name.
  @Tag("badinput")
  @Timeout(120)
  @Test
  void aBrokenChainIsRefused() throws Exception {
    try (Target target = Target.start("dirty", "4")) {
      String pid = Long.toString(target.pid());
      Path one = target.image("one");
      Path two = target.image("two");
      Jcr.run("pre-dump", pid, "-D", one.toString()).expectExit(0);
      Jcr.run("dump", pid, "-D", two.toString(), "--prev-images-dir", "../image-one").expectExit(0);
      target.awaitGone();
      assertThat(Jcr.restore(one).expectExit(4).err()).contains("it holds memory only");
      Path away = target.image("away");
      Files.move(one, away);
      assertThat(Jcr.restore(two).expectExit(4).err())
          .contains("its parent image " + target.folder() + "/image-two/../image-one is not there");
      Files.createDirectory(one);
      assertThat(Jcr.restore(two).expectExit(4).err()).contains("image-one/manifest");
      Files.delete(one);
      Files.move(away, one);
      byte[] pages = Files.readAllBytes(one.resolve("pages"));
      pages[pages.length / 2] ^= 1;
      Files.write(one.resolve("pages"), pages);
      assertThat(Jcr.run("verify", two.toString()).expectExit(4).err()).contains("CRC32C");
      Jcr.restore(two).expectExit(4);
      pages[pages.length / 2] ^= 1;
      Files.write(one.resolve("pages"), pages);
      Jcr.restore(two).expectExit(0);
      target.expectPass();
    }
  }
}
