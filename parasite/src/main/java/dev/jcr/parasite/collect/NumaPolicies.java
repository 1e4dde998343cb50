package dev.jcr.parasite.collect;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.v1.NumaPolicy;
import dev.jcr.image.v1.Vma;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.procfs.MapsEntry;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.remote.Batch;
import dev.jcr.parasite.remote.Infection;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Optional;
import java.util.TreeMap;

/// NUMA policies of mappings and threads, numa(7). Only the process itself can ask for them; the
/// home node of set_mempolicy_home_node(2) nobody can.
public final class NumaPolicies {
  /// The most that any kernel is built for (MAX_NUMNODES), and one, as get_mempolicy(2) wants it.
  private static final int MOST_NODES = 1024 + 1;

  private static final int MASK_BYTES = 128;
  private static final int MPOL_F_ADDR = 2;

  /// How many answers fit into the scratch memory of an injection.
  private static final int AT_ONCE = 256;

  private NumaPolicies() {}

  /// Whether a mapping or the leader may have a policy: numa_maps(5) shows the leader's where a
  /// mapping has none of its own.
  public static boolean any(Proc proc) throws IOException {
    // 7f0c5a3e1000 interleave:0-1 anon=1 dirty=1 N0=1 kernelpagesize_kB=4
    return proc.optionalText("numa_maps")
        .orElse("")
        .lines()
        .map(line -> line.split(" ", 3))
        .anyMatch(words -> words.length > 1 && !words[1].equals("default"));
  }

  /// Asks for the policy of the calling thread; an error where the kernel knows nothing of nodes.
  ///
  /// @return where the answer will be
  public static long ask(Batch batch) {
    long answer = batch.room(8 + MASK_BYTES);
    batch.add(Syscall.GET_MEMPOLICY, answer, answer + 8, MOST_NODES, 0, 0);
    return answer;
  }

  /// The answer to [#ask]; empty for the default.
  public static Optional<NumaPolicy> answer(Batch.Results results, long answer) {
    int mode = results.integer(answer);
    if (mode == 0) {
      return Optional.empty();
    }
    NumaPolicy.Builder policy = NumaPolicy.newBuilder().setMode(mode);
    int words = MASK_BYTES / 8;
    while (words > 0 && results.word(answer + 8L * words) == 0) {
      words--;
    }
    for (int i = 1; i <= words; i++) {
      policy.addNodes(results.word(answer + 8L * i));
    }
    return Optional.of(policy.build());
  }

  /// Policies of mappings by their start, those that have one.
  public static NavigableMap<Long, NumaPolicy> of(
      List<MapsEntry> maps, Infection.InfectedThread inside) throws CheckpointException {
    NavigableMap<Long, NumaPolicy> policies = new TreeMap<>();
    for (int from = 0; from < maps.size(); from += AT_ONCE) {
      Batch batch = inside.batch();
      List<MapsEntry> part = maps.subList(from, Math.min(maps.size(), from + AT_ONCE));
      List<Long> answers = new ArrayList<>();
      for (MapsEntry entry : part) {
        long answer = batch.room(8 + MASK_BYTES);
        batch.add(
            Syscall.GET_MEMPOLICY, answer, answer + 8, MOST_NODES, entry.start(), MPOL_F_ADDR);
        answers.add(answer);
      }
      Batch.Results results = inside.run(batch);
      for (int i = 0; i < part.size(); i++) {
        long start = part.get(i).start();
        if (!Kernel.isError(results.value(i))) {
          answer(results, answers.get(i)).ifPresent(policy -> policies.put(start, policy));
        }
      }
    }
    return policies;
  }

  /// Mappings with their policies.
  public static List<Vma> added(List<Vma> vmas, NavigableMap<Long, NumaPolicy> policies) {
    if (policies.isEmpty()) {
      return vmas;
    }
    List<Vma> all = new ArrayList<>();
    for (Vma vma : vmas) {
      Map.Entry<Long, NumaPolicy> policy = policies.ceilingEntry(vma.getStart());
      boolean own = policy != null && policy.getKey() < vma.getEnd();
      all.add(own ? vma.toBuilder().setNumaPolicy(policy.getValue()).build() : vma);
    }
    return all;
  }

  /// The node mask of a policy as set_mempolicy(2) and mbind(2) take it.
  public static byte[] mask(NumaPolicy policy) {
    ByteBuffer mask =
        ByteBuffer.allocate(8 * policy.getNodesCount()).order(ByteOrder.LITTLE_ENDIAN);
    policy.getNodesList().forEach(mask::putLong);
    return mask.array();
  }

  /// Its size in bits, and one.
  public static int maskBits(NumaPolicy policy) {
    return policy.getNodesCount() == 0 ? 0 : 64 * policy.getNodesCount() + 1;
  }
}
