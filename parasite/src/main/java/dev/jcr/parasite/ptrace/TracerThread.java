package dev.jcr.parasite.ptrace;

import dev.jcr.image.CheckpointException;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;

/// Runs a session on a platform thread of its own. The kernel ties every tracee to the thread that
/// seized it; when that thread ends, tasks that still run are released without a stop.
public final class TracerThread {
  private TracerThread() {}

  /// Runs `session` and waits for it. Its exceptions are thrown here. An interrupt of the caller
  /// does not abandon the session: a target must never be left stopped.
  public static <T> T run(Callable<T> session) throws CheckpointException {
    FutureTask<T> task = new FutureTask<>(session);
    Thread thread = Thread.ofPlatform().name("jcr-tracer").start(task);
    boolean interrupted = false;
    try {
      while (true) {
        try {
          thread.join();
          return task.get();
        } catch (InterruptedException _) {
          interrupted = true;
        } catch (ExecutionException failure) {
          switch (failure.getCause()) {
            case CheckpointException e -> throw e;
            case RuntimeException e -> throw e;
            case Error e -> throw e;
            case null, default -> throw new IllegalStateException(failure.getCause());
          }
        }
      }
    } finally {
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
    }
  }
}
