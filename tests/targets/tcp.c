// Established TCP connections.
//
//   tcp DIR PART
//
//   queues4 queues6 queuesmapped   both ends inside, both queues full, more in the send queue than
//                                  the peer's window takes
//   empty                          nothing queued
//   half                           one end has shut down: FIN_WAIT2 and CLOSE_WAIT, data unread
//   closing                        FIN sent behind data that the peer's window does not take
//   options                        everything a program can set
//   many                           300 connections
//   connecting                     SYN_SENT
//   rebound                        for --tcp-rebind: a listener, afterwards at 127.0.0.2
//   closed                         for --tcp-close: the connection is gone, the listener is not
//   peer4 peer6 peermapped         a client in another process that notices everything
#include "jcrtest.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define SEED_A 11
#define SEED_B 22
#define MEGABYTES (8 << 20)

static const char *part;
static char content[2][MEGABYTES];

static void set(int fd, int level, int name, int value) { MUST(setsockopt(fd, level, name, &value, sizeof value)); }
static int option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  MUST(getsockopt(fd, level, name, &value, &size));
  return value;
}
static int state_of(int fd) {
  struct tcp_info info;
  socklen_t size = sizeof info;
  MUST(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size));
  return info.tcpi_state;
}
static int ends_with(const char *end) { return strlen(part) >= strlen(end) && !strcmp(part + strlen(part) - strlen(end), end); }

// Listens on loopback, by IPv4, IPv6, or by both with an IPv6 socket.
static int listener(struct sockaddr_storage *name, socklen_t *size) {
  int six = ends_with("6"), mapped = ends_with("mapped");
  int fd = MUST(socket(six || mapped ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  memset(name, 0, sizeof *name);
  struct sockaddr_in *in = (void *)name;
  struct sockaddr_in6 *in6 = (void *)name;
  if (six || mapped) {
    *in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = six ? in6addr_loopback : in6addr_any};
    *size = sizeof *in6;
  } else {
    *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    *size = sizeof *in;
  }
  set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (bind(fd, (void *)name, *size)) skip("no such address family here");
  MUST(listen(fd, 400));
  MUST(getsockname(fd, (void *)name, size));
  if (mapped) {
    // Clients come by IPv4.
    int port = in6->sin6_port;
    *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    *size = sizeof *in;
  }
  return fd;
}

static int connect_to(const struct sockaddr_storage *name, socklen_t size) {
  int fd = MUST(socket(name->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  MUST(connect(fd, (const void *)name, size));
  return fd;
}

// Writes as much as the kernel takes; returns how much.
static size_t stuff(int fd, const char *data, size_t most) {
  size_t done = 0;
  while (done < most) {
    ssize_t n = send(fd, data + done, most - done, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) {
      CHECK(errno == EAGAIN, "set-up: send: %s", strerror(errno));
      break;
    }
    done += n;
  }
  return done;
}

static void receive(int fd, const char *expected, size_t size, const char *what) {
  static char buffer[1 << 16];
  size_t done = 0;
  while (done < size) {
    struct pollfd p = {fd, POLLIN, 0};
    CHECK(poll(&p, 1, 20000) == 1, "%s: nothing more after %zu of %zu bytes", what, done, size);
    ssize_t n = recv(fd, buffer, size - done < sizeof buffer ? size - done : sizeof buffer, 0);
    CHECK(n > 0, "%s: %zd after %zu of %zu bytes: %s", what, n, done, size, strerror(errno));
    CHECK(!memcmp(buffer, expected + done, n), "%s: other bytes near %zu", what, done);
    done += n;
  }
}

static void expect_end(int fd, const char *what) {
  char byte;
  struct pollfd p = {fd, POLLIN, 0};
  CHECK(poll(&p, 1, 20000) == 1, "%s: no end of file", what);
  ssize_t n = recv(fd, &byte, 1, 0);
  CHECK(n == 0, "%s: %zd instead of the end of file: %s", what, n, n < 0 ? strerror(errno) : "");
}

static void expect_silence(int fd, const char *what) {
  char byte;
  CHECK(recv(fd, &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN, "%s: something is there", what);
}

static void both_ways(int a, int b, const char *what) {
  CHECK(send(a, "ping", 4, 0) == 4, "%s: send: %s", what, strerror(errno));
  receive(b, "ping", 4, what);
  CHECK(send(b, "pong", 4, 0) == 4, "%s: send: %s", what, strerror(errno));
  receive(a, "pong", 4, what);
}

// A client that is not this process: sends numbered lines and wants each back.
static void peer(const struct sockaddr_storage *name, socklen_t size) {
  int fd = socket(name->ss_family, SOCK_STREAM, 0);
  char text[256] = "FAIL: set-up";
  long count = 0;
  if (fd < 0 || connect(fd, (const void *)name, size)) goto end;
  while (!told_to_check() || count < 20) {
    char line[64], back[64];
    int length = snprintf(line, sizeof line, "line %ld\n", count);
    if (send(fd, line, length, MSG_NOSIGNAL) != length) {
      snprintf(text, sizeof text, "FAIL: client: send: %s after %ld lines", strerror(errno), count);
      goto end;
    }
    int got = 0;
    while (got < length) {
      struct pollfd p = {fd, POLLIN, 0};
      if (poll(&p, 1, 60000) != 1) {
        snprintf(text, sizeof text, "FAIL: client: no answer to line %ld", count);
        goto end;
      }
      int n = recv(fd, back + got, length - got, 0);
      if (n <= 0) {
        snprintf(text, sizeof text, "FAIL: client: %d (%s) after %ld lines", n, n < 0 ? strerror(errno) : "end of file", count);
        goto end;
      }
      got += n;
    }
    if (memcmp(line, back, length)) {
      snprintf(text, sizeof text, "FAIL: client: another answer to line %ld", count);
      goto end;
    }
    count++;
    if (count == 10) put_file("peer-runs", "");
    nap(1);
  }
  shutdown(fd, SHUT_WR);
  char byte;
  if (recv(fd, &byte, 1, 0) == 0)
    snprintf(text, sizeof text, "PASS %ld lines", count);
  else
    snprintf(text, sizeof text, "FAIL: client: no end of file");
end:
  put_file("peer", text);
  _exit(0);
}

static void start_peer(int listening, const struct sockaddr_storage *name, socklen_t size) {
  pid_t child = MUST(fork());
  if (child == 0) {
    // Nobody's child in the end, and without any descriptor of the target's.
    if (fork()) _exit(0);
    setsid();
    close(listening);
    peer(name, size);
  }
  MUST(waitpid(child, NULL, 0));
}

static void *echo(void *argument) {
  int fd = *(int *)argument;
  char buffer[4096];
  for (;;) {
    ssize_t n = recv(fd, buffer, sizeof buffer, 0);
    if (n == 0) break;
    CHECK(n > 0, "echo: recv: %s", strerror(errno));
    CHECK(send(fd, buffer, n, 0) == n, "echo: send: %s", strerror(errno));
  }
  close(fd);
  return NULL;
}

static void outside(void) {
  struct sockaddr_storage name;
  socklen_t size;
  int listening = listener(&name, &size);
  start_peer(listening, &name, size);
  int fd = MUST(accept(listening, NULL, NULL));
  pthread_t thread;
  pthread_create(&thread, NULL, echo, &fd);
  while (access(in_dir("peer-runs"), F_OK)) nap(1);
  ready();
  wait_for_check();
  for (int i = 0; i < 60000 && access(in_dir("peer"), F_OK); i++) nap(1);
  char text[256] = "no answer of the client";
  int result = open(in_dir("peer"), O_RDONLY);
  if (result >= 0) text[read(result, text, sizeof text - 1)] = 0;
  CHECK(!strncmp(text, "PASS", 4), "%s", text);
  int again = connect_to(&name, size);
  int accepted = MUST(accept(listening, NULL, NULL));
  both_ways(again, accepted, "a new connection");
  pass();
}

static void options(void) {
  struct sockaddr_storage name;
  socklen_t size;
  int listening = listener(&name, &size);
  set(listening, IPPROTO_TCP, TCP_DEFER_ACCEPT, 3);
  int defer = option(listening, IPPROTO_TCP, TCP_DEFER_ACCEPT);
  int client = MUST(socket(AF_INET, SOCK_STREAM, 0));
  set(client, SOL_SOCKET, SO_REUSEADDR, 1);
  set(client, SOL_SOCKET, SO_RCVBUF, 30000);
  MUST(connect(client, (void *)&name, size));
  CHECK(send(client, "x", 1, 0) == 1, "set-up");
  int server = MUST(accept(listening, NULL, NULL));
  MUST(setsockopt(client, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
  set(client, IPPROTO_TCP, TCP_USER_TIMEOUT, 54321);
  set(client, IPPROTO_TCP, TCP_NODELAY, 1);
  set(client, SOL_SOCKET, SO_KEEPALIVE, 1);
  set(client, IPPROTO_TCP, TCP_KEEPIDLE, 111), set(client, IPPROTO_TCP, TCP_KEEPINTVL, 22), set(client, IPPROTO_TCP, TCP_KEEPCNT, 3);
  set(client, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 4096);
  set(client, IPPROTO_TCP, TCP_LINGER2, 17);
  set(client, IPPROTO_TCP, TCP_SYNCNT, 4);
  set(client, IPPROTO_IP, IP_TOS, 0x10);
  set(client, IPPROTO_IP, IP_TTL, 77);
  set(client, SOL_SOCKET, SO_RCVLOWAT, 2);
  set(client, SOL_SOCKET, SO_PRIORITY, 5);
  set(server, IPPROTO_TCP, TCP_CORK, 1);
  struct linger linger = {1, 9};
  MUST(setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
  struct timeval t = {7, 500000};
  MUST(setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
  MUST(fcntl(client, F_SETFL, O_NONBLOCK));
  struct tcp_info before, after;
  socklen_t length = sizeof before;
  MUST(getsockopt(client, IPPROTO_TCP, TCP_INFO, &before, &length));
  ready();
  wait_for_check();
  char congestion[16] = {0};
  length = sizeof congestion;
  MUST(getsockopt(client, IPPROTO_TCP, TCP_CONGESTION, congestion, &length));
  CHECK(!strcmp(congestion, "reno"), "congestion control %s", congestion);
  CHECK(option(client, IPPROTO_TCP, TCP_USER_TIMEOUT) == 54321, "TCP_USER_TIMEOUT");
  CHECK(option(client, IPPROTO_TCP, TCP_NODELAY) == 1 && option(server, IPPROTO_TCP, TCP_NODELAY) == 0, "TCP_NODELAY");
  CHECK(option(client, SOL_SOCKET, SO_KEEPALIVE) == 1 && option(client, IPPROTO_TCP, TCP_KEEPIDLE) == 111 && option(client, IPPROTO_TCP, TCP_KEEPINTVL) == 22 && option(client, IPPROTO_TCP, TCP_KEEPCNT) == 3, "keepalive");
  CHECK(option(client, IPPROTO_TCP, TCP_NOTSENT_LOWAT) == 4096 && option(client, IPPROTO_TCP, TCP_LINGER2) == 17 && option(client, IPPROTO_TCP, TCP_SYNCNT) == 4, "TCP options");
  CHECK(option(client, IPPROTO_IP, IP_TOS) == 0x10 && option(client, IPPROTO_IP, IP_TTL) == 77, "IP options");
  CHECK(option(client, SOL_SOCKET, SO_RCVLOWAT) == 2 && option(client, SOL_SOCKET, SO_PRIORITY) == 5, "socket options");
  CHECK(option(client, SOL_SOCKET, SO_REUSEADDR) == 1 && option(server, SOL_SOCKET, SO_REUSEADDR) == 1, "SO_REUSEADDR");
  CHECK(option(client, SOL_SOCKET, SO_RCVBUF) == 60000, "SO_RCVBUF %d", option(client, SOL_SOCKET, SO_RCVBUF));
  CHECK(option(server, IPPROTO_TCP, TCP_CORK) == 1, "TCP_CORK");
  CHECK(option(listening, IPPROTO_TCP, TCP_DEFER_ACCEPT) == defer, "TCP_DEFER_ACCEPT %d, was %d", option(listening, IPPROTO_TCP, TCP_DEFER_ACCEPT), defer);
  length = sizeof linger;
  MUST(getsockopt(client, SOL_SOCKET, SO_LINGER, &linger, &length));
  CHECK(linger.l_onoff == 1 && linger.l_linger == 9, "SO_LINGER");
  length = sizeof t;
  MUST(getsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &t, &length));
  CHECK(t.tv_sec == 7 && t.tv_usec == 500000, "SO_RCVTIMEO");
  CHECK(fcntl(client, F_GETFL) & O_NONBLOCK && !(fcntl(server, F_GETFL) & O_NONBLOCK), "O_NONBLOCK");
  length = sizeof after;
  MUST(getsockopt(client, IPPROTO_TCP, TCP_INFO, &after, &length));
  CHECK(after.tcpi_options == before.tcpi_options, "agreed options %x, were %x", after.tcpi_options, before.tcpi_options);
  CHECK(after.tcpi_snd_wscale == before.tcpi_snd_wscale && after.tcpi_rcv_wscale == before.tcpi_rcv_wscale, "window scales");
  CHECK(after.tcpi_snd_mss == before.tcpi_snd_mss, "segment size %u, was %u", after.tcpi_snd_mss, before.tcpi_snd_mss);
  receive(server, "x", 1, "queued byte");
  set(server, IPPROTO_TCP, TCP_CORK, 0);
  set(client, SOL_SOCKET, SO_RCVLOWAT, 1);
  both_ways(client, server, "after");
  pass();
}

static void many(void) {
  static int clients[300], servers[300];
  struct sockaddr_storage name;
  socklen_t size;
  int listening = listener(&name, &size);
  for (int i = 0; i < 300; i++) {
    clients[i] = connect_to(&name, size);
    servers[i] = MUST(accept(listening, NULL, NULL));
    char text[32];
    int length = sprintf(text, "number %d", i);
    CHECK(send(clients[i], text, length, 0) == length, "set-up");
  }
  ready();
  wait_for_check();
  for (int i = 0; i < 300; i++) {
    char text[32];
    int length = sprintf(text, "number %d", i);
    receive(servers[i], text, length, "queued");
    both_ways(clients[i], servers[i], "after");
  }
  pass();
}

// The backlog of another process's listener is full, so the connection is being made.
static void connecting(void) {
  struct sockaddr_storage name;
  socklen_t size;
  int listening = listener(&name, &size);
  MUST(listen(listening, 0));
  pid_t child = MUST(fork());
  if (child == 0) {
    if (fork()) _exit(0);
    setsid();
    int first = socket(AF_INET, SOCK_STREAM, 0);
    connect(first, (void *)&name, size);
    put_file("peer-runs", "");
    while (!told_to_check()) nap(1);
    nap(200);
    close(accept(listening, NULL, NULL));
    int fd = accept(listening, NULL, NULL);
    if (fd >= 0 && send(fd, "welcome", 7, 0) == 7) put_file("peer", "PASS");
    char byte;
    recv(fd, &byte, 1, 0);
    _exit(0);
  }
  MUST(waitpid(child, NULL, 0));
  close(listening);
  while (access(in_dir("peer-runs"), F_OK)) nap(1);
  int fd = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  CHECK(connect(fd, (void *)&name, size) == -1 && errno == EINPROGRESS, "set-up: connect");
  nap(20);
  CHECK(state_of(fd) == TCP_SYN_SENT, "set-up: state %d", state_of(fd));
  ready();
  wait_for_check();
  struct pollfd p = {fd, POLLOUT, 0};
  CHECK(poll(&p, 1, 40000) == 1, "no connection, state %d", state_of(fd));
  CHECK(option(fd, SOL_SOCKET, SO_ERROR) == 0, "connecting failed");
  receive(fd, "welcome", 7, "after connecting");
  pass();
}

int main(int argc, char **argv) {
  start(argc, argv);
  part = argc > 2 ? argv[2] : "queues4";
  signal(SIGPIPE, SIG_IGN);
  if (!strncmp(part, "peer", 4)) outside();
  if (!strcmp(part, "options")) options();
  if (!strcmp(part, "many")) many();
  if (!strcmp(part, "connecting")) connecting();
  if (!strcmp(part, "rebound")) {
    struct sockaddr_storage first;
    socklen_t length;
    int fd = listener(&first, &length);
    ready();
    wait_for_check();
    struct sockaddr_in now;
    length = sizeof now;
    MUST(getsockname(fd, (void *)&now, &length));
    CHECK(now.sin_addr.s_addr == htonl(INADDR_LOOPBACK + 1), "address %s", inet_ntoa(now.sin_addr));
    CHECK(now.sin_port == ((struct sockaddr_in *)&first)->sin_port, "port");
    pass();
  }
  fill(content[0], MEGABYTES, SEED_A), fill(content[1], MEGABYTES, SEED_B);
  struct sockaddr_storage name;
  socklen_t size;
  int listening = listener(&name, &size);
  int a = connect_to(&name, size);
  int b = MUST(accept(listening, NULL, NULL));

  if (!strncmp(part, "queues", 6)) {
    size_t to_b = stuff(a, content[0], MEGABYTES), to_a = stuff(b, content[1], 100000);
    CHECK(to_b > 100000, "set-up: %zu bytes", to_b);
    nap(50);
    ready();
    wait_for_check();
    receive(b, content[0], to_b, "to b"), receive(a, content[1], to_a, "to a");
    expect_silence(a, "a"), expect_silence(b, "b");
    both_ways(a, b, "after");
    both_ways(b, a, "after");
    close(a), expect_end(b, "b");
    pass();
  }
  if (!strcmp(part, "empty")) {
    ready();
    wait_for_check();
    expect_silence(a, "a"), expect_silence(b, "b");
    both_ways(a, b, "after");
    close(b), expect_end(a, "a");
    pass();
  }
  if (!strcmp(part, "closed")) {
    CHECK(stuff(a, content[0], 1000) == 1000, "set-up");
    ready();
    wait_for_check();
    expect_end(a, "a"), expect_end(b, "b");
    CHECK(send(a, "x", 1, 0) == -1 && errno == EPIPE, "send to a closed connection: %s", strerror(errno));
    int c = connect_to(&name, size);
    both_ways(c, MUST(accept(listening, NULL, NULL)), "a new connection");
    pass();
  }
  if (!strcmp(part, "half")) {
    int c = connect_to(&name, size);
    int d = MUST(accept(listening, NULL, NULL));
    CHECK(stuff(a, content[0], 5000) == 5000 && stuff(b, content[1], 3000) == 3000, "set-up");
    MUST(shutdown(a, SHUT_WR));
    // Shut down for reading, which TCP does not tell the peer.
    MUST(shutdown(c, SHUT_RD));
    for (int i = 0; i < 500 && state_of(a) != TCP_FIN_WAIT2; i++) nap(2);
    CHECK(state_of(a) == TCP_FIN_WAIT2 && state_of(b) == TCP_CLOSE_WAIT, "set-up: %d %d", state_of(a), state_of(b));
    ready();
    wait_for_check();
    CHECK(state_of(a) == TCP_FIN_WAIT2 && state_of(b) == TCP_CLOSE_WAIT, "states %d %d", state_of(a), state_of(b));
    CHECK(send(a, "x", 1, 0) == -1 && errno == EPIPE, "send after shutdown");
    receive(b, content[0], 5000, "to b"), expect_end(b, "b");
    receive(a, content[1], 3000, "to a"), expect_silence(a, "a");
    CHECK(send(b, "more", 4, 0) == 4, "the other way: %s", strerror(errno));
    receive(a, "more", 4, "the other way");
    close(b), expect_end(a, "a");
    expect_end(c, "shut down for reading");
    CHECK(send(c, "still", 5, 0) == 5, "send: %s", strerror(errno));
    receive(d, "still", 5, "shut down for reading");
    pass();
  }
  if (!strcmp(part, "closing")) {
    size_t to_b = stuff(a, content[0], MEGABYTES);
    MUST(shutdown(a, SHUT_WR));
    nap(20);
    CHECK(state_of(a) == TCP_FIN_WAIT1, "set-up: state %d", state_of(a));
    ready();
    wait_for_check();
    receive(b, content[0], to_b, "to b"), expect_end(b, "b");
    CHECK(send(b, "answer", 6, 0) == 6, "send: %s", strerror(errno));
    receive(a, "answer", 6, "the other way");
    close(b), expect_end(a, "a");
    pass();
  }
  fail("no part %s", part);
}
