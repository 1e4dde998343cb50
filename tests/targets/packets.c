// Packet sockets, packet(7). Frames go from one interface to the other (lo and lo, unless told), of an
// ethertype that nobody else uses.
//
//   packets DIR raw|datagram|silent|all|many|fanout|queued|unbound [FROM TO]
//   packets DIR down FROM TO                                          where TO is down
//   packets DIR ring|sendring|program|old|filtered|unread|untold     what is refused
#include "jcrtest.h"
#include <arpa/inet.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/net_tstamp.h>
#include <linux/netlink.h>
#include <linux/packet_diag.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#ifndef PACKET_VNET_HDR_SZ
#define PACKET_VNET_HDR_SZ 24
#endif
#ifndef SO_RCVMARK
#define SO_RCVMARK 75
#endif

static const char *from = "lo", *to = "lo";
static int sender;
static unsigned short ethertype;
static const unsigned char group[6] = {1, 0, 0x5e, 1, 2, 3}, other[6] = {1, 0, 0x5e, 3, 2, 1};

struct frame {
  struct ethhdr header;
  unsigned char mark, content[45];
};

static int option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  return getsockopt(fd, level, name, &value, &size) ? -errno : value;
}
static void set(int fd, int level, int name, int value) { MUST(setsockopt(fd, level, name, &value, sizeof value)); }

static int packet_socket(int type) {
  int fd = socket(AF_PACKET, type | SOCK_CLOEXEC, 0);
  if (fd < 0) skip("no packet sockets, or no right to them");
  return fd;
}

static void bind_to(int fd, const char *name, int protocol) {
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(protocol), .sll_ifindex = name ? (int)if_nametoindex(name) : 0};
  MUST(bind(fd, (void *)&address, sizeof address));
}

static void expect_bound(int fd, const char *name, int protocol) {
  struct sockaddr_ll now = {0};
  socklen_t size = sizeof now;
  CHECK(!getsockname(fd, (void *)&now, &size), "getsockname: %s", strerror(errno));
  CHECK(ntohs(now.sll_protocol) == protocol, "protocol %x, not %x", ntohs(now.sll_protocol), protocol);
  CHECK(now.sll_ifindex == (name ? (int)if_nametoindex(name) : 0), "interface %d, not that of %s", now.sll_ifindex, name ? name : "all");
}

static void send_frame(unsigned char mark) {
  struct frame frame = {.header.h_proto = htons(ethertype), .mark = mark};
  memset(frame.header.h_dest, 0xff, 6);
  fill(frame.content, sizeof frame.content, mark);
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ethertype), .sll_ifindex = if_nametoindex(from), .sll_halen = 6};
  memset(address.sll_addr, 0xff, 6);
  CHECK(sendto(sender, &frame, sizeof frame, 0, (void *)&address, sizeof address) == sizeof frame, "send: %s", strerror(errno));
}

// Frames that wait, all with this mark and with their content.
static int received(int fd, unsigned char mark, int header) {
  unsigned char buffer[200], content[45];
  fill(content, sizeof content, mark);
  int n = 0;
  ssize_t size;
  while ((size = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT)) >= 0) {
    CHECK(size == header + 46, "%zd bytes", size);
    CHECK(buffer[header] == mark, "a frame with mark %d, not %d", buffer[header], mark);
    CHECK(!memcmp(buffer + header + 1, content, 40), "another content");
    n++;
  }
  CHECK(errno == EAGAIN, "receive: %s", strerror(errno));
  return n;
}

// Exactly so many, and then no more.
static void expect_frames(int fd, int wanted, unsigned char mark, int header) {
  struct pollfd p = {fd, POLLIN, 0};
  int n = 0;
  while (n < wanted && poll(&p, 1, 5000) == 1) n += received(fd, mark, header);
  nap(20);
  n += received(fd, mark, header);
  CHECK(n == wanted, "%d frames, not %d", n, wanted);
}

// The same where it has had the time to come.
static void expect_one(int fd, unsigned char mark) {
  struct pollfd p = {fd, POLLIN, 0};
  CHECK(poll(&p, 1, 5000) == 1, "no frame");
  int n = received(fd, mark, 14);
  CHECK(n == 1, "%d frames", n);
}

// Takes frames with this mark only. With SOCK_DGRAM the mark is at 0.
static void take_only(int fd, unsigned char mark, int offset, int of_ethertype) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_H | BPF_ABS, SKF_AD_OFF + SKF_AD_PROTOCOL),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, of_ethertype, 0, 3),
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, offset),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, mark, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  struct sock_fprog program = {6, code};
  MUST(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
}

static void membership(int fd, int name, int type, const unsigned char *address) {
  struct packet_mreq request = {.mr_ifindex = if_nametoindex(to), .mr_type = type, .mr_alen = address ? 6 : 0};
  if (address) memcpy(request.mr_address, address, 6);
  CHECK(!setsockopt(fd, SOL_PACKET, name, &request, sizeof request), "membership %d: %s", type, strerror(errno));
}

// What PACKET_DIAG shows: "type:address:count " of each membership, then the threshold and whether it runs.
static void shown(int fd, char *text) {
  struct {
    struct nlmsghdr header;
    struct packet_diag_req body;
  } request = {{sizeof request, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, 0, 0}, {.sdiag_family = AF_PACKET, .pdiag_show = PACKET_SHOW_INFO | PACKET_SHOW_MCLIST}};
  struct stat stat;
  MUST(fstat(fd, &stat));
  *text = 0;
  int diag = MUST(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  MUST(send(diag, &request, sizeof request, 0));
  static char buffer[65536] __attribute__((aligned(8)));
  for (int done = 0; !done;) {
    int n = MUST(recv(diag, buffer, sizeof buffer, 0));
    for (struct nlmsghdr *header = (void *)buffer; NLMSG_OK(header, n); header = NLMSG_NEXT(header, n)) {
      done |= header->nlmsg_type == NLMSG_DONE || header->nlmsg_type == NLMSG_ERROR;
      if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY) continue;
      struct packet_diag_msg *message = NLMSG_DATA(header);
      if (message->pdiag_ino != (unsigned)stat.st_ino) continue;
      int left = header->nlmsg_len - NLMSG_LENGTH(sizeof *message);
      for (struct nlattr *a = (void *)(message + 1); left >= (int)sizeof *a && a->nla_len; left -= NLA_ALIGN(a->nla_len), a = (void *)((char *)a + NLA_ALIGN(a->nla_len))) {
        void *value = a + 1;
        if (a->nla_type == PACKET_DIAG_INFO) {
          struct packet_diag_info *info = value;
          text += sprintf(text, "threshold %u, running %u ", info->pdi_copy_thresh, info->pdi_flags & PDI_RUNNING);
        }
        if (a->nla_type != PACKET_DIAG_MCLIST) continue;
        for (struct packet_diag_mclist *m = value; (char *)(m + 1) <= (char *)a + a->nla_len; m++)
          text += sprintf(text, "%d:%02x%02x:%d ", m->pdmc_type, m->pdmc_addr[4], m->pdmc_addr[5], m->pdmc_count);
      }
    }
  }
  close(diag);
}

static void raw(void) {
  static const struct {
    int level, name, value;
  } options[] = {
      {SOL_PACKET, PACKET_AUXDATA, 1},
      {SOL_PACKET, PACKET_ORIGDEV, 1},
      {SOL_PACKET, PACKET_VERSION, TPACKET_V2},
      {SOL_PACKET, PACKET_RESERVE, 24},
      {SOL_PACKET, PACKET_LOSS, 1},
      {SOL_PACKET, PACKET_TIMESTAMP, SOF_TIMESTAMPING_RAW_HARDWARE},
      {SOL_PACKET, PACKET_TX_HAS_OFF, 1},
      {SOL_PACKET, PACKET_QDISC_BYPASS, 1},
      {SOL_PACKET, PACKET_IGNORE_OUTGOING, 1},
      {SOL_SOCKET, SO_TIMESTAMPNS, 1},
      {SOL_SOCKET, SO_TIMESTAMPING, SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE},
      {SOL_SOCKET, SO_PRIORITY, 3},
      {SOL_SOCKET, SO_RXQ_OVFL, 1},
      {SOL_SOCKET, SO_RCVMARK, 1},
  };
  enum { COUNT = sizeof options / sizeof *options };
  int fd = packet_socket(SOCK_RAW | SOCK_NONBLOCK), large = packet_socket(SOCK_RAW), had[COUNT];
  for (int i = 0; i < COUNT; i++) {
    int before = option(fd, options[i].level, options[i].name);
    setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int));
    had[i] = option(fd, options[i].level, options[i].name);
    // Older kernels lack some of them.
    CHECK(had[i] == options[i].value || had[i] < 0, "set-up: option %d is %d, was %d", options[i].name, had[i], before);
  }
  set(fd, SOL_PACKET, PACKET_COPY_THRESH, 77);
  set(fd, SOL_SOCKET, SO_RCVBUF, 100000);
  int size = option(fd, SOL_SOCKET, SO_RCVBUF);
  // The longer of the two headers; only its first form on older kernels.
  set(large, SOL_PACKET, PACKET_VNET_HDR, 1);
  int longer = 12;
  setsockopt(large, SOL_PACKET, PACKET_VNET_HDR_SZ, &longer, sizeof longer);
  longer = option(large, SOL_PACKET, PACKET_VNET_HDR_SZ);
  take_only(fd, 7, 14, ethertype);
  set(fd, SOL_SOCKET, SO_LOCK_FILTER, 1);
  membership(fd, PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC, NULL);
  membership(fd, PACKET_ADD_MEMBERSHIP, PACKET_MR_MULTICAST, group);
  membership(fd, PACKET_ADD_MEMBERSHIP, PACKET_MR_MULTICAST, group);
  membership(fd, PACKET_ADD_MEMBERSHIP, PACKET_MR_MULTICAST, other);
  membership(fd, PACKET_ADD_MEMBERSHIP, PACKET_MR_ALLMULTI, NULL);
  bind_to(fd, to, ethertype);
  char before[2000], after[2000];
  shown(fd, before);
  if (!*before) skip("no PACKET_DIAG");
  CHECK(!strcmp(before, "threshold 77, running 1 2:0000:1 0:0201:1 0:0203:2 1:0000:1 "), "set-up: %.500s", before);
  ready();
  wait_for_check();
  expect_bound(fd, to, ethertype);
  for (int i = 0; i < COUNT; i++) {
    int now = option(fd, options[i].level, options[i].name);
    CHECK(now == had[i], "option %d/%d is %d, not %d", options[i].level, options[i].name, now, had[i]);
  }
  CHECK(option(fd, SOL_SOCKET, SO_RCVBUF) == size, "SO_RCVBUF %d, not %d", option(fd, SOL_SOCKET, SO_RCVBUF), size);
  CHECK(option(large, SOL_PACKET, PACKET_VNET_HDR) == 1, "PACKET_VNET_HDR");
  CHECK(option(large, SOL_PACKET, PACKET_VNET_HDR_SZ) == longer, "PACKET_VNET_HDR_SZ %d, not %d", option(large, SOL_PACKET, PACKET_VNET_HDR_SZ), longer);
  CHECK(fcntl(fd, F_GETFL) == (O_RDWR | O_NONBLOCK) && fcntl(fd, F_GETFD) == FD_CLOEXEC, "flags");
  shown(fd, after);
  CHECK(!strcmp(before, after), "%.400s, not %.400s", after, before);
  send_frame(8);
  send_frame(7);
  expect_frames(fd, 1, 7, 14);
  CHECK(setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &size, sizeof size) == -1 && errno == EPERM, "the filter is not locked");
  // They are the socket's own: it can drop them, as often as it has added them.
  membership(fd, PACKET_DROP_MEMBERSHIP, PACKET_MR_MULTICAST, group);
  membership(fd, PACKET_DROP_MEMBERSHIP, PACKET_MR_MULTICAST, group);
  membership(fd, PACKET_DROP_MEMBERSHIP, PACKET_MR_PROMISC, NULL);
  shown(fd, after);
  CHECK(!strcmp(after, "threshold 77, running 1 2:0000:1 0:0201:1 "), "dropped: %.500s", after);
  pass();
}

// Without the link layer's header; what came with the frame is told in a control message.
static void datagram(const char *name) {
  int fd = packet_socket(SOCK_DGRAM);
  set(fd, SOL_PACKET, PACKET_AUXDATA, 1);
  bind_to(fd, name, ethertype);
  ready();
  wait_for_check();
  expect_bound(fd, name, ethertype);
  send_frame(3);
  unsigned char buffer[100], control[200];
  struct iovec part = {buffer, sizeof buffer};
  struct sockaddr_ll source = {0};
  struct msghdr message = {.msg_name = &source, .msg_namelen = sizeof source, .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct pollfd p = {fd, POLLIN, 0};
  CHECK(poll(&p, 1, 5000) == 1, "no frame");
  CHECK(recvmsg(fd, &message, MSG_DONTWAIT) == 46 && buffer[0] == 3, "another frame");
  CHECK(ntohs(source.sll_protocol) == ethertype && source.sll_ifindex == (int)if_nametoindex(to), "from %x, %d", ntohs(source.sll_protocol), source.sll_ifindex);
  struct cmsghdr *c = CMSG_FIRSTHDR(&message);
  CHECK(c && c->cmsg_level == SOL_PACKET && c->cmsg_type == PACKET_AUXDATA, "no auxiliary data");
  expect_frames(fd, 0, 0, 0);
  pass();
}

// They only send.
static void silent(void) {
  int fd = packet_socket(SOCK_RAW), bound = packet_socket(SOCK_RAW), hearing = packet_socket(SOCK_RAW);
  bind_to(bound, from, 0);
  bind_to(hearing, to, ethertype);
  ready();
  wait_for_check();
  expect_bound(fd, NULL, 0);
  expect_bound(bound, from, 0);
  struct frame frame = {.header.h_proto = htons(ethertype), .mark = 5};
  fill(frame.content, sizeof frame.content, 5);
  CHECK(send(bound, &frame, sizeof frame, 0) == sizeof frame, "send: %s", strerror(errno));
  CHECK(send(fd, &frame, sizeof frame, 0) == -1, "it has an interface");
  sender = fd;
  send_frame(5);
  expect_frames(hearing, 2, 5, 14);
  expect_frames(fd, 0, 0, 14);
  expect_frames(bound, 0, 0, 14);
  pass();
}

// Would get all that goes through any interface, twice, if it were not for its filter and option. Many of
// them, for many moments in which something could slip in.
static void all(int count) {
  int fds[100];
  for (int i = 0; i < count; i++) {
    fds[i] = packet_socket(SOCK_RAW);
    take_only(fds[i], 9, 14, ethertype);
    set(fds[i], SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
    bind_to(fds[i], NULL, ETH_P_ALL);
  }
  ready();
  wait_for_check();
  for (int i = 0; i < count; i++) {
    expect_bound(fds[i], NULL, ETH_P_ALL);
    CHECK(received(fds[i], 0, 14) == 0, "a frame that nobody has sent");
  }
  send_frame(8);
  send_frame(9);
  nap(50);
  for (int i = 0; i < count; i++) expect_one(fds[i], 9);
  pass();
}

// Two groups; each frame goes to one of a group.
static void fanout(void) {
  int a = packet_socket(SOCK_RAW), b = packet_socket(SOCK_RAW), c = packet_socket(SOCK_RAW), number = getpid() & 0x7fff;
  bind_to(a, to, ethertype), bind_to(b, to, ethertype), bind_to(c, to, ethertype);
  take_only(a, 4, 14, ethertype), take_only(b, 4, 14, ethertype);
  int args = number | (PACKET_FANOUT_LB | PACKET_FANOUT_FLAG_DEFRAG) << 16, hash = (number + 1) | (PACKET_FANOUT_HASH | PACKET_FANOUT_FLAG_ROLLOVER) << 16;
  set(a, SOL_PACKET, PACKET_FANOUT, args), set(b, SOL_PACKET, PACKET_FANOUT, args), set(c, SOL_PACKET, PACKET_FANOUT, hash);
  ready();
  wait_for_check();
  CHECK(option(a, SOL_PACKET, PACKET_FANOUT) == args && option(b, SOL_PACKET, PACKET_FANOUT) == args, "group %x, not %x", option(a, SOL_PACKET, PACKET_FANOUT), args);
  CHECK(option(c, SOL_PACKET, PACKET_FANOUT) == hash, "group %x, not %x", option(c, SOL_PACKET, PACKET_FANOUT), hash);
  for (int i = 0; i < 8; i++) send_frame(4);
  nap(50);
  int n = received(a, 4, 14), m = received(b, 4, 14);
  CHECK(n == 4 && m == 4, "%d and %d frames", n, m);
  expect_frames(c, 8, 4, 14);
  send_frame(6), send_frame(6);
  expect_frames(c, 2, 6, 14);
  expect_frames(a, 0, 0, 14), expect_frames(b, 0, 0, 14);
  pass();
}

// In the process that runs on, the frame is still there; a restored one has lost it.
static void queued(void) {
  int fd = packet_socket(SOCK_RAW);
  bind_to(fd, to, ethertype);
  send_frame(1);
  struct pollfd p = {fd, POLLIN, 0};
  CHECK(poll(&p, 1, 5000) == 1, "set-up");
  ready();
  wait_for_check();
  int n = received(fd, 1, 14);
  CHECK(n <= 1, "%d frames", n);
  send_frame(2);
  expect_frames(fd, 1, 2, 14);
  pass();
}

// Of an interface that was down when it was bound. Which the process knows, or has not asked for yet.
static void down(int told) {
  int fd = packet_socket(SOCK_RAW);
  struct pollfd p = {fd, POLLERR, 0};
  bind_to(fd, to, ethertype);
  CHECK(poll(&p, 1, 0) == 1, "set-up: the interface is not down");
  if (told) CHECK(option(fd, SOL_SOCKET, SO_ERROR) == ENETDOWN, "set-up: no error");
  ready();
  wait_for_check();
  CHECK(option(fd, SOL_SOCKET, SO_ERROR) == (told ? 0 : ENETDOWN), "the error, %stold", told ? "" : "not ");
  expect_bound(fd, to, ethertype);
  if (told) {
    send_frame(5);
    expect_frames(fd, 1, 5, 14);
  }
  pass();
}

static void refused(const char *part) {
  int fd = packet_socket(strcmp(part, "old") ? SOCK_RAW : SOCK_PACKET);
  if (strcmp(part, "old")) bind_to(fd, to, ethertype);
  if (strstr(part, "ring")) {
    struct tpacket_req ring = {.tp_block_size = 65536, .tp_block_nr = 2, .tp_frame_size = 2048, .tp_frame_nr = 64};
    MUST(setsockopt(fd, SOL_PACKET, strcmp(part, "ring") ? PACKET_TX_RING : PACKET_RX_RING, &ring, sizeof ring));
    CHECK(mmap(NULL, 131072, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED, "set-up: map the ring");
  }
  if (!strcmp(part, "program")) {
    struct sock_filter code = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog program = {1, &code};
    set(fd, SOL_PACKET, PACKET_FANOUT, (getpid() & 0x7fff) | PACKET_FANOUT_CBPF << 16);
    MUST(setsockopt(fd, SOL_PACKET, PACKET_FANOUT_DATA, &program, sizeof program));
  }
  if (!strcmp(part, "filtered")) {
    struct bpf_insn code[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = -1}, {.code = BPF_JMP | BPF_EXIT}};
    union bpf_attr program = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER, .insn_cnt = 2, .insns = (uintptr_t)code, .license = (uintptr_t)"GPL"};
    int loaded = syscall(SYS_bpf, BPF_PROG_LOAD, &program, sizeof program);
    if (loaded < 0) skip("no bpf");
    MUST(setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &loaded, sizeof loaded));
    close(loaded);
  }
  if (!strcmp(part, "unread")) {
    send_frame(1);
    struct pollfd p = {fd, POLLIN, 0};
    CHECK(poll(&p, 1, 5000) == 1, "set-up");
  }
  ready();
  wait_for_check();
  if (!strcmp(part, "unread")) CHECK(received(fd, 1, 14) == 1, "the frame is lost");
  pass();
}

int main(int argc, char **argv) {
  start(argc, argv);
  const char *part = argc > 2 ? argv[2] : "raw";
  if (argc > 4) from = argv[3], to = argv[4];
  ethertype = 0xa000 + getpid() % 0x1000;
  sender = packet_socket(SOCK_RAW);
  if (!strcmp(part, "raw")) raw();
  if (!strcmp(part, "datagram")) datagram(to);
  if (!strcmp(part, "unbound")) datagram(NULL);
  if (!strcmp(part, "silent")) silent();
  if (!strcmp(part, "all")) all(1);
  if (!strcmp(part, "many")) all(100);
  if (!strcmp(part, "fanout")) fanout();
  if (!strcmp(part, "queued")) queued();
  if (!strcmp(part, "down")) down(1);
  if (!strcmp(part, "untold")) down(0);
  refused(part);
}
