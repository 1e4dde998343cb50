package dev.jcr.parasite.procfs;

import java.io.IOException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;

/// What the kernel tells of a process whose mappings stay as they are, read by a thread of its own
/// while something else is done: for smaps it walks every page that is there, some 15 ms for a GiB
/// of small ones.
public final class Ahead<T> {
  private final FutureTask<T> reading;

  private Ahead(FutureTask<T> reading) {
    this.reading = reading;
  }

  /// Reads it.
  @FunctionalInterface
  public interface Reading<T> {
    T read() throws IOException;
  }

  /// Begins. Until [#get], calls that change the mappings wait for the kernel.
  public static <T> Ahead<T> of(Reading<T> what) {
    FutureTask<T> reading = new FutureTask<>(what::read);
    Thread.ofPlatform().daemon().name("jcr-ahead").start(reading);
    return new Ahead<>(reading);
  }

  /// Waits until all was read.
  public T get() throws IOException {
    boolean interrupted = false;
    try {
      while (true) {
        try {
          return reading.get();
        } catch (InterruptedException _) {
          interrupted = true;
        }
      }
    } catch (ExecutionException e) {
      switch (e.getCause()) {
        case IOException failure -> throw failure;
        case null, default -> throw new IllegalStateException(e.getCause());
      }
    } finally {
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
    }
  }
}
