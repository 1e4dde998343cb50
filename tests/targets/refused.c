// A process that holds everything jcr refuses, or one thing that only stopping it shows.
//
//   refused DIR all          what a look from outside finds; the names of what was to be had go to `held`
//   refused DIR dispatch     a thread that dispatches all system calls but libc's to itself
//   refused DIR events       an inotify instance with an unread event
//   refused DIR elsewhere    a socket of another network namespace, and a thread in another one
//   refused DIR passed       a unix socket pair with a descriptor in its queue, of a kind that cannot be made there
#include "jcrtest.h"
#include <linux/aio_abi.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <arpa/inet.h>
#include <signal.h>
#include <stddef.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/shm.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>

static char held[4096];
static void hold(const char *name, long result) {
  if (result < 0) return;
  strcat(held, name), strcat(held, "\n");
}

static void all(void) {
  struct io_uring_params ring = {0};
  hold("io_uring", syscall(425, 2, &ring));
  hold("fanotify", fanotify_init(FAN_CLASS_CONTENT, O_RDONLY));
  struct perf_event_attr perf = {.type = PERF_TYPE_SOFTWARE, .size = sizeof perf, .config = PERF_COUNT_SW_TASK_CLOCK, .exclude_kernel = 1};
  hold("perf", syscall(SYS_perf_event_open, &perf, 0, -1, -1, 0));
  hold("userfaultfd", syscall(SYS_userfaultfd, 1));
  aio_context_t context = 0;
  hold("aio", syscall(SYS_io_setup, 8, &context));
  hold("vsock", socket(AF_VSOCK, SOCK_STREAM, 0));
  union bpf_attr map = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
  hold("bpf", syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof map));
  // Needs a huge page that is free.
  int segment = shmget(IPC_PRIVATE, 2 << 20, IPC_CREAT | SHM_HUGETLB | 0600);
  char *huge = segment < 0 ? (void *)-1 : shmat(segment, NULL, 0);
  if (segment >= 0) shmctl(segment, IPC_RMID, NULL);
  hold("huge", huge == (void *)-1 ? -1 : 0);
  struct tcp_md5sig key = {.tcpm_keylen = 4, .tcpm_key = "key"};
  struct sockaddr_in *peer = (void *)&key.tcpm_addr;
  peer->sin_family = AF_INET, peer->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int signing = MUST(socket(AF_INET, SOCK_STREAM, 0));
  MUST(bind(signing, (void *)peer, sizeof *peer));
  hold("md5", setsockopt(signing, IPPROTO_TCP, TCP_MD5SIG, &key, sizeof key) ?: listen(signing, 1));
  struct bpf_insn code[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = -1}, {.code = BPF_JMP | BPF_EXIT}};
  union bpf_attr program = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER, .insn_cnt = 2, .insns = (uintptr_t)code, .license = (uintptr_t)"GPL"};
  int loaded = syscall(SYS_bpf, BPF_PROG_LOAD, &program, sizeof program), filtered = MUST(socket(AF_INET, SOCK_DGRAM, 0));
  hold("ebpf", loaded < 0 ? -1 : setsockopt(filtered, SOL_SOCKET, SO_ATTACH_BPF, &loaded, sizeof loaded));
  // A thing of another process: the far end of a pair, and who gets the signals of a pipe.
  int pair[2], p[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair)), MUST(pipe(p));
  pid_t other = 0;
  if (MUST(fork()) == 0) {
    if (fork() == 0) {
      other = setsid();
      if (write(p[1], &other, sizeof other) != sizeof other) _exit(1);
      for (int fd = 3; fd < 64; fd++)
        if (fd != pair[1]) close(fd);
      char byte;
      while (read(pair[1], &byte, 1) > 0) {
      }
      _exit(0);
    }
    _exit(0);
  }
  CHECK(read(p[0], &other, sizeof other) == sizeof other && wait(NULL) > 0, "set-up");
  close(pair[1]);
  hold("outside", pair[0]);
  struct f_owner_ex owner = {F_OWNER_PID, other};
  hold("owner", fcntl(p[0], F_SETOWN_EX, &owner));
  nap(50);
  put_file("held", held);
  ready();
  wait_for_check();
  pass();
}

static void dispatch(void) {
#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif
  unsigned long begin = 0, end = 0;
  char line[4096];
  FILE *maps = fopen("/proc/self/maps", "r");
  while (maps && fgets(line, sizeof line, maps))
    if (strstr(line, "r-xp") && sscanf(line, "%lx-%lx", &begin, &end) == 2 && begin <= (unsigned long)syscall && (unsigned long)syscall < end) break;
  if (maps) fclose(maps);
  if (prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, begin, end - begin, 0)) skip("no syscall user dispatch");
  ready();
  wait_for_check();
  CHECK(prctl(PR_SET_SYSCALL_USER_DISPATCH, 0, 0, 0, 0) == 0, "switch it off");
  pass();
}
static void events(void) {
  int fd = MUST(inotify_init1(IN_NONBLOCK));
  MUST(mkdir(in_dir("watched"), 0777));
  MUST(inotify_add_watch(fd, in_dir("watched"), IN_CREATE));
  close(MUST(open(in_dir("watched/new"), O_CREAT | O_RDWR, 0666)));
  ready();
  wait_for_check();
  char buffer[4096];
  CHECK(read(fd, buffer, sizeof buffer) > 0, "the event is lost");
  pass();
}
static void *leave(void *pipe_) {
  char byte = unshare(CLONE_NEWUTS) ? 'n' : 'y';
  MUST(write(((int *)pipe_)[1], &byte, 1));
  while (1) nap(1000);
}
static void elsewhere(void) {
  int fd = MUST(socket(AF_INET, SOCK_STREAM, 0)), pipe_[2];
  if (unshare(CLONE_NEWNET)) skip("no right to make namespaces");
  MUST(pipe(pipe_));
  pthread_t thread;
  char byte;
  pthread_create(&thread, NULL, leave, pipe_);
  MUST(read(pipe_[0], &byte, 1));
  CHECK(byte == 'y', "no UTS namespace");
  ready();
  wait_for_check();
  CHECK(listen(fd, 1) == 0, "%s", strerror(errno));
  pass();
}
static void passed(void) {
  int pair[2], file = MUST(timerfd_create(CLOCK_MONOTONIC, 0));
  MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
  char byte = 'x', control[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec part = {&byte, 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *c = CMSG_FIRSTHDR(&message);
  c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(c), &file, sizeof file);
  MUST(sendmsg(pair[0], &message, 0));
  close(file);
  ready();
  wait_for_check();
  CHECK(recvmsg(pair[1], &message, 0) == 1 && CMSG_FIRSTHDR(&message), "the descriptor is lost");
  pass();
}

int main(int argc, char **argv) {
  start(argc, argv);
  const char *part = argc > 2 ? argv[2] : "all";
  if (!strcmp(part, "all")) all();
  if (!strcmp(part, "dispatch")) dispatch();
  if (!strcmp(part, "events")) events();
  if (!strcmp(part, "elsewhere")) elsewhere();
  if (!strcmp(part, "passed")) passed();
  fail("no part %s", part);
}
