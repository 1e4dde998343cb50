// Listening sockets with connections of another process that are not accepted yet: of TCP, of TCP
// where data is missing (TCP_DEFER_ACCEPT), and of unix.
//
//   inflight DIR [tcp]
//
// Where `image-1` exists the process is a restored one: they were lost, and are made again.
#include "jcrtest.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

enum { FIRST, SECOND, DEFERRED, MAPPED, UNIX, ALL };
#define COUNT (tcp_only ? UNIX : ALL)
static int tcp_only;
static struct sockaddr_storage names[ALL];
static socklen_t sizes[ALL];

static int listener(int which) {
  struct sockaddr_un *un = (void *)&names[which];
  struct sockaddr_in *in = (void *)&names[which];
  struct sockaddr_in6 *in6 = (void *)&names[which];
  sizes[which] = sizeof names[which];
  if (which == UNIX) {
    un->sun_family = AF_UNIX;
    snprintf(un->sun_path, sizeof un->sun_path, "%s/listener", jcr_dir);
    sizes[which] = sizeof *un;
  } else if (which == MAPPED) {
    *in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = in6addr_any};
    sizes[which] = sizeof *in6;
  } else {
    *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    sizes[which] = sizeof *in;
  }
  int fd = MUST(socket(names[which].ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0)), seconds = 100;
  MUST(bind(fd, (void *)&names[which], sizes[which]));
  if (which == DEFERRED || which == MAPPED) MUST(setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof seconds));
  MUST(listen(fd, 8));
  MUST(getsockname(fd, (void *)&names[which], &sizes[which]));
  // The client speaks IPv4.
  if (which == MAPPED) *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = in6->sin6_port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, sizes[which] = sizeof *in;
  return fd;
}

static _Noreturn void report(const char *text, int which) {
  char line[256];
  snprintf(line, sizeof line, "%s, connection %d: %s", text, which, strerror(errno));
  put_file("peer-result", line);
  _exit(1);
}
static int client(int which, int talks) {
  int fd = MUST(socket(names[which].ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  struct timeval patience = {30, 0};
  MUST(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience));
  if (connect(fd, (void *)&names[which], sizes[which])) report("connect", which);
  if (talks && send(fd, "hello", 5, MSG_NOSIGNAL) != 5) report("hello", which);
  return fd;
}
static void peer(void) {
  setsid();
  for (int fd = 3; fd < 64; fd++) close(fd);
  int fds[ALL];
  for (int i = 0; i < COUNT; i++) fds[i] = client(i, i != DEFERRED && i != MAPPED);
  put_file("peer", "");
  while (access(in_dir("check"), F_OK)) {
    if (access(jcr_dir, F_OK)) _exit(1);
    nap(5);
  }
  int restored = access(in_dir("image-1"), F_OK) == 0;
  for (int i = 0; i < COUNT; i++) {
    char text[8];
    if (i == DEFERRED || i == MAPPED) send(fds[i], "hello", 5, MSG_NOSIGNAL);
    ssize_t n = restored ? recv(fds[i], text, sizeof text, 0) : 2;
    if (restored && (n > 0 || (n < 0 && errno != ECONNRESET))) report("not reset", i);
    if (restored) fds[i] = client(i, 1);
  }
  for (int i = 0; i < COUNT; i++) {
    char text[8];
    if (recv(fds[i], text, sizeof text, 0) != 2) report("no answer", i);
  }
  put_file("peer-result", "PASS");
  _exit(0);
}

int main(int argc, char **argv) {
  start(argc, argv);
  tcp_only = argc > 2;
  int fds[ALL];
  for (int i = 0; i < COUNT; i++) fds[i] = listener(i);
  if (MUST(fork()) == 0) {
    if (fork() == 0) peer();
    _exit(0);
  }
  MUST(wait(NULL));
  while (access(in_dir("peer"), F_OK)) nap(1);
  nap(50);
  ready();
  wait_for_check();
  for (int i = 0; i < COUNT; i++) {
    struct pollfd p = {fds[i], POLLIN, 0};
    char text[8];
    CHECK(poll(&p, 1, 30000) == 1, "nobody comes to %d", i);
    int fd = MUST(accept(fds[i], NULL, NULL));
    CHECK(recv(fd, text, sizeof text, 0) == 5, "connection %d says nothing", i);
    CHECK(send(fd, "hi", 2, MSG_NOSIGNAL) == 2, "connection %d: %s", i, strerror(errno));
  }
  while (access(in_dir("peer-result"), F_OK)) nap(1);
  char text[256] = "";
  int fd = MUST(open(in_dir("peer-result"), O_RDONLY));
  CHECK(read(fd, text, sizeof text - 1) > 0 && !strcmp(text, "PASS"), "the other process: %s", text);
  pass();
}
