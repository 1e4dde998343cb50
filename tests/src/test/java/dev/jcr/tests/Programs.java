package dev.jcr.tests;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import org.junit.jupiter.api.Assumptions;

/// Compiles the target programs of `tests/targets`, once for each content and set of flags. The
/// cache lies outside the tree.
final class Programs {
  private static final Path SOURCES = Path.of("targets");
  private static final List<String> FLAGS =
      List.of("-O2", "-g", "-Wall", "-Wextra", "-Werror", "-pthread");
  private static final List<String> LIBRARIES = List.of("-lrt", "-lutil");

  private Programs() {}

  /// The executable of `tests/targets/NAME.c`. Where no compiler is, the system property
  /// `jcr.programs` names a folder of them.
  static Path compiled(String name, String... moreFlags) {
    String ready = System.getProperty("jcr.programs", "");
    if (!ready.isEmpty()) {
      Path program = Path.of(ready, name);
      Assumptions.assumeTrue(
          Files.isExecutable(program), "the program " + name + " is not for this architecture");
      return program;
    }
    Path source = SOURCES.resolve(name + ".c");
    List<String> flags = new ArrayList<>(FLAGS);
    flags.addAll(List.of(moreFlags));
    try {
      Path folder = cache().resolve(digest(source, flags));
      Path program = folder.resolve(name);
      if (Files.isExecutable(program)) {
        return program;
      }
      Files.createDirectories(folder);
      Path temporary = Files.createTempFile(folder, name, ".tmp");
      List<String> command = new ArrayList<>(List.of("gcc"));
      command.addAll(flags);
      command.addAll(List.of("-o", temporary.toString(), source.toString()));
      if (!flags.contains("-nostdlib")) {
        command.addAll(LIBRARIES);
      }
      Command.Result result = Command.of(command).run();
      if (result.exitCode() != 0) {
        throw new AssertionError("cannot compile " + source + ":\n" + result.err());
      }
      Files.move(
          temporary, program, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
      return program;
    } catch (IOException e) {
      throw new AssertionError("cannot compile " + source, e);
    }
  }

  /// A folder that outlives the run, for compiled targets and downloads.
  static Path cache() {
    String base = System.getenv("XDG_CACHE_HOME");
    Path root =
        base == null || base.isEmpty()
            ? Path.of(System.getProperty("user.home"), ".cache")
            : Path.of(base);
    return root.resolve("jcr-tests");
  }

  private static String digest(Path source, List<String> flags) throws IOException {
    try {
      MessageDigest sha = MessageDigest.getInstance("SHA-256");
      sha.update(Files.readAllBytes(source));
      sha.update(Files.readAllBytes(SOURCES.resolve("jcrtest.h")));
      sha.update(String.join(" ", flags).getBytes(StandardCharsets.UTF_8));
      return HexFormat.of().formatHex(sha.digest(), 0, 8);
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError(e);
    }
  }
}
