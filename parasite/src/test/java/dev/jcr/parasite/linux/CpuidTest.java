package dev.jcr.parasite.linux;

import static org.assertj.core.api.Assertions.assertThat;

import dev.jcr.parasite.procfs.Proc;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;

@EnabledIfSystemProperty(named = "os.arch", matches = "amd64|x86_64")
class CpuidTest {
  @Test
  void vendorIsThatOfTheKernel() throws IOException {
    try (Cpuid cpuid = Cpuid.open()) {
      int[] leaf = cpuid.query(0, 0);
      byte[] name =
          ByteBuffer.allocate(12)
              .order(ByteOrder.LITTLE_ENDIAN)
              .putInt(leaf[1])
              .putInt(leaf[3])
              .putInt(leaf[2])
              .array();
      assertThat(Proc.at("/proc").text("cpuinfo"))
          .containsPattern("vendor_id\\s*: " + new String(name, StandardCharsets.US_ASCII) + "\n");
    }
  }

  @Test
  void subleavesAreTold() throws SyscallException {
    try (Cpuid cpuid = Cpuid.open()) {
      int[] main = cpuid.query(0xd, 0);
      assertThat(main[0] & 3).describedAs("x87 and SSE").isEqualTo(3);
      assertThat(main[1]).describedAs("size").isBetween(576, main[2]);
      if ((main[0] & 4) != 0) {
        int[] avx = cpuid.query(0xd, 2);
        assertThat(avx[0]).describedAs("AVX bytes").isEqualTo(256);
        assertThat(avx[1]).describedAs("AVX offset").isEqualTo(576);
      }
    }
  }
}
