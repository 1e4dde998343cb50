package dev.jcr.dump.files;

import dev.jcr.image.v1.Loss;
import dev.jcr.image.v1.Terminal;
import dev.jcr.parasite.linux.Fcntl;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.FdCalls;
import dev.jcr.parasite.linux.FileStat;
import dev.jcr.parasite.linux.PacketDiag;
import dev.jcr.parasite.linux.SyscallException;
import dev.jcr.parasite.linux.UnixDiag;
import dev.jcr.parasite.namespace.NamespaceKind;
import dev.jcr.parasite.procfs.Anchor;
import dev.jcr.parasite.procfs.Proc;
import dev.jcr.parasite.procfs.ProcStat;
import dev.jcr.parasite.tcp.HalfOpen;
import dev.jcr.parasite.tcp.TcpKeys;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/// What the describers of one pass share.
final class Scene {
  private final Anchor anchor;
  private final OpenFileTable table;
  private final Outside outside;
  private final SharedObjects objects;
  private final boolean running;
  private final long stoppedAt;
  private final LinkPolicy policy;
  private final @Nullable Connections connections;
  private final ProcStat stat;
  private final List<Integer> tasks;
  private final Map<Integer, Terminal> terminals = new TreeMap<>();
  private final List<Loss> losses = new ArrayList<>();
  private final Optional<FileStat> network;
  private final Map<Long, Optional<UnixDiag>> unixSockets = new HashMap<>();
  private @Nullable Map<Integer, PacketDiag> packetSockets;
  private @Nullable Set<Long> signing;
  private boolean losesEvents;
  private @Nullable List<byte[]> halfOpen;

  /// A process that is not frozen: queues are left alone.
  static Scene running(
      Anchor process,
      OpenFileTable table,
      Outside outside,
      SharedObjects objects,
      LinkPolicy policy)
      throws IOException {
    return new Scene(process, table, outside, objects, true, System.nanoTime(), policy, null);
  }

  /// A process that was frozen at `stoppedAt` (System.nanoTime).
  ///
  /// @param connections what reads TCP connections, where the policy keeps them
  static Scene frozen(
      Anchor process,
      OpenFileTable table,
      Outside outside,
      SharedObjects objects,
      long stoppedAt,
      LinkPolicy policy,
      @Nullable Connections connections)
      throws IOException {
    return new Scene(process, table, outside, objects, false, stoppedAt, policy, connections);
  }

  private Scene(
      Anchor process,
      OpenFileTable table,
      Outside outside,
      SharedObjects objects,
      boolean running,
      long stoppedAt,
      LinkPolicy policy,
      @Nullable Connections connections)
      throws IOException {
    this.anchor = process;
    this.table = table;
    this.outside = outside;
    this.objects = objects;
    this.running = running;
    this.stoppedAt = stoppedAt;
    this.policy = policy;
    this.connections = connections;
    this.stat = proc().stat();
    this.tasks = proc().tasks();
    this.network = NamespaceKind.NET.of(proc());
  }

  int pid() {
    return anchor.pid();
  }

  Anchor anchor() {
    return anchor;
  }

  Proc proc() {
    return anchor.proc();
  }

  OpenFileTable table() {
    return table;
  }

  Outside outside() {
    return outside;
  }

  SharedObjects objects() {
    return objects;
  }

  boolean running() {
    return running;
  }

  /// Nanoseconds since the process was frozen, in which its timers went on.
  long sinceStop() {
    return running ? 0 : System.nanoTime() - stoppedAt;
  }

  /// Unread inotify events may stay behind.
  void loseEvents() {
    losesEvents = true;
  }

  boolean losesEvents() {
    return losesEvents;
  }

  LinkPolicy policy() {
    return policy;
  }

  Connections connections() {
    if (connections == null) {
      throw new IllegalStateException("connections were not prepared");
    }
    return connections;
  }

  ProcStat stat() {
    return stat;
  }

  /// Whether an F_SETOWN owner is the process itself, one of its threads, or its group.
  boolean isOwn(int type, int id) {
    return switch (type) {
      case Fcntl.F_OWNER_TID -> tasks.contains(id);
      case Fcntl.F_OWNER_PID -> id == anchor.pid();
      default -> id == stat.pgrp();
    };
  }

  boolean isThread(int tid) {
    return tasks.contains(tid);
  }

  /// Whether a socket is of another network namespace than the process: made before it changed, or
  /// given to it. Without CAP_NET_ADMIN the kernel does not say.
  boolean isElsewhere(int socket) throws SyscallException {
    Optional<Fd> of = FdCalls.networkNamespace(socket);
    if (of.isEmpty() || network.isEmpty()) {
      return false;
    }
    try (Fd namespace = of.get()) {
      return !FileStat.of(namespace.number()).sameFile(network.get());
    }
  }

  /// What the kernel says about a unix socket, asked once.
  Optional<UnixDiag> unixDiag(long inode) throws IOException {
    Optional<UnixDiag> known = unixSockets.get(inode);
    if (known == null) {
      known = UnixDiag.of(inode);
      unixSockets.put(inode, known);
    }
    return known;
  }

  /// What the kernel says about a packet socket, asked once for all.
  Optional<PacketDiag> packetDiag(long inode) throws IOException {
    Map<Integer, PacketDiag> known = packetSockets;
    if (known == null) {
      known = PacketDiag.all();
      packetSockets = known;
    }
    return Optional.ofNullable(known.get((int) inode));
  }

  /// Whether a TCP socket has MD5 keys, asked once for all.
  boolean signsTcp(long inode) throws IOException {
    Set<Long> known = signing;
    if (known == null) {
      known = TcpKeys.signing();
      signing = known;
    }
    return known.contains(inode);
  }

  /// This host's ends of TCP connections that are being made, asked once for all.
  List<byte[]> halfOpen() throws IOException {
    List<byte[]> known = halfOpen;
    if (known == null) {
      known = HalfOpen.locals();
      halfOpen = known;
    }
    return known;
  }

  void add(Terminal terminal) {
    terminals.merge(
        // The first of several descriptions has what waits in it.
        terminal.getDevice(), terminal, (a, b) -> a.getOwned() ? a : b);
  }

  List<Terminal> terminals() {
    return List.copyOf(terminals.values());
  }

  void lose(OpenFile file, String reason) {
    losses.add(
        Loss.newBuilder().setKind("descriptor").setObject(file.label()).setReason(reason).build());
  }

  List<Loss> losses() {
    return losses;
  }
}
