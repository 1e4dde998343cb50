package dev.jcr.dump.signals;

import com.google.protobuf.ByteString;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.v1.PendingSignal;
import dev.jcr.image.v1.SignalAction;
import dev.jcr.image.v1.Signals;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.ptrace.Freeze;
import dev.jcr.parasite.ptrace.Tracee;
import dev.jcr.parasite.remote.Batch;
import dev.jcr.parasite.remote.Infection;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;

/// Actions, and signals that wait to be delivered.
public final class SignalCollector {
  private static final int SIGKILL = 9;
  private static final int SIGSTOP = 19;
  private static final int LAST_SIGNAL = 64;

  /// `struct kernel_sigaction`: handler, flags, restorer, mask.
  private static final int ACTION_SIZE = 32;

  private SignalCollector() {}

  /// Asks the process itself for its 62 changeable actions: no other interface shows handlers.
  public static List<SignalAction> actions(Infection.InfectedThread thread)
      throws CheckpointException {
    Batch batch = thread.batch();
    long[] rooms = new long[LAST_SIGNAL + 1];
    for (int signal = 1; signal <= LAST_SIGNAL; signal++) {
      if (signal != SIGKILL && signal != SIGSTOP) {
        rooms[signal] = batch.room(ACTION_SIZE);
        batch.require(
            "read the action of signal " + signal,
            Syscall.RT_SIGACTION,
            signal,
            0,
            rooms[signal],
            8);
      }
    }
    Batch.Results results = thread.run(batch);
    List<SignalAction> actions = new ArrayList<>();
    for (int signal = 1; signal <= LAST_SIGNAL; signal++) {
      if (rooms[signal] == 0) {
        continue;
      }
      SignalAction found =
          SignalAction.newBuilder()
              .setSignal(signal)
              .setHandler(results.word(rooms[signal]))
              .setFlags(results.word(rooms[signal] + 8))
              .setRestorer(results.word(rooms[signal] + 16))
              .setMask(results.word(rooms[signal] + 24))
              .build();
      if (found.getHandler() != 0 || found.getFlags() != 0 || found.getMask() != 0) {
        actions.add(found);
      }
    }
    return actions;
  }

  public static Signals signals(Freeze freeze, List<SignalAction> actions)
      throws CheckpointException {
    return Signals.newBuilder()
        .addAllActions(actions)
        .addAllPending(pending(freeze.first().tracee(), true))
        .setStoppedBy(freeze.stoppedBy())
        .build();
  }

  /// The queue of one thread, or the one shared by all.
  public static List<PendingSignal> pending(Tracee tracee, boolean shared)
      throws CheckpointException {
    List<PendingSignal> all = new ArrayList<>();
    for (byte[] info : tracee.pendingSignals(shared)) {
      all.add(
          PendingSignal.newBuilder()
              .setSignal(ByteBuffer.wrap(info).order(ByteOrder.LITTLE_ENDIAN).getInt(0))
              .setInfo(ByteString.copyFrom(info))
              .build());
    }
    return all;
  }
}
