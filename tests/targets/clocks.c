// CLOCK_MONOTONIC and CLOCK_BOOTTIME: never back, no leap, the vDSO says what the call says, and
// whatever waits for a time of theirs, or for a while, waits as long as it is to.
//
//   clocks DIR          the clocks go on, with leaps of less than JUMP: how long it was an image
//   clocks DIR jumps    they may be others; only what waits for a while is checked
#include "jcrtest.h"
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/timerfd.h>

#define SECOND 1000000000LL
#define HOUR (3600 * SECOND)
#define JUMP (40 * SECOND)
// A wait: several dumps and restores fall into one.
#define WAIT (5 * SECOND)

static const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_BOOTTIME};
static const char *names[] = {"CLOCK_MONOTONIC", "CLOCK_BOOTTIME"};
static int jumps;
static atomic_int ending;

static struct timespec at(int64_t ns) { return (struct timespec){ns / SECOND, ns % SECOND}; }
static int64_t by_call(clockid_t clock) {
  struct timespec now;
  MUST(syscall(SYS_clock_gettime, clock, &now));
  return now.tv_sec * SECOND + now.tv_nsec;
}

// By the vDSO and by the call in turn.
static void *watch(void *argument) {
  (void)argument;
  int64_t last[2] = {now_ns(clocks[0]), now_ns(clocks[1])};
  for (int turn = 0; !ending; turn++) {
    for (int i = 0; i < 2; i++) {
      int64_t now = turn & 1 ? by_call(clocks[i]) : now_ns(clocks[i]);
      CHECK(jumps || now >= last[i], "%s went back from %lld to %lld", names[i], (long long)last[i], (long long)now);
      CHECK(jumps || now - last[i] < JUMP, "%s leapt by %lld ns", names[i], (long long)(now - last[i]));
      last[i] = now;
    }
    struct timespec pause = {0, 2000000};
    syscall(SYS_nanosleep, &pause, NULL);
  }
  return NULL;
}

// What waits until a time of a clock, again and again.
enum { SLEEP, FUTEX, TIMER, TIMERFD, KINDS };
static const char *kinds[] = {"clock_nanosleep", "futex", "timer_settime", "timerfd_settime"};
struct waiter {
  pthread_t thread;
  int kind, clock;
  atomic_int rounds;
};

static void wait_until(struct waiter *w, int64_t end, int timer, int timerfd, const sigset_t *signal) {
  clockid_t clock = clocks[w->clock];
  struct timespec then = at(end);
  struct itimerspec once = {{0, 0}, then};
  switch (w->kind) {
    case SLEEP:
      while (clock_nanosleep(clock, TIMER_ABSTIME, &then, NULL) == EINTR) {
      }
      break;
    case FUTEX: {
      uint32_t word = 0;
      errno = 0;
      while (syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 0, &then, NULL, ~0u) && errno == EINTR) {
      }
      CHECK(errno == ETIMEDOUT, "futex: %s", strerror(errno));
      break;
    }
    case TIMER:
      MUST(syscall(SYS_timer_settime, timer, TIMER_ABSTIME, &once, NULL));
      while (sigwaitinfo(signal, NULL) < 0 && errno == EINTR) {
      }
      break;
    case TIMERFD: {
      uint64_t ticks = 0;
      MUST(timerfd_settime(timerfd, TFD_TIMER_ABSTIME, &once, NULL));
      while (read(timerfd, &ticks, sizeof ticks) < 0 && errno == EINTR) {
      }
      CHECK(ticks == 1, "timerfd: %llu ticks", (unsigned long long)ticks);
      break;
    }
  }
}

static void *await(void *argument) {
  struct waiter *w = argument;
  sigset_t signal;
  sigemptyset(&signal);
  int number = SIGRTMIN + 1 + w->clock;
  sigaddset(&signal, number);
  pthread_sigmask(SIG_BLOCK, &signal, NULL);
  int timer = -1, timerfd = -1;
  if (w->kind == TIMER) {
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = number};
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    MUST(syscall(SYS_timer_create, clocks[w->clock], &event, &timer));
  } else if (w->kind == TIMERFD) {
    timerfd = MUST(timerfd_create(clocks[w->clock], TFD_CLOEXEC));
  }
  while (!ending) {
    int64_t end = now_ns(clocks[w->clock]) + WAIT;
    wait_until(w, end, timer, timerfd, &signal);
    int64_t late = now_ns(clocks[w->clock]) - end;
    CHECK(jumps || late >= 0, "%s of %s is early by %lld ns", kinds[w->kind], names[w->clock], (long long)-late);
    CHECK(jumps || late < JUMP, "%s of %s is late by %lld ns", kinds[w->kind], names[w->clock], (long long)late);
    w->rounds++;
  }
  return NULL;
}

// The call, the vDSO, the call.
static void agree(void) {
  struct {
    const char *name;
    clockid_t clock;
  } all[] = {{"CLOCK_REALTIME", CLOCK_REALTIME},
             {"CLOCK_MONOTONIC", CLOCK_MONOTONIC},
             {"CLOCK_MONOTONIC_RAW", CLOCK_MONOTONIC_RAW},
             {"CLOCK_MONOTONIC_COARSE", CLOCK_MONOTONIC_COARSE},
             {"CLOCK_BOOTTIME", CLOCK_BOOTTIME}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    for (int turn = 0; turn < 100; turn++) {
      int64_t before = by_call(all[i].clock), vdso = now_ns(all[i].clock), after = by_call(all[i].clock);
      CHECK(before <= vdso && vdso <= after, "%s: %lld by the vDSO, %lld and %lld by the call", all[i].name,
            (long long)vdso, (long long)before, (long long)after);
    }
}

struct lasting {
  int timer, timerfd;
  int64_t end;  // 0 for one that lasts an hour from `armed`
};

static void arm(struct lasting *l, clockid_t clock, int absolute) {
  struct sigevent event = {.sigev_notify = SIGEV_NONE};
  MUST(syscall(SYS_timer_create, clock, &event, &l->timer));
  l->timerfd = MUST(timerfd_create(clock, TFD_CLOEXEC));
  int64_t end = absolute ? now_ns(clock) + HOUR : HOUR;
  l->end = absolute ? end : 0;
  struct itimerspec once = {{0, 0}, at(end)};
  MUST(syscall(SYS_timer_settime, l->timer, absolute ? TIMER_ABSTIME : 0, &once, NULL));
  MUST(timerfd_settime(l->timerfd, absolute ? TFD_TIMER_ABSTIME : 0, &once, NULL));
}

static int64_t left(struct itimerspec s) { return s.it_value.tv_sec * SECOND + s.it_value.tv_nsec; }

static void verify(const char *what, const struct lasting *l, int i, int64_t real) {
  struct itimerspec s;
  MUST(syscall(SYS_timer_gettime, l->timer, &s));
  int64_t timer = left(s);
  MUST(timerfd_gettime(l->timerfd, &s));
  int64_t timerfd = left(s);
  int64_t passed = now_ns(CLOCK_REALTIME) - real;
  CHECK(timer <= HOUR && timer >= HOUR - passed - SECOND, "%s timer of %s: %lld left", what, names[i], (long long)timer);
  CHECK(timerfd <= HOUR && timerfd >= HOUR - passed - SECOND, "%s timerfd of %s: %lld left", what, names[i], (long long)timerfd);
  if (l->end && !jumps) {
    int64_t due = l->end - now_ns(clocks[i]);
    CHECK(llabs(timer - due) < JUMP, "absolute timer of %s: %lld left, due in %lld", names[i], (long long)timer, (long long)due);
    CHECK(llabs(timerfd - due) < JUMP, "absolute timerfd of %s: %lld left, due in %lld", names[i], (long long)timerfd, (long long)due);
  }
}

int main(int argc, char **argv) {
  start(argc, argv);
  jumps = argc > 2 && !strcmp(argv[2], "jumps");
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGRTMIN + 1);
  sigaddset(&blocked, SIGRTMIN + 2);
  pthread_sigmask(SIG_BLOCK, &blocked, NULL);
  int64_t real = now_ns(CLOCK_REALTIME);
  struct lasting relative[2], absolute[2];
  int periodic[2];
  for (int i = 0; i < 2; i++) {
    arm(&relative[i], clocks[i], 0);
    arm(&absolute[i], clocks[i], 1);
    periodic[i] = MUST(timerfd_create(clocks[i], TFD_CLOEXEC | TFD_NONBLOCK));
    MUST(timerfd_settime(periodic[i], 0, &(struct itimerspec){{0, 10000000}, {0, 10000000}}, NULL));
  }
  static struct waiter waiters[2 * KINDS];
  int count = 0;
  for (int kind = 0; kind < KINDS; kind++)
    for (int i = 0; i < 2; i++) {
      // The kernel has a futex wait of CLOCK_MONOTONIC and of CLOCK_REALTIME only.
      if (kind == FUTEX && i == 1) continue;
      struct waiter *w = &waiters[count++];
      *w = (struct waiter){.kind = kind, .clock = i};
      MUST(-pthread_create(&w->thread, NULL, await, w));
    }
  pthread_t watcher;
  MUST(-pthread_create(&watcher, NULL, watch, NULL));
  int64_t first[2] = {now_ns(clocks[0]), now_ns(clocks[1])};
  nap(100);
  ready();
  wait_for_check();

  agree();
  for (int i = 0; i < 2; i++) {
    verify("relative", &relative[i], i, real);
    verify("absolute", &absolute[i], i, real);
    CHECK(jumps || now_ns(clocks[i]) > first[i], "%s is before its start", names[i]);
    uint64_t ticks;
    while (read(periodic[i], &ticks, sizeof ticks) > 0) {
    }
    nap(100);
    CHECK(read(periodic[i], &ticks, sizeof ticks) == sizeof ticks && ticks >= 5, "a period of %s does not tick", names[i]);
  }
  if (jumps) pass();
  // Each waits to the end, and once more.
  int rounds[2 * KINDS];
  for (int i = 0; i < count; i++) rounds[i] = waiters[i].rounds;
  for (int i = 0; i < count; i++) {
    int64_t begin = now_ns(CLOCK_MONOTONIC);
    while (waiters[i].rounds < rounds[i] + 2) {
      CHECK(now_ns(CLOCK_MONOTONIC) - begin < 2 * WAIT + JUMP, "%s of %s does not end", kinds[waiters[i].kind],
            names[waiters[i].clock]);
      nap(10);
    }
  }
  ending = 1;
  agree();
  pass();
}
