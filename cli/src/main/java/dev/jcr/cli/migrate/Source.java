package dev.jcr.cli.migrate;

import dev.jcr.cli.migrate.Link.Kind;
import dev.jcr.dump.Dump;
import dev.jcr.dump.Outline;
import dev.jcr.dump.threads.EndedLeader;
import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.CheckpointException.Problem;
import dev.jcr.image.v1.Compression;
import dev.jcr.image.v1.ProcessState;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.procfs.Anchor;
import dev.jcr.parasite.procfs.Proc;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import javax.net.ssl.SSLException;
import org.jspecify.annotations.Nullable;

/// Sends a process to another host. `out/ID` is the journal of a migration:
///
/// ```
/// sending    undecided, which means: it stays here
/// commit     decided: it lives there. Written while the process is stopped, by jcr and by SIGSTOP, so
///            that it does not run even if jcr dies now. With "postcopy" it is kept like that until
///            the destination has all its pages
/// done       it was ended here and runs there
/// lost       it was to live there, but its pages ended here before they were all sent
/// aborted    it stays here; "told" says whether the destination knows
/// ```
public final class Source {
  private static final int SIGKILL = 9;
  private static final int SIGCONT = 18;
  private static final int CONNECT_MILLIS = 10_000;
  private static final int ANSWER_MILLIS = 120_000;
  private static final int ID_BYTES = 16;

  /// The destination holds what it has for longer than the source tries: it may notice first.
  private static final int NOTICED_SECONDS = 20;

  private static final int TELL_MILLIS = 3_000;

  private Source() {}

  /// What to move and how.
  ///
  /// @param folder journals
  /// @param maxDowntimeMillis the process is stopped when it is expected to stand still no longer
  ///   ([Convergence])
  /// @param maxRounds rounds of memory before that; when they did not get small enough by then, the
  ///   migration is given up, or the rest follows the process
  /// @param postcopy the process runs there before all its memory is there; with `maxRounds` 0
  ///   nothing is sent before
  /// @param bytesPerSecond bandwidth limit, 0 for none
  /// @param files which files are elsewhere there, and which go along
  /// @param reconnectSeconds how long another connection is tried for when none is left, before the
  ///   process is stopped or while pages follow it; 0 for not at all
  /// @param streams connections, 1 to [#MOST_STREAMS]
  /// @param losses what may be lost
  public record Options(
      int pid,
      InetSocketAddress address,
      Path folder,
      long maxDowntimeMillis,
      int maxRounds,
      long bytesPerSecond,
      Compression compression,
      int compressionLevel,
      boolean postcopy,
      FileChoice files,
      int reconnectSeconds,
      int streams,
      Losses losses) {}

  /// Connections of a migration.
  public static final int MOST_STREAMS = Lasting.MOST_LINES;

  /// What was sent and how long the process stood still.
  ///
  /// @param downtimeMicros from the first stopped thread to the answer that it runs there
  public record Report(
      String id, int pid, int rounds, long bytes, long downtimeMicros, String prepared) {}

  /// Told about a migration as it goes on. Called from the threads that migrate, one at a time, of
  /// connections from others. One that throws calls the migration off, as long as it is not
  /// decided.
  public interface Listener {
    /// `event` is one of accepted, file (goes along, and why), round, committed, running, frozen
    /// (what the process stood still for before it was sent), lost (what may be), whole; of
    /// connections: connected, broken, reconnected. Numbers follow by name.
    void event(String event, String... namesAndValues);
  }

  /// Moves the process. On any exception but one of outcome `TARGET_DOUBTFUL` it is here and as it
  /// was; with that one the decision is in the journal, and [#recover] carries it out.
  public static Report run(Options options, Credentials credentials, Listener listener)
      throws CheckpointException {
    int pid = options.pid();
    List<Problem> problems = Dump.preflight(pid, options.losses().policy());
    problems.addAll(immovable(pid));
    if (!problems.isEmpty()) {
      throw new CheckpointException(
          Outcome.UNSUPPORTED,
          "cannot migrate process "
              + pid
              + ": "
              + String.join(" | ", problems.stream().map(Problem::toString).toList()),
          problems,
          null);
    }
    byte[] raw = new byte[ID_BYTES];
    new SecureRandom().nextBytes(raw);
    String id = HexFormat.of().formatHex(raw);
    long stop = WarmUp.source();
    ProcessState outline = Outline.of(pid);
    Path out = options.folder().resolve("out");
    try {
      Files.createDirectories(out);
      Path file = out.resolve(id);
      Journal journal = Journal.create(file);
      try (FileChannel channel = lockFile(out, id);
          FileLock lock = channel.lock()) {
        if (!lock.isValid()) {
          throw new IOException("lock of " + file);
        }
        long began = System.nanoTime();
        journal
            .with("pid", pid)
            .with("start_time", Destination.startTime(pid))
            .with("stopped", Proc.of(pid).status().state() == 'T')
            .with("host", options.address().getHostString())
            .with("port", options.address().getPort())
            .with("postcopy", options.postcopy())
            .set("sending");
        long base = stop + System.nanoTime() - began;
        return send(options, credentials, listener, id, raw, outline, journal, base);
      }
    } catch (IOException e) {
      throw new CheckpointException(
          Outcome.FAILED,
          "cannot write a journal in " + out + ": " + e.getMessage() + "; see --dir",
          e);
    }
  }

  private static FileChannel lockFile(Path out, String id) throws IOException {
    return FileChannel.open(
        out.resolve(id + ".lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
  }

  private static Report send(
      Options options,
      Credentials credentials,
      Listener listener,
      String id,
      byte[] raw,
      ProcessState outline,
      Journal journal,
      long base)
      throws CheckpointException, IOException {
    Lasting stream = null;
    try (Line first = connect(credentials, options.address())) {
      byte[] known = options.files().changes(Map.of()).applied(outline).toByteArray();
      ByteBuffer hello = ByteBuffer.allocate(4 + ID_BYTES + 8 + 4 + 4 + known.length);
      hello.putInt(Link.VERSION).put(raw).putLong(space(options.pid()));
      int seconds = options.reconnectSeconds();
      hello.putInt(seconds == 0 ? 0 : seconds + NOTICED_SECONDS).putInt(options.streams());
      first.link().send(Kind.HELLO, hello.put(known).array());
      SentFiles files = SentFiles.agree(options.pid(), first.link(), outline, options.files());
      listener.event("accepted", "id", id);
      for (FileTerms.Other file : files.sent()) {
        listener.event("file", "path", file.path(), "reason", file.reason());
      }
      long whole = base + files.rebuilding();
      try (Lasting lasting = new Lasting(options.streams(), seconds, Lasting.Terms.USUAL)) {
        stream = lasting;
        lasting.patience(ANSWER_MILLIS);
        new Lines(lasting, credentials, options.address(), raw, first.peer(), seconds, listener)
            .begin(first, options.streams());
        Counted counted = new Counted(lasting.out(), options.bytesPerSecond());
        Link link = new Link(lasting.in(), counted);
        return new Sending(options, listener, id, journal, lasting, link, counted, files, whole)
            .run();
      }
    } catch (CheckpointException | RuntimeException | Error e) {
      boolean cut = stream != null && stream.wasCut();
      if (callOff(id, journal, credentials, cut)
          && cut
          && e instanceof CheckpointException failure
          && failure.outcome() == Outcome.FAILED) {
        // Whoever writes an image thinks of a disk.
        for (Throwable cause = e; cause != null; cause = cause.getCause()) {
          if (cause instanceof IOException io) {
            throw lost(options.address(), io);
          }
        }
      }
      if (e instanceof CheckpointException failure
          && failure.outcome() != Outcome.TARGET_DOUBTFUL
          && journal.state().equals("commit")) {
        throw undone(options, id, failure);
      }
      throw e;
    } catch (IOException e) {
      if (callOff(id, journal, credentials, stream != null && stream.wasCut())) {
        throw lost(options.address(), e);
      }
      throw undone(options, id, e);
    }
  }

  /// It is decided, and not known to be done.
  private static CheckpointException undone(Options options, String id, Exception e) {
    return options.postcopy() ? unfinished(id, options.pid(), e) : inDoubt(id, options.pid(), e);
  }

  /// What is not decided is called off, which a destination that was cut off is told at once, if it
  /// can be.
  ///
  /// @return whether it was not decided
  private static boolean callOff(String id, Journal journal, Credentials credentials, boolean cut)
      throws IOException {
    if (!journal.state().equals("sending")) {
      return false;
    }
    journal.with("told", false).set("aborted");
    if (cut) {
      var _ = tell(id, journal, credentials, false, TELL_MILLIS);
    }
    return true;
  }

  private static CheckpointException unfinished(String id, int pid, Exception e) {
    return new CheckpointException(
        Outcome.TARGET_DOUBTFUL,
        "cannot finish migration %s of process %d: %s; it is decided that it lives at the destination, where it waits for the rest of its memory, which is in the stopped process %d here: do not end that one: jcr migrate --recover"
            .formatted(id, pid, e.getMessage(), pid),
        e);
  }

  private static List<Problem> immovable(int pid) throws CheckpointException {
    try {
      return EndedLeader.immovable(Anchor.of(pid));
    } catch (IOException e) {
      throw new CheckpointException(
          Outcome.TARGET_LOST, "cannot migrate process " + pid + ": it ended meanwhile", e);
    }
  }

  /// Everything resident, twice: rounds repeat pages.
  private static long space(int pid) throws CheckpointException {
    try {
      for (String line : Proc.of(pid).text("status").lines().toList()) {
        if (line.startsWith("VmRSS:")) {
          return 2048 * Long.parseLong(line.replaceAll("[^0-9]", ""));
        }
      }
      return 0;
    } catch (IOException e) {
      throw new CheckpointException(
          Outcome.TARGET_LOST, "cannot migrate process " + pid + ": it ended meanwhile", e);
    }
  }

  static CheckpointException lost(InetSocketAddress address, IOException e) {
    String problem =
        e instanceof SSLException
            ? "the destination was not proven, or does not trust this host: " + e.getMessage()
            : String.valueOf(e.getMessage());
    return new CheckpointException(
        Outcome.FAILED,
        "cannot migrate to " + address + ": " + problem + "; the process runs on here",
        e);
  }

  private static CheckpointException inDoubt(String id, int pid, Exception e) {
    return new CheckpointException(
        Outcome.TARGET_DOUBTFUL,
        "cannot finish migration "
            + id
            + " of process "
            + pid
            + ": "
            + e.getMessage()
            + "; it is decided that it lives at the destination, which holds it: jcr migrate"
            + " --recover",
        e);
  }

  private static Line connect(Credentials credentials, InetSocketAddress address)
      throws IOException {
    return Line.to(credentials, address, CONNECT_MILLIS, ANSWER_MILLIS);
  }

  /// A migration that is not over, or was not told to the destination.
  ///
  /// @param message what became of it
  public record Recovered(String id, Fate fate, String message) {}

  /// How a migration that was cut off ended.
  public enum Fate {
    /// It is over on both sides.
    OVER,
    /// Not yet.
    OPEN,
    /// The process cannot be had any more.
    LOST
  }

  /// Carries out what was decided before jcr died or the network was lost: undecided ones are
  /// called off and their process goes on here, decided ones are finished there.
  public static List<Recovered> recover(Path folder, Credentials credentials)
      throws CheckpointException {
    Path out = folder.resolve("out");
    List<Recovered> recovered = new ArrayList<>();
    try {
      for (Path file : journals(out)) {
        String id = String.valueOf(file.getFileName());
        try (FileChannel channel = lockFile(out, id);
            FileLock lock = channel.tryLock()) {
          if (lock == null) {
            recovered.add(new Recovered(id, Fate.OPEN, "is still being carried out"));
            continue;
          }
          Recovered one = recover(id, Journal.read(file), credentials);
          if (one != null) {
            recovered.add(one);
          }
        } catch (OverlappingFileLockException _) {
          recovered.add(new Recovered(id, Fate.OPEN, "is still being carried out"));
        }
      }
    } catch (IOException e) {
      throw new CheckpointException(
          Outcome.FAILED, "cannot read journals in " + out + ": " + e.getMessage(), e);
    }
    return recovered;
  }

  private static List<Path> journals(Path out) throws IOException {
    List<Path> files = new ArrayList<>();
    if (Files.isDirectory(out)) {
      try (DirectoryStream<Path> entries = Files.newDirectoryStream(out)) {
        for (Path entry : entries) {
          if (String.valueOf(entry.getFileName()).matches("[0-9a-f]{32}")) {
            files.add(entry);
          }
        }
      }
    }
    return files;
  }

  private static @Nullable Recovered recover(String id, Journal journal, Credentials credentials)
      throws IOException {
    int pid = (int) journal.number("pid");
    boolean alive =
        journal.number("start_time") != 0
            && Destination.startTime(pid) == journal.number("start_time");
    return switch (journal.state()) {
      case "sending" -> {
        // Jcr died between its SIGSTOP and the decision, perhaps.
        if (alive
            && journal.get("stopped").equals("false")
            && Proc.of(pid).status().state() == 'T') {
          Kernel.raw(Syscall.KILL, pid, SIGCONT);
        }
        journal.with("told", false).set("aborted");
        yield tell(id, journal, credentials, false);
      }
      case "aborted" ->
          journal.get("told").equals("true") ? null : tell(id, journal, credentials, false);
      case "commit" -> {
        if (journal.get("postcopy").equals("true")) {
          yield alive ? finish(id, journal, credentials) : lost(id, journal, credentials);
        }
        if (alive) {
          Kernel.raw(Syscall.KILL, pid, SIGKILL);
        }
        yield tell(id, journal, credentials, true);
      }
      default -> null;
    };
  }

  /// The process here gives what is still missing there.
  private static Recovered finish(String id, Journal journal, Credentials credentials)
      throws IOException {
    int pid = (int) journal.number("pid");
    InetSocketAddress address = destination(journal);
    try (Line line = connect(credentials, address)) {
      Dump.disarm(pid);
      Link link = line.link();
      link.send(Kind.RESOLVE, "commit " + id);
      try (PageGiver giver = new PageGiver(pid, link, Compression.COMPRESSION_ZSTD, 1)) {
        giver.expect(Kind.RUNNING);
        boolean ended = giver.expect(Kind.WHOLE).text().equals(Link.ENDED);
        Kernel.raw(Syscall.KILL, pid, SIGKILL);
        journal.set("done");
        return new Recovered(
            id,
            Fate.OVER,
            (ended
                    ? "process %d has ended at %s: %d KiB of its memory were given to it now"
                    : "process %d runs at %s: %d KiB of its memory were given to it now")
                .formatted(pid, address, giver.given() >> 10));
      }
    } catch (IOException | CheckpointException e) {
      return new Recovered(
          id,
          Fate.OPEN,
          "the destination %s could not be given the memory that process %d still has here: %s"
              .formatted(address, pid, e.getMessage()));
    }
  }

  /// The stopped process was ended by somebody, or with this host. It is over if the destination
  /// had everything.
  private static Recovered lost(String id, Journal journal, Credentials credentials)
      throws IOException {
    InetSocketAddress address = destination(journal);
    try (Line line = connect(credentials, address)) {
      Link link = line.link();
      link.send(Kind.RESOLVE, "lost " + id);
      link.expect(Kind.WHOLE);
      journal.set("done");
      return new Recovered(
          id, Fate.OVER, "process %s runs at %s".formatted(journal.get("pid"), address));
    } catch (IOException e) {
      return new Recovered(
          id,
          Fate.OPEN,
          "process %s is gone here, with what the destination %s may not have of its memory, which could not be asked: %s"
              .formatted(journal.get("pid"), address, e.getMessage()));
    } catch (CheckpointException e) {
      journal.with("why", String.valueOf(e.getMessage())).set("lost");
      return new Recovered(
          id,
          Fate.LOST,
          "process %s is lost: its stopped copy here was ended before %s had all its memory: %s"
              .formatted(journal.get("pid"), address, e.getMessage()));
    }
  }

  private static InetSocketAddress destination(Journal journal) {
    return InetSocketAddress.createUnresolved(journal.get("host"), (int) journal.number("port"));
  }

  private static Recovered tell(String id, Journal journal, Credentials credentials, boolean commit)
      throws IOException {
    return tell(id, journal, credentials, commit, CONNECT_MILLIS);
  }

  /// @param millis to be connected in
  private static Recovered tell(
      String id, Journal journal, Credentials credentials, boolean commit, int millis)
      throws IOException {
    InetSocketAddress address = destination(journal);
    String what = commit ? "commit" : "abort";
    try (Line line = Line.to(credentials, address, millis, ANSWER_MILLIS)) {
      Link link = line.link();
      link.send(Kind.RESOLVE, what + " " + id);
      link.expect(commit ? Kind.RUNNING : Kind.ABORTED);
    } catch (IOException | CheckpointException e) {
      return new Recovered(
          id,
          Fate.OPEN,
          what + ": the destination " + address + " could not be told: " + e.getMessage());
    }
    if (commit) {
      journal.set("done");
    } else {
      journal.with("told", true).set("aborted");
    }
    return new Recovered(
        id,
        Fate.OVER,
        "process "
            + journal.get("pid")
            + (commit ? " runs at " + address : " stays here, " + address + " has dropped it"));
  }

  /// State of every migration from here, for people.
  public static List<String> status(Path folder) throws IOException {
    List<String> lines = new ArrayList<>();
    for (Path file : journals(folder.resolve("out"))) {
      lines.add("out " + file.getFileName() + " " + Journal.read(file));
    }
    return lines;
  }
}
