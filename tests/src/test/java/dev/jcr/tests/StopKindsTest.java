package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// arm64: a task found in any kind of stop is restored with every register set as it was. Each cell
/// of the table is read by a program that shares no code with jcr (`tests/targets/arm64/regs.c`),
/// before the dump and after the restore; the target compares its registers itself as well.
@Tag("arm64")
class StopKindsTest {
  private static final List<String> STREAMING = List.of("streaming", "za", "zt0", "fpmr", "tpidr2");

  /// A way in which jcr may find the task: the mode of `torture_regs`, and what is done to it.
  private enum Kind {
    BLOCKED("blocked in a system call", "poll"),
    USER_CODE("in user code", "spin"),
    GROUP_STOPPED("group-stopped", "spin"),
    PENDING("with a signal pending", "pending"),
    FILTERED("in a call that seccomp filters", "filtered"),
    HANDLER("inside a signal handler", "handler"),
    STEPPED("single-stepped until just now", "spin");

    private final String text;
    private final String mode;

    Kind(String text, String mode) {
      this.text = text;
      this.mode = mode;
    }
  }

  record Cell(Kind kind, List<String> sets) {
    @Override
    public String toString() {
      return kind.text + (sets.isEmpty() ? "" : ", streaming mode");
    }

    Target start() {
      List<String> arguments = new ArrayList<>(List.of(kind.mode));
      arguments.addAll(sets);
      arguments.add("loops=30000000");
      return Target.start("torture_regs", arguments.toArray(String[]::new));
    }
  }

  static Stream<Cell> cells() {
    return Arrays.stream(Kind.values())
        .flatMap(kind ->
            kind == Kind.BLOCKED || kind == Kind.FILTERED
                ? Stream.of(new Cell(kind, List.of()))
                : Stream.of(new Cell(kind, List.of()), new Cell(kind, STREAMING)));
  }

  @ParameterizedTest
  @MethodSource("cells")
  void everyRegisterSetIsTheSame(Cell cell) {
    try (Target target = cell.start()) {
      Map<String, String> before = read(target, cell.kind);
      if (cell.kind == Kind.STEPPED) {
        Command.of(Programs.compiled("stepper").toString(), Long.toString(target.pid()), "100")
            .run()
            .expectExit(0);
      }
      Path image = target.image("1");
      Jcr.dump(target.pid(), image).expectExit(0);
      target.awaitGone();
      Jcr.restore(image).expectExit(0);
      Map<String, String> after = read(target, cell.kind);
      print(cell, before, after);
      assertThat(after).isEqualTo(before).hasSizeGreaterThan(9).containsKeys("PRSTATUS", "SVE");
      if (cell.kind == Kind.GROUP_STOPPED) {
        assertThat(target.proc().state()).isEqualTo('T');
        target.kill("CONT");
      }
      target.expectPass();
    }
  }

  private static void print(Cell cell, Map<String, String> before, Map<String, String> after) {
    before.forEach((set, value) ->
        System.out.printf(
            Locale.ROOT,
            "%-48s %-16s %s %s %s%n",
            cell,
            set,
            value,
            after.get(set),
            value.equals(after.get(set)) ? "equal" : "DIFFERENT"));
  }

  /// Size and digest by set, read while the task is in its window.
  private static Map<String, String> read(Target target, Kind kind) {
    String[] window = target.read("window").strip().split(" ", -1);
    for (int i = 0; i < 100; i++) {
      if (kind == Kind.GROUP_STOPPED && target.proc().state() != 'T') {
        target.kill("STOP");
        while (target.proc().state() != 'T') {
          Target.nap(5);
        }
      }
      Command.Result result =
          Command.of(
                  Programs.compiled("regs").toString(),
                  Long.toString(target.pid()),
                  window[0],
                  window[1])
              .run();
      if (result.exitCode() == 0) {
        Map<String, String> sets = new LinkedHashMap<>();
        result
            .out()
            .lines()
            .forEach(line -> sets.put(line.split(" ", 2)[0], line.split(" ", 2)[1]));
        return sets;
      }
      assertThat(result.exitCode()).as("%s", result).isEqualTo(3);
      if (kind == Kind.GROUP_STOPPED) {
        target.kill("CONT");
      }
      Target.nap(20);
    }
    throw new AssertionError(target + " is never in its window: " + target.read("result"));
  }
}
