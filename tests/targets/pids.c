// Whatever a process knows itself, its threads and its children by.
//   pids DIR
#include "jcrtest.h"
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { THREADS = 3, CODE = 23 };

static pthread_mutex_t robust;
static volatile sig_atomic_t handled_by[THREADS + 1];
static pid_t tids[THREADS];
static pthread_t threads[THREADS];
static volatile int check_now, may_end;
static __thread int number;

static pid_t tid(void) { return (pid_t)syscall(SYS_gettid); }

static void handler(int signal) {
  (void)signal;
  handled_by[number] = tid();
}

static void *thread(void *argument) {
  number = (int)(intptr_t)argument;
  tids[number - 1] = tid();
  // The kernel unlocks it by the id in the lock word when the holder ends.
  if (number == 1) MUST(-pthread_mutex_lock(&robust));
  __atomic_add_fetch(&check_now, 1, __ATOMIC_SEQ_CST);
  while (!may_end) nap(1);
  CHECK(tid() == tids[number - 1], "thread %d was %d, is %d", number, tids[number - 1], tid());
  return NULL;
}

static void within(const char *what, volatile sig_atomic_t *place, pid_t wanted) {
  for (int i = 0; i < 5000 && *place != wanted; i++) nap(1);
  CHECK(*place == wanted, "%s: handled by %d, not %d", what, *place, wanted);
}

static void send_credentials(int fd) {
  struct ucred credentials = {getpid(), getuid(), getgid()};
  char control[CMSG_SPACE(sizeof credentials)] = "";
  struct iovec vector = {"me", 2};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  *header = (struct cmsghdr){CMSG_LEN(sizeof credentials), SOL_SOCKET, SCM_CREDENTIALS};
  memcpy(CMSG_DATA(header), &credentials, sizeof credentials);
  CHECK(sendmsg(fd, &message, 0) == 2, "%s", strerror(errno));
}

static pid_t sender(int fd) {
  struct ucred credentials = {0, 0, 0};
  char control[256], text[8];
  struct iovec vector = {text, sizeof text};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  CHECK(recvmsg(fd, &message, 0) == 2, "%s", strerror(errno));
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header))
    if (header->cmsg_type == SCM_CREDENTIALS) memcpy(&credentials, CMSG_DATA(header), sizeof credentials);
  return credentials.pid;
}

// The clocks of CPU time have the id in their number.
static void cpu_clock(pid_t of) {
  clockid_t clock;
  struct timespec now;
  CHECK(!clock_getcpuclockid(of, &clock), "%s", strerror(errno));
  CHECK(!clock_gettime(clock, &now), "%s", strerror(errno));
}

int main(int argc, char **argv) {
  start(argc, argv);
  pid_t self = getpid();
  int leader_of_group = !setpgid(0, 0) || getpgrp() == self;
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&robust, &attributes);
  struct sigaction action = {.sa_handler = handler};
  MUST(sigaction(SIGUSR2, &action, NULL));
  sigset_t blocked, taken;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  sigaddset(&blocked, SIGRTMIN);
  MUST(-pthread_sigmask(SIG_BLOCK, &blocked, NULL));
  for (int i = 0; i < THREADS; i++)
    MUST(-pthread_create(&threads[i], NULL, thread, (void *)(intptr_t)(i + 1)));
  while (check_now < THREADS) nap(1);

  pid_t child = MUST(fork());
  if (!child) _exit(CODE);
  siginfo_t info;
  MUST(waitid(P_PID, child, &info, WEXITED | WNOWAIT));
  MUST(syscall(SYS_tgkill, self, self, SIGUSR1));
  MUST(sigqueue(self, SIGRTMIN, (union sigval){.sival_int = 7}));
  int pair[2], one = 1;
  MUST(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair));
  MUST(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof one));
  send_credentials(pair[0]);
  MUST(fcntl(pair[0], F_SETOWN, self));
  struct {
    int type;
    pid_t pid;
  } owner = {0 /* F_OWNER_TID */, tids[1]};
  MUST(fcntl(pair[1], 15 /* F_SETOWN_EX */, &owner));
  int pidfd = MUST(syscall(SYS_pidfd_open, self, 0));
  int childfd = MUST(syscall(SYS_pidfd_open, child, 0));
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR2};
  event._sigev_un._tid = tids[2];
  timer_t timer;
  MUST(timer_create(CLOCK_MONOTONIC, &event, &timer));
  struct itimerspec far = {.it_value = {3600, 0}};
  MUST(timer_settime(timer, 0, &far, NULL));
  ready();
  wait_for_check();

  CHECK(getpid() == self && tid() == self, "%d was %d, is %d", self, getpid(), tid());
  CHECK(!leader_of_group || getpgrp() == self, "group %d", getpgrp());
  CHECK(getsid(0) >= 0 && getppid() != self, "session %d, parent %d", getsid(0), getppid());
  CHECK(!kill(self, 0), "%s", strerror(errno));
  MUST(syscall(SYS_tgkill, self, self, SIGUSR2));
  within("the leader", &handled_by[0], self);
  for (int i = 0; i < THREADS; i++) {
    CHECK(!syscall(SYS_tgkill, self, tids[i], SIGUSR2), "%s", strerror(errno));
    within("a thread", &handled_by[i + 1], tids[i]);
    CHECK(!pthread_kill(threads[i], 0), "a thread");
    cpu_clock(self);
  }
  handled_by[0] = 0;
  CHECK(!syscall(SYS_pidfd_send_signal, pidfd, SIGUSR2, NULL, 0), "%s", strerror(errno));
  for (int i = 0; i < 5000 && !handled_by[0]; i++) nap(1);
  CHECK(handled_by[0], "a signal by pidfd");
  handled_by[3] = 0;
  struct itimerspec soon = {.it_value = {0, 1000000}};
  CHECK(!timer_settime(timer, 0, &soon, NULL), "%s", strerror(errno));
  within("the timer", &handled_by[3], tids[2]);

  sigemptyset(&taken);
  sigaddset(&taken, SIGUSR1);
  CHECK(sigwaitinfo(&taken, &info) == SIGUSR1 && info.si_pid == self, "from %d", info.si_pid);
  sigemptyset(&taken);
  sigaddset(&taken, SIGRTMIN);
  CHECK(sigwaitinfo(&taken, &info) == SIGRTMIN && info.si_pid == self && info.si_int == 7, "from %d", info.si_pid);
  CHECK(fcntl(pair[0], F_GETOWN) == self, "owner %d", fcntl(pair[0], F_GETOWN));
  CHECK(!fcntl(pair[1], 16 /* F_GETOWN_EX */, &owner) && owner.type == 0 && owner.pid == tids[1], "owner %d", owner.pid);
  pid_t from = sender(pair[1]);
  CHECK(from == self, "from %d", from);
  send_credentials(pair[0]);
  from = sender(pair[1]);
  CHECK(from == self, "now from %d", from);

  struct pollfd ended = {childfd, POLLIN, 0};
  CHECK(poll(&ended, 1, 5000) == 1, "the pidfd of a child that has ended");
  int status;
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == CODE, "status %x", status);
  pid_t next = fork();
  if (!next) _exit(getppid() == self ? CODE : 1);
  CHECK(next > 0 && waitpid(next, &status, 0) == next && WEXITSTATUS(status) == CODE, "status %x", status);
  // An orphan is no business of this process.
  next = fork();
  if (!next) {
    if (!fork()) {
      nap(20);
      _exit(0);
    }
    _exit(CODE);
  }
  CHECK(next > 0 && waitpid(next, &status, 0) == next && WEXITSTATUS(status) == CODE, "status %x", status);
  if (self != 1) CHECK(waitpid(-1, &status, 0) == -1 && errno == ECHILD, "a child too many");
  may_end = 1;
  for (int i = 0; i < THREADS; i++) CHECK(!pthread_join(threads[i], NULL), "a thread");
  int locked = pthread_mutex_lock(&robust);
  CHECK(locked == EOWNERDEAD, "the lock of a thread that has ended: %s", strerror(locked));
  pass();
}
