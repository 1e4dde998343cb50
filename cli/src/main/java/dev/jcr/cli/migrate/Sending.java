package dev.jcr.cli.migrate;

import dev.jcr.cli.migrate.Link.Kind;
import dev.jcr.cli.migrate.Link.Message;
import dev.jcr.dump.Dump;
import dev.jcr.dump.DumpGate;
import dev.jcr.dump.DumpListener;
import dev.jcr.dump.DumpOptions;
import dev.jcr.dump.DumpReport;
import dev.jcr.dump.MemoryRounds;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.codec.ImageWriter;
import dev.jcr.image.codec.ParentImage;
import dev.jcr.image.v1.Host;
import dev.jcr.image.v1.Loss;
import dev.jcr.image.v1.Manifest;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.image.v1.Statistics;
import dev.jcr.parasite.host.HostFacts;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/// One migration after the destination accepted it.
final class Sending implements DumpGate {
  private static final int SIGCONT = 18;
  private static final int SIGSTOP = 19;

  /// Rounds between the last look and the stop, at most.
  private static final int LAST_ROUNDS = 3;

  private final Source.Options options;
  private final Source.Listener listener;
  private final String id;
  private final Journal journal;
  private final Lasting lasting;
  private final Link link;
  private final Counted counted;
  private final SentFiles files;
  private final Host.Builder host;
  private final Convergence convergence;
  private @Nullable MemoryRounds rounds;
  private @Nullable ImageWriter whatIsLeft;
  private @Nullable Manifest previous;
  private int round;
  private long roundEnded;
  private String prepared = "";
  private @Nullable IOException failure;
  private @Nullable PageGiver giver;
  private String whole = "";
  private long stoppedAt;
  private boolean stoppedBySignal;
  private long collectedAt;
  private long preparedAt;
  private long decidedAt;
  private long runningAt;

  Sending(
      Source.Options options,
      Source.Listener listener,
      String id,
      Journal journal,
      Lasting lasting,
      Link link,
      Counted counted,
      SentFiles files,
      long base)
      throws IOException {
    this.host = HostFacts.read();
    this.convergence =
        new Convergence(TimeUnit.MILLISECONDS.toNanos(options.maxDowntimeMillis()), base);
    this.options = options;
    this.listener = listener;
    this.id = id;
    this.journal = journal;
    this.lasting = lasting;
    this.link = link;
    this.counted = counted;
    this.files = files;
  }

  Source.Report run() throws CheckpointException, IOException {
    boolean ahead = options.maxRounds() > 0 || !options.postcopy();
    try (MemoryRounds begun = ahead ? MemoryRounds.begin(options.pid(), host.clone()) : null) {
      rounds = begun;
      if (begun != null) {
        converge(begun);
      }
      DumpReport report = last();
      if (failure != null) {
        throw failure;
      }
      journal.set("done");
      tell(report);
      long downtime = (runningAt - stoppedAt) / 1000;
      return new Source.Report(id, report.pid(), round + 1, counted.bytes(), downtime, prepared);
    }
  }

  /// Rounds until the process may be stopped.
  private void converge(MemoryRounds memory) throws CheckpointException, IOException {
    while (true) {
      Round sent = sendRound(memory);
      boolean last = round == options.maxRounds();
      if (convergence.isSmallEnough() || (last && convergence.fits())) {
        return;
      }
      if (last || convergence.isStuck()) {
        if (options.postcopy()) {
          return;
        }
        link.send(Kind.ABORT, "");
        throw new CheckpointException(
            Outcome.FAILED,
            "cannot migrate process %d: it writes memory as fast as it is sent: %d rounds, the last of %d KiB in %d ms; allow more with --max-downtime %d"
                .formatted(
                    options.pid(),
                    round,
                    sent.bytes() >> 10,
                    sent.nanos() / 1_000_000,
                    convergence.expected() / 500_000));
      }
    }
  }

  /// What a round sent, and how long it took.
  private record Round(long bytes, long nanos) {}

  /// Sends what was written since the round before, and waits until it is there: the destination
  /// has enough to do behind the last one.
  private Round sendRound(MemoryRounds memory) throws CheckpointException, IOException {
    round++;
    long began = System.nanoTime();
    long bytesBefore = counted.bytes();
    link.send(Kind.ROUND, "");
    ImageWriter image = writer(previous, round);
    Manifest sent;
    try (image) {
      sent = memory.next(image, host.getPageSize(), host.build(), false);
    } catch (CheckpointException e) {
      throw told(e);
    }
    previous = sent;
    var _ = answer(Kind.GOT);
    roundEnded = System.nanoTime();
    long nanos = roundEnded - began;
    long bytes = counted.bytes() - bytesBefore;
    long pages = sent.getCreation().getStatistics().getPagesWritten();
    convergence.round(pages, nanos);
    listener.event(
        "round",
        "round",
        Integer.toString(round),
        "pages",
        Long.toString(pages),
        "bytes",
        Long.toString(bytes),
        "ms",
        Long.toString(nanos / 1_000_000),
        "memory_ms",
        Long.toString(convergence.memory() / 1_000_000),
        "expected_ms",
        Long.toString(convergence.expected() / 1_000_000));
    return new Round(bytes, nanos);
  }

  private DumpReport last() throws CheckpointException, IOException {
    try (ImageWriter image = writer(previous, round + 1);
        PageGiver giving =
            new PageGiver(options.pid(), link, options.compression(), options.compressionLevel())) {
      giver = giving;
      whatIsLeft = image;
      return Dump.last(
          DumpOptions.of(options.pid(), Path.of("stream"))
              .connections(options.losses().policy())
              .inotifyOverflow(options.losses().inotifyOverflow())
              .embedding(files.embedding())
              .build(),
          DumpListener.SILENT,
          image,
          rounds,
          this);
    } catch (CheckpointException e) {
      callOff();
      throw e;
    }
  }

  /// Events of a migration that is done.
  private void tell(DumpReport report) {
    Statistics times = report.statistics();
    listener.event(
        "frozen",
        "freezing_us",
        Long.toString(times.getFreezingTime()),
        "registers_us",
        Long.toString(times.getRegistersTime()),
        "injection_us",
        Long.toString(times.getInjectionTime()),
        "descriptors_us",
        Long.toString(times.getDescriptorsTime()),
        "memory_us",
        Long.toString(times.getMemdumpTime()));
    for (Loss loss : report.losses()) {
      listener.event(
          "lost", "kind", loss.getKind(), "object", loss.getObject(), "reason", loss.getReason());
    }
    if (options.postcopy()) {
      listener.event(
          "whole",
          "remote_bytes",
          Long.toString(giver().given()),
          "after_us",
          Long.toString((System.nanoTime() - runningAt) / 1000),
          "destination",
          whole);
    }
  }

  /// To look at the process takes longer than a round: what it has written meanwhile goes before it
  /// is stopped, in rounds as long as they get shorter. With post-copy, what does not fit into
  /// rounds follows it.
  @Override
  public void looked() throws CheckpointException {
    try {
      MemoryRounds memory = rounds;
      if (memory != null && (convergence.fits() || !options.postcopy())) {
        convergence.pause(System.nanoTime() - roundEnded);
        long before = sendRound(memory).nanos();
        for (int i = 1; i < LAST_ROUNDS; i++) {
          long took = sendRound(memory).nanos();
          if (took >= before / 4 * 3) {
            break;
          }
          before = took;
        }
        continues(whatIsLeft(), previous, round + 1);
      }
      // The process is about to stand still: a connection that breaks is not waited for.
      lasting.holdOn(false);
      link.send(Kind.FINAL, options.postcopy() ? Link.POSTCOPY : "");
    } catch (IOException e) {
      throw Source.lost(options.address(), e);
    }
  }

  private ImageWriter whatIsLeft() {
    if (whatIsLeft == null) {
      throw new IllegalStateException("no last image yet");
    }
    return whatIsLeft;
  }

  /// One that has rebuilt the process already would wait for a decision.
  private void callOff() {
    try {
      if (journal.state().equals("sending") && lasting.isOpen()) {
        link.send(Kind.ABORT, "");
      }
    } catch (IOException _) {
      // It is told by another connection, or by whoever recovers this.
    }
  }

  /// The destination may have said why, before it ended the stream.
  private CheckpointException told(CheckpointException failure) {
    if (lasting.isOpen()) {
      return failure;
    }
    try {
      var _ = answer(Kind.GOT);
      return failure;
    } catch (CheckpointException refusal) {
      return refusal;
    } catch (IOException _) {
      return failure;
    }
  }

  private Message answer(Kind kind) throws IOException, CheckpointException {
    return giver == null ? link.expect(kind) : giver.expect(kind);
  }

  private PageGiver giver() {
    if (giver == null) {
      throw new IllegalStateException("nobody listens yet");
    }
    return giver;
  }

  private void itRuns() {
    runningAt = System.nanoTime();
    long downtime = (runningAt - stoppedAt) / 1000;
    listener.event(
        "committed",
        "collecting_us",
        Long.toString((collectedAt - stoppedAt) / 1000),
        "sending_and_preparing_us",
        Long.toString((preparedAt - collectedAt) / 1000),
        "deciding_us",
        Long.toString((decidedAt - preparedAt) / 1000),
        "letting_go_us",
        Long.toString((runningAt - decidedAt) / 1000),
        "destination",
        prepared);
    listener.event("running", "id", id, "downtime_us", Long.toString(downtime));
  }

  @Override
  public void stopped(long begun) {
    stoppedAt = begun;
    collectedAt = System.nanoTime();
  }

  @Override
  public ProcessState written(ProcessState state) {
    return files.changes().applied(state);
  }

  private ImageWriter writer(@Nullable Manifest previous, int round) {
    ImageWriter image =
        ImageWriter.to(link.out(), options.compression(), options.compressionLevel());
    continues(image, previous, round);
    return image;
  }

  private static void continues(ImageWriter image, @Nullable Manifest previous, int round) {
    if (previous != null) {
      image.parent(ParentImage.sent("../" + (round - 1), previous));
    }
  }

  /// The destination has rebuilt the process, or says why not. Then the decision: the process is
  /// stopped by SIGSTOP as well, so that it stays where it is whatever happens to jcr.
  @Override
  public boolean mayEnd() throws CheckpointException {
    try {
      prepared = giver().expect(Kind.PREPARED).text();
      preparedAt = System.nanoTime();
      Kernel.raw(Syscall.KILL, options.pid(), SIGSTOP);
      stoppedBySignal = true;
      journal.set("commit");
      decidedAt = System.nanoTime();
      return true;
    } catch (IOException e) {
      if (stoppedBySignal) {
        // Takes the pending SIGSTOP away.
        Kernel.raw(Syscall.KILL, options.pid(), SIGCONT);
      }
      throw Source.lost(options.address(), e);
    }
  }

  @Override
  public boolean moves() {
    return true;
  }

  private boolean letGo() {
    try {
      link.send(Kind.COMMIT, "");
      giver().expect(Kind.RUNNING);
      itRuns();
      if (options.postcopy()) {
        lasting.holdOn(true);
        whole = giver().expect(Kind.WHOLE).text();
      }
      return true;
    } catch (IOException e) {
      failure = e;
    } catch (CheckpointException e) {
      failure = new IOException(e.getMessage(), e);
    }
    return false;
  }

  @Override
  public boolean leavesPages() {
    return options.postcopy();
  }

  /// Without pages to give there is nothing to keep it for, whatever the destination says: it is
  /// decided.
  @Override
  public boolean served() {
    return letGo() || !options.postcopy();
  }
}
