package dev.jcr.parasite.ptrace;

import dev.jcr.image.CheckpointException;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/// A platform thread for a session. The kernel ties every tracee to the thread that seized it; when
/// that thread ends, tasks that still run are released without a stop.
public final class TracerThread implements AutoCloseable {
  private final ExecutorService executor =
      Executors.newSingleThreadExecutor(Thread.ofPlatform().daemon().name("jcr-tracer").factory());

  /// Runs `session` on a thread of its own and waits for it. Its exceptions are thrown here.
  public static <T> T run(Callable<T> session) throws CheckpointException {
    try (TracerThread thread = new TracerThread()) {
      return thread.call(session);
    }
  }

  /// Runs a part of the session and waits for it. Its exceptions are thrown here. An interrupt of
  /// the caller does not abandon it: a target must never be left stopped.
  public <T> T call(Callable<T> part) throws CheckpointException {
    Future<T> result = executor.submit(part);
    boolean interrupted = false;
    try {
      while (true) {
        try {
          return result.get();
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

  /// Begins a part that gives nothing; [#close] waits for it.
  public void begin(Runnable part) {
    executor.execute(part);
  }

  /// Ends the thread, behind all of its parts.
  @Override
  public void close() {
    executor.close();
  }
}
