// What came along with messages that wait in unix sockets: descriptors (SCM_RIGHTS), credentials (SCM_CREDENTIALS).
//
//   passing DIR stream|datagram|seqpacket|nested|itself|pipe|closed|many|large|credentials
#include "jcrtest.h"
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#define MOST 253
static char control[CMSG_SPACE(MOST * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))] __attribute__((aligned(8)));

static void give(int to, const void *text, size_t size, const int *fds, int count, const struct ucred *sender) {
  struct iovec part = {(void *)text, size};
  memset(control, 0, sizeof control);
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *c = CMSG_FIRSTHDR(&message);
  size_t used = 0;
  if (count) {
    c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(c), fds, count * sizeof(int));
    used += CMSG_SPACE(count * sizeof(int));
    c = CMSG_NXTHDR(&message, c);
  }
  if (sender) {
    c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_CREDENTIALS, c->cmsg_len = CMSG_LEN(sizeof *sender);
    memcpy(CMSG_DATA(c), sender, sizeof *sender);
    used += CMSG_SPACE(sizeof *sender);
  }
  message.msg_controllen = used;
  if (!used) message.msg_control = NULL;
  ssize_t sent = sendmsg(to, &message, 0);
  CHECK(sent == (ssize_t)size, "send %zu: %zd %s", size, sent, strerror(errno));
}

static struct ucred sender;
// Reads up to `size` bytes: `bytes` come, with `count` descriptors.
static void take(int from, char *text, size_t size, ssize_t bytes, int *fds, int count) {
  struct iovec part = {text, size};
  memset(control, 0, sizeof control);
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t got = recvmsg(from, &message, MSG_DONTWAIT);
  CHECK(got == bytes, "got %zd bytes of %zd: %s", got, bytes, got < 0 ? strerror(errno) : "");
  CHECK(!(message.msg_flags & MSG_CTRUNC), "truncated");
  int found = 0;
  memset(&sender, 0, sizeof sender);
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_type == SCM_RIGHTS) found = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int), memcpy(fds, CMSG_DATA(c), found * sizeof(int));
    if (c->cmsg_type == SCM_CREDENTIALS) memcpy(&sender, CMSG_DATA(c), sizeof sender);
  }
  CHECK(found == count, "%d descriptors, not %d", found, count);
}
static int file(const char *name, const char *text, int position) {
  int fd = MUST(open(in_dir(name), O_CREAT | O_RDWR | O_CLOEXEC, 0666));
  CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text) && lseek(fd, position, SEEK_SET) == position, "set-up");
  return fd;
}
static void reads(int fd, const char *text) {
  char got[64] = "";
  CHECK(read(fd, got, sizeof got - 1) == (ssize_t)strlen(text) && !strcmp(got, text), "read '%s', not '%s'", got, text);
}
static void sync_(void) { ready(), wait_for_check(); }

static void plain(int type) {
  int pair[2], fds[4];
  MUST(socketpair(AF_UNIX, type, 0, pair));
  int own = file("own", "0123456789", 3), gone = file("gone", "abcdefghij", 5), event = MUST(eventfd(7, EFD_NONBLOCK));
  int removed = file("removed", "klmnopqrst", 2);
  MUST(unlink(in_dir("removed")));
  give(pair[0], "before", 6, NULL, 0, NULL);
  give(pair[0], "two", 3, (int[]){own, gone}, 2, NULL);
  give(pair[0], "more", 4, (int[]){event}, 1, NULL);
  give(pair[0], "x", 1, (int[]){removed}, 1, NULL);
  give(pair[0], "after", 5, NULL, 0, NULL);
  close(gone), close(event), close(removed);
  sync_();
  char text[64];
  if (type == SOCK_STREAM) {
    // The descriptors come with the first byte of their piece, and a read ends behind that piece.
    take(pair[1], text, 6, 6, fds, 0);
    take(pair[1], text, 1, 1, fds, 2);
    CHECK(text[0] == 't', "'%c'", text[0]);
  } else {
    take(pair[1], text, sizeof text, 6, fds, 0);
    take(pair[1], text, sizeof text, 3, fds, 2);
  }
  reads(fds[0], "3456789"), reads(fds[1], "fghij");
  CHECK(lseek(own, 0, SEEK_CUR) == 10, "the offset is not shared");
  CHECK(!(fcntl(fds[0], F_GETFD) & FD_CLOEXEC), "close on exec");
  take(pair[1], text, sizeof text, type == SOCK_STREAM ? 6 : 4, fds, 1);
  uint64_t count;
  CHECK(read(fds[0], &count, 8) == 8 && count == 7 && read(fds[0], &count, 8) == -1 && errno == EAGAIN, "eventfd");
  take(pair[1], text, sizeof text, 1, fds, 1);
  reads(fds[0], "mnopqrst");
  struct stat found;
  CHECK(!fstat(fds[0], &found) && found.st_nlink == 0, "links");
  take(pair[1], text, sizeof text, 5, fds, 0);
  CHECK(!memcmp(text, "after", 5), "text");
}

// A pair of which both ends are in the queue of another, with a file in its own queue.
static void nested(void) {
  int outer[2], inner[2], fds[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, outer)), MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, inner));
  int hidden = file("hidden", "deep inside", 5);
  give(inner[0], "letter", 6, &hidden, 1, NULL);
  give(outer[0], "box", 3, inner, 2, NULL);
  close(hidden), close(inner[0]), close(inner[1]);
  sync_();
  char text[64];
  take(outer[1], text, sizeof text, 3, inner, 2);
  take(inner[1], text, sizeof text, 6, fds, 1);
  reads(fds[0], "inside");
  give(inner[0], "again", 5, NULL, 0, NULL);
  take(inner[1], text, sizeof text, 5, fds, 0);
}
// The two ends in the queues of each other, and open as well.
static void itself(void) {
  int pair[2], fds[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  give(pair[0], "me", 2, (int[]){pair[0], pair[1]}, 2, NULL);
  give(pair[1], "you", 3, (int[]){pair[1], pair[0]}, 2, NULL);
  sync_();
  char text[64];
  take(pair[1], text, sizeof text, 2, fds, 2);
  give(fds[0], "!", 1, NULL, 0, NULL);
  int other[2];
  take(fds[1], text, sizeof text, 1, other, 0);
  take(pair[0], text, sizeof text, 3, other, 2);
}
// The only writing end of a pipe.
static void pipe_end(void) {
  int pair[2], p[2], fds[1];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair)), MUST(pipe(p));
  CHECK(write(p[1], "in the pipe", 11) == 11, "set-up");
  give(pair[0], "p", 1, &p[1], 1, NULL);
  close(p[1]);
  sync_();
  reads(p[0], "in the pipe");
  struct pollfd poll_ = {p[0], POLLIN, 0};
  CHECK(poll(&poll_, 1, 0) == 0, "the writing end is gone");
  char text[8];
  take(pair[1], text, sizeof text, 1, fds, 1);
  CHECK(write(fds[0], "more", 4) == 4, "write");
  reads(p[0], "more");
  close(fds[0]);
  CHECK(poll(&poll_, 1, 0) == 1 && poll_.revents == POLLHUP, "another writing end");
}
static void closed(void) {
  int pair[2], fds[1], passed = file("passed", "last words", 5);
  MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
  give(pair[0], "a", 1, NULL, 0, NULL), give(pair[0], "b", 1, &passed, 1, NULL);
  close(pair[0]), close(passed);
  sync_();
  char text[8];
  take(pair[1], text, sizeof text, 1, fds, 0), take(pair[1], text, sizeof text, 1, fds, 1);
  reads(fds[0], "words");
  CHECK(read(pair[1], text, 1) == 0, "the end");
}
static void many(void) {
  int pair[2], fds[MOST];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  for (int i = 0; i < MOST; i++) {
    char name[16];
    snprintf(name, sizeof name, "f%d", i);
    fds[i] = i % 3 ? MUST(dup(fds[0])) : file(name, name, 0);
  }
  give(pair[0], "!", 1, fds, MOST, NULL);
  for (int i = 0; i < MOST; i++) close(fds[i]);
  sync_();
  char text[8];
  take(pair[1], text, sizeof text, 1, fds, MOST);
  reads(fds[3], "f3"), reads(fds[252], "f252"), reads(fds[1], "f0"), reads(fds[2], "");
}
// More bytes than fit into any scratch memory, by a file in their middle.
static void large(void) {
  static char bytes[150000], got[150000];
  int pair[2], fds[1], passed = file("passed", "in the middle", 7), size = 1 << 20;
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  MUST(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size));
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = i * 31 >> 3;
  give(pair[0], bytes, 60000, NULL, 0, NULL), give(pair[0], bytes + 60000, 70000, &passed, 1, NULL), give(pair[0], bytes + 130000, 20000, NULL, 0, NULL);
  close(passed);
  sync_();
  take(pair[1], got, 60000, 60000, fds, 0);
  take(pair[1], got + 60000, 1, 1, fds, 1);
  reads(fds[0], "middle");
  for (size_t done = 60001; done < sizeof got;) {
    ssize_t count = recv(pair[1], got + done, sizeof got - done, MSG_DONTWAIT);
    CHECK(count > 0, "%zu of it: %s", done, strerror(errno));
    done += count;
  }
  CHECK(!memcmp(bytes, got, sizeof got), "other bytes");
}
static void credentials(void) {
  int kinds[] = {SOCK_STREAM, SOCK_DGRAM}, pair[2][2], yes = 1, own = file("own", "own", 0);
  struct ucred real = {getpid(), getuid(), getgid()}, chosen = {getpid(), 1234, 4321};
  for (int i = 0; i < 2; i++) {
    MUST(socketpair(AF_UNIX, kinds[i], 0, pair[i]));
    give(pair[i][0], "nobody", 6, NULL, 0, NULL);
    MUST(setsockopt(pair[i][1], SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes));
    give(pair[i][0], "myself", 6, NULL, 0, NULL);
    give(pair[i][0], "chosen", 6, &own, 1, geteuid() ? &real : &chosen);
    give(pair[i][0], "again", 5, NULL, 0, NULL);
  }
  sync_();
  for (int i = 0; i < 2; i++) {
    char text[64];
    int fds[1];
    // A read of a stream ends where the sender changes.
    take(pair[i][1], text, sizeof text, 6, fds, 0);
    CHECK(sender.pid == 0 && sender.uid == 65534, "sender %d, user %d", sender.pid, sender.uid);
    take(pair[i][1], text, sizeof text, 6, fds, 0);
    CHECK(!memcmp(&sender, &real, sizeof real), "sender %d, user %d", sender.pid, sender.uid);
    take(pair[i][1], text, sizeof text, 6, fds, 1);
    CHECK(!memcmp(&sender, geteuid() ? &real : &chosen, sizeof real), "sender %d, user %d", sender.pid, sender.uid);
    take(pair[i][1], text, sizeof text, 5, fds, 0);
    CHECK(!memcmp(&sender, &real, sizeof real), "sender %d, user %d", sender.pid, sender.uid);
    give(pair[i][0], "new", 3, NULL, 0, NULL);
    take(pair[i][1], text, sizeof text, 3, fds, 0);
    CHECK(!memcmp(&sender, &real, sizeof real), "sender of a new one %d, user %d", sender.pid, sender.uid);
  }
}

int main(int argc, char **argv) {
  start(argc, argv);
  const char *part = argc > 2 ? argv[2] : "";
  if (!strcmp(part, "stream")) plain(SOCK_STREAM);
  else if (!strcmp(part, "datagram")) plain(SOCK_DGRAM);
  else if (!strcmp(part, "seqpacket")) plain(SOCK_SEQPACKET);
  else if (!strcmp(part, "nested")) nested();
  else if (!strcmp(part, "itself")) itself();
  else if (!strcmp(part, "pipe")) pipe_end();
  else if (!strcmp(part, "closed")) closed();
  else if (!strcmp(part, "many")) many();
  else if (!strcmp(part, "large")) large();
  else if (!strcmp(part, "credentials")) credentials();
  else fail("no part %s", part);
  pass();
}
