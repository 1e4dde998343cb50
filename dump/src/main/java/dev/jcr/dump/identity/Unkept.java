package dev.jcr.dump.identity;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.v1.Loss;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Prctl;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.remote.Batch;
import dev.jcr.parasite.remote.Infection;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;

/// What a process has that no call gives to another: told, not kept.
public final class Unkept {
  private static final int KEYCTL_GET_KEYRING_ID = 0;
  private static final int KEY_SPEC_THREAD_KEYRING = -1;
  private static final int KEY_SPEC_PROCESS_KEYRING = -2;

  private Unkept() {}

  /// Keyrings are asked for without making any, so the session's is not: the kernel would install
  /// one.
  public static List<Loss> of(Proc proc, Infection.InfectedThread leader)
      throws CheckpointException, IOException {
    Batch batch = leader.batch();
    int thread = batch.add(Syscall.KEYCTL, KEYCTL_GET_KEYRING_ID, KEY_SPEC_THREAD_KEYRING, 0);
    int process = batch.add(Syscall.KEYCTL, KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 0);
    Batch.Results results = leader.run(batch);
    List<Loss> losses = new ArrayList<>();
    if (!Kernel.isError(results.value(process))) {
      losses.add(loss("process keyring", "the restored process has none"));
    }
    if (!Kernel.isError(results.value(thread))) {
      losses.add(loss("thread keyring", "the restored process has none"));
    }
    long cookie = cookie(proc.stat().pid());
    if (cookie != 0) {
      losses.add(
          loss(
              "core scheduling cookie 0x" + Long.toHexString(cookie),
              "the restored process has none; give it one with PR_SCHED_CORE"));
    }
    return losses;
  }

  /// PR_SCHED_CORE_GET; 0 for none, or where the kernel has no such thing.
  private static long cookie(int pid) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment cookie = arena.allocate(8, 8);
      Kernel.raw(Syscall.PRCTL, Prctl.SCHED_CORE, Prctl.SCHED_CORE_GET, pid, 0, cookie.address());
      return cookie.get(ValueLayout.JAVA_LONG, 0);
    }
  }

  private static Loss loss(String object, String reason) {
    return Loss.newBuilder().setKind("identity").setObject(object).setReason(reason).build();
  }
}
