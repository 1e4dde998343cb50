package dev.jcr.parasite.procfs;

import java.io.IOException;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;

/// smaps of a process whose mappings stay as they are, read by a thread of its own while something
/// else is done: the kernel walks every page that is there, some 15 ms for a GiB of small ones.
public final class SmapsAhead {
  private final FutureTask<List<Smaps>> reading;

  private SmapsAhead(FutureTask<List<Smaps>> reading) {
    this.reading = reading;
  }

  /// Begins. Until [#get], calls that change the mappings wait for the kernel.
  public static SmapsAhead of(Proc proc) {
    FutureTask<List<Smaps>> reading = new FutureTask<>(proc::smaps);
    Thread.ofPlatform().daemon().name("jcr-smaps").start(reading);
    return new SmapsAhead(reading);
  }

  /// Waits until all was read.
  public List<Smaps> get() throws IOException {
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
