// Socket pairs with queued data, listening TCP sockets, bound UDP sockets.
//
//   sockets DIR [PART ...]     pairs tcp udp; all without arguments
#include "jcrtest.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>

static int argc_;
static char **argv_;
static int part(const char *name) {
  for (int i = 2; i < argc_; i++)
    if (!strcmp(argv_[i], name)) return 1;
  return argc_ <= 2;
}
static void say(int fd, const char *text) { CHECK(send(fd, text, strlen(text), 0) == (ssize_t)strlen(text), "set-up: send: %s", strerror(errno)); }
static void hear(int fd, const char *text, const char *what) {
  char got[256] = {0};
  ssize_t n = recv(fd, got, sizeof got - 1, MSG_DONTWAIT);
  CHECK(n == (ssize_t)strlen(text) && !strcmp(got, text), "%s: \"%s\" (%zd), want \"%s\"", what, got, n, text);
}
static void silent(int fd, const char *what) {
  char byte;
  CHECK(recv(fd, &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN, "%s: something is queued", what);
}
static int option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  MUST(getsockopt(fd, level, name, &value, &size));
  return value;
}
static void set(int fd, int level, int name, int value) { MUST(setsockopt(fd, level, name, &value, sizeof value)); }
static struct sockaddr_in name_of(int fd) {
  struct sockaddr_in in;
  socklen_t size = sizeof in;
  MUST(getsockname(fd, (struct sockaddr *)&in, &size));
  return in;
}

int main(int argc, char **argv) {
  start(argc, argv);
  argc_ = argc, argv_ = argv;
  int stream[2], datagram[2], packet[2], shut[2], closed[2], duplicate = -1;
  if (part("pairs")) {
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream));
    MUST(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, datagram));
    MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packet));
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, shut));
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, closed));
    say(stream[0], "to one"), say(stream[0], ", together"), say(stream[1], "to zero");
    say(datagram[0], "first"), say(datagram[0], "second"), say(datagram[1], "back");
    say(packet[0], "packet 1"), say(packet[0], "packet 2");
    say(shut[0], "last words");
    MUST(shutdown(shut[0], SHUT_WR));
    say(closed[0], "from the dead");
    close(closed[0]);
    duplicate = dup(stream[1]);
    set(stream[0], SOL_SOCKET, SO_PASSCRED, 1);
    struct timeval t = {5, 500000};
    MUST(setsockopt(stream[1], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
  }
  int tcp = -1, tcp6 = -1, udp = -1, bound = -1;
  struct sockaddr_in tcp_name = {0}, udp_name = {0};
  if (part("tcp")) {
    tcp = MUST(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    set(tcp, SOL_SOCKET, SO_REUSEADDR, 1);
    set(tcp, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(tcp, IPPROTO_TCP, TCP_NODELAY, 1);
    set(tcp, IPPROTO_TCP, TCP_KEEPIDLE, 77);
    set(tcp, SOL_SOCKET, SO_RCVBUF, 50000);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    MUST(bind(tcp, (struct sockaddr *)&in, sizeof in));
    MUST(listen(tcp, 17));
    tcp_name = name_of(tcp);
    tcp6 = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    if (tcp6 >= 0) {
      set(tcp6, IPPROTO_IPV6, IPV6_V6ONLY, 1);
      if (bind(tcp6, (struct sockaddr *)&in6, sizeof in6) || listen(tcp6, 3)) close(tcp6), tcp6 = -1;
    }
    bound = MUST(socket(AF_INET, SOCK_STREAM, 0));  // bound, not listening
    MUST(bind(bound, (struct sockaddr *)&in, sizeof in));
  }
  if (part("udp")) {
    udp = MUST(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    set(udp, SOL_SOCKET, SO_BROADCAST, 1);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    MUST(bind(udp, (struct sockaddr *)&in, sizeof in));
    udp_name = name_of(udp);
  }
  char ports[64];
  snprintf(ports, sizeof ports, "%d %d\n", ntohs(tcp_name.sin_port), ntohs(udp_name.sin_port));
  put_file("ports", ports);
  int backlog_wanted = 17;
  ready();
  wait_for_check();

  if (part("pairs")) {
    hear(stream[1], "to one, together", "stream");
    hear(stream[0], "to zero", "stream, other way");
    silent(stream[0], "stream"), silent(stream[1], "stream");
    say(duplicate, "again"), hear(stream[0], "again", "stream, after");
    hear(datagram[1], "first", "datagram"), hear(datagram[1], "second", "datagram"), hear(datagram[0], "back", "datagram");
    CHECK(fcntl(datagram[0], F_GETFL) & O_NONBLOCK && !(fcntl(stream[0], F_GETFL) & O_NONBLOCK), "O_NONBLOCK");
    hear(packet[1], "packet 1", "packet"), hear(packet[1], "packet 2", "packet");
    hear(shut[1], "last words", "shut down");
    char byte;
    CHECK(recv(shut[1], &byte, 1, MSG_DONTWAIT) == 0, "end of file after shutdown");
    say(shut[1], "still open"), hear(shut[0], "still open", "the other way of a shut down socket");
    signal(SIGPIPE, SIG_IGN);
    CHECK(send(shut[0], "x", 1, 0) == -1 && errno == EPIPE, "send after shutdown");
    hear(closed[1], "from the dead", "closed peer");
    CHECK(recv(closed[1], &byte, 1, MSG_DONTWAIT) == 0, "end of file of a closed peer");
    CHECK(option(stream[0], SOL_SOCKET, SO_PASSCRED) == 1, "SO_PASSCRED");
    struct timeval t;
    socklen_t size = sizeof t;
    MUST(getsockopt(stream[1], SOL_SOCKET, SO_RCVTIMEO, &t, &size));
    CHECK(t.tv_sec == 5 && t.tv_usec == 500000, "SO_RCVTIMEO %ld.%06ld", t.tv_sec, t.tv_usec);
  }
  if (part("tcp")) {
    struct sockaddr_in now = name_of(tcp);
    CHECK(!memcmp(&now, &tcp_name, sizeof now), "address");
    CHECK(option(tcp, SOL_SOCKET, SO_ACCEPTCONN) == 1, "not listening");
    CHECK(option(tcp, SOL_SOCKET, SO_REUSEADDR) == 1 && option(tcp, SOL_SOCKET, SO_KEEPALIVE) == 1, "options");
    CHECK(option(tcp, IPPROTO_TCP, TCP_NODELAY) == 1 && option(tcp, IPPROTO_TCP, TCP_KEEPIDLE) == 77, "TCP options");
    CHECK(option(tcp, SOL_SOCKET, SO_RCVBUF) == 100000, "receive buffer %d", option(tcp, SOL_SOCKET, SO_RCVBUF));
    struct tcp_info info;
    socklen_t size = sizeof info;
    MUST(getsockopt(tcp, IPPROTO_TCP, TCP_INFO, &info, &size));
    CHECK((int)info.tcpi_sacked == backlog_wanted, "backlog %d", info.tcpi_sacked);
    int client = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(connect(client, (struct sockaddr *)&tcp_name, sizeof tcp_name));
    int server = MUST(accept(tcp, NULL, NULL));
    say(client, "hello"), nap(10), hear(server, "hello", "a new connection");
    if (tcp6 >= 0) {
      CHECK(fcntl(tcp6, F_GETFL) & O_NONBLOCK && option(tcp6, IPPROTO_IPV6, IPV6_V6ONLY) == 1, "IPv6");
      CHECK(accept(tcp6, NULL, NULL) == -1 && errno == EAGAIN, "IPv6 accept");
    }
    MUST(listen(bound, 1));
  }
  if (part("udp")) {
    struct sockaddr_in now = name_of(udp);
    CHECK(!memcmp(&now, &udp_name, sizeof now), "address");
    CHECK(option(udp, SOL_SOCKET, SO_BROADCAST) == 1, "SO_BROADCAST");
    int client = MUST(socket(AF_INET, SOCK_DGRAM, 0));
    MUST(sendto(client, "datagram", 8, 0, (struct sockaddr *)&udp_name, sizeof udp_name));
    nap(10), hear(udp, "datagram", "UDP");
  }
  pass();
}
