package dev.jcr.parasite.remote;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import dev.jcr.image.v1.TagRun;
import dev.jcr.image.v1.Vma;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class MemoryTagsTest {
  @Test
  void twoTagsToAByteTheLowerAddressInTheLowBits() {
    byte[] tags = {9, 9, 1, 2, 0xf, 0, 0, 0xe};
    ByteString packed = MemoryTags.packed(tags, 2, 8);
    assertThat(packed.toByteArray()).containsExactly(0x21, 0x0f, 0xe0);
    assertThat(MemoryTags.unpacked(packed)).containsExactly(1, 2, 0xf, 0, 0, 0xe);
  }

  private static TagRun run(long start, int... bytes) {
    byte[] tags = new byte[bytes.length];
    for (int i = 0; i < bytes.length; i++) {
      tags[i] = (byte) bytes[i];
    }
    return TagRun.newBuilder().setStart(start).setTags(ByteString.copyFrom(tags)).build();
  }

  @Test
  void runsThatFollowEachOtherAreOne() {
    List<TagRun> runs = new ArrayList<>();
    MemoryTags.join(run(0x1000, 1, 2), runs);
    MemoryTags.join(run(0x1040, 3), runs);
    MemoryTags.join(run(0x1080, 4), runs);
    assertThat(runs).containsExactly(run(0x1000, 1, 2, 3), run(0x1080, 4));
  }

  @Test
  void aMappingWithTags() {
    assertThat(MemoryTags.isTagged(Vma.newBuilder().setProtection(0x23).build())).isTrue();
    assertThat(MemoryTags.isTagged(Vma.newBuilder().setProtection(0x13).build())).isFalse();
  }
}
