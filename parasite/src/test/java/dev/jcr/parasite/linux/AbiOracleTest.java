package dev.jcr.parasite.linux;

import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.image.v1.Arch;
import java.io.IOException;
import java.io.InputStream;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/// Java's tables against what the C headers of both architectures say (`tests/abi/oracle.c`), on
/// any host.
class AbiOracleTest {
  /// Calls that are younger than the headers the oracle was compiled with; their numbers are those
  /// of the kernel's `scripts/syscall.tbl`, the same on both architectures.
  private static final Set<Syscall> YOUNG =
      Set.of(Syscall.MAP_SHADOW_STACK, Syscall.FUTEX_WAIT, Syscall.MSEAL);

  private static final List<Class<?>> TABLES = List.of(OpenFlags.class, Fcntl.class, Sockets.class);

  @ParameterizedTest
  @EnumSource(
      value = Arch.class,
      names = {"ARCH_X86_64", "ARCH_AARCH64"})
  void systemCallNumbers(Arch arch) throws IOException {
    Map<String, String> oracle = oracle(arch);
    for (Syscall call : Syscall.values()) {
      String said = oracle.get("syscall " + call.name().toLowerCase(Locale.ROOT));
      assertThat(said).as("%s is known to the oracle (run tests/abi/run)", call).isNotNull();
      if (YOUNG.contains(call)) {
        continue;
      }
      String ours = call.exists(arch) ? Integer.toString(call.number(arch)) : "none";
      assertThat(ours).as("%s on %s", call, arch).isEqualTo(said);
    }
  }

  @ParameterizedTest
  @EnumSource(
      value = Arch.class,
      names = {"ARCH_X86_64", "ARCH_AARCH64"})
  void constants(Arch arch) throws IOException, IllegalAccessException {
    Map<String, String> oracle = oracle(arch);
    for (Class<?> table : TABLES) {
      for (Field field : table.getFields()) {
        if (Modifier.isStatic(field.getModifiers()) && field.getType() == int.class) {
          assertThat(Integer.toString(field.getInt(null)))
              .as("%s on %s", field.getName(), arch)
              .isEqualTo(oracle.get(field.getName()));
        }
      }
    }
    OpenFlags flags = OpenFlags.of(arch);
    assertThat(oracle)
        .containsEntry("O_DIRECTORY", Integer.toString(flags.directory()))
        .containsEntry("O_NOFOLLOW", Integer.toString(flags.noFollow()))
        .containsEntry("O_DIRECT", Integer.toString(flags.direct()))
        .containsEntry("O_LARGEFILE", Integer.toString(flags.largeFile()))
        .containsEntry("O_TMPFILE", Integer.toString(flags.tmpFile()));
  }

  private static Map<String, String> oracle(Arch arch) throws IOException {
    String name = arch == Arch.ARCH_AARCH64 ? "aarch64" : "x86_64";
    try (InputStream in = AbiOracleTest.class.getResourceAsStream("/abi/abi-" + name + ".txt")) {
      assertThat(in).isNotNull();
      Map<String, String> values = new LinkedHashMap<>();
      new String(in.readAllBytes(), StandardCharsets.UTF_8)
          .lines()
          .forEach(line -> {
            int cut = line.lastIndexOf(' ');
            values.put(line.substring(0, cut), line.substring(cut + 1));
          });
      return values;
    }
  }
}
