// Connections of unix sockets that were made by way of a listening one.
//
//   unixes DIR path|abstract|unlinked|seqpacket|boundclient|backlog|clientgone|servergone|nolistener
#include "jcrtest.h"
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct sockaddr_un address;
static socklen_t length;
static int type = SOCK_STREAM;

static void name(const char *text, int is_abstract) {
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  if (is_abstract) {
    length = offsetof(struct sockaddr_un, sun_path) + 1 +
             snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "jcr-%s-%d", text, (int)getpid());
  } else {
    snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", jcr_dir, text);
    length = sizeof address;
  }
}
static int listener(int backlog) {
  int fd = MUST(socket(AF_UNIX, type, 0));
  MUST(bind(fd, (void *)&address, length));
  MUST(listen(fd, backlog));
  return fd;
}
static int client(void) {
  int fd = MUST(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  MUST(connect(fd, (void *)&address, length));
  return fd;
}
static socklen_t own_length(int fd, int peer) {
  struct sockaddr_un found;
  socklen_t size = sizeof found;
  MUST(peer ? getpeername(fd, (void *)&found, &size) : getsockname(fd, (void *)&found, &size));
  if (size > 2) CHECK(!memcmp(found.sun_path, address.sun_path, size - 2), "another name");
  return size;
}
static void talk(int a, int b, const char *text) {
  char got[64];
  CHECK(send(a, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text), "send %s: %s", text, strerror(errno));
  CHECK(recv(b, got, sizeof got, MSG_DONTWAIT) == (ssize_t)strlen(text) && !memcmp(got, text, strlen(text)), "receive %s", text);
}
static void sync_(void) { ready(), wait_for_check(); }

static void connections(int listening, int unlinked) {
  int l = listener(4), c[3], s[3];
  for (int i = 0; i < 3; i++) c[i] = client(), s[i] = MUST(accept4(l, NULL, NULL, i == 1 ? SOCK_NONBLOCK : 0));
  CHECK(send(c[0], "to the server", 13, 0) == 13 && send(s[0], "to the client", 13, 0) == 13, "set-up");
  CHECK(send(c[0], "more", 4, 0) == 4, "set-up");
  int fixed = 30000;
  MUST(setsockopt(s[1], SOL_SOCKET, SO_SNDBUF, &fixed, sizeof fixed));
  MUST(shutdown(c[2], SHUT_WR));
  struct ucred before, after;
  socklen_t size = sizeof before;
  MUST(getsockopt(s[0], SOL_SOCKET, SO_PEERCRED, &before, &size));
  if (unlinked) MUST(unlink(address.sun_path));
  if (!listening) close(l);
  sync_();
  char text[64];
  for (int i = 0; i < 3; i++) {
    CHECK(own_length(s[i], 0) > 2 && own_length(c[i], 0) == 2, "names of connection %d", i);
    CHECK(own_length(c[i], 1) == own_length(s[i], 0) && own_length(s[i], 1) == 2, "names of the peers");
    int accepting = 1;
    size = sizeof accepting;
    MUST(getsockopt(s[i], SOL_SOCKET, SO_ACCEPTCONN, &accepting, &size));
    CHECK(!accepting, "listens");
  }
  size = sizeof after;
  MUST(getsockopt(s[0], SOL_SOCKET, SO_PEERCRED, &after, &size));
  CHECK(!memcmp(&before, &after, sizeof before), "SO_PEERCRED: %d, was %d", after.pid, before.pid);
  if (type == SOCK_STREAM) {
    CHECK(recv(s[0], text, sizeof text, 0) == 17 && !memcmp(text, "to the servermore", 17), "queue of the server");
  } else {
    CHECK(recv(s[0], text, sizeof text, 0) == 13 && recv(s[0], text, sizeof text, 0) == 4, "messages of the server");
  }
  CHECK(recv(c[0], text, sizeof text, 0) == 13, "queue of the client");
  talk(c[0], s[0], "again"), talk(s[0], c[0], "and back"), talk(c[1], s[1], "second"), talk(s[2], c[2], "half");
  CHECK(fcntl(s[1], F_GETFL) & O_NONBLOCK && !(fcntl(s[0], F_GETFL) & O_NONBLOCK), "flags");
  CHECK(recv(s[2], text, 1, 0) == 0, "not shut down");
  int now;
  size = sizeof now;
  MUST(getsockopt(s[1], SOL_SOCKET, SO_SNDBUF, &now, &size));
  CHECK(now == 2 * fixed, "buffer of %d", now);
  if (listening && !unlinked) {
    int fresh = client(), taken = MUST(accept(l, NULL, NULL));
    talk(fresh, taken, "a new one");
  }
  if (unlinked && address.sun_path[0]) CHECK(access(address.sun_path, F_OK), "the socket file is there again");
}

static void bound_client(void) {
  int l = listener(1), c = MUST(socket(AF_UNIX, type, 0));
  struct sockaddr_un own = {.sun_family = AF_UNIX}, found;
  snprintf(own.sun_path, sizeof own.sun_path, "%s/own", jcr_dir);
  MUST(bind(c, (void *)&own, sizeof own));
  MUST(connect(c, (void *)&address, length));
  int s = MUST(accept(l, NULL, NULL));
  sync_();
  socklen_t size = sizeof found;
  MUST(getpeername(s, (void *)&found, &size));
  CHECK(!strcmp(found.sun_path, own.sun_path), "peer %s", found.sun_path);
  size = sizeof found;
  MUST(getsockname(c, (void *)&found, &size));
  CHECK(!strcmp(found.sun_path, own.sun_path), "own name %s", found.sun_path);
  CHECK(own_length(s, 0) > 2, "name of the server");
  talk(c, s, "hello"), talk(s, c, "welcome");
}

// Three wait to be accepted, behind one that was.
static void backlog(void) {
  int l = listener(5), first = client(), taken = MUST(accept(l, NULL, NULL)), c[3];
  for (int i = 0; i < 3; i++) c[i] = client();
  sync_();
  struct pollfd p = {l, POLLIN, 0};
  CHECK(poll(&p, 1, 0) == 1, "nobody waits");
  talk(first, taken, "accepted before");
  for (int i = 0; i < 3; i++) {
    char text[8] = {'0' + i, 0};
    CHECK(send(c[i], text, 1, MSG_NOSIGNAL) == 1, "send %d: %s", i, strerror(errno));
    int s = MUST(accept(l, NULL, NULL));
    char got;
    CHECK(recv(s, &got, 1, MSG_DONTWAIT) == 1 && got == text[0], "number %d was %c", i, got);
  }
  CHECK(poll(&p, 1, 0) == 0, "one too many");
}

static void client_gone(void) {
  int l = listener(2), c = client(), s = MUST(accept(l, NULL, NULL));
  CHECK(send(c, "last words", 10, 0) == 10, "set-up");
  close(c);
  sync_();
  char text[32];
  CHECK(recv(s, text, sizeof text, 0) == 10 && recv(s, text, sizeof text, 0) == 0, "the end");
  CHECK(own_length(s, 0) > 2, "name");
  CHECK(send(s, "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE, "the peer is there");
  int fresh = client();
  talk(fresh, MUST(accept(l, NULL, NULL)), "a new one");
}
static void server_gone(void) {
  int l = listener(2), c = client(), s = MUST(accept(l, NULL, NULL));
  CHECK(send(s, "bye", 3, 0) == 3, "set-up");
  close(s);
  sync_();
  char text[32];
  CHECK(recv(c, text, sizeof text, 0) == 3 && recv(c, text, sizeof text, 0) == 0, "the end");
  CHECK(send(c, "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE, "the peer is there");
}

int main(int argc, char **argv) {
  start(argc, argv);
  const char *part = argc > 2 ? argv[2] : "";
  name("listener", !strcmp(part, "abstract"));
  if (!strcmp(part, "seqpacket")) type = SOCK_SEQPACKET;
  if (!strcmp(part, "path") || !strcmp(part, "abstract") || !strcmp(part, "seqpacket")) connections(1, 0);
  else if (!strcmp(part, "unlinked")) connections(1, 1);
  else if (!strcmp(part, "nolistener")) connections(0, 1);
  else if (!strcmp(part, "boundclient")) bound_client();
  else if (!strcmp(part, "backlog")) backlog();
  else if (!strcmp(part, "clientgone")) client_gone();
  else if (!strcmp(part, "servergone")) server_gone();
  else fail("no part %s", part);
  pass();
}
