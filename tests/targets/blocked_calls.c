// One thread blocked in each restartable or EINTR-prone call. Every thread notes when its call
// began and ended, what it returned and errno; the harness judges the times.
//
//   blocked_calls DIR TIMEOUT_MS [CALL ...]     only the named calls
//   blocked_calls DIR TIMEOUT_MS -CALL ...      all but the named calls
//
// Writes `calls`: one line per call: name kind timeout_ms start_ns end_ns return errno. Kinds: rel
// (a relative timeout), abs (an absolute one; the time it was set for is start + timeout), wake (no
// timeout: released by `check`). A watch thread reads the clock without pause and writes `gap`: the
// start and length of the longest time during which nothing here ran: the downtime seen from inside;
// and the length of the second longest.
#include "jcrtest.h"
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

// arm64 has only the newer of these calls; their libraries call those.
#ifdef SYS_poll
#define POLL(fds, count, ms) syscall(SYS_poll, fds, count, ms)
#define SELECT(count, in, time) syscall(SYS_select, count, in, NULL, NULL, time)
#define EPOLL_WAIT(fd, events, count, ms) syscall(SYS_epoll_wait, fd, events, count, ms)
#define PAUSE() syscall(SYS_pause)
#else
#define POLL(fds, count, ms) \
  syscall(SYS_ppoll, fds, count, ms < 0 ? NULL : &(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL, 8)
#define SELECT(count, in, time)                                                                       \
  syscall(SYS_pselect6, count, in, NULL, NULL,                                                        \
          (struct timeval *)time ? &(struct timespec){timeout_ms / 1000, timeout_ms % 1000 * 1000000} : NULL, NULL)
#define EPOLL_WAIT(fd, events, count, ms) syscall(SYS_epoll_pwait, fd, events, count, ms, NULL, 8)
#define PAUSE() syscall(SYS_ppoll, NULL, 0, NULL, NULL, 8)
#endif

static long timeout_ms;
static int64_t deadline_mono, deadline_real;  // of the absolute calls
static uint32_t never;
static int pipe_fds[2], full_pipe[2], event_fd, epoll_fd, pair[2], listener, udp, master, slave, timer_fd,
    signal_fd, fifo_in, sem_id = -1, msg_id = -1, mq = -1;
static aio_context_t aio;
static atomic_int woken;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;

static struct timespec ts(int64_t ns) { return (struct timespec){ns / 1000000000, ns % 1000000000}; }
#define REL ts(timeout_ms * 1000000)
#define RELP(name) struct timespec name = REL

static long f_nanosleep(void) { RELP(t); return syscall(SYS_nanosleep, &t, NULL); }
static long f_nanosleep_rem(void) { RELP(t); struct timespec r; return syscall(SYS_nanosleep, &t, &r); }
static long f_nanosleep_same(void) { RELP(t); return syscall(SYS_nanosleep, &t, &t); }
static long f_clock_nanosleep(void) { RELP(t); return syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &t, NULL); }
static long f_clock_nanosleep_rem(void) {
  RELP(t); struct timespec r;
  return syscall(SYS_clock_nanosleep, CLOCK_BOOTTIME, 0, &t, &r);
}
static long f_clock_nanosleep_abs(void) {
  struct timespec t = ts(deadline_mono);
  return syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}
static long f_clock_nanosleep_real(void) {
  struct timespec t = ts(deadline_real);
  return syscall(SYS_clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME, &t, NULL);
}
static long f_poll(void) { struct pollfd p = {pipe_fds[0], 0, 0}; return POLL(&p, 1, timeout_ms); }
static long f_ppoll(void) { RELP(t); struct pollfd p = {-1, 0, 0}; sigset_t s; sigfillset(&s); return syscall(SYS_ppoll, &p, 1, &t, &s, 8); }
static long f_select(void) { return SELECT(0, NULL, &((struct timeval){timeout_ms / 1000, timeout_ms % 1000 * 1000})); }
static long f_pselect(void) {
  RELP(t); sigset_t s; sigfillset(&s);
  struct { const sigset_t *set; size_t size; } arg = {&s, 8};
  fd_set in; FD_ZERO(&in); FD_SET(event_fd, &in);
  return syscall(SYS_pselect6, event_fd + 1, &in, NULL, NULL, &t, &arg);
}
static long f_futex(void) { RELP(t); return syscall(SYS_futex, &never, FUTEX_WAIT_PRIVATE, 0, &t, NULL, 0); }
static long f_futex_shared(void) { RELP(t); return syscall(SYS_futex, &never, FUTEX_WAIT, 0, &t, NULL, 0); }
static long f_futex_abs(void) {
  struct timespec t = ts(deadline_mono);
  return syscall(SYS_futex, &never, FUTEX_WAIT_BITSET_PRIVATE, 0, &t, NULL, ~0u);
}
static long f_futex_real(void) {
  struct timespec t = ts(deadline_real);
  return syscall(SYS_futex, &never, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 0, &t, NULL, ~0u);
}
static long f_futex_waitv(void) {
  struct timespec t = ts(deadline_mono);
  struct futex_waitv w = {.val = 0, .uaddr = (uintptr_t)&never, .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG};
  return syscall(449, &w, 1, 0, &t, CLOCK_MONOTONIC);
}
static long f_cond_timedwait(void) {
  struct timespec t = ts(deadline_real);
  pthread_mutex_lock(&mutex);
  int error = pthread_cond_timedwait(&condition, &mutex, &t);
  pthread_mutex_unlock(&mutex);
  return errno = error, error ? -1 : 0;
}
static long f_epoll_wait(void) { struct epoll_event e; return EPOLL_WAIT(epoll_fd, &e, 1, timeout_ms); }
static long f_epoll_pwait(void) { struct epoll_event e; sigset_t s; sigfillset(&s); return syscall(SYS_epoll_pwait, epoll_fd, &e, 1, timeout_ms, &s, 8); }
static long f_epoll_pwait2(void) { RELP(t); struct epoll_event e; return syscall(441, epoll_fd, &e, 1, &t, NULL, 8); }
static long f_sigtimedwait(void) { RELP(t); sigset_t s; sigemptyset(&s); sigaddset(&s, SIGRTMIN + 5); siginfo_t i; return syscall(SYS_rt_sigtimedwait, &s, &i, &t, 8); }
static long f_semtimedop(void) { RELP(t); struct sembuf o = {0, -1, 0}; return semtimedop(sem_id, &o, 1, &t); }
static long f_mq_timedreceive(void) { char b[64]; struct timespec t = ts(deadline_real); return mq_timedreceive(mq, b, 64, NULL, &t); }
static long f_io_getevents(void) { RELP(t); struct io_event e; return syscall(SYS_io_getevents, aio, 1, 1, &e, &t); }
static long f_recv_timeout(void) { char b; return recv(pair[0], &b, 1, 0); }
static long f_accept_timeout(void) { return accept(listener, NULL, NULL); }
static long f_timerfd_read(void) { uint64_t n; return read(timer_fd, &n, 8); }

static long f_read_pipe(void) { char b; return read(pipe_fds[0], &b, 1); }
static long f_write_pipe(void) { char b[4096] = {0}; return write(full_pipe[1], b, 4096); }
static long f_read_eventfd(void) { uint64_t n; return read(event_fd, &n, 8); }
static long f_read_tty(void) { char b[8]; return read(slave, b, 8); }
static long f_read_signalfd(void) { struct signalfd_siginfo i; return read(signal_fd, &i, sizeof i); }
static long f_read_fifo(void) { char b; return read(fifo_in, &b, 1); }
static int plain_listener, plain_pair[2];
static long f_accept(void) { int fd = accept(plain_listener, NULL, NULL); return fd < 0 ? -1 : (close(fd), 0); }
static long f_recv(void) { char b; return recv(plain_pair[0], &b, 1, 0); }
static long f_recvfrom_udp(void) { char b; return recvfrom(udp, &b, 1, 0, NULL, NULL); }
static long f_recvmsg(void) { char b; struct iovec v = {&b, 1}; struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1}; return recvmsg(plain_pair[0], &m, 0); }
static long f_futex_wake(void) { while (!woken) syscall(SYS_futex, &woken, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0); return 0; }
static long f_poll_forever(void) { struct pollfd p = {event_fd, POLLIN, 0}; return POLL(&p, 1, -1); }
static long f_epoll_forever(void) { struct epoll_event e; return EPOLL_WAIT(epoll_fd, &e, 1, -1); }
static long f_select_forever(void) { fd_set in; FD_ZERO(&in); FD_SET(event_fd, &in); return SELECT(event_fd + 1, &in, NULL); }
static long f_sigwaitinfo(void) { sigset_t s; sigemptyset(&s); sigaddset(&s, SIGRTMIN + 6); siginfo_t i; return syscall(SYS_rt_sigtimedwait, &s, &i, NULL, 8) > 0 ? 0 : -1; }
static long f_sigsuspend(void) { sigset_t s; sigfillset(&s); sigdelset(&s, SIGUSR2); return syscall(SYS_rt_sigsuspend, &s, 8); }
static long f_pause(void) { sigset_t s; sigemptyset(&s); sigaddset(&s, SIGUSR2); pthread_sigmask(SIG_UNBLOCK, &s, NULL); return PAUSE(); }
static long f_semop(void) { struct sembuf o = {1, -1, 0}; return semop(sem_id, &o, 1); }
static long f_msgrcv(void) { struct { long type; char b[8]; } m; return msgrcv(msg_id, &m, 8, 1, 0); }
static long f_flock(void) { int fd = open(in_dir("flock.lock"), O_RDWR | O_CLOEXEC); return flock(fd, LOCK_EX); }
static long f_setlkw(void) {
  int fd = open(in_dir("posix.lock"), O_RDWR | O_CLOEXEC);
  struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  return fcntl(fd, F_SETLKW, &l);
}

enum kind { KIND_REL, KIND_ABS, KIND_WAKE };
static const char *const kinds[] = {"rel", "abs", "wake"};
struct call {
  const char *name;
  enum kind kind;
  long (*run)(void);
  int expected_errno;  // 0: the call succeeds
  pthread_t thread;
  atomic_int tid, done;
  int64_t start, end;
  long result;
  int error;
};
#define CALL(name, kind, error) {#name, kind, f_##name, error, 0, 0, 0, 0, 0, 0, 0}
static struct call calls[] = {
    CALL(nanosleep, KIND_REL, 0), CALL(nanosleep_rem, KIND_REL, 0), CALL(nanosleep_same, KIND_REL, 0),
    CALL(clock_nanosleep, KIND_REL, 0), CALL(clock_nanosleep_rem, KIND_REL, 0),
    CALL(clock_nanosleep_abs, KIND_ABS, 0), CALL(clock_nanosleep_real, KIND_ABS, 0),
    CALL(poll, KIND_REL, 0), CALL(ppoll, KIND_REL, 0), CALL(select, KIND_REL, 0), CALL(pselect, KIND_REL, 0),
    CALL(futex, KIND_REL, ETIMEDOUT), CALL(futex_shared, KIND_REL, ETIMEDOUT),
    CALL(futex_abs, KIND_ABS, ETIMEDOUT), CALL(futex_real, KIND_ABS, ETIMEDOUT),
    CALL(futex_waitv, KIND_ABS, ETIMEDOUT), CALL(cond_timedwait, KIND_ABS, ETIMEDOUT),
    CALL(epoll_wait, KIND_REL, 0), CALL(epoll_pwait, KIND_REL, 0), CALL(epoll_pwait2, KIND_REL, 0),
    CALL(sigtimedwait, KIND_REL, EAGAIN), CALL(semtimedop, KIND_REL, EAGAIN),
    CALL(mq_timedreceive, KIND_ABS, ETIMEDOUT), CALL(io_getevents, KIND_REL, 0),
    CALL(recv_timeout, KIND_REL, EAGAIN), CALL(accept_timeout, KIND_REL, EAGAIN),
    CALL(timerfd_read, KIND_REL, 0),
    CALL(read_pipe, KIND_WAKE, 0), CALL(write_pipe, KIND_WAKE, 0), CALL(read_eventfd, KIND_WAKE, 0),
    CALL(read_tty, KIND_WAKE, 0), CALL(read_signalfd, KIND_WAKE, 0), CALL(read_fifo, KIND_WAKE, 0),
    CALL(accept, KIND_WAKE, 0), CALL(recv, KIND_WAKE, 0), CALL(recvmsg, KIND_WAKE, 0),
    CALL(recvfrom_udp, KIND_WAKE, 0), CALL(futex_wake, KIND_WAKE, 0),
    CALL(poll_forever, KIND_WAKE, 0), CALL(epoll_forever, KIND_WAKE, 0), CALL(select_forever, KIND_WAKE, 0),
    CALL(sigwaitinfo, KIND_WAKE, 0), CALL(sigsuspend, KIND_WAKE, EINTR), CALL(pause, KIND_WAKE, EINTR),
    CALL(semop, KIND_WAKE, 0), CALL(msgrcv, KIND_WAKE, 0), CALL(flock, KIND_WAKE, 0),
    CALL(setlkw, KIND_WAKE, 0),
};
#define CALLS (sizeof calls / sizeof *calls)

static int wanted(int argc, char **argv, const char *name) {
  if (argc <= 3) return 1;
  int without = argv[3][0] == '-';
  for (int i = 3; i < argc; i++)
    if (!strcmp(argv[i] + without, name)) return !without;
  return without;
}
static int used(const char *name) {
  for (size_t i = 0; i < CALLS; i++)
    if (!strcmp(calls[i].name, name)) return calls[i].run != NULL;
  return 0;
}

static void *run_call(void *argument) {
  struct call *call = argument;
  call->tid = (int)syscall(SYS_gettid);
  call->start = now_ns(CLOCK_MONOTONIC);
  call->result = call->run();
  call->error = call->result < 0 ? errno : 0;
  call->end = now_ns(CLOCK_MONOTONIC);
  call->done = 1;
  return NULL;
}

static int64_t gap_start, gap_length, second_length;
static atomic_int watching = 1;
static void *watch(void *argument) {
  (void)argument;
  int64_t last = now_ns(CLOCK_MONOTONIC);
  while (watching) {
    int64_t now = now_ns(CLOCK_MONOTONIC);
    if (now - last > gap_length) second_length = gap_length, gap_start = last, gap_length = now - last;
    else if (now - last > second_length) second_length = now - last;
    last = now;
  }
  return NULL;
}

static void on_signal(int number) { (void)number; }

static int loopback_listener(void) {
  int fd = MUST(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  MUST(bind(fd, (struct sockaddr *)&in, sizeof in));
  MUST(listen(fd, 4));
  return fd;
}
static void connect_to(int fd) {
  struct sockaddr_in in;
  socklen_t size = sizeof in;
  MUST(getsockname(fd, (struct sockaddr *)&in, &size));
  int client = MUST(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  MUST(connect(client, (struct sockaddr *)&in, size));
}

int main(int argc, char **argv) {
  start(argc, argv);
  timeout_ms = argc > 2 ? atol(argv[2]) : 3000;
  for (size_t i = 0; i < CALLS; i++)
    if (!wanted(argc, argv, calls[i].name)) calls[i].run = NULL;
  sigset_t blocked;
  sigfillset(&blocked);
  sigdelset(&blocked, SIGABRT);
  MUST(sigprocmask(SIG_SETMASK, &blocked, NULL));
  struct sigaction action = {.sa_handler = on_signal};
  MUST(sigaction(SIGUSR2, &action, NULL));
  MUST(pipe2(pipe_fds, O_CLOEXEC));
  MUST(pipe2(full_pipe, O_CLOEXEC | O_NONBLOCK));
  char block[WHOLE_PAGE] = {0};
  while (write(full_pipe[1], block, 4096) == 4096) {
  }
  MUST(fcntl(full_pipe[1], F_SETFL, 0));
  event_fd = MUST(eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE));
  epoll_fd = MUST(epoll_create1(EPOLL_CLOEXEC));
  struct epoll_event event = {.events = EPOLLIN};
  static int epoll_event_fd;
  epoll_event_fd = MUST(eventfd(0, EFD_CLOEXEC));
  MUST(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, epoll_event_fd, &event));
  MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
  MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, plain_pair));
  struct timeval limit = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
  MUST(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
  if (used("accept_timeout")) {
    listener = loopback_listener();
    MUST(setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
  }
  if (used("accept")) plain_listener = loopback_listener();
  if (used("recvfrom_udp")) {
    udp = MUST(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    MUST(bind(udp, (struct sockaddr *)&in, sizeof in));
  }
  if (used("read_tty")) {
    MUST(openpty(&master, &slave, NULL, NULL, NULL));
  }
  if (used("read_signalfd")) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 7);
    signal_fd = MUST(signalfd(-1, &set, SFD_CLOEXEC));
  }
  if (used("read_fifo")) {
    MUST(mkfifo(in_dir("fifo"), 0600));
    fifo_in = MUST(open(in_dir("fifo"), O_RDWR | O_CLOEXEC));
  }
  if (used("semtimedop") || used("semop")) sem_id = MUST(semget(IPC_PRIVATE, 2, 0600));
  if (used("msgrcv")) msg_id = MUST(msgget(IPC_PRIVATE, 0600));
  if (used("mq_timedreceive")) {
    char name[64];
    snprintf(name, sizeof name, "/jcr-%d", (int)getpid());
    struct mq_attr attributes = {.mq_maxmsg = 4, .mq_msgsize = 64};
    mq = MUST(mq_open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600, &attributes));
    mq_unlink(name);
  }
  if (used("io_getevents")) MUST(syscall(SYS_io_setup, 4, &aio));
  if (used("timerfd_read")) {
    timer_fd = MUST(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
    struct itimerspec once = {.it_value = REL};
    MUST(timerfd_settime(timer_fd, 0, &once, NULL));
  }
  deadline_mono = now_ns(CLOCK_MONOTONIC) + timeout_ms * 1000000;
  deadline_real = now_ns(CLOCK_REALTIME) + timeout_ms * 1000000;
  int64_t absolute_start = now_ns(CLOCK_MONOTONIC);
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 65536);
  pthread_t watcher;
  pthread_create(&watcher, &small, watch, NULL);
  for (size_t i = 0; i < CALLS; i++)
    if (calls[i].run) CHECK(!pthread_create(&calls[i].thread, &small, run_call, &calls[i]), "thread");
  for (size_t i = 0; i < CALLS; i++)
    while (calls[i].run && !calls[i].tid) nap(1);
  nap(100);
  ready();
  wait_for_check();
  // The timed ones end by themselves; then release the others.
  for (size_t i = 0; i < CALLS; i++)
    for (int n = 0; calls[i].run && calls[i].kind != KIND_WAKE && !calls[i].done; n++) {
      CHECK(n < 60000, "%s never ended", calls[i].name);
      nap(1);
    }
  watching = 0;
  pthread_join(watcher, NULL);
  for (size_t i = 0; i < CALLS; i++)
    CHECK(!calls[i].run || calls[i].kind != KIND_WAKE || !calls[i].done,
          "%s ended by itself: %ld, errno %d (%s)", calls[i].name, calls[i].result, calls[i].error,
          strerror(calls[i].error));
  MUST(write(pipe_fds[1], "a", 1));
  if (used("write_pipe")) MUST(read(full_pipe[0], block, sizeof block));
  uint64_t plenty = 8, one = 1;
  MUST(write(event_fd, &plenty, 8));
  MUST(write(epoll_event_fd, &one, 8));
  MUST(write(plain_pair[1], "ab", 2));
  if (used("read_tty")) MUST(write(master, "line\n", 5));
  if (used("read_fifo")) MUST(write(fifo_in, "a", 1));
  if (used("accept")) connect_to(plain_listener);
  if (used("recvfrom_udp")) {
    struct sockaddr_in in;
    socklen_t size = sizeof in;
    MUST(getsockname(udp, (struct sockaddr *)&in, &size));
    MUST(sendto(udp, "a", 1, 0, (struct sockaddr *)&in, size));
  }
  struct sembuf give = {1, 1, 0};
  if (used("semop")) MUST(semop(sem_id, &give, 1));
  struct { long type; char b[8]; } message = {1, "x"};
  if (used("msgrcv")) MUST(msgsnd(msg_id, &message, 8, 0));
  woken = 1;
  syscall(SYS_futex, &woken, FUTEX_WAKE_PRIVATE, 1000);
  kill(getpid(), SIGRTMIN + 6);
  kill(getpid(), SIGRTMIN + 7);
  for (size_t i = 0; i < CALLS; i++)
    if (calls[i].run && (!strcmp(calls[i].name, "sigsuspend") || !strcmp(calls[i].name, "pause")))
      syscall(SYS_tgkill, getpid(), calls[i].tid, SIGUSR2);
  put_file("release", "");  // the lock holder lets go
  char table[16384];
  int length = 0;
  for (size_t i = 0; i < CALLS; i++) {
    struct call *c = &calls[i];
    if (!c->run) continue;
    for (int n = 0; !c->done; n++) {
      CHECK(n < 10000, "%s was not released", c->name);
      nap(1);
    }
    // A timerfd was armed before its thread began to read.
    int64_t began = c->kind == KIND_ABS || !strcmp(c->name, "timerfd_read") ? absolute_start : c->start;
    length += snprintf(table + length, sizeof table - length, "%s %s %ld %lld %lld %ld %d %d\n", c->name,
                       kinds[c->kind], timeout_ms, (long long)began, (long long)c->end, c->result,
                       c->error, c->expected_errno);
  }
  put_file("calls", table);
  char gap[64];
  snprintf(gap, sizeof gap, "%lld %lld %lld\n", (long long)gap_start, (long long)gap_length, (long long)second_length);
  put_file("gap", gap);
  if (sem_id >= 0) semctl(sem_id, 0, IPC_RMID);
  if (msg_id >= 0) msgctl(msg_id, IPC_RMID, NULL);
  for (size_t i = 0; i < CALLS; i++)
    if (calls[i].run)
      CHECK(calls[i].error == calls[i].expected_errno, "%s: returned %ld, errno %d (%s), expected errno %d",
            calls[i].name, calls[i].result, calls[i].error, strerror(calls[i].error),
            calls[i].expected_errno);
  pass();
}
