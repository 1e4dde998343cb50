// Unix sockets that are connected to another process, which is there all the time.
//
//   external DIR datagram|gone|stream|seqpacket|abstract|unread|server|waiting|bereft
//
// The other process ends when there is a result.
// Where `image-1` exists the process is a restored one: its connections were lost.
#include "jcrtest.h"
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

static const char *part;
static int type = SOCK_STREAM;
static struct sockaddr_un address;
static socklen_t length;

static void name(const char *text) {
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  if (!strcmp(part, "abstract")) {
    length = offsetof(struct sockaddr_un, sun_path) + 1 + snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "%s/%s", jcr_dir, text);
  } else {
    length = sizeof address;
    snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", jcr_dir, text);
  }
}
static int bound(const char *text, int kind) {
  int fd = MUST(socket(AF_UNIX, kind | SOCK_CLOEXEC, 0));
  name(text);
  MUST(bind(fd, (void *)&address, length));
  return fd;
}
static int connected(const char *text, int kind) {
  int fd = MUST(socket(AF_UNIX, kind | SOCK_CLOEXEC, 0));
  name(text);
  MUST(connect(fd, (void *)&address, length));
  return fd;
}
static int over(void) { return access(in_dir("result"), F_OK) == 0 || access(jcr_dir, F_OK) != 0; }

// The other process. Answers "ping" on connection N with "pong N", "more" with two messages, and
// tells what came to its datagram sockets.
static void answer(int fd, int number) {
  char text[64];
  ssize_t n = recv(fd, text, sizeof text, MSG_DONTWAIT);
  if (n == 4 && !memcmp(text, "ping", 4)) {
    int size = snprintf(text, sizeof text, "pong %d", number);
    send(fd, text, size, MSG_NOSIGNAL);
  } else if (n == 4 && !memcmp(text, "more", 4)) {
    int pair[2];
    MUST(pipe(pair));
    MUST(write(pair[1], "in the pipe", 11));
    char control[CMSG_SPACE(2 * sizeof(int))] = {0};
    struct iovec part_ = {"with two descriptors", 20};
    struct msghdr message = {.msg_iov = &part_, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof pair);
    memcpy(CMSG_DATA(c), pair, sizeof pair);
    send(fd, "unread", 6, MSG_NOSIGNAL);
    MUST(sendmsg(fd, &message, MSG_NOSIGNAL));
    close(pair[0]), close(pair[1]);
  }
}
static void peer(void) {
  setsid();
  for (int fd = 3; fd < 64; fd++) close(fd);
  int log = bound("log", SOCK_DGRAM), listener = -1, client = -1, connections[16], count = 0, greeted = 0;
  char logged[1024] = "";
  if (strcmp(part, "server")) {
    listener = bound("listener", type);
    MUST(listen(listener, 8));
  }
  put_file("peer", "");
  while (!over()) {
    struct pollfd p[18] = {{log, POLLIN, 0}, {strcmp(part, "waiting") || !access(in_dir("check"), F_OK) ? listener : -1, POLLIN, 0}};
    for (int i = 0; i < count; i++) p[2 + i] = (struct pollfd){connections[i], POLLIN, 0};
    poll(p, 2 + count, 20);
    if (p[0].revents) {
      char text[64];
      ssize_t n = recv(log, text, sizeof text - 1, MSG_DONTWAIT);
      if (n > 0) text[n] = 0, strcat(logged, text), put_file("logged", logged);
    }
    for (int i = 0; i < count; i++)
      if (p[2 + i].revents) {
        if (p[2 + i].revents & POLLHUP) close(connections[i]), connections[i] = -1;
        else answer(connections[i], i + 1);
      }
    if (p[1].revents && count < 16) connections[count++] = MUST(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
    if (!strcmp(part, "server")) {
      char text[64];
      if (client >= 0 && recv(client, text, sizeof text, MSG_DONTWAIT) == 0) close(client), client = -1;
      if (client < 0) {
        client = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
        name("listener");
        if (connect(client, (void *)&address, length)) close(client), client = -1;
        else send(client, text, snprintf(text, sizeof text, "client %d", ++greeted), MSG_NOSIGNAL);
      }
    }
  }
  _exit(0);
}

static int restored;
static void hold(void) {
  ready();
  wait_for_check();
  restored = access(in_dir("image-1"), F_OK) == 0;
}
static int pong(int fd) {
  char text[64] = "";
  struct pollfd p = {fd, POLLIN, 0};
  CHECK(send(fd, "ping", 4, MSG_NOSIGNAL) == 4, "ping: %s", strerror(errno));
  CHECK(poll(&p, 1, 5000) == 1, "no answer");
  CHECK(recv(fd, text, sizeof text - 1, 0) > 5 && !strncmp(text, "pong ", 5), "answer %s", text);
  return atoi(text + 5);
}

static void datagram(void) {
  // The lower of two connects to the higher.
  int low = MUST(socket(AF_UNIX, SOCK_DGRAM, 0)), high = bound("own", SOCK_DGRAM);
  MUST(connect(low, (void *)&address, length));
  int out = connected("log", SOCK_DGRAM), named = bound("named", SOCK_DGRAM | SOCK_NONBLOCK);
  name("log");
  MUST(connect(named, (void *)&address, length));
  CHECK(send(out, "before ", 7, 0) == 7 && send(named, "named ", 6, 0) == 6, "set-up");
  while (access(in_dir("logged"), F_OK)) nap(1);
  nap(50);
  hold();
  CHECK(send(out, "after ", 6, MSG_NOSIGNAL) == 6, "log: %s", strerror(errno));
  CHECK(send(named, "too", 3, MSG_NOSIGNAL) == 3, "log with a name: %s", strerror(errno));
  char text[256] = "";
  for (int i = 0; i < 1000 && strcmp(text, "before named after too"); i++) {
    nap(5);
    int fd = open(in_dir("logged"), O_RDONLY);
    ssize_t n = read(fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = 0;
    close(fd);
  }
  CHECK(!strcmp(text, "before named after too"), "the log is '%s'", text);
  CHECK(send(low, "x", 1, 0) == 1 && recv(high, text, sizeof text, MSG_DONTWAIT) == 1, "own datagrams");
  CHECK(fcntl(named, F_GETFL) & O_NONBLOCK && !(fcntl(out, F_GETFL) & O_NONBLOCK), "flags");
}
// The peers of datagram sockets have been closed.
static void gone(void) {
  int other = bound("other", SOCK_DGRAM), anonymous = connected("other", SOCK_DGRAM), named = bound("named", SOCK_DGRAM);
  name("other");
  MUST(connect(named, (void *)&address, length));
  int never = bound("never", SOCK_DGRAM);
  close(other);
  hold();
  CHECK(send(anonymous, "x", 1, MSG_NOSIGNAL) == -1 && errno == ECONNREFUSED, "first: %s", strerror(errno));
  CHECK(send(anonymous, "x", 1, MSG_NOSIGNAL) == -1 && errno == ENOTCONN, "second: %s", strerror(errno));
  CHECK(send(named, "x", 1, MSG_NOSIGNAL) == -1 && errno == ECONNREFUSED, "named: %s", strerror(errno));
  CHECK(send(never, "x", 1, MSG_NOSIGNAL) == -1 && errno == ENOTCONN, "never: %s", strerror(errno));
}
static void client(void) {
  int quiet = connected("listener", type), fixed = 30000, now = 0;
  int fd = bound("own", type);
  name("listener");
  MUST(connect(fd, (void *)&address, length));
  MUST(fcntl(quiet, F_SETFL, O_NONBLOCK));
  MUST(setsockopt(quiet, SOL_SOCKET, SO_SNDBUF, &fixed, sizeof fixed));
  CHECK(pong(fd) > 0, "set-up");
  hold();
  int number = pong(fd);
  CHECK(restored ? number > 2 : number <= 2, "connection %d", number);
  CHECK(pong(quiet) != number, "the same");
  CHECK(fcntl(quiet, F_GETFL) & O_NONBLOCK && !(fcntl(fd, F_GETFL) & O_NONBLOCK), "flags");
  socklen_t size = sizeof now;
  MUST(getsockopt(quiet, SOL_SOCKET, SO_SNDBUF, &now, &size));
  CHECK(now == 2 * fixed, "buffer of %d", now);
}
// What came before is kept, then comes the end.
static void unread(void) {
  int fd = connected("listener", type);
  struct pollfd p = {fd, POLLIN, 0};
  CHECK(send(fd, "more", 4, 0) == 4 && poll(&p, 1, 5000) == 1, "set-up");
  nap(50);
  hold();
  char text[64], control[CMSG_SPACE(2 * sizeof(int))];
  CHECK(recv(fd, text, 6, MSG_DONTWAIT) == 6 && !memcmp(text, "unread", 6), "the first");
  struct iovec part_ = {text, sizeof text};
  struct msghdr message = {.msg_iov = &part_, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  CHECK(recvmsg(fd, &message, MSG_DONTWAIT) == 20 && !memcmp(text, "with two", 8), "the second");
  struct cmsghdr *c = CMSG_FIRSTHDR(&message);
  CHECK(c && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(2 * sizeof(int)), "its descriptors");
  int got[2];
  memcpy(got, CMSG_DATA(c), sizeof got);
  CHECK(read(got[0], text, sizeof text) == 11 && !memcmp(text, "in the pipe", 11), "what was in the pipe");
  if (restored) {
    CHECK(recv(fd, text, 1, 0) == 0, "the end");
    CHECK(send(fd, "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE, "the other end is there");
  } else {
    CHECK(pong(fd) == 1, "another connection");
  }
}
static void server(void) {
  int l = bound("listener", type);
  MUST(listen(l, 4));
  int fd = MUST(accept(l, NULL, NULL));
  char text[64];
  CHECK(recv(fd, text, sizeof text, 0) == 8, "set-up");
  hold();
  if (!restored) {
    CHECK(send(fd, "x", 1, MSG_NOSIGNAL) == 1, "the other end is gone");
    return;
  }
  ssize_t end = recv(fd, text, 1, 0);
  CHECK(end == 0, "the end: %zd, %s", end, strerror(errno));
  struct sockaddr_un found;
  socklen_t size = sizeof found;
  MUST(getsockname(fd, (void *)&found, &size));
  CHECK(!strcmp(found.sun_path, address.sun_path), "name %s", found.sun_path);
  int fresh = MUST(accept(l, NULL, NULL));
  CHECK(recv(fresh, text, sizeof text, 0) == 8 && text[7] > '1', "the client did not come back");
}
// The listener has not accepted it until now.
static void waiting(void) {
  int fd = connected("listener", type);
  hold();
  CHECK(pong(fd) > 0, "set-up");
}
// A restored one finds nobody.
static void bereft(void) {
  int log = connected("log", SOCK_DGRAM), fd = connected("listener", type);
  char byte;
  hold();
  CHECK(send(log, "x", 1, MSG_NOSIGNAL) == -1 && errno == ECONNREFUSED, "log: %s", strerror(errno));
  CHECK(recv(fd, &byte, 1, 0) == 0, "the end");
  CHECK(send(fd, "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE, "the other end is there");
}

int main(int argc, char **argv) {
  start(argc, argv);
  part = argc > 2 ? argv[2] : "";
  if (!strcmp(part, "seqpacket") || !strcmp(part, "server")) type = SOCK_SEQPACKET;
  if (strcmp(part, "server")) {
    if (MUST(fork()) == 0) {
      if (fork() == 0) peer();
      _exit(0);
    }
    MUST(wait(NULL));
    while (access(in_dir("peer"), F_OK)) nap(1);
  } else {
    if (MUST(fork()) == 0) {
      if (fork() == 0) nap(20), peer();
      _exit(0);
    }
    MUST(wait(NULL));
  }
  if (!strcmp(part, "datagram")) datagram();
  else if (!strcmp(part, "gone")) gone();
  else if (!strcmp(part, "stream") || !strcmp(part, "seqpacket") || !strcmp(part, "abstract")) client();
  else if (!strcmp(part, "unread")) unread();
  else if (!strcmp(part, "server")) server();
  else if (!strcmp(part, "waiting")) waiting();
  else if (!strcmp(part, "bereft")) bereft();
  else fail("no part %s", part);
  pass();
}
