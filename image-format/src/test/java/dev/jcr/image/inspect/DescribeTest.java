package dev.jcr.image.inspect;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import com.google.protobuf.Descriptors.Descriptor;
import com.google.protobuf.Descriptors.FieldDescriptor;
import dev.jcr.image.SampleStates;
import dev.jcr.image.v1.Arch;
import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.Manifest;
import dev.jcr.image.v1.Options;
import dev.jcr.image.v1.Pagemap;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.SignalAction;
import dev.jcr.image.v1.Vma;
import java.util.HashSet;
import java.util.Set;
import org.junit.jupiter.api.Test;

class DescribeTest {
  @Test
  void textIsATreeWithNamesAndUnits() {
    assertThat(Describe.text(SampleStates.x8664()))
        .contains(
            "host\n  arch: ARCH_X86_64\n  page_size: 4096 bytes\n",
            "    protection: 0x3 PROT_READ|PROT_WRITE\n",
            "    name: heap\n",
            "  descriptors[0]\n    fd: 0\n",
            "    vm_flags: hg lo\n",
            "        rip: 0x1010\n",
            "    remaining: 1000000000 ns\n",
            "    flags: 0x14000004 SA_SIGINFO|SA_RESTORER|SA_RESTART\n",
            "    mask: 0x202 SIGINT|SIGUSR1\n",
            "    signal: 34 SIGRTMIN\n",
            "  comm: worker\n",
            "        events: 0x80000001 EPOLLIN|EPOLLET\n",
            "    flags: 0x800 O_RDONLY|O_NONBLOCK\n",
            "... (464 bytes)\n");
  }

  @Test
  void aarch64RegistersHaveTheirNames() {
    assertThat(Describe.text(SampleStates.aarch64()))
        .contains("        x30: 0x101e\n        sp: 0x101f\n        pc: 0x1020\n")
        .contains("        orig_x7: 0x1023\n");
  }

  @Test
  void jsonIsForPrograms() {
    assertThat(
            Describe.json(
                Vma.newBuilder()
                    .setStart(0x1000)
                    .setProtection(5)
                    .setName(ByteString.copyFromUtf8("a\"b"))
                    .addVmFlags("lo")
                    .build()))
        .isEqualTo(
            "{\"start\":\"0x1000\",\"protection\":[\"PROT_READ\",\"PROT_EXEC\"],"
                + "\"vm_flags\":[\"lo\"],\"name\":\"a\\\"b\"}");
    assertThat(Describe.json(SignalAction.newBuilder().setSignal(9).setFlags(0x8000_0002L).build()))
        .isEqualTo("{\"signal\":\"SIGKILL\",\"flags\":[\"SA_NOCLDWAIT\",\"SA_RESETHAND\"]}");
    assertThat(Describe.json(Description.newBuilder().setPosition(1L << 60).build()))
        .isEqualTo("{\"id\":0,\"position\":\"1152921504606846976\"}");
    assertThat(Describe.json(SampleStates.x8664())).contains("\"rip\":\"0x1010\"");
  }

  @Test
  void openFlagsDependOnTheArchitecture() {
    Description directory = Description.newBuilder().setFlags(0200000).build();
    assertThat(Describe.text(directory, Arch.ARCH_X86_64)).contains("O_DIRECTORY");
    assertThat(Describe.text(directory, Arch.ARCH_AARCH64)).contains("O_DIRECT\n");
  }

  @Test
  void terminalsAreNotTricked() {
    assertThat(Describe.visible("a\u001b[2Jb\u202ec")).isEqualTo("a\\u001b[2Jb\\u202ec");
  }

  @Test
  void everyFlagSetOfTheSchemasIsKnown() {
    Set<Descriptor> seen = new HashSet<>();
    flagSets(ProcessState.getDescriptor(), seen);
    flagSets(Manifest.getDescriptor(), seen);
    flagSets(Pagemap.getDescriptor(), seen);
    assertThat(seen.size()).isGreaterThan(40);
    assertThatThrownBy(() -> FlagNames.of("nothing", 1, Arch.ARCH_X86_64))
        .isInstanceOf(IllegalArgumentException.class);
  }

  private static void flagSets(Descriptor type, Set<Descriptor> seen) {
    if (!seen.add(type)) {
      return;
    }
    for (FieldDescriptor field : type.getFields()) {
      String set = field.getOptions().getExtension(Options.flagNames);
      if (!set.isEmpty()) {
        assertThat(FlagNames.of(set, 0x7fffffff, Arch.ARCH_AARCH64)).isNotEmpty();
      }
      if (field.getJavaType() == FieldDescriptor.JavaType.MESSAGE) {
        flagSets(field.getMessageType(), seen);
      }
    }
  }
}
