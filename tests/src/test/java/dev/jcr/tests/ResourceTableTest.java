package dev.jcr.tests;

import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.image.v1.Description.KindCase;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/// The table of everything a process can hold is whole, names only cases that exist, and is the one
/// in tests/RESOURCES.md (written anew with `-Djcr.resources.write=true`).
@Tag("process")
class ResourceTableTest {
  private static final Path TABLE = Path.of("RESOURCES.md");

  /// Lines `CASE<TAB>passed|failed|skipped`, as tests/results makes them of the reports of a run.
  private static final Path RESULTS = Path.of("results");

  private static final Pattern CASE = Pattern.compile("[a-z_]+( [a-z0-9_]+)?");

  private static Set<String> cases() {
    return TargetProgramsTest.all()
        .map(TargetProgramsTest.Case::toString)
        .collect(Collectors.toSet());
  }

  @Test
  void everyKindOfDescriptionHasARow() {
    Set<KindCase> missing = EnumSet.allOf(KindCase.class);
    missing.remove(KindCase.KIND_NOT_SET);
    for (ResourceKind kind : ResourceKind.values()) {
      missing.removeAll(kind.descriptions);
    }
    assertThat(missing).isEmpty();
  }

  @Test
  void everyRowIsProvenByCasesOrSaysWhyNot() {
    Set<String> cases = cases();
    for (ResourceKind kind : ResourceKind.values()) {
      if (!kind.isRestored(cases)) {
        assertThat(kind.proofs).as("%s", kind).hasSize(1);
        assertThat(kind.proofs.getFirst().contains(" ") || cases.isEmpty())
            .as("%s: no such case: %s", kind, kind.proofs)
            .isTrue();
        boolean looksLikeACase =
            CASE.matcher(kind.proofs.getFirst()).matches()
                && Stream.of(
                        "zoo ", "tcp ", "objects ", "packets ", "ranges ", "pipes ", "sockets ")
                    .anyMatch(kind.proofs.getFirst()::startsWith);
        assertThat(looksLikeACase).as("%s: no such case: %s", kind, kind.proofs).isFalse();
      }
    }
  }

  @Test
  void everySilentLossIsShownByATestThatExists() throws IOException {
    Set<String> cases = cases();
    for (SilentLosses.Loss loss : SilentLosses.all()) {
      for (String shown : loss.isText() ? List.<String>of() : loss.shown()) {
        String[] words = shown.split("#", -1);
        Path test = Path.of("src/test/java/dev/jcr/tests", words[0] + ".java");
        boolean isTest =
            Files.exists(test)
                && (words.length == 1 || Files.readString(test).contains("void " + words[1] + "("));
        assertThat(cases.contains(shown) || isTest).as("%s: %s", loss.what(), shown).isTrue();
      }
    }
  }

  @Test
  void theTableIsTheCommittedOne() throws IOException {
    String table = table(cases());
    if (Boolean.getBoolean("jcr.resources.write")) {
      Files.writeString(TABLE, table);
    }
    assertThat(Files.readString(TABLE)).isEqualTo(table);
  }

  private static String table(Set<String> cases) throws IOException {
    Map<String, String> x8664 = results("x86_64");
    Map<String, String> aarch64 = results("aarch64");
    StringBuilder table =
        new StringBuilder(
            """
            # What one process can hold

            Made by `ResourceTableTest` from `ResourceKind` and from `tests/results`, what the last run of each
            target program gave: dumped, restored, and asked whether it is still itself.

            | | kind | | x86_64 | arm64 | target program, or the reason |
            | --- | --- | --- | --- | --- | --- |
            """);
    for (ResourceKind kind : ResourceKind.values()) {
      boolean restored = kind.isRestored(cases);
      table
          .append("| ")
          .append(kind.group)
          .append(" | ")
          .append(kind.title)
          .append(" | ")
          .append(restored ? "restored" : kind.isIgnored() ? "**not kept**" : "refused")
          .append(" | ")
          .append(restored ? result(kind, x8664) : "")
          .append(" | ")
          .append(restored ? result(kind, aarch64) : "")
          .append(" | ")
          .append(
              restored
                  ? kind.proofs.stream()
                      .map(name -> "`" + name + "`")
                      .collect(Collectors.joining(", "))
                  : kind.proofs.getFirst())
          .append(" |\n");
    }
    table.append(
        """

        ## What is lost in silence elsewhere

        Each with the test that shows that it is kept or named, or what becomes of it.

        | what | shown by |
        | --- | --- |
        """);
    for (SilentLosses.Loss loss : SilentLosses.all()) {
      table
          .append("| ")
          .append(loss.what())
          .append(" | ")
          .append(
              loss.isText()
                  ? loss.shown().getFirst()
                  : loss.shown().stream()
                      .map(name -> "`" + name + "`")
                      .collect(Collectors.joining(", ")))
          .append(" |\n");
    }
    stressors(table);
    return table.toString();
  }

  private static void stressors(StringBuilder table) {
    table
        .append(
            """

            ## stress-ng

            Its workers, one process each, dumped in the middle of their work (`StressorsTest`, all with `--soak`).
            Restored, at work again, and ended with success under `--verify`:
            """)
        .append(String.join(", ", Stressors.WORKING))
        .append(".\n\n| refused for | |\n| --- | --- |\n");
    for (Stressors.Refused group : Stressors.REFUSED) {
      table
          .append("| ")
          .append(group.reason())
          .append(" | ")
          .append(String.join(", ", group.names()))
          .append(" |\n");
    }
    table.append(
        """

        Also: `ioprio` notices that its process group is gone, of which the restore tells; `open` has 32000 files
        open, more than a jcr without CAP_SYS_RESOURCE may make.
        """);
  }

  private static String result(ResourceKind kind, Map<String, String> results) {
    Set<String> all =
        kind.proofs.stream()
            .map(name -> results.getOrDefault(name, "not run"))
            .collect(Collectors.toSet());
    return Stream.of("failed", "not run", "skipped", "passed")
        .filter(all::contains)
        .findFirst()
        .orElse("not run");
  }

  private static Map<String, String> results(String arch) throws IOException {
    Path file = RESULTS.resolve(arch + ".txt");
    Map<String, String> results = new LinkedHashMap<>();
    if (Files.exists(file)) {
      for (String line : Files.readAllLines(file)) {
        String[] words = line.split("\t", -1);
        if (words.length == 2 && Arrays.asList("passed", "failed", "skipped").contains(words[1])) {
          results.put(words[0], words[1]);
        }
      }
    }
    return results;
  }
}
