package dev.jcr.dump.files;

import dev.jcr.image.CheckpointException;
import dev.jcr.image.CheckpointException.Outcome;
import dev.jcr.image.CheckpointException.Problem;
import dev.jcr.image.v1.Description;
import dev.jcr.image.v1.Files;
import dev.jcr.image.v1.Owner;
import dev.jcr.image.v1.Terminal;
import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.namespace.Namespaces;
import dev.jcr.parasite.procfs.Anchor;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/// Turns the descriptor table of one process into the message `Files`.
///
/// [#preflight] looks at the running process and names everything that cannot be carried over;
/// [#collect] is called while it is frozen.
public final class FileCollector implements AutoCloseable {
  private static final int LOOKS = 2;

  private final int pid;
  private final Anchor process;
  private final Fd pidFd;
  private final LinkPolicy policy;
  private final Namespaces namespaces;
  private @Nullable Outside outside;
  private @Nullable Connections connections;
  private boolean losesEvents;

  /// @param policy for what links it to other processes
  public FileCollector(int pid, LinkPolicy policy) throws CheckpointException {
    this.pid = pid;
    this.policy = policy;
    try {
      this.process = Anchor.of(pid);
      this.namespaces = Namespaces.of(process.tid());
      this.pidFd = process.pidFd();
    } catch (IOException e) {
      throw OpenFileTable.failure(pid, e);
    }
  }

  /// Unread inotify events may stay behind: the restored process reads IN_Q_OVERFLOW instead.
  public void loseEvents() {
    losesEvents = true;
  }

  /// Those of the process that are not jcr's; closed with this.
  public Namespaces namespaces() {
    return namespaces;
  }

  /// Everything unsupported, found without stopping or tracing the process. What is seen only once
  /// of several looks was a file on its way (opened, renamed, removed, closed between two
  /// questions).
  public List<Problem> preflight() throws CheckpointException {
    List<Problem> problems = look();
    for (int again = 0; again < LOOKS && !problems.isEmpty(); again++) {
      problems.retainAll(look());
    }
    return problems;
  }

  private List<Problem> look() throws CheckpointException {
    List<Problem> problems = new ArrayList<>();
    try (Namespaces.Visit _ = namespaces.enter();
        OpenFileTable table = OpenFileTable.read(process, pidFd);
        SharedObjects objects = new SharedObjects()) {
      outside = Outside.look(pid, table.files());
      describe(Scene.running(process, table, outside, objects, policy), problems);
    } catch (IOException e) {
      throw OpenFileTable.failure(pid, e);
    }
    return problems;
  }

  /// What can be told of the running process. No queue is read and no connection touched: a socket
  /// in repair mode, which reading needs, would fail the process's calls or mix up what it sends.
  /// What comes and goes meanwhile is left out; what cannot be carried over [#preflight] tells.
  public Files outline() throws CheckpointException {
    try (Namespaces.Visit _ = namespaces.enter();
        OpenFileTable table = OpenFileTable.read(process, pidFd);
        SharedObjects objects = new SharedObjects()) {
      Scene scene =
          Scene.running(process, table, Outside.look(pid, table.files()), objects, policy);
      return Files.newBuilder()
          .addAllDescriptors(table.descriptors())
          .addAllDescriptions(describe(scene, new ArrayList<>()))
          .addAllObjects(objects.objects())
          .addAllTerminals(scene.terminals())
          .build();
    } catch (IOException e) {
      throw OpenFileTable.failure(pid, e);
    }
  }

  /// Before the freeze, on the tracer thread: what reading connections needs, if there are any.
  public void prepare() throws CheckpointException {
    if (policy.tcp() != ConnectionPolicy.KEEP || connections != null) {
      return;
    }
    try (OpenFileTable table = OpenFileTable.read(process, pidFd)) {
      if (!InetSockets.connected(table.files()).isEmpty()) {
        connections = Connections.prepare(process);
      }
    } catch (IOException e) {
      throw OpenFileTable.failure(pid, e);
    }
  }

  /// Ends the locked connections without a packet, just before the process is killed.
  public void endConnections() throws CheckpointException {
    if (connections != null) {
      try (Namespaces.Visit _ = namespaces.enter()) {
        connections.end();
      } catch (IOException e) {
        throw OpenFileTable.failure(pid, e);
      }
    }
  }

  /// Lets the connections go on, before the process does.
  public void unlockConnections() {
    if (connections != null) {
      connections.unlock();
    }
  }

  /// Locks the connections; the name of the lock, empty for none.
  private String lock(OpenFileTable table) throws CheckpointException, IOException {
    List<OpenFile> connected = InetSockets.connected(table.files());
    if (policy.tcp() != ConnectionPolicy.KEEP || connected.isEmpty()) {
      return "";
    }
    if (connections == null) {
      // Made between the look and the freeze.
      connections = Connections.prepare(process);
    }
    return connections.lock(connected).orElse("");
  }

  /// The table as it is; the process must not run. Throws with outcome `UNSUPPORTED` and all
  /// problems when there are any.
  ///
  /// @param stoppedAt System.nanoTime of the freeze: timers are as they were then
  /// @param secrets copies of its secret memory
  public Collected collect(long stoppedAt, SecretMemory secrets) throws CheckpointException {
    SharedObjects objects = new SharedObjects(secrets);
    boolean done = false;
    try (Namespaces.Visit _ = namespaces.enter();
        OpenFileTable table = OpenFileTable.read(process, pidFd)) {
      List<Problem> problems = new ArrayList<>();
      try {
        table.addPassing();
      } catch (Refusal refusal) {
        problems.add(new Problem("descriptor", "unix sockets", refusal.reason(), refusal.remedy()));
      }
      Outside known = outside;
      if (known == null || !known.covers(table.files())) {
        known = Outside.look(pid, table.files());
      }
      String lock = lock(table);
      Scene scene = Scene.frozen(process, table, known, objects, stoppedAt, policy, connections);
      if (losesEvents) {
        scene.loseEvents();
      }
      if (policy.tcp() == ConnectionPolicy.KEEP && lock.isEmpty()) {
        for (OpenFile file : InetSockets.connected(table.files())) {
          scene.lose(
              file,
              "this kernel cannot hold the packets of its connection back (no nf_tables): one that"
                  + " comes before the restore resets it");
        }
      }
      List<Description> descriptions = describe(scene, problems);
      if (!problems.isEmpty()) {
        throw new CheckpointException(
            Outcome.UNSUPPORTED,
            "cannot dump process "
                + pid
                + ": "
                + problems.stream().map(Problem::toString).collect(Collectors.joining("; ")),
            problems,
            null);
      }
      List<Terminal> terminals = scene.terminals();
      Collected collected =
          new Collected(
              process,
              namespaces,
              table.descriptors(),
              descriptions,
              terminals,
              objects,
              lock,
              scene.losses());
      done = true;
      return collected;
    } catch (IOException e) {
      throw OpenFileTable.failure(pid, e);
    } finally {
      if (!done) {
        objects.close();
      }
    }
  }

  private static List<Description> describe(Scene scene, List<Problem> problems)
      throws IOException {
    List<Description> descriptions = new ArrayList<>();
    for (OpenFile file : scene.table().files()) {
      Description.Builder description =
          Description.newBuilder()
              .setId(file.id())
              .setFlags(file.flags())
              .setPosition(file.info().position());
      try {
        if (file.passing()) {
          Passing.requireSimple(file);
        }
        Kinds.describe(scene, file, description);
        owner(scene, file).ifPresent(description::setOwner);
        if (file.passing()) {
          Passing.requireSimple(file, description);
        }
        descriptions.add(description.build());
      } catch (Refusal refusal) {
        problems.add(new Problem("descriptor", file.label(), refusal.reason(), refusal.remedy()));
      } catch (SyscallException e) {
        if (!scene.running() || (e.errno() != Errno.ENOENT && e.errno() != Errno.EBADF)) {
          throw e;
        }
        // A running process closed it meanwhile.
      }
    }
    return descriptions;
  }

  private static Optional<Owner> owner(Scene scene, OpenFile file) throws IOException, Refusal {
    int fd = file.duplicate().number();
    int[] owner = FdCalls.owner(fd).orElse(new int[] {0, 0});
    long signal = Math.max(0, FdCalls.fcntl(fd, Fcntl.F_GETSIG, 0));
    if (owner[1] == 0 && signal == 0) {
      return Optional.empty();
    }
    if (owner[1] != 0 && !scene.isOwn(owner[0], owner[1])) {
      throw new Refusal(
          "its owner for signals (F_SETOWN) is process or group "
              + owner[1]
              + ", which is not in the dump",
          "reset the owner");
    }
    return Optional.of(
        Owner.newBuilder().setType(owner[0]).setPid(owner[1]).setSignal((int) signal).build());
  }

  @Override
  public void close() {
    if (connections != null) {
      connections.close();
    }
    pidFd.close();
    namespaces.close();
  }
}
