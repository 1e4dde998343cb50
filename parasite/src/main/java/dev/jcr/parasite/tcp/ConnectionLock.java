package dev.jcr.parasite.tcp;

import dev.jcr.parasite.linux.Errno;
import dev.jcr.parasite.linux.Fd;
import dev.jcr.parasite.linux.Kernel;
import dev.jcr.parasite.linux.Sockets;
import dev.jcr.parasite.linux.Syscall;
import dev.jcr.parasite.linux.SyscallException;
import java.io.ByteArrayOutputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/// Drops the packets of some TCP connections in this network namespace, both ways: while their
/// socket is nowhere, the kernel would answer the peer with a reset.
///
/// A table of nf_tables. While jcr works it belongs to a netlink socket of jcr's
/// (NFT_TABLE_F_OWNER, Linux 5.12), so that it goes when jcr does; [#keep] makes another that
/// stays. `<linux/netfilter/nf_tables.h>`, `<linux/netfilter/nfnetlink.h>`.
public final class ConnectionLock implements AutoCloseable {
  private static final int BATCH_BEGIN = 0x10;
  private static final int BATCH_END = 0x11;
  private static final int SUBSYS_NFTABLES = 10;
  private static final int NEWTABLE = SUBSYS_NFTABLES << 8;
  private static final String NOW = "-now";
  private static final int LIST_REPLY = 1 << 16;
  private static final int GETTABLE = NEWTABLE | 1;
  private static final int DELTABLE = NEWTABLE | 2;
  private static final int NEWCHAIN = NEWTABLE | 3;
  private static final int NEWRULE = NEWTABLE | 6;
  private static final int NFPROTO_INET = 1;
  private static final int NFPROTO_IPV4 = 2;
  private static final int NFPROTO_IPV6 = 10;
  private static final int TABLE_F_OWNER = 2;
  private static final int HOOK_LOCAL_IN = 1;
  private static final int HOOK_LOCAL_OUT = 3;

  /// NF_IP_PRI_RAW: before connection tracking.
  private static final int PRIORITY = -300;

  private static final int META_NFPROTO = 15;
  private static final int META_L4PROTO = 16;
  private static final int REGISTER_VERDICT = 0;
  private static final int REGISTER_1 = 1;
  private static final int BASE_NETWORK = 1;
  private static final int BASE_TRANSPORT = 2;
  private static final int NLA_F_NESTED = 0x8000;
  private static final int HEADER = 20;
  private static final int REPLY = 8192;

  /// Connections in one batch of messages, which has to fit the socket's buffer.
  private static final int AT_ONCE = 100;

  private final String name;
  private final List<Endpoints> connections;
  private final Fd owner;

  private ConnectionLock(String name, List<Endpoints> connections, Fd owner) {
    this.name = name;
    this.connections = List.copyOf(connections);
    this.owner = owner;
  }

  /// Locks until [#close] or jcr's end. Throws EPERM without CAP_NET_ADMIN, EOPNOTSUPP or
  /// EPROTONOSUPPORT on a kernel without nf_tables.
  ///
  /// @param name of the table that [#keep] makes
  public static ConnectionLock take(String name, List<Endpoints> connections)
      throws SyscallException {
    Fd netlink = open();
    try {
      table(netlink, name + NOW, TABLE_F_OWNER, connections);
      return new ConnectionLock(name, connections, netlink);
    } catch (SyscallException e) {
      netlink.close();
      throw e;
    }
  }

  /// Makes the lock outlive jcr, until [#release].
  public void keep() throws SyscallException {
    try (Fd netlink = open()) {
      table(netlink, name, 0, connections);
    }
  }

  /// Ends a lock that was kept. Without effect where there is none.
  public static void release(String name) throws SyscallException {
    try (Fd netlink = open()) {
      Messages messages = new Messages();
      messages.begin();
      messages.start(DELTABLE, Sockets.NLM_F_ACK, NFPROTO_INET, 0).text(1, name).end();
      messages.finish();
      send(netlink, messages);
    } catch (SyscallException e) {
      if (e.errno() != Errno.ENOENT) {
        throw e;
      }
    }
  }

  /// Ends all locks that were kept for processes of this id: one that moves away and comes back
  /// leaves a lock on every host that it was on.
  public static void releaseOf(int pid) throws SyscallException {
    for (String table : tables()) {
      if (table.startsWith(prefix(pid)) && !table.endsWith(NOW)) {
        release(table);
      }
    }
  }

  /// What the names of all locks for a process begin with.
  public static String prefix(int pid) {
    return "jcr-" + pid + "-";
  }

  /// Names of all tables of the family inet.
  private static List<String> tables() throws SyscallException {
    try (Fd netlink = open();
        Arena arena = Arena.ofConfined()) {
      Messages messages = new Messages();
      messages.start(GETTABLE, Sockets.NLM_F_DUMP, NFPROTO_INET, 0).end();
      byte[] all = messages.bytes();
      MemorySegment bytes = arena.allocateFrom(ValueLayout.JAVA_BYTE, all);
      Kernel.call("list locks", Syscall.SENDTO, netlink.number(), bytes.address(), all.length);
      MemorySegment reply = arena.allocate(LIST_REPLY, 8);
      List<String> names = new ArrayList<>();
      while (true) {
        long length =
            Kernel.call(
                "list locks",
                Syscall.RECVFROM,
                netlink.number(),
                reply.address(),
                LIST_REPLY,
                0,
                0,
                0);
        for (long at = 0; at + 16 <= length; ) {
          int size = reply.get(ValueLayout.JAVA_INT, at);
          int type = Short.toUnsignedInt(reply.get(ValueLayout.JAVA_SHORT, at + 4));
          if (type == Sockets.NLMSG_ERROR || type == Sockets.NLMSG_DONE) {
            return names;
          }
          for (long attribute = at + HEADER; attribute + 4 <= Math.min(at + size, length); ) {
            int bytesOf = Short.toUnsignedInt(reply.get(ValueLayout.JAVA_SHORT, attribute));
            if (Short.toUnsignedInt(reply.get(ValueLayout.JAVA_SHORT, attribute + 2)) == 1) {
              names.add(reply.getString(attribute + 4, StandardCharsets.US_ASCII));
            }
            attribute += Math.max(4, (bytesOf + 3) & ~3);
          }
          at += Math.max(16, (size + 3) & ~3);
        }
      }
    }
  }

  @Override
  public void close() {
    owner.close();
  }

  private static Fd open() throws SyscallException {
    return new Fd(
        (int)
            Kernel.call(
                "open a netfilter socket",
                Syscall.SOCKET,
                Sockets.AF_NETLINK,
                Sockets.SOCK_RAW | Sockets.SOCK_CLOEXEC,
                Sockets.NETLINK_NETFILTER));
  }

  private static void table(Fd netlink, String name, int flags, List<Endpoints> connections)
      throws SyscallException {
    for (int from = 0; from == 0 || from < connections.size(); from += AT_ONCE) {
      Messages messages = new Messages();
      messages.begin();
      if (from == 0) {
        messages.start(NEWTABLE, Sockets.NLM_F_CREATE, NFPROTO_INET, 0);
        messages.text(1, name).number(2, flags).end();
        chain(messages, name, "in", HOOK_LOCAL_IN);
        chain(messages, name, "out", HOOK_LOCAL_OUT);
      }
      int to = Math.min(connections.size(), from + AT_ONCE);
      for (int i = from; i < to; i++) {
        Endpoints one = connections.get(i);
        rule(
            messages,
            name,
            "in",
            one.v4(),
            one.remote(),
            one.remotePort(),
            one.local(),
            one.localPort(),
            0);
        rule(
            messages,
            name,
            "out",
            one.v4(),
            one.local(),
            one.localPort(),
            one.remote(),
            one.remotePort(),
            // The last is answered: a batch is done whole or not at all.
            i == to - 1 ? Sockets.NLM_F_ACK : 0);
      }
      messages.finish();
      send(netlink, messages);
    }
  }

  private static void chain(Messages messages, String table, String name, int hook) {
    messages
        .start(NEWCHAIN, Sockets.NLM_F_CREATE, NFPROTO_INET, 0)
        .text(1, table)
        .text(3, name)
        .nest(4)
        .number(1, hook)
        .number(2, PRIORITY)
        .unnest()
        .text(7, "filter")
        .end();
  }

  /// "meta nfproto .. meta l4proto tcp ip saddr .. daddr .. th sport .. dport .. drop".
  private static void rule(
      Messages messages,
      String table,
      String chain,
      boolean v4,
      byte[] source,
      int sourcePort,
      byte[] destination,
      int destinationPort,
      int flags) {
    messages
        .start(NEWRULE, Sockets.NLM_F_CREATE | Sockets.NLM_F_APPEND | flags, NFPROTO_INET, 0)
        .text(1, table)
        .text(2, chain)
        .nest(4);
    meta(messages, META_NFPROTO, v4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
    meta(messages, META_L4PROTO, Sockets.IPPROTO_TCP);
    // saddr of struct iphdr and struct ipv6hdr; daddr follows.
    int at = v4 ? 12 : 8;
    payload(messages, BASE_NETWORK, at, source);
    payload(messages, BASE_NETWORK, at + source.length, destination);
    ByteBuffer ports = ByteBuffer.allocate(4);
    ports.putShort((short) sourcePort).putShort((short) destinationPort);
    payload(messages, BASE_TRANSPORT, 0, ports.array());
    // NF_DROP is 0.
    expression(messages, "immediate").number(1, REGISTER_VERDICT);
    messages.nest(2).nest(2).number(1, 0).unnest().unnest().unnest().unnest();
    messages.unnest().end();
  }

  private static void meta(Messages messages, int key, int value) {
    expression(messages, "meta").number(1, REGISTER_1).number(2, key).unnest().unnest();
    compare(messages, new byte[] {(byte) value});
  }

  private static void payload(Messages messages, int base, int offset, byte[] value) {
    expression(messages, "payload")
        .number(1, REGISTER_1)
        .number(2, base)
        .number(3, offset)
        .number(4, value.length)
        .unnest()
        .unnest();
    compare(messages, value);
  }

  /// NFT_CMP_EQ is 0.
  private static void compare(Messages messages, byte[] value) {
    expression(messages, "cmp")
        .number(1, REGISTER_1)
        .number(2, 0)
        .nest(3)
        .bytes(1, value)
        .unnest()
        .unnest()
        .unnest();
  }

  private static Messages expression(Messages messages, String name) {
    return messages.nest(1).text(1, name).nest(2);
  }

  private static void send(Fd netlink, Messages messages) throws SyscallException {
    try (Arena arena = Arena.ofConfined()) {
      byte[] all = messages.bytes();
      MemorySegment bytes = arena.allocateFrom(ValueLayout.JAVA_BYTE, all);
      Kernel.call(
          "lock connections", Syscall.SENDTO, netlink.number(), bytes.address(), all.length);
      // A batch is worked off before sendto(2) returns.
      MemorySegment reply = arena.allocate(REPLY, 8);
      while (true) {
        long length =
            Kernel.call(
                "lock connections",
                Syscall.RECVFROM,
                netlink.number(),
                reply.address(),
                REPLY,
                Sockets.MSG_DONTWAIT);
        for (long at = 0; at + HEADER <= length; ) {
          int size = reply.get(ValueLayout.JAVA_INT, at);
          int type = Short.toUnsignedInt(reply.get(ValueLayout.JAVA_SHORT, at + 4));
          if (type == Sockets.NLMSG_ERROR) {
            int error = -reply.get(ValueLayout.JAVA_INT, at + HEADER - 4);
            if (error == 0) {
              return;
            }
            throw new SyscallException("lock connections by nf_tables", Syscall.SENDTO, error);
          }
          at += Math.max(HEADER, (size + 3) & ~3);
        }
      }
    }
  }

  /// Netlink messages of one batch, with nested attributes.
  private static final class Messages {
    private final ByteArrayOutputStream done = new ByteArrayOutputStream();
    private final ByteBuffer now = ByteBuffer.allocate(4096).order(ByteOrder.nativeOrder());
    private final int[] nests = new int[16];
    private int depth;
    private int sequence;

    void begin() {
      start(BATCH_BEGIN, 0, 0, SUBSYS_NFTABLES).end();
    }

    void finish() {
      start(BATCH_END, 0, 0, SUBSYS_NFTABLES).end();
    }

    /// struct nlmsghdr, struct nfgenmsg.
    Messages start(int type, int flags, int family, int resource) {
      now.clear();
      now.putInt(0).putShort((short) type).putShort((short) (Sockets.NLM_F_REQUEST | flags));
      now.putInt(++sequence).putInt(0);
      now.put((byte) family).put((byte) 0).put((byte) (resource >> 8)).put((byte) resource);
      return this;
    }

    void end() {
      now.putInt(0, now.position());
      done.write(now.array(), 0, now.position());
    }

    Messages text(int type, String text) {
      return bytes(type, (text + "\0").getBytes(StandardCharsets.US_ASCII));
    }

    /// A 32-bit number in network order.
    Messages number(int type, int value) {
      return bytes(type, ByteBuffer.allocate(4).putInt(value).array());
    }

    Messages bytes(int type, byte[] value) {
      now.putShort((short) (4 + value.length)).putShort((short) type).put(value);
      return pad();
    }

    Messages nest(int type) {
      nests[depth++] = now.position();
      now.putShort((short) 0).putShort((short) (type | NLA_F_NESTED));
      return this;
    }

    Messages unnest() {
      int at = nests[--depth];
      now.putShort(at, (short) (now.position() - at));
      return this;
    }

    private Messages pad() {
      while ((now.position() & 3) != 0) {
        now.put((byte) 0);
      }
      return this;
    }

    byte[] bytes() {
      return done.toByteArray();
    }
  }
}
