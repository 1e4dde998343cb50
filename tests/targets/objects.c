// Kernel objects behind descriptors.
//
//   objects DIR inotify|inotifyfile|overflow|fanotify|secret|secretclosed|pidfd|pidfdother|mq|lease|udpqueue|udpqueue6|udpany|filter|raw|ping|netlink|netlinkgroup|multicast|multicast6
#include "jcrtest.h"
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/socket.h>
#include <sys/wait.h>

static const char *part;
static void set(int fd, int level, int name, int value) { MUST(setsockopt(fd, level, name, &value, sizeof value)); }
static int option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  MUST(getsockopt(fd, level, name, &value, &size));
  return value;
}

static void expect_event(int fd, int wd, uint32_t mask, const char *name) {
  char buffer[4096] __attribute__((aligned(8)));
  struct pollfd p = {fd, POLLIN, 0};
  CHECK(poll(&p, 1, 5000) == 1, "no event");
  ssize_t n = read(fd, buffer, sizeof buffer);
  CHECK(n >= (ssize_t)sizeof(struct inotify_event), "read: %zd", n);
  struct inotify_event *event = (void *)buffer;
  CHECK(event->wd == wd && (event->mask & mask), "event of %d, mask %x, want %d %x", event->wd, event->mask, wd, mask);
  if (name) CHECK(event->len && !strcmp(event->name, name), "event of another name");
}

static void inotify(int file) {
  int fd = MUST(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  char path[4096], other[4096];
  snprintf(path, sizeof path, "%s/watched", jcr_dir), snprintf(other, sizeof other, "%s/other dir", jcr_dir);
  if (file) close(MUST(open(path, O_CREAT | O_RDWR, 0666)));
  else MUST(mkdir(path, 0777));
  MUST(mkdir(other, 0777));
  int dropped = MUST(inotify_add_watch(fd, "/", IN_UNMOUNT | IN_ATTRIB));
  int first = MUST(inotify_add_watch(fd, path, file ? IN_MODIFY | IN_ATTRIB : IN_CREATE | IN_DELETE));
  MUST(inotify_rm_watch(fd, dropped));
  int second = MUST(inotify_add_watch(fd, other, IN_CREATE | IN_ONESHOT));
  char buffer[4096];
  ssize_t n = read(fd, buffer, sizeof buffer);  // IN_IGNORED of the dropped one
  CHECK(n > 0 && read(fd, buffer, sizeof buffer) == -1 && errno == EAGAIN, "set-up: %zd", n);
  ready();
  wait_for_check();
  CHECK(read(fd, buffer, sizeof buffer) == -1 && errno == EAGAIN, "an event that nobody caused");
  if (file) {
    int w = MUST(open(path, O_WRONLY));
    CHECK(write(w, "x", 1) == 1, "write");
    expect_event(fd, first, IN_MODIFY, NULL);
  } else {
    char inside[4200];
    snprintf(inside, sizeof inside, "%s/new", path);
    close(MUST(open(inside, O_CREAT | O_RDWR, 0666)));
    expect_event(fd, first, IN_CREATE, "new");
  }
  char inside[4200];
  snprintf(inside, sizeof inside, "%s/one", other);
  close(MUST(open(inside, O_CREAT | O_RDWR, 0666)));
  expect_event(fd, second, IN_CREATE, "one");
  int next = MUST(inotify_add_watch(fd, "/", IN_UNMOUNT));
  CHECK(next > second, "number %d after %d", next, second);
  MUST(inotify_rm_watch(fd, first));
  pass();
}

// What was not read when it was dumped: in the process that runs on it stays, in a restored one the
// kernel's own event says that there was more.
static void overflow(void) {
  int fd = MUST(inotify_init1(IN_CLOEXEC));
  char path[4096], inside[4200], buffer[8192];
  snprintf(path, sizeof path, "%s/watched", jcr_dir), snprintf(inside, sizeof inside, "%s/new", path);
  MUST(mkdir(path, 0777));
  MUST(inotify_add_watch(fd, "/", IN_UNMOUNT));
  int watch = MUST(inotify_add_watch(fd, path, IN_CREATE));
  close(MUST(open(inside, O_CREAT | O_RDWR, 0666)));
  ready();
  wait_for_check();
  ssize_t n = MUST(read(fd, buffer, sizeof buffer));
  struct inotify_event *event = (void *)buffer;
  if (event->mask == IN_CREATE) {  // the first process
    CHECK(event->wd == watch && !strcmp(event->name, "new"), "another event");
  } else {
    CHECK(n == sizeof *event, "%zd bytes", n);
    CHECK(event->wd == -1 && event->mask == IN_Q_OVERFLOW && event->len == 0, "watch %d, event %x", event->wd, event->mask);
  }
  int waiting = 0;
  CHECK(!ioctl(fd, FIONREAD, &waiting) && waiting == 0, "%d bytes more", waiting);
  MUST(unlink(inside));
  close(MUST(open(inside, O_CREAT | O_RDWR, 0666)));
  expect_event(fd, watch, IN_CREATE, "new");
  int next = MUST(inotify_add_watch(fd, jcr_dir, IN_CREATE));
  CHECK(next == watch + 1, "number %d after %d", next, watch);
  pass();
}

// Marks on a file, with events to be ignored, on a folder, a mount and a file system.
static int fan_marks(int fd, char lines[8][256]) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  FILE *file = fopen(path, "r");
  int n = 0;
  while (file && n < 8 && fgets(lines[n], 256, file)) n += !strncmp(lines[n], "fanotify", 8);
  if (file) fclose(file);
  return n;
}
static void fanotify(void) {
  int fd = fanotify_init(FAN_CLASS_NOTIF | FAN_NONBLOCK | FAN_CLOEXEC | FAN_UNLIMITED_QUEUE, O_RDONLY | O_LARGEFILE | O_CLOEXEC);
  if (fd < 0) skip("no fanotify, or no right to it");
  char file[4096], folder[4096], inside[4200], before[8][256], after[8][256];
  snprintf(file, sizeof file, "%s/file", jcr_dir), snprintf(folder, sizeof folder, "%s/folder", jcr_dir), snprintf(inside, sizeof inside, "%s/in it", folder);
  MUST(mkdir(folder, 0777));
  close(MUST(open(file, O_CREAT | O_RDWR, 0666))), close(MUST(open(inside, O_CREAT | O_RDWR, 0666)));
  MUST(fanotify_mark(fd, FAN_MARK_ADD, FAN_MODIFY | FAN_CLOSE_WRITE, AT_FDCWD, file));
  MUST(fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY, FAN_CLOSE_WRITE, AT_FDCWD, file));
  MUST(fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_ONLYDIR, FAN_OPEN | FAN_EVENT_ON_CHILD, AT_FDCWD, folder));
  // Where nobody writes.
  MUST(fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_MOUNT, FAN_MODIFY, AT_FDCWD, "/sys"));
  MUST(fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_MODIFY, AT_FDCWD, "/sys"));
  int lines = fan_marks(fd, before);
  CHECK(lines == 5, "%d lines", lines);
  ready();
  wait_for_check();
  struct fanotify_event_metadata event;
  CHECK(read(fd, &event, sizeof event) == -1 && errno == EAGAIN, "an event that nobody caused");
  CHECK(fan_marks(fd, after) == lines, "%d lines, not %d", fan_marks(fd, after), lines);
  for (int i = 0; i < lines; i++) {
    int found = 0;
    for (int k = 0; k < lines; k++) found |= !strcmp(before[i], after[k]);
    CHECK(found, "lost: %.255s", before[i]);
  }
  int w = MUST(open(file, O_WRONLY));
  CHECK(write(w, "x", 1) == 1, "write");
  close(w);
  CHECK(read(fd, &event, sizeof event) == sizeof event && event.mask == FAN_MODIFY && event.pid == getpid(), "event %llx", (unsigned long long)event.mask);
  struct stat a, b;
  CHECK(!fstat(event.fd, &a) && !stat(file, &b) && a.st_ino == b.st_ino, "of another file");
  CHECK((fcntl(event.fd, F_GETFL) & O_ACCMODE) == O_RDONLY && fcntl(event.fd, F_GETFD) == FD_CLOEXEC, "the flags of its descriptors");
  close(event.fd);
  close(MUST(open(inside, O_RDONLY)));
  CHECK(read(fd, &event, sizeof event) == sizeof event && event.mask == FAN_OPEN, "no event of the folder");
  close(event.fd);
  CHECK(read(fd, &event, sizeof event) == -1 && errno == EAGAIN, "one more");
  pass();
}

// Memory that only its own process can read. A part of it is behind a descriptor, but at no address.
static void secret(int closed) {
  int fd = syscall(447 /* memfd_secret */, O_CLOEXEC);
  if (fd < 0) skip("no memfd_secret");
  const long page = WHOLE_PAGE, size = 40 * page;
  MUST(ftruncate(fd, size));
  char *all = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), *some = NULL, byte = 0;
  if (all == MAP_FAILED) skip("no secret memory");
  for (int i = 0; i < 20; i++) memset(all + i * page, 'a' + i, page);
  memset(all + 39 * page, 'z', page);
  if (!closed) {
    some = mmap(NULL, 2 * page, PROT_READ, MAP_SHARED, fd, 2 * page);
    MUST(munmap(all + 8 * page, size - 8 * page));
  } else {
    close(fd);
  }
  ready();
  wait_for_check();
  for (int i = 0; i < 8; i++) CHECK(all[i * page] == 'a' + i && all[(i + 1) * page - 1] == 'a' + i, "page %d", i);
  struct iovec own = {&byte, 1}, other = {all, 1};
  CHECK(process_vm_readv(getpid(), &own, 1, &other, 1, 0) == -1, "it is no secret");
  if (!closed) {
    CHECK(some[0] == 'c' && some[2 * page - 1] == 'd', "the second mapping");
    all[2 * page] = '!';
    CHECK(some[0] == '!', "the mappings are of two memories");
    CHECK(ftruncate(fd, size + page) == -1 && errno == EINVAL, "it can be resized");
    struct stat stat;
    CHECK(!fstat(fd, &stat) && stat.st_size == size, "%ld bytes", (long)stat.st_size);
    CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC, "close-on-exec");
    all = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(all != MAP_FAILED && all[2 * page] == '!', "mapped again");
  }
  unsigned char present[40];
  CHECK(!mincore(all + 20 * page, 20 * page, present), "mincore");
  for (int i = 0; i < 19; i++) CHECK(!(present[i] & 1), "page %d was not there", 20 + i);
  for (int i = 8; i < 20; i++) CHECK(all[i * page] == 'a' + i, "page %d", i);
  CHECK(all[30 * page] == 0 && all[39 * page] == 'z' && all[size - 1] == 'z', "the end");
  pass();
}

static void pidfd(void) {
  int fd = syscall(434 /* pidfd_open */, getpid(), 0);
  if (fd < 0) skip("no pidfd_open");
  ready();
  wait_for_check();
  struct pollfd p = {fd, POLLIN, 0};
  CHECK(poll(&p, 1, 0) == 0, "the process has ended, it says");
  signal(SIGUSR2, SIG_IGN);
  CHECK(syscall(424 /* pidfd_send_signal */, fd, SIGUSR2, NULL, 0) == 0, "send a signal: %s", strerror(errno));
  char text[64], line[256];
  snprintf(text, sizeof text, "/proc/self/fdinfo/%d", fd);
  FILE *info = fopen(text, "r");
  int pid = 0;
  while (fgets(line, sizeof line, info)) sscanf(line, "Pid: %d", &pid);
  CHECK(pid == getpid(), "pid %d", pid);
  pass();
}

// Of a process that is nobody's business of the dump: it goes on all the time.
static void pidfd_other(void) {
  int p[2], other = 0;
  MUST(pipe(p));
  if (MUST(fork()) == 0) {
    pid_t pid = fork();
    if (pid == 0) {
      setsid(), close(p[0]), close(p[1]), alarm(300);  // another session: its id would be in use
      for (;;) pause();
    }
    if (write(p[1], &pid, sizeof pid) != sizeof pid) _exit(1);
    _exit(0);
  }
  CHECK(read(p[0], &other, sizeof other) == sizeof other && wait(NULL) > 0, "set-up");
  close(p[0]), close(p[1]);
  int fd = syscall(434 /* pidfd_open */, other, 0);
  if (fd < 0) skip("no pidfd_open");
  ready();
  wait_for_check();
  struct pollfd p1 = {fd, POLLIN, 0};
  CHECK(poll(&p1, 1, 0) == 0, "the process has ended, it says");
  CHECK(syscall(424 /* pidfd_send_signal */, fd, SIGKILL, NULL, 0) == 0, "send a signal: %s", strerror(errno));
  CHECK(poll(&p1, 1, 5000) == 1, "it is of another process");
  pass();
}

static void mq(void) {
  char name[64];
  snprintf(name, sizeof name, "/jcr-test-%d", (int)getpid());
  struct mq_attr attributes = {.mq_maxmsg = 7, .mq_msgsize = 100};
  mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK, 0600, &attributes);
  if (queue < 0) skip("no POSIX message queues");
  mqd_t writer = mq_open(name, O_WRONLY);
  MUST(mq_send(queue, "low", 3, 1));
  MUST(mq_send(queue, "high", 4, 9));
  ready();
  wait_for_check();
  char buffer[100];
  unsigned priority;
  ssize_t n = mq_receive(queue, buffer, sizeof buffer, &priority);
  CHECK(n == 4 && priority == 9 && !memcmp(buffer, "high", 4), "first message: %zd, %u", n, priority);
  n = mq_receive(queue, buffer, sizeof buffer, &priority);
  CHECK(n == 3 && priority == 1, "second message: %zd", n);
  CHECK(mq_receive(queue, buffer, sizeof buffer, &priority) == -1 && errno == EAGAIN, "not O_NONBLOCK, or not empty");
  MUST(mq_send(writer, "more", 4, 0));
  CHECK(mq_receive(queue, buffer, sizeof buffer, NULL) == 4, "not one queue");
  struct mq_attr now;
  MUST(mq_getattr(queue, &now));
  CHECK(now.mq_maxmsg == 7 && now.mq_msgsize == 100 && (now.mq_flags & O_NONBLOCK), "attributes");
  mq_unlink(name);
  pass();
}

static void lease(void) {
  int fd = MUST(open(in_dir("leased"), O_RDONLY | O_CREAT, 0666));
  if (fcntl(fd, F_SETLEASE, F_RDLCK)) skip("no leases here");
  MUST(fcntl(fd, F_SETSIG, SIGUSR1));
  sigset_t set;
  sigemptyset(&set), sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, NULL);
  ready();
  wait_for_check();
  CHECK(fcntl(fd, F_GETLEASE) == F_RDLCK, "lease %d", fcntl(fd, F_GETLEASE));
  CHECK(open(in_dir("leased"), O_WRONLY | O_NONBLOCK) == -1 && errno == EWOULDBLOCK, "the lease does not hold");
  struct timespec patience = {5, 0};
  CHECK(sigtimedwait(&set, NULL, &patience) == SIGUSR1, "no signal when the lease is broken");
  MUST(fcntl(fd, F_SETLEASE, F_UNLCK));
  pass();
}

static void udp_queue(int family, int any) {
  int fd = MUST(socket(family, SOCK_DGRAM, 0)), sender = MUST(socket(family, SOCK_DGRAM, 0));
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(any ? INADDR_ANY : INADDR_LOOPBACK)};
  struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = any ? in6addr_any : in6addr_loopback};
  struct sockaddr *name = family == AF_INET ? (void *)&in : (void *)&in6;
  socklen_t size = family == AF_INET ? sizeof in : sizeof in6;
  if (bind(fd, name, size)) skip("no such address family here");
  MUST(getsockname(fd, name, &size));
  in.sin_addr.s_addr = htonl(INADDR_LOOPBACK), in6.sin6_addr = in6addr_loopback;
  static char large[9000];
  fill(large, sizeof large, 4);
  MUST(sendto(sender, "first", 5, 0, name, size));
  MUST(sendto(sender, large, sizeof large, 0, name, size));
  MUST(sendto(sender, "third!", 6, 0, name, size));
  struct sockaddr_storage from = {0}, expected = {0};
  socklen_t length = sizeof expected;
  MUST(getsockname(sender, (void *)&expected, &length));
  nap(20);
  ready();
  wait_for_check();
  static char buffer[10000];
  length = sizeof from;
  ssize_t n = recvfrom(fd, buffer, sizeof buffer, MSG_DONTWAIT, (void *)&from, &length);
  CHECK(n == 5 && !memcmp(buffer, "first", 5), "first: %zd %s", n, strerror(errno));
  CHECK(((struct sockaddr_in *)&from)->sin_port == ((struct sockaddr_in *)&expected)->sin_port, "sender");
  n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
  CHECK(n == sizeof large && !memcmp(buffer, large, n), "second: %zd", n);
  n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
  CHECK(n == 6 && !memcmp(buffer, "third!", 6), "third: %zd", n);
  CHECK(recv(fd, buffer, sizeof buffer, MSG_DONTWAIT) == -1 && errno == EAGAIN, "a fourth");
  MUST(sendto(sender, "again", 5, 0, name, size));
  nap(20);
  CHECK(recv(fd, buffer, sizeof buffer, MSG_DONTWAIT) == 5, "after");
  pass();
}

// Takes datagrams of 4 bytes only.
static void filter(void) {
  int fd = MUST(socket(AF_INET, SOCK_DGRAM, 0)), sender = MUST(socket(AF_INET, SOCK_DGRAM, 0));
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof in;
  MUST(bind(fd, (void *)&in, size));
  MUST(getsockname(fd, (void *)&in, &size));
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 12, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  struct sock_fprog program = {4, code};
  MUST(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
  set(fd, SOL_SOCKET, SO_LOCK_FILTER, 1);
  ready();
  wait_for_check();
  char buffer[100];
  MUST(sendto(sender, "wrong", 5, 0, (void *)&in, size));
  MUST(sendto(sender, "good", 4, 0, (void *)&in, size));
  nap(20);
  CHECK(recv(fd, buffer, sizeof buffer, MSG_DONTWAIT) == 4, "the filter is lost");
  CHECK(setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &program, sizeof program) == -1 && errno == EPERM, "not locked");
  pass();
}

static unsigned short sum_of(const void *data, int size) {
  unsigned sum = 0;
  for (const unsigned short *at = data; size > 1; size -= 2) sum += *at++;
  sum = (sum >> 16) + (sum & 0xffff);
  return (unsigned short)~(sum + (sum >> 16));
}

static void ping(int type) {
  if (type == SOCK_DGRAM) {
    int range = open("/proc/sys/net/ipv4/ping_group_range", O_RDWR);
    if (range < 0 || write(range, "0 0", 3) != 3) skip("ping sockets cannot be allowed");
  }
  int fd = socket(AF_INET, type, IPPROTO_ICMP);
  if (fd < 0) skip("no raw sockets");
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 7)};
  if (type == SOCK_RAW) MUST(connect(fd, (void *)&in, sizeof in));
  set(fd, IPPROTO_IP, IP_TTL, 33);
  unsigned mask = ~1u;  // echo replies only
  if (type == SOCK_RAW) MUST(setsockopt(fd, 255 /* SOL_RAW */, 1 /* ICMP_FILTER */, &mask, sizeof mask));
  ready();
  wait_for_check();
  CHECK(option(fd, IPPROTO_IP, IP_TTL) == 33, "IP_TTL");
  unsigned short packet[8] = {8, 0, htons(getpid() & 0xffff), htons(1)};
  packet[1] = sum_of(packet, sizeof packet);
  CHECK(sendto(fd, packet, sizeof packet, 0, (void *)&in, sizeof in) == sizeof packet, "send: %s", strerror(errno));
  char answer[200];
  struct pollfd p = {fd, POLLIN, 0};
  CHECK(poll(&p, 1, 5000) == 1, "no echo");
  ssize_t n = recv(fd, answer, sizeof answer, 0);
  CHECK(n > 8 && answer[type == SOCK_RAW ? 20 : 0] == 0, "%zd bytes", n);
  CHECK(recv(fd, answer, sizeof answer, MSG_DONTWAIT) == -1, "the filter is lost");
  pass();
}

static void multicast(int six) {
  int fd = MUST(socket(six ? AF_INET6 : AF_INET, SOCK_DGRAM, 0)), sender = MUST(socket(six ? AF_INET6 : AF_INET, SOCK_DGRAM, 0));
  int one = 1;
  struct in_addr loopback = {htonl(INADDR_LOOPBACK)};
  struct sockaddr_in in = {.sin_family = AF_INET};
  struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
  struct sockaddr *name = six ? (void *)&in6 : (void *)&in;
  socklen_t size = six ? sizeof in6 : sizeof in;
  MUST(bind(fd, name, size)), MUST(getsockname(fd, name, &size));
  struct ip_mreqn request = {.imr_multiaddr.s_addr = htonl(0xe9fc0107), .imr_ifindex = 1};
  struct ipv6_mreq request6 = {.ipv6mr_interface = 1};
  inet_pton(AF_INET6, "ff01::4a43", &request6.ipv6mr_multiaddr);
  if (six ? setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &request6, sizeof request6) : setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof request))
    skip("no multicast on the loopback interface");
  MUST(six ? setsockopt(sender, IPPROTO_IPV6, IPV6_MULTICAST_IF, &one, sizeof one) : setsockopt(sender, IPPROTO_IP, IP_MULTICAST_IF, &loopback, sizeof loopback));
  in.sin_addr = request.imr_multiaddr, in6.sin6_addr = request6.ipv6mr_multiaddr;
  char text[8];
  if (sendto(sender, "try", 3, 0, name, size) != 3) skip("no route for multicast");
  CHECK(recv(fd, text, 8, 0) == 3, "set-up");
  ready();
  wait_for_check();
  CHECK((six ? setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &request6, sizeof request6) : setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof request)) == -1 && errno == EADDRINUSE, "the membership is lost");
  CHECK(sendto(sender, "all", 3, 0, name, size) == 3, "send: %s", strerror(errno));
  struct pollfd p = {fd, POLLIN, 0};
  CHECK(poll(&p, 1, 5000) == 1 && recv(fd, text, 8, 0) == 3, "nothing for the group");
  pass();
}

static void netlink(int group) {
  int fd = MUST(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  struct sockaddr_nl name = {.nl_family = AF_NETLINK, .nl_groups = group ? RTMGRP_LINK : 0};
  MUST(bind(fd, (void *)&name, sizeof name));
  socklen_t size = sizeof name;
  MUST(getsockname(fd, (void *)&name, &size));
  set(fd, SOL_NETLINK, NETLINK_EXT_ACK, 1);
  ready();
  wait_for_check();
  struct sockaddr_nl now;
  size = sizeof now;
  MUST(getsockname(fd, (void *)&now, &size));
  CHECK(now.nl_pid == name.nl_pid && now.nl_groups == name.nl_groups, "address %u %x", now.nl_pid, now.nl_groups);
  CHECK(option(fd, SOL_NETLINK, NETLINK_EXT_ACK) == 1, "NETLINK_EXT_ACK");
  struct {
    struct nlmsghdr header;
    struct rtgenmsg message;
  } request = {{.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtgenmsg)), .nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}, {AF_UNSPEC}};
  CHECK(send(fd, &request, request.header.nlmsg_len, 0) > 0, "send: %s", strerror(errno));
  char answer[8192];
  CHECK(recv(fd, answer, sizeof answer, 0) > (ssize_t)sizeof(struct nlmsghdr), "no answer");
  pass();
}

int main(int argc, char **argv) {
  start(argc, argv);
  part = argc > 2 ? argv[2] : "inotify";
  if (!strcmp(part, "inotify")) inotify(0);
  if (!strcmp(part, "inotifyfile")) inotify(1);
  if (!strcmp(part, "overflow")) overflow();
  if (!strcmp(part, "fanotify")) fanotify();
  if (!strcmp(part, "secret")) secret(0);
  if (!strcmp(part, "secretclosed")) secret(1);
  if (!strcmp(part, "pidfd")) pidfd();
  if (!strcmp(part, "pidfdother")) pidfd_other();
  if (!strcmp(part, "mq")) mq();
  if (!strcmp(part, "lease")) lease();
  if (!strcmp(part, "udpqueue")) udp_queue(AF_INET, 0);
  if (!strcmp(part, "udpqueue6")) udp_queue(AF_INET6, 0);
  if (!strcmp(part, "udpany")) udp_queue(AF_INET, 1);
  if (!strcmp(part, "filter")) filter();
  if (!strcmp(part, "raw")) ping(SOCK_RAW);
  if (!strcmp(part, "ping")) ping(SOCK_DGRAM);
  if (!strncmp(part, "multicast", 9)) multicast(!strcmp(part, "multicast6"));
  if (!strcmp(part, "netlink")) netlink(0);
  if (!strcmp(part, "netlinkgroup")) netlink(1);
  fail("no part %s", part);
}
