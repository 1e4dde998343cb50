// Pipes with content, FIFOs, eventfd, timerfd, signalfd, epoll, memfd.
//
//   pipes DIR [PART ...]     pipe fifo eventfd timerfd signalfd epoll memfd; all without arguments
#include "jcrtest.h"
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

static int argc_;
static char **argv_;
static int part(const char *name) {
  for (int i = 2; i < argc_; i++)
    if (!strcmp(argv_[i], name)) return 1;
  return argc_ <= 2;
}
static void expect_bytes(int fd, size_t size, uint64_t seed, const char *what) {
  char *got = calloc(1, size);
  for (size_t n = 0; n < size;) {
    ssize_t step = read(fd, got + n, size - n);
    CHECK(step > 0, "%s: %zu of %zu bytes, then %s", what, n, size, step ? strerror(errno) : "the end");
    n += step;
  }
  CHECK(differs(got, size, seed) == -1, "%s at %ld", what, differs(got, size, seed));
  free(got);
}
static void send_bytes(int fd, size_t size, uint64_t seed) {
  char *bytes = malloc(size);
  fill(bytes, size, seed);
  CHECK(write(fd, bytes, size) == (ssize_t)size, "set-up: write: %s", strerror(errno));
  free(bytes);
}
static void expect_empty(int fd, const char *what) {
  int n = -1;
  MUST(ioctl(fd, FIONREAD, &n));
  CHECK(n == 0, "%s: %d bytes too many", what, n);
}

int main(int argc, char **argv) {
  start(argc, argv);
  argc_ = argc, argv_ = argv;
  int empty[2], some[2], full[2], large[2], half[2], reader_only[2], fifo = -1, extra = -1, capacity = 0;
  if (part("pipe")) {
    MUST(pipe2(empty, O_CLOEXEC));
    MUST(pipe(some));
    send_bytes(some[1], 1000, 1);
    MUST(pipe2(full, O_NONBLOCK));
    capacity = MUST(fcntl(full[1], F_GETPIPE_SZ));
    send_bytes(full[1], capacity, 2);
    MUST(pipe(large));
    MUST(fcntl(large[1], F_SETPIPE_SZ, 1 << 20));
    send_bytes(large[1], 900000, 3);
    MUST(pipe(half));
    send_bytes(half[1], 80, 4);
    close(half[1]);  // content, then end of file
    MUST(pipe(reader_only));
    close(reader_only[0]);  // writing raises SIGPIPE
    extra = dup(some[1]);
  }
  if (part("fifo")) {
    MUST(mkfifo(in_dir("a-fifo"), 0600));
    fifo = MUST(open(in_dir("a-fifo"), O_RDWR));
    send_bytes(fifo, 800, 5);
  }
  int counter = -1, semaphore = -1;
  if (part("eventfd")) {
    counter = MUST(eventfd(12345, EFD_NONBLOCK | EFD_CLOEXEC));
    semaphore = MUST(eventfd(3, EFD_SEMAPHORE));
  }
  int later = -1, periodic = -1, expired = -1, absolute = -1, unarmed = -1;
  int64_t armed = now_ns(CLOCK_MONOTONIC);
  if (part("timerfd")) {
    later = MUST(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
    MUST(timerfd_settime(later, 0, &(struct itimerspec){{7, 0}, {3600, 0}}, NULL));
    periodic = MUST(timerfd_create(CLOCK_BOOTTIME, 0));
    MUST(timerfd_settime(periodic, 0, &(struct itimerspec){{0, 10000000}, {0, 10000000}}, NULL));
    expired = MUST(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
    MUST(timerfd_settime(expired, 0, &(struct itimerspec){{0, 0}, {0, 1000000}}, NULL));
    absolute = MUST(timerfd_create(CLOCK_REALTIME, 0));
    int64_t at = now_ns(CLOCK_REALTIME) / 1000000000 + 3600;
    MUST(timerfd_settime(absolute, TFD_TIMER_ABSTIME, &(struct itimerspec){{0, 0}, {at, 0}}, NULL));
    unarmed = MUST(timerfd_create(CLOCK_MONOTONIC, 0));
    nap(5);
  }
  int signals = -1;
  sigset_t set;
  if (part("signalfd")) {
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGRTMIN + 3);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signals = MUST(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
    sigqueue(getpid(), SIGRTMIN + 3, (union sigval){.sival_int = 99});
  }
  int epoll = -1, outer = -1, watched = -1, edge = -1, oneshot = -1, far = -1;
  struct epoll_event e;
  if (part("epoll")) {
    epoll = MUST(epoll_create1(EPOLL_CLOEXEC)), outer = MUST(epoll_create1(0));
    watched = MUST(eventfd(0, 0)), edge = MUST(eventfd(1, 0)), oneshot = MUST(eventfd(1, 0));
    far = fcntl(watched, F_DUPFD, 300);
    MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, watched, &(struct epoll_event){EPOLLIN, {.u64 = 0x1122334455667788}}));
    MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, far, &(struct epoll_event){EPOLLIN | EPOLLRDHUP, {.u64 = 300}}));
    MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, oneshot, &(struct epoll_event){EPOLLIN | EPOLLONESHOT, {.u64 = 3}}));
    CHECK(epoll_wait(epoll, &e, 1, 0) == 1 && e.data.u64 == 3, "set-up: one-shot");
    MUST(epoll_ctl(outer, EPOLL_CTL_ADD, epoll, &(struct epoll_event){EPOLLIN, {.fd = epoll}}));
  }
  int mem = -1, sealed = -1;
  char *window = NULL;
  if (part("memfd")) {
    mem = MUST(memfd_create("a memfd", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    send_bytes(mem, 20000, 6);
    MUST(ftruncate(mem, 1 << 20));
    MUST(pwrite(mem, "tail", 4, (1 << 20) - 4));
    MUST(lseek(mem, 96, SEEK_SET));
    window = MUST(mmap(NULL, 2 * WHOLE_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, mem, WHOLE_PAGE));
    window[0] = 'W';
    sealed = MUST(memfd_create("sealed", MFD_ALLOW_SEALING));
    send_bytes(sealed, 800, 7);
    MUST(fcntl(sealed, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL));
  }
  ready();
  wait_for_check();

  if (part("pipe")) {
    expect_empty(empty[0], "empty pipe");
    CHECK(fcntl(empty[0], F_GETFD) & FD_CLOEXEC && !(fcntl(some[0], F_GETFD) & FD_CLOEXEC), "close-on-exec");
    send_bytes(empty[1], 80, 8);
    expect_bytes(empty[0], 80, 8, "empty pipe, written now");
    expect_bytes(some[0], 1000, 1, "pipe");
    send_bytes(extra, 80, 9);
    expect_bytes(some[0], 80, 9, "second writer");
    char byte = 0;
    CHECK(write(full[1], &byte, 1) == -1 && errno == EAGAIN, "a full pipe takes more");
    expect_bytes(full[0], capacity, 2, "full pipe");
    CHECK(fcntl(large[0], F_GETPIPE_SZ) == 1 << 20, "size %d", fcntl(large[0], F_GETPIPE_SZ));
    expect_bytes(large[0], 900000, 3, "large pipe");
    expect_bytes(half[0], 80, 4, "pipe without writer");
    CHECK(read(half[0], &byte, 1) == 0, "end of file");
    signal(SIGPIPE, SIG_IGN);
    CHECK(write(reader_only[1], &byte, 1) == -1 && errno == EPIPE, "pipe without reader");
    for (int *p = (int[]){empty[0], some[0], full[0], large[0], -1}; *p >= 0; p++) expect_empty(*p, "drained pipe");
  }
  if (part("fifo")) {
    expect_bytes(fifo, 800, 5, "FIFO");
    int other = MUST(open(in_dir("a-fifo"), O_WRONLY | O_NONBLOCK));
    send_bytes(other, 80, 10);
    expect_bytes(fifo, 80, 10, "FIFO by its name");
  }
  uint64_t value = 0;
  if (part("eventfd")) {
    CHECK(fcntl(counter, F_GETFL) & O_NONBLOCK, "flags");
    CHECK(read(counter, &value, 8) == 8 && value == 12345, "eventfd %llu", (unsigned long long)value);
    CHECK(read(counter, &value, 8) == -1 && errno == EAGAIN, "eventfd is not empty");
    for (int i = 0; i < 3; i++) CHECK(read(semaphore, &value, 8) == 8 && value == 1, "semaphore %llu", (unsigned long long)value);
  }
  if (part("timerfd")) {
    struct itimerspec s;
    int64_t elapsed = (now_ns(CLOCK_MONOTONIC) - armed) / 1000000000 + 1;
    MUST(timerfd_gettime(later, &s));
    CHECK(s.it_interval.tv_sec == 7 && s.it_value.tv_sec <= 3600 && s.it_value.tv_sec >= 3600 - elapsed, "%ld s left", s.it_value.tv_sec);
    CHECK(read(periodic, &value, 8) == 8 && value >= 1, "periodic");
    CHECK(read(periodic, &value, 8) == 8 && value >= 1, "periodic, again");
    CHECK(read(expired, &value, 8) == 8 && value == 1, "an expiry that nobody read: %llu, %s", (unsigned long long)value, strerror(errno));
    MUST(timerfd_gettime(absolute, &s));
    CHECK(s.it_value.tv_sec <= 3600 && s.it_value.tv_sec >= 3599 - elapsed, "%ld s left", s.it_value.tv_sec);
    MUST(timerfd_gettime(unarmed, &s));
    CHECK(!s.it_value.tv_sec && !s.it_value.tv_nsec, "armed by nobody");
  }
  if (part("signalfd")) {
    struct signalfd_siginfo info;
    CHECK(read(signals, &info, sizeof info) == sizeof info && info.ssi_signo == (uint32_t)SIGRTMIN + 3 && info.ssi_int == 99, "signalfd");
    CHECK(read(signals, &info, sizeof info) == -1 && errno == EAGAIN, "signalfd is not empty");
    raise(SIGUSR2);
    CHECK(read(signals, &info, sizeof info) == sizeof info && info.ssi_signo == SIGUSR2, "signalfd, second signal of its set");
  }
  if (part("epoll")) {
    CHECK(epoll_wait(epoll, &e, 1, 0) == 0, "events of epoll: %llx", (unsigned long long)e.data.u64);
    value = 1;
    MUST(write(oneshot, &value, 8));
    CHECK(epoll_wait(epoll, &e, 1, 0) == 0, "a one-shot member fired twice");
    MUST(epoll_ctl(epoll, EPOLL_CTL_MOD, oneshot, &(struct epoll_event){EPOLLIN | EPOLLONESHOT, {.u64 = 4}}));
    CHECK(epoll_wait(epoll, &e, 1, 0) == 1 && e.data.u64 == 4, "one-shot member, armed again");
    MUST(write(watched, &value, 8));
    struct epoll_event two[4];
    CHECK(epoll_wait(epoll, two, 4, 100) == 2, "two members with one file");
    CHECK(two[0].data.u64 + two[1].data.u64 == 0x1122334455667788 + 300, "data of members");
    CHECK(epoll_wait(outer, &e, 1, 100) == 1 && e.data.fd == epoll, "nested epoll");
    (void)edge;
  }
  if (part("memfd")) {
    CHECK(lseek(mem, 0, SEEK_CUR) == 96, "offset");
    CHECK(window[0] == 'W', "mapping of a memfd");
    window[1] = 'V';
    char byte;
    CHECK(pread(mem, &byte, 1, WHOLE_PAGE + 1) == 1 && byte == 'V', "memfd and its mapping are one");
    char tail[5] = {0};
    CHECK(pread(mem, tail, 4, (1 << 20) - 4) == 4 && !strcmp(tail, "tail"), "tail %s", tail);
    char head[4096];
    CHECK(pread(mem, head, 4096, 0) == 4096 && differs(head, 4096, 6) == -1, "memfd");
    CHECK(fcntl(sealed, F_GET_SEALS) == (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL), "seals %x", fcntl(sealed, F_GET_SEALS));
    CHECK(fcntl(mem, F_GET_SEALS) == 0, "seals of the other");
    lseek(sealed, 0, SEEK_SET);
    expect_bytes(sealed, 800, 7, "sealed memfd");
  }
  pass();
}
