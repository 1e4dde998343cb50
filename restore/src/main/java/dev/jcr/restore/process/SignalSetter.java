package dev.jcr.restore.process;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.v1.PendingSignal;
import dev.jcr.image.v1.SignalAction;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.remote.Batch;
import dev.jcr.parasite.remote.OwnedProcess;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// Signal actions and signals that wait.
public final class SignalSetter {
  private static final int SIGKILL = 9;
  private static final int SIGSTOP = 19;

  private SignalSetter() {}

  /// Sets the action of every signal; those that are not listed are reset.
  public static void actions(OwnedProcess inside, List<SignalAction> actions)
      throws CheckpointException {
    Map<Integer, SignalAction> byNumber = new LinkedHashMap<>();
    actions.forEach(action -> byNumber.put(action.getSignal(), action));
    Batch batch = inside.batch();
    for (int signal = 1; signal <= 64; signal++) {
      if (signal == SIGKILL || signal == SIGSTOP) {
        continue;
      }
      SignalAction wanted = byNumber.getOrDefault(signal, SignalAction.getDefaultInstance());
      long action =
          batch.put(
              ByteBuffer.allocate(32)
                  .order(ByteOrder.LITTLE_ENDIAN)
                  .putLong(wanted.getHandler())
                  .putLong(wanted.getFlags())
                  .putLong(wanted.getRestorer())
                  .putLong(wanted.getMask())
                  .array());
      batch.require(
          "set the action of signal " + signal, Syscall.RT_SIGACTION, signal, action, 0, 8);
    }
    inside.run(batch);
  }

  /// Queues signals to a process.
  public static void queue(OwnedProcess leader, List<PendingSignal> pending)
      throws CheckpointException {
    for (PendingSignal signal : pending) {
      if (put(leader, signal)) {
        leader.require(
            what(signal, leader),
            Syscall.RT_SIGQUEUEINFO,
            leader.ids().process(),
            signal.getSignal(),
            leader.scratch());
      }
    }
  }

  /// Queues signals to one thread.
  public static void queueToThread(OwnedProcess thread, List<PendingSignal> pending)
      throws CheckpointException {
    for (PendingSignal signal : pending) {
      if (put(thread, signal)) {
        thread.require(
            what(signal, thread),
            Syscall.RT_TGSIGQUEUEINFO,
            thread.ids().process(),
            thread.ids().thread(),
            signal.getSignal(),
            thread.scratch());
      }
    }
  }

  /// A task may queue any siginfo to itself; the rest is forbidden (kernel/signal.c,
  /// do_rt_sigqueueinfo). False for those that nobody can queue.
  private static boolean put(OwnedProcess inside, PendingSignal signal) throws CheckpointException {
    if (signal.getSignal() == SIGSTOP || signal.getSignal() == SIGKILL) {
      return false;
    }
    try (Arena arena = Arena.ofConfined()) {
      inside.write(inside.scratch(), arena.allocateFrom(JAVA_BYTE, signal.getInfo().toByteArray()));
    }
    return true;
  }

  private static String what(PendingSignal signal, OwnedProcess task) {
    return "queue signal " + signal.getSignal() + " to " + task.tid();
  }
}
