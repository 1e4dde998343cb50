package dev.jcr.cli.migrate;

import com.google.protobuf.ByteString;
import dev.jcr.cli.migrate.Lasting.Carrier;
import dev.jcr.cli.migrate.Link.Kind;
import dev.jcr.cli.migrate.Link.Message;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.CheckpointException.Problem;
import dev.jcr.image.codec.ImageReader;
import dev.jcr.image.codec.ImageStream;
import dev.jcr.image.inspect.Describe;
import dev.jcr.image.v1.FileIdentity;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.parasite.collect.FileIdentities;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.restore.ClockMode;
import dev.jcr.restore.ConnectionChanges;
import dev.jcr.restore.FileChanges;
import dev.jcr.restore.FileChanges.Twin;
import dev.jcr.restore.HostFiles;
import dev.jcr.restore.HostFiles.Differing;
import dev.jcr.restore.NamespaceChanges;
import dev.jcr.restore.Restore;
import dev.jcr.restore.RestoreGate;
import dev.jcr.restore.RestoreOptions;
import dev.jcr.restore.RestoredProcess;
import dev.jcr.restore.Staging;
import dev.jcr.restore.lazy.LazyRanges;
import dev.jcr.restore.lazy.LazyReport;
import dev.jcr.restore.lazy.LazyServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketException;
import java.nio.ByteBuffer;
import java.nio.file.DirectoryStream;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.cert.Certificate;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.FutureTask;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import javax.net.ssl.SSLContext;
import org.jspecify.annotations.Nullable;

/// Takes processes up. `in/ID` holds the images of a migration and its journal:
///
/// ```
/// receiving   rounds arrive; a restart throws them away, a connection that ended does not for a while
/// prepared    everything is here, rebuilt and proven (the process dies with jcr, the image stays):
///             held until the source says COMMIT or ABORT, however long that takes
/// decided     COMMIT came when no process was prepared any more: it is rebuilt, then let go
/// thawing     is let go at this moment: from here on it runs, whatever becomes of jcr; one with
///             connections of TCP only if jcr lives until they go on
/// fetching    runs here, but some of its memory is still at the source (post-copy): when that is lost,
///             it waits, stopped, for the source to come again (RESOLVE)
/// running     runs here; COMMIT again is answered with RUNNING
/// lost        was running here when the rest of its memory was lost with the source: stays stopped
/// doubtful    jcr died while "thawing" (within milliseconds, with connections) and the process is not there: nobody can tell whether it ran.
///             Held, and said so
/// ```
public final class Destination implements AutoCloseable {
  private static final int MOST_MIGRATIONS = 16;
  private static final int MOST_CONNECTIONS = MOST_MIGRATIONS * (Lasting.MOST_LINES + 1);
  private static final int MOST_HELD_SECONDS = 7200;
  private static final int HELLO_MILLIS = 20_000;
  private static final int ROUND_MILLIS = 120_000;
  private static final int ID_BYTES = 16;
  private static final long END_NANOS = 20_000_000_000L;
  private static final long ENDING_NANOS = 2_000_000_000L;
  private static final long END_STEP_NANOS = 2_000_000;

  private final Path folder;
  private final NamespaceChanges namespaces;
  private final Consumer<String> log;
  private final Map<String, Held> held = new ConcurrentHashMap<>();
  private final Map<String, Arriving> arriving = new ConcurrentHashMap<>();
  private final Semaphore places = new Semaphore(MOST_CONNECTIONS);
  private final Semaphore migrating = new Semaphore(MOST_MIGRATIONS);
  private final CompletableFuture<Integer> port = new CompletableFuture<>();
  private final AtomicLong rebuilding = new AtomicLong();
  private @Nullable ServerSocket server;

  /// A process that waits, or is waited for.
  private static final class Held {
    final CompletableFuture<Boolean> decision = new CompletableFuture<>();
    final CompletableFuture<String> prepared = new CompletableFuture<>();
    final CompletableFuture<Boolean> running = new CompletableFuture<>();

    /// Text for the source.
    final CompletableFuture<String> whole = new CompletableFuture<>();

    final @Nullable RemoteBlocks remote;
    final AtomicReference<@Nullable Wire> wire = new AtomicReference<>();
    final AtomicBoolean calledOff = new AtomicBoolean();

    Held(@Nullable RemoteBlocks remote) {
      this.remote = remote;
    }

    /// Whether the source has nothing to do with it any more.
    boolean isOver() {
      CompletableFuture<?> last = remote == null ? running : whole;
      return last.isDone() && !last.isCompletedExceptionally();
    }
  }

  /// A migration whose source is connected, or may be again.
  ///
  /// @param peer certificate of its source: no other host goes on with it
  /// @param lines connections that it may have
  private record Arriving(Certificate peer, int lines, Lasting stream) {}

  /// @param namespaces of the processes that come
  public Destination(Path folder, NamespaceChanges namespaces, Consumer<String> log) {
    this.folder = folder.resolve("in");
    this.namespaces = namespaces;
    this.log = log;
  }

  /// Looks at what an earlier jcr left behind.
  public void recover() throws CheckpointException {
    try {
      Files.createDirectories(
          folder,
          PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
      for (Path each : migrations()) {
        recover(each);
      }
    } catch (IOException e) {
      throw new CheckpointException(
          Outcome.FAILED, "cannot read " + folder + ": " + e.getMessage() + "; see --dir", e);
    }
  }

  private List<Path> migrations() throws IOException {
    try (DirectoryStream<Path> entries = Files.newDirectoryStream(folder)) {
      return java.util.stream.StreamSupport.stream(entries.spliterator(), false).sorted().toList();
    }
  }

  private void recover(Path migration) throws IOException {
    if (!Files.exists(migration.resolve("journal"))) {
      remove(migration);
      return;
    }
    Journal journal = Journal.read(migration.resolve("journal"));
    switch (journal.state()) {
      case "receiving" -> remove(migration);
      case "prepared", "decided" -> {
        if (isLeftRunning(journal)) {
          journal.set(isPostcopy(journal) ? "fetching" : "running");
        } else {
          log.accept(
              "holds process %d (%s) of migration %s for its source to decide: jcr migrate --recover"
                  .formatted(journal.number("pid"), journal.get("comm"), migration.getFileName()));
        }
      }
      case "fetching" -> log.accept(waits(migration, journal));
      case "thawing" -> {
        if (isAlive(journal)) {
          journal.set(isPostcopy(journal) ? "fetching" : "running");
        } else {
          journal.set("doubtful");
        }
      }
      default -> {}
    }
    if (journal.state().equals("doubtful")) {
      log.accept(
          "cannot tell whether process %d (%s) of migration %s ran before jcr was killed; if it did not, start it with jcr restore %s -d"
              .formatted(
                  journal.number("pid"),
                  journal.get("comm"),
                  migration.getFileName(),
                  migration.resolve(journal.get("image"))));
    }
  }

  private static String waits(Path migration, Journal journal) {
    return "process %d (%s) of migration %s waits for the rest of its memory, which its source has: jcr migrate --recover there"
        .formatted(journal.number("pid"), journal.get("comm"), migration.getFileName());
  }

  /// A process that was decided to run goes on when jcr dies, just before the journal says so; one
  /// that was not is killed then, which takes the kernel a moment.
  private static boolean isLeftRunning(Journal journal) {
    long end = System.nanoTime() + ENDING_NANOS;
    while (isAlive(journal)) {
      if (System.nanoTime() - end > 0) {
        return true;
      }
      LockSupport.parkNanos(END_STEP_NANOS);
    }
    return false;
  }

  private static boolean isPostcopy(Journal journal) {
    return journal.get("postcopy").equals("true");
  }

  private static boolean isAlive(Journal journal) {
    return startTime((int) journal.number("pid")) == journal.number("start_time")
        && journal.number("start_time") != 0;
  }

  /// Field 22 of /proc/PID/stat; 0 when there is no such process.
  static long startTime(int pid) {
    try {
      return Proc.of(pid).status().state() == 'Z' ? 0 : Proc.of(pid).stat().startTime();
    } catch (IOException _) {
      return 0;
    }
  }

  /// Where [#serve] listens, once it does.
  public Future<Integer> port() {
    return port;
  }

  /// Accepts until [#close].
  public void serve(Credentials credentials, InetSocketAddress address) throws CheckpointException {
    SSLContext context = credentials.context();
    try (ServerSocket listening = new ServerSocket()) {
      server = listening;
      listening.setReuseAddress(true);
      listening.bind(address);
      port.complete(listening.getLocalPort());
      log.accept("listening on " + listening.getLocalSocketAddress());
      Thread.ofPlatform().daemon().name("jcr-warm-up").start(() -> rebuilding.set(WarmUp.run()));
      while (true) {
        Socket socket = listening.accept();
        if (!places.tryAcquire()) {
          socket.close();
          continue;
        }
        Thread.ofPlatform()
            .daemon()
            .name("jcr-migration")
            .start(() -> {
              try {
                connection(socket, context);
              } finally {
                places.release();
              }
            });
      }
    } catch (SocketException e) {
      if (server != null && server.isClosed()) {
        return;
      }
      throw listenFailed(address, e);
    } catch (IOException e) {
      throw listenFailed(address, e);
    }
  }

  private static CheckpointException listenFailed(InetSocketAddress address, IOException e) {
    return new CheckpointException(
        Outcome.FAILED,
        "cannot listen on " + address + ": " + e.getMessage() + "; choose another with --listen",
        e);
  }

  private void connection(Socket below, SSLContext context) {
    try (below;
        Line line = Line.from(below, context, HELLO_MILLIS)) {
      Link link = line.link();
      try {
        Message first = link.receive();
        switch (first.kind()) {
          case HELLO -> {
            if (!migrating.tryAcquire()) {
              throw new CheckpointException(
                  Outcome.FAILED, "%d migrations are under way".formatted(MOST_MIGRATIONS));
            }
            try {
              migrate(line, first);
            } finally {
              migrating.release();
            }
          }
          case RESOLVE -> resolve(line, link, first);
          case JOIN -> join(line, first);
          default -> throw Link.strange(first.kind() + " first");
        }
      } catch (CheckpointException e) {
        log.accept("refused: " + e.getMessage());
        link.send(Kind.REFUSE, String.valueOf(e.getMessage()));
      }
    } catch (IOException e) {
      log.accept("a connection ended: " + e.getMessage());
    } catch (RuntimeException e) {
      // An outline is not checked in its meaning: whatever it leads to ends here.
      log.accept("a connection was given up: " + e);
    }
  }

  private static void requireVersion(int version) throws CheckpointException {
    if (version != Link.VERSION) {
      throw new CheckpointException(
          Outcome.FAILED,
          "protocol version %d here, %d there; use the same jcr on both hosts"
              .formatted(Link.VERSION, version));
    }
  }

  private static String id(ByteBuffer bytes) {
    byte[] raw = new byte[ID_BYTES];
    bytes.get(raw);
    return HexFormat.of().formatHex(raw);
  }

  /// Another connection of a migration that is under way, by the source that began it.
  private void join(Line line, Message message) throws IOException, CheckpointException {
    ByteBuffer bytes = ByteBuffer.wrap(message.bytes());
    if (bytes.remaining() != 4 + ID_BYTES + 4) {
      throw Link.strange("a JOIN of " + bytes.remaining() + " bytes");
    }
    requireVersion(bytes.getInt());
    String id = id(bytes);
    int place = bytes.getInt();
    Arriving migration = arriving.get(id);
    if (migration == null
        || place < 0
        || place >= migration.lines()
        || !migration.peer().equals(line.peer())
        || !migration.stream().isOpen()) {
      throw new CheckpointException(
          Outcome.FAILED, "migration " + id + " does not wait here for another connection");
    }
    boolean again = !migration.stream().isCarried();
    Carrier carrier = migration.stream().join(place, line, Kind.JOINED);
    if (again) {
      log.accept("migration " + id + " goes on by another connection");
    }
    var _ = migration.stream().carry(place, carrier);
  }

  private void migrate(Line line, Message hello) throws IOException, CheckpointException {
    Link link = line.link();
    ByteBuffer bytes = ByteBuffer.wrap(hello.bytes());
    if (bytes.remaining() < 4 + ID_BYTES + 8 + 4 + 4) {
      throw Link.strange("a HELLO of " + bytes.remaining() + " bytes");
    }
    requireVersion(bytes.getInt());
    String id = id(bytes);
    long space = bytes.getLong();
    int seconds = Math.clamp(bytes.getInt(), 0, MOST_HELD_SECONDS);
    int lines = bytes.getInt();
    if (lines < 1 || lines > Lasting.MOST_LINES) {
      throw Link.strange("a HELLO with " + lines + " connections");
    }
    byte[] rest = new byte[bytes.remaining()];
    bytes.get(rest);
    ProcessState outline = ImageReader.outline("the outline", rest);
    Map<String, Twin> twins = new LinkedHashMap<>();
    List<Differing> differing = compare(link, outline, twins);
    outline = new FileChanges(Map.of(), FileChanges.NONE.changed(), twins).applied(outline);
    FileTerms terms =
        new FileTerms(
            rebuilding.get(),
            twins.values().stream().map(FileTerms.Same::of).toList(),
            differing.stream().map(FileTerms.Other::of).toList());
    List<Problem> problems = new ArrayList<>(Restore.preflight(outline, differing, namespaces));
    if (!problems.isEmpty()) {
      terms.differing().forEach(file -> problems.add(SentFiles.problem(file)));
      throw new CheckpointException(
          Outcome.FAILED,
          String.join(" | ", problems.stream().map(Problem::toString).toList()),
          problems,
          null);
    }
    long free = folder.toFile().getUsableSpace();
    if (space < 0 || space > free) {
      throw new CheckpointException(
          Outcome.FAILED,
          "%d MiB may be needed in %s, %d MiB are free; choose another folder with --dir"
              .formatted(space >> 20, folder, free >> 20));
    }
    Path images = folder.resolve(id);
    try {
      Files.createDirectory(images);
    } catch (FileAlreadyExistsException e) {
      throw new CheckpointException(Outcome.FAILED, "migration " + id + " was here before", e);
    }
    try (Lasting stream = new Lasting(lines, seconds, Lasting.Terms.USUAL)) {
      arriving.put(id, new Arriving(line.peer(), lines, stream));
      Link messages = new Link(stream.in(), stream.out());
      try {
        receive(line, stream, messages, id, outline, terms);
      } catch (CheckpointException e) {
        log.accept("refused: " + e.getMessage());
        messages.send(Kind.REFUSE, String.valueOf(e.getMessage()));
      } finally {
        arriving.remove(id);
      }
    }
  }

  /// Takes memory and process up.
  ///
  /// @param first told that it may begin
  /// @param link what comes then, by this and other connections
  private void receive(
      Line first, Lasting stream, Link link, String id, ProcessState outline, FileTerms terms)
      throws IOException, CheckpointException {
    Path images = folder.resolve(id);
    boolean done = false;
    Journal journal = Journal.create(images.resolve("journal"));
    Staging staging = stage(outline);
    try {
      journal.with("pid", outline.getIdentity().getPid()).set("receiving");
      first.link().send(Kind.ACCEPT, terms.encoded());
      stream.patience(ROUND_MILLIS);
      Carrier carrier = stream.join(0, first);
      Thread.ofPlatform()
          .daemon()
          .name("jcr-line-in")
          .start(() -> {
            var _ = stream.carry(0, carrier);
          });
      int round = 0;
      FutureTask<Boolean> durable = new FutureTask<>(() -> true);
      durable.run();
      Message message = link.receive();
      while (message.kind() == Kind.ROUND) {
        Path image = images.resolve(Integer.toString(++round));
        var _ = ImageStream.receive(link.in(), image);
        // While it goes to the disk the next round arrives, but no more than that.
        FutureTask<Boolean> before = durable;
        durable = sync(image);
        staging = stage(staging, image);
        await(before);
        link.send(Kind.GOT, "");
        message = link.receive();
      }
      if (message.kind() != Kind.FINAL) {
        if (message.kind() == Kind.ABORT) {
          link.send(Kind.ABORTED, "");
          return;
        }
        throw Link.strange(message.kind() + " instead of FINAL");
      }
      long began = System.nanoTime();
      stream.holdOn(false);
      Path last = images.resolve(Integer.toString(++round));
      // The process stands still: it is rebuilt while the disk does its work.
      var manifest = ImageStream.receive(link.in(), last);
      if (manifest.getPid() != outline.getIdentity().getPid()) {
        throw Link.strange("an image of another process");
      }
      long received = System.nanoTime();
      boolean postcopy = message.text().equals(Link.POSTCOPY);
      journal.with("image", round).with("comm", manifest.getComm()).with("postcopy", postcopy);
      Staging filled = staging;
      staging = null;
      RemoteBlocks remote = postcopy ? new RemoteBlocks(link, id) : null;
      Held process = prepare(id, journal, last, durable, filled, remote);
      String timings = await(process.prepared);
      done = true;
      String text =
          "received %d us, prepared %d us: %s"
              .formatted((received - began) / 1000, (System.nanoTime() - received) / 1000, timings);
      try {
        link.send(Kind.PREPARED, text);
      } catch (IOException e) {
        // Not all of it was even on its way: the source cannot have decided for this host.
        abort(id, process);
        throw e;
      }
      stream.patience(0);
      follow(stream, link, id, process);
    } finally {
      if (staging != null) {
        staging.close();
      }
      if (!done) {
        remove(images);
      }
    }
  }

  /// The files that are not here as they are there. Of those that may be the same, the source is
  /// asked for digests.
  ///
  /// @param twins of the same content, to be added to
  private static List<Differing> compare(Link link, ProcessState outline, Map<String, Twin> twins)
      throws IOException, CheckpointException {
    List<Differing> all = HostFiles.differing(outline);
    List<Differing> unsure = all.stream().filter(file -> file.here().isPresent()).toList();
    if (unsure.isEmpty()) {
      return all;
    }
    link.send(Kind.COMPARE, FileTerms.paths(unsure.stream().map(Differing::path).toList()));
    List<Optional<ByteString>> digests =
        FileTerms.digests(link.expect(Kind.DIGESTS).bytes(), unsure.size());
    List<Differing> rest = new ArrayList<>(all);
    for (int i = 0; i < unsure.size(); i++) {
      Differing file = unsure.get(i);
      FileIdentity here = file.here().orElseThrow();
      if (digests.get(i).isPresent() && digests.get(i).equals(FileIdentities.digest(here))) {
        twins.put(file.path(), new Twin(file.wanted(), here));
        rest.remove(file);
      }
    }
    return rest;
  }

  /// Begins to fill memory early. Null if that cannot be: it is filled at the end, then.
  private @Nullable Staging stage(ProcessState outline) {
    try {
      return Staging.begin(outline);
    } catch (CheckpointException e) {
      log.accept("memory is not filled in advance: " + e.getMessage());
      return null;
    }
  }

  private @Nullable Staging stage(@Nullable Staging staging, Path image)
      throws CheckpointException {
    if (staging == null) {
      return null;
    }
    try {
      staging.stage(image);
      return staging;
    } catch (CheckpointException e) {
      log.accept("memory is not filled in advance any more: " + e.getMessage());
      staging.close();
      return null;
    }
  }

  /// Rebuilds the process on a thread of its own, which then waits for the decision, even if the
  /// connection is lost.
  ///
  /// @param before done when everything that the image continues is on the disk
  /// @param staging closed here
  /// @param remote with post-copy: who has the rest
  private Held prepare(
      String id,
      Journal journal,
      Path image,
      Future<Boolean> before,
      @Nullable Staging staging,
      @Nullable RemoteBlocks remote) {
    Held process = new Held(remote);
    held.put(id, process);
    RestoreGate gate = new Gate(journal, List.of(before, sync(image)), process);
    Thread.ofPlatform()
        .daemon()
        .name("jcr-prepare")
        .start(() -> {
          try (Staging filled = staging) {
            RestoredProcess restored =
                Restore.run(
                    new RestoreOptions(
                        image,
                        false,
                        true,
                        ConnectionChanges.NONE,
                        FileChanges.NONE,
                        namespaces,
                        true,
                        ClockMode.AUTO,
                        Optional.of(new RestoreOptions.LazyMemory(Long.MAX_VALUE))
                            .filter(_ -> remote != null)),
                    gate,
                    filled,
                    remote);
            Optional<LazyServer> pages = restored.lazy();
            restored.notes().forEach(note -> log.accept("note: " + Describe.visible(note)));
            // It runs: the source is told first, who measures how long it stood still. "thawing"
            // with
            // a living process says the same as what is written now.
            process.running.complete(true);
            journal.set(pages.isPresent() ? "fetching" : "running");
            log.accept("process " + journal.get("pid") + " of migration " + id + " runs here");
            complete(id, journal, process, pages);
          } catch (CheckpointException | IOException | RuntimeException | Error e) {
            // Called off, or it could not be rebuilt; the image stays until the decision is known.
            if (journal.state().equals("thawing") && !isAlive(journal)) {
              // It never ran, and can be rebuilt.
              setDecided(journal);
            }
            process.prepared.completeExceptionally(e);
            process.running.completeExceptionally(e);
            process.whole.completeExceptionally(e);
          } finally {
            held.remove(id, process);
          }
        });
    return process;
  }

  /// Sees to it that an image is on the disk, on a thread of its own.
  private static FutureTask<Boolean> sync(Path image) {
    FutureTask<Boolean> durable =
        new FutureTask<>(() -> {
          ImageStream.sync(image);
          return true;
        });
    Thread.ofPlatform().daemon().name("jcr-sync").start(durable);
    return durable;
  }

  /// The decision is the source's; the journal says how far it was followed.
  private record Gate(Journal journal, List<Future<Boolean>> durable, Held process)
      implements RestoreGate {
    @Override
    public boolean mayRun(int pid, List<RestoredProcess.Timing> timings)
        throws CheckpointException {
      boolean again = journal.state().equals("decided");
      journal.with("pid", pid).with("start_time", startTime(pid));
      long rebuilt = System.nanoTime();
      for (Future<Boolean> each : durable) {
        await(each);
      }
      long synced = System.nanoTime();
      set(again ? "decided" : "prepared");
      List<RestoredProcess.Timing> all = new ArrayList<>(timings);
      all.add(new RestoredProcess.Timing("AwaitDisk", (synced - rebuilt) / 1000));
      all.add(new RestoredProcess.Timing("Journal", (System.nanoTime() - synced) / 1000));
      process.prepared.complete(words(all));
      return await(process.decision);
    }

    /// "OpenImage 3120, CheckHost 840".
    private static String words(List<RestoredProcess.Timing> timings) {
      return timings.stream()
          .map(timing -> timing.step() + " " + timing.microseconds())
          .collect(Collectors.joining(", "));
    }

    @Override
    public void letsGo() throws CheckpointException {
      set("thawing");
    }

    private void set(String state) throws CheckpointException {
      try {
        journal.set(state);
      } catch (IOException e) {
        throw new CheckpointException(
            Outcome.FAILED, "cannot write " + journal.file() + ": " + e.getMessage(), e);
      }
    }
  }

  /// Waits until the process has all its memory, or the source is lost.
  private void complete(String id, Journal journal, Held process, Optional<LazyServer> pages)
      throws IOException {
    try {
      String text = "";
      if (pages.isPresent()) {
        LazyReport report = pages.get().await();
        text =
            "%d faults, half within %d us, 99 %% within %d us, the slowest %d us; %d pages asked for, %d ahead, %d given up"
                .formatted(
                    report.faults(),
                    report.median(),
                    report.ninetyNinth(),
                    report.slowest(),
                    report.demanded(),
                    report.prefetched(),
                    report.discarded());
        journal.set("running");
        log.accept("process " + journal.get("pid") + " of migration " + id + " has all its memory");
      }
      removeImages(journal.file().getParent());
      process.whole.complete(text);
    } catch (CheckpointException e) {
      journal.with("why", String.valueOf(e.getMessage())).set("fetching");
      log.accept(e.getMessage());
      process.whole.completeExceptionally(e);
    }
  }

  private void setDecided(Journal journal) {
    try {
      journal.set("decided");
    } catch (IOException e) {
      log.accept("cannot write " + journal.file() + ": " + e.getMessage());
    }
  }

  private static <T> T await(Future<T> future) throws CheckpointException {
    try {
      return future.get();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new CheckpointException(Outcome.FAILED, "cannot wait: interrupted", e);
    } catch (ExecutionException e) {
      if (e.getCause() instanceof CheckpointException failure) {
        throw failure;
      }
      throw new IllegalStateException(e.getCause());
    }
  }

  /// Does what the source says until it says no more. The connection may end here: then the process
  /// is held.
  private void follow(Wire wire, Link link, String id, Held process)
      throws IOException, CheckpointException {
    process.wire.set(wire);
    try {
      while (true) {
        Message message = link.receive();
        switch (message.kind()) {
          case BLOCK -> {
            if (process.remote == null) {
              throw Link.strange("pages of a whole process");
            }
            process.remote.arrived(message);
          }
          case COMMIT -> {
            if (process.remote != null) {
              wire.patience(ROUND_MILLIS);
              wire.holdOn(true);
            }
            commit(link, id, process);
          }
          case ABORT -> {
            abort(id, process);
            link.send(Kind.ABORTED, "");
            return;
          }
          default -> throw Link.strange(message.kind() + " instead of a decision");
        }
      }
    } catch (IOException | CheckpointException e) {
      if (process.isOver()) {
        return;
      }
      if (process.remote != null) {
        process.remote.lost(String.valueOf(e.getMessage()));
      }
      if (!process.decision.isDone()) {
        log.accept(
            "lost the source of migration "
                + id
                + ": the process is held, stopped, until the source decides (jcr migrate --recover)");
      }
      throw e;
    }
  }

  /// Lets the process go; the source is told by whoever does it.
  private void commit(Link link, String id, Held process) {
    Object _ =
        process.running.whenComplete((_, failure) ->
            answer(link, failure == null ? Kind.RUNNING : Kind.REFUSE, text(id, failure)));
    if (process.remote != null) {
      Object _ = process.whole.thenAccept(text -> answer(link, Kind.WHOLE, text));
    }
    process.decision.complete(true);
  }

  private static String text(String id, @Nullable Throwable failure) {
    return failure == null ? id : String.valueOf(failure.getMessage());
  }

  private void answer(Link link, Kind kind, String text) {
    try {
      link.send(kind, text);
    } catch (IOException e) {
      log.accept("could not tell the source " + kind + ": " + e.getMessage());
    }
  }

  /// Once: the source may say so by another connection while this one ends.
  private void abort(String id, Held process) throws IOException {
    if (process.calledOff.getAndSet(true)) {
      return;
    }
    process.decision.complete(false);
    try {
      process.running.get(1, TimeUnit.MINUTES);
    } catch (ExecutionException | TimeoutException _) {
      // Called off, as it should be.
    } catch (InterruptedException _) {
      Thread.currentThread().interrupt();
    }
    remove(folder.resolve(id));
  }

  /// A source tells how a migration that was cut off ended.
  private void resolve(Wire wire, Link link, Message message)
      throws IOException, CheckpointException {
    String text = message.text();
    if (!text.matches("(commit|abort|lost) [0-9a-f]{32}")) {
      throw Link.strange("a decision that is none");
    }
    String decision = text.substring(0, text.indexOf(' '));
    boolean commit = decision.equals("commit");
    String id = text.substring(text.indexOf(' ') + 1);
    Path migration = folder.resolve(id);
    Held process = held.get(id);
    if (process != null && process.decision.isDone()) {
      // Its connection is over, whether that was noticed here or not.
      hangUp(id, process);
      process = null;
    }
    if (decision.equals("lost")) {
      if (process != null) {
        abandon(id, process);
      }
      lost(link, id, migration);
      return;
    }
    if (process != null) {
      if (!commit) {
        abort(id, process);
        link.send(Kind.ABORTED, "");
      } else if (process.remote == null) {
        finish(wire, link, id, process);
      } else {
        // What it was prepared with is gone.
        abandon(id, process);
        again(wire, link, id, migration);
      }
      return;
    }
    if (!Files.exists(migration.resolve("journal"))) {
      if (commit) {
        throw new CheckpointException(
            Outcome.FAILED, "cannot commit migration " + id + ": it is not known here");
      }
      link.send(Kind.ABORTED, "");
      return;
    }
    Journal journal = Journal.read(migration.resolve("journal"));
    switch (journal.state()) {
      case "running" -> {
        if (!commit) {
          throw new CheckpointException(
              Outcome.FAILED, "cannot abort migration " + id + ": its process runs here");
        }
        sayRunning(link, id, journal);
      }
      case "prepared", "decided" -> {
        if (!commit) {
          remove(migration);
          link.send(Kind.ABORTED, "");
          return;
        }
        again(wire, link, id, migration);
      }
      case "fetching" -> {
        if (!commit) {
          throw new CheckpointException(
              Outcome.FAILED, "cannot abort migration " + id + ": its process runs here");
        }
        fetchAgain(wire, link, id, migration, journal);
      }
      case "receiving" -> {
        if (commit) {
          throw new CheckpointException(
              Outcome.FAILED, "cannot commit migration " + id + ": it is not whole here");
        }
        Arriving cut = arriving.get(id);
        if (cut != null) {
          // It may wait for another connection.
          cut.stream().hangUp();
        }
        link.send(Kind.ABORTED, "");
      }
      default ->
          throw new CheckpointException(
              Outcome.FAILED,
              "cannot tell whether process "
                  + journal.get("pid")
                  + " of migration "
                  + id
                  + " ran; see the destination's log");
    }
  }

  private static void sayRunning(Link link, String id, Journal journal) throws IOException {
    link.send(Kind.RUNNING, id);
    if (isPostcopy(journal)) {
      link.send(Kind.WHOLE, isAlive(journal) ? "" : Link.ENDED);
    }
  }

  private void finish(Wire wire, Link link, String id, Held process)
      throws IOException, CheckpointException {
    commit(link, id, process);
    follow(wire, link, id, process);
  }

  /// The process is rebuilt from its image.
  private void again(Wire wire, Link link, String id, Path migration)
      throws IOException, CheckpointException {
    Journal journal = Journal.read(migration.resolve("journal"));
    journal.set("decided");
    Held process =
        prepare(
            id,
            journal,
            migration.resolve(journal.get("image")),
            CompletableFuture.completedFuture(true),
            null,
            isPostcopy(journal) ? new RemoteBlocks(link, id) : null);
    await(process.prepared);
    finish(wire, link, id, process);
  }

  /// Ends a process that was prepared; its image stays.
  private void abandon(String id, Held process) throws CheckpointException {
    process.decision.complete(false);
    awaitEnd(id, process);
  }

  /// Ends the connection of a process that runs here and misses pages.
  private void hangUp(String id, Held process) throws CheckpointException {
    Wire wire = process.wire.get();
    if (wire != null) {
      wire.hangUp();
    }
    if (process.remote != null) {
      process.remote.lost("it came again");
    }
    awaitEnd(id, process);
  }

  private void awaitEnd(String id, Held process) throws CheckpointException {
    long deadline = System.nanoTime() + END_NANOS;
    while (held.get(id) == process) {
      if (System.nanoTime() > deadline) {
        throw new CheckpointException(
            Outcome.FAILED, "migration " + id + " is still at work here; try again");
      }
      LockSupport.parkNanos(END_STEP_NANOS);
    }
  }

  /// A process that waits for its pages gets them from the same source by another connection.
  private void fetchAgain(Wire wire, Link link, String id, Path migration, Journal journal)
      throws IOException, CheckpointException {
    if (!isAlive(journal)) {
      // It ended here, as it may.
      journal.set("running");
      removeImages(migration);
      sayRunning(link, id, journal);
      return;
    }
    RemoteBlocks remote = new RemoteBlocks(link, id);
    Held process = new Held(remote);
    Optional<LazyServer> pages;
    try (ImageReader image = ImageReader.open(migration.resolve(journal.get("image")))) {
      LazyRanges ranges = LazyRanges.remote(image.state(), image.pagemap());
      pages =
          LazyServer.resume(
              (int) journal.number("pid"),
              ranges,
              image.digest(),
              remote.open(ranges.pages(), image.pages().pageSize()));
    }
    held.put(id, process);
    process.decision.complete(true);
    process.running.complete(true);
    pages.ifPresent(server -> server.prefetch(Long.MAX_VALUE));
    Thread.ofPlatform()
        .daemon()
        .name("jcr-fetch")
        .start(() -> {
          try {
            if (pages.isEmpty()) {
              journal.set("running");
            }
            complete(id, journal, process, pages);
          } catch (IOException | RuntimeException | Error e) {
            process.whole.completeExceptionally(e);
          } finally {
            held.remove(id, process);
          }
        });
    finish(wire, link, id, process);
  }

  /// The source has no pages any more.
  private void lost(Link link, String id, Path migration) throws IOException, CheckpointException {
    if (!Files.exists(migration.resolve("journal"))) {
      throw new CheckpointException(Outcome.FAILED, "migration " + id + " is not known here");
    }
    Journal journal = Journal.read(migration.resolve("journal"));
    if (journal.state().equals("running")
        || (journal.state().equals("fetching") && !isAlive(journal))) {
      link.send(Kind.WHOLE, "");
      return;
    }
    journal.set("lost");
    String told =
        "process %s of migration %s can never have the rest of its memory: it is %s"
            .formatted(
                journal.get("pid"),
                id,
                isAlive(journal) ? "stopped here; kill it" : "not started here");
    log.accept(told);
    throw new CheckpointException(Outcome.FAILED, told);
  }

  /// State of every migration that was here, for people.
  public static List<String> status(Path folder) throws IOException {
    Path in = folder.resolve("in");
    if (!Files.isDirectory(in)) {
      return List.of();
    }
    try (DirectoryStream<Path> entries = Files.newDirectoryStream(in)) {
      List<String> lines = new java.util.ArrayList<>();
      for (Path each : entries) {
        if (Files.exists(each.resolve("journal"))) {
          lines.add("in " + each.getFileName() + " " + Journal.read(each.resolve("journal")));
        }
      }
      return lines;
    }
  }

  private static void remove(Path migration) throws IOException {
    removeImages(migration);
    Files.deleteIfExists(migration.resolve("journal"));
    try (DirectoryStream<Path> rest = Files.newDirectoryStream(migration)) {
      for (Path file : rest) {
        Files.deleteIfExists(file);
      }
    }
    Files.deleteIfExists(migration);
  }

  /// The folders in a migration's folder; its journal stays.
  private static void removeImages(@Nullable Path migration) throws IOException {
    if (migration == null) {
      return;
    }
    try (DirectoryStream<Path> images = Files.newDirectoryStream(migration, Files::isDirectory)) {
      for (Path image : images) {
        try (DirectoryStream<Path> parts = Files.newDirectoryStream(image)) {
          for (Path part : parts) {
            Files.deleteIfExists(part);
          }
        }
        Files.deleteIfExists(image);
      }
    }
  }

  @Override
  public void close() {
    try {
      if (server != null) {
        server.close();
      }
    } catch (IOException _) {
      // No more connections either way.
    }
  }
}
