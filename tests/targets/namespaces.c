// A process in network, UTS, IPC and control group namespaces of its own, which are bound to files in its folder.
//   namespaces DIR joined
#include "jcrtest.h"
#include <arpa/inet.h>
#include <mqueue.h>
#include <net/if.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/un.h>

static const char *const KINDS[] = {"net", "uts", "ipc", "cgroup"};
static const int FLAGS = CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP;

static ino_t inode_of(const char *kind) {
  char path[64];
  struct stat stat_;
  snprintf(path, sizeof path, "/proc/self/ns/%s", kind);
  MUST(stat(path, &stat_));
  return stat_.st_ino;
}

static void bind_to_file(const char *kind) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/ns/%s", kind);
  close(MUST(open(in_dir(kind), O_CREAT | O_RDONLY | O_CLOEXEC, 0600)));
  MUST(mount(path, in_dir(kind), NULL, MS_BIND, NULL));
}

static void link_up(void) {
  int fd = MUST(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
  MUST(ioctl(fd, SIOCSIFFLAGS, &request));
  close(fd);
}

static int tcp(int listener, struct sockaddr_in *address) {
  int fd = MUST(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listener) {
    CHECK(!connect(fd, (void *)address, sizeof *address), "%s", strerror(errno));
    return fd;
  }
  MUST(bind(fd, (void *)address, sizeof *address));
  MUST(listen(fd, 3));
  return fd;
}

static int named(int listener) {
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "\0jcr-namespaces"};
  socklen_t size = offsetof(struct sockaddr_un, sun_path) + 15;
  int fd = MUST(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (listener) {
    MUST(bind(fd, (void *)&address, size));
    MUST(listen(fd, 3));
  } else {
    CHECK(!connect(fd, (void *)&address, size), "%s", strerror(errno));
  }
  return fd;
}

int main(int argc, char **argv) {
  start(argc, argv);
  if (unshare(FLAGS)) skip("no right to make namespaces");
  ino_t inodes[4];
  for (int i = 0; i < 4; i++) {
    inodes[i] = inode_of(KINDS[i]);
    bind_to_file(KINDS[i]);
  }
  MUST(sethostname("jcr-inside", 10));
  link_up();
  // Ports, names and ids that another namespace may have as well.
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(7), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int server = tcp(1, &address);
  int other = named(1);
  int segment = MUST(shmget(4711, 65536, IPC_CREAT | IPC_EXCL | 0600));
  unsigned char *memory = shmat(segment, NULL, 0);
  CHECK(memory != (void *)-1, "%s", strerror(errno));
  fill(memory, 65536, 3);
  struct mq_attr attributes = {.mq_maxmsg = 4, .mq_msgsize = 16};
  mqd_t queue = MUST(mq_open("/jcr-namespaces", O_CREAT | O_RDWR | O_CLOEXEC, 0600, &attributes));
  MUST(mq_send(queue, "waits", 5, 1));
  ready();
  wait_for_check();

  for (int i = 0; i < 4; i++)
    CHECK(inode_of(KINDS[i]) == inodes[i], "another %s namespace", KINDS[i]);
  char name[65] = "";
  CHECK(!gethostname(name, sizeof name) && !strcmp(name, "jcr-inside"), "host name %s", name);
  int client = tcp(0, &address);
  int peer = accept(server, NULL, NULL);
  CHECK(peer >= 0 && write(client, "x", 1) == 1 && read(peer, name, 1) == 1, "%s", strerror(errno));
  client = named(0);
  CHECK((peer = accept(other, NULL, NULL)) >= 0, "%s", strerror(errno));
  CHECK(shmget(4711, 0, 0) == segment, "another segment");
  CHECK(differs(memory, 65536, 3) == -1, "differs at %ld", differs(memory, 65536, 3));
  char text[16];
  CHECK(mq_receive(queue, text, sizeof text, NULL) == 5 && !memcmp(text, "waits", 5), "%s", strerror(errno));
  for (int i = 0; i < 4; i++)
    CHECK(!umount2(in_dir(KINDS[i]), MNT_DETACH), "%s", strerror(errno));
  pass();
}
