package dev.jcr.tests;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/// Measures jcr beside CRIU: the same program, alternating, images in memory, medians. Started by
/// `tests/bench`; prints one table.
final class Bench {
  private static final Pattern FROZEN = Pattern.compile("\"frozen_time_us\":\\s*(\\d+)");

  private enum Tool {
    JCR("jcr"),
    JCR_PLAIN("jcr --compress none"),
    CRIU("criu");

    final String title;

    Tool(String title) {
      this.title = title;
    }
  }

  /// @param rounds at most
  private record Load(String title, List<String> arguments, int rounds) {
    Load(String title, String... arguments) {
      this(title, List.of(arguments), Integer.MAX_VALUE);
    }
  }

  /// One dump and restore. Times in ms, size in bytes.
  private record Sample(double dump, double frozen, double restore, double size) {}

  private final Path memory;
  private final int rounds;

  private Bench(Path memory, int rounds) {
    this.memory = memory;
    this.rounds = rounds;
  }

  public static void main(String[] arguments) throws Exception {
    int rounds = arguments.length > 0 ? Integer.parseInt(arguments[0]) : 10;
    Path memory = Files.createTempDirectory(Path.of("/dev/shm"), "jcr-bench");
    try {
      new Bench(memory, rounds).run();
    } finally {
      Target.delete(memory);
    }
  }

  private void run() throws Exception {
    List<Load> loads =
        List.of(
            new Load("empty process", "empty"),
            new Load("64 MiB", "anonymous", Integer.toString(64 << 20)),
            new Load("1 GiB", "anonymous", Integer.toString(1 << 30)),
            new Load("500 threads", "threads", "500"),
            new Load("10000 threads", List.of("threads", "10000"), 3));
    System.out.printf(
        "medians of %d alternating runs (3 of 10000 threads), images in memory (tmpfs)%n"
            + "%-14s %-20s %10s %10s %10s %10s%n",
        rounds, "", "", "dump ms", "frozen ms", "restore ms", "image MiB");
    for (Load load : loads) {
      Map<Tool, List<Sample>> samples = new EnumMap<>(Tool.class);
      // One round warms caches and is thrown away.
      for (int round = -1; round < Math.min(rounds, load.rounds); round++) {
        List<Tool> order = new ArrayList<>(Arrays.asList(Tool.values()));
        java.util.Collections.rotate(order, Math.floorMod(round, order.size()));
        for (Tool tool : order) {
          Sample sample = measure(tool, load);
          if (round >= 0) {
            samples.computeIfAbsent(tool, _ -> new ArrayList<>()).add(sample);
          }
        }
      }
      print(load, samples);
    }
  }

  private static void print(Load load, Map<Tool, List<Sample>> samples) {
    Sample criu = median(samples.getOrDefault(Tool.CRIU, List.of()));
    for (Tool tool : Tool.values()) {
      Sample m = median(samples.getOrDefault(tool, List.of()));
      System.out.printf(
          Locale.ROOT,
          "%-14s %-20s %10.1f %10.1f %10.1f %10.2f%n",
          load.title,
          tool.title,
          m.dump,
          m.frozen,
          m.restore,
          m.size / (1 << 20));
      if (tool != Tool.CRIU) {
        System.out.printf(
            Locale.ROOT,
            "%-14s %-20s %9.2fx %9.2fx %9.2fx %9.2fx%n",
            "",
            "  : criu",
            m.dump / criu.dump,
            m.frozen / criu.frozen,
            m.restore / criu.restore,
            m.size / criu.size);
      }
    }
  }

  private static Sample median(List<Sample> samples) {
    return new Sample(
        median(samples.stream().mapToDouble(Sample::dump).toArray()),
        median(samples.stream().mapToDouble(Sample::frozen).toArray()),
        median(samples.stream().mapToDouble(Sample::restore).toArray()),
        median(samples.stream().mapToDouble(Sample::size).toArray()));
  }

  private static double median(double[] values) {
    Arrays.sort(values);
    int n = values.length;
    return n == 0 ? 0 : n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
  }

  private Sample measure(Tool tool, Load load) throws IOException {
    String[] arguments = load.arguments.toArray(String[]::new);
    try (Target target = Target.start("bench", arguments)) {
      Path image = Files.createDirectory(memory.resolve("image"));
      try {
        Sample sample = tool == Tool.CRIU ? criu(target, image) : jcr(tool, target, image);
        target.expectPass();
        return sample;
      } finally {
        Target.delete(image);
      }
    }
  }

  private static Sample jcr(Tool tool, Target target, Path image) throws IOException {
    String codec = tool == Tool.JCR_PLAIN ? "none" : "zstd";
    Command.Result dump =
        Jcr.dump(target.pid(), image, "--json", "--compress", codec).expectExit(0);
    Matcher frozen = FROZEN.matcher(dump.out());
    if (!frozen.find()) {
      throw new AssertionError("no frozen time in " + dump);
    }
    double size = size(image);
    target.awaitGone();
    Command.Result restore = Jcr.restore(image).expectExit(0);
    return new Sample(
        milliseconds(dump), Long.parseLong(frozen.group(1)) / 1e3, milliseconds(restore), size);
  }

  private static Sample criu(Target target, Path image) throws IOException {
    String program = Path.of("criu").toAbsolutePath().toString();
    Command.Result dump =
        Command.of(
                program, "dump", "-t", Long.toString(target.pid()), "-D", image.toString(), "-v0")
            .run()
            .expectExit(0);
    double frozen = criuFrozen(image.resolve("stats-dump")) / 1e3;
    double size = size(image);
    target.awaitGone();
    Command.Result restore =
        Command.of(program, "restore", "-D", image.toString(), "-d", "-v0").run().expectExit(0);
    return new Sample(milliseconds(dump), frozen, milliseconds(restore), size);
  }

  /// frozen_time of CRIU's stats.proto: the file is two magic words, the length, and a message
  /// whose field 1 (dump) has frozen_time as field 2, a varint.
  private static long criuFrozen(Path file) throws IOException {
    ByteBuffer in = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
    in.position(12);
    if (varint(in) != (1 << 3 | 2)) {
      throw new IOException("not a dump statistic: " + file);
    }
    int end = (int) varint(in) + in.position();
    while (in.position() < end) {
      long tag = varint(in);
      long value = varint(in);
      if (tag == 2 << 3) {
        return value;
      }
    }
    throw new IOException("no frozen time in " + file);
  }

  private static long varint(ByteBuffer in) {
    long value = 0;
    for (int shift = 0; ; shift += 7) {
      byte next = in.get();
      value |= (next & 0x7fL) << shift;
      if (next >= 0) {
        return value;
      }
    }
  }

  private static double milliseconds(Command.Result result) {
    return result.wall().toNanos() / 1e6;
  }

  private static double size(Path folder) throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      return files.filter(file -> !file.toString().endsWith(".log")).mapToLong(Bench::length).sum();
    }
  }

  private static long length(Path file) {
    try {
      return Files.size(file);
    } catch (IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }
}
