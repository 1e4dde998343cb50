// Interval timers, and POSIX timers of every notification kind, with gaps in their ids.
#include "jcrtest.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>

static atomic_int alarms, virtuals, profs, ticks, thread_ticks;
static void on_alarm(int n) { (void)n; alarms++; }
static void on_virtual(int n) { (void)n; virtuals++; }
static void on_prof(int n) { (void)n; profs++; }
static pid_t wanted_thread;
static atomic_int wrong_thread, wrong_value;
static void on_tick(int n, siginfo_t *info, void *c) {
  (void)n, (void)c;
  // What expired while the signal was pending counts too: a loaded machine changes nothing.
  ticks += 1 + info->si_overrun;
  if (info->si_code != SI_TIMER || info->si_value.sival_int != 77) wrong_value++;
}
static void on_thread_tick(int n, siginfo_t *info, void *c) {
  (void)n, (void)c;
  thread_ticks += 1 + info->si_overrun;
  if (info->si_value.sival_ptr != (void *)0x1234567890) wrong_value++;
  if (syscall(SYS_gettid) != wanted_thread) wrong_thread++;
}
static atomic_int ending;
static void *other(void *argument) {
  (void)argument;
  sigset_t all;
  sigfillset(&all);
  sigdelset(&all, SIGRTMIN + 2);
  pthread_sigmask(SIG_SETMASK, &all, NULL);
  wanted_thread = (pid_t)syscall(SYS_gettid);
  while (!ending) nap(1);
  return NULL;
}

// Kernel ids: glibc hides them behind pointers for SIGEV_THREAD only, but the raw call is exact.
static int create(clockid_t clock, int notify, int signal, void *value, pid_t thread) {
  struct sigevent event = {.sigev_notify = notify, .sigev_signo = signal, .sigev_value.sival_ptr = value};
  event._sigev_un._tid = thread;
  int id = -1;
  MUST(syscall(SYS_timer_create, clock, &event, &id));
  return id;
}
static void arm(int id, int flags, int64_t value_ns, int64_t interval_ns) {
  struct itimerspec s = {{interval_ns / 1000000000, interval_ns % 1000000000}, {value_ns / 1000000000, value_ns % 1000000000}};
  MUST(syscall(SYS_timer_settime, id, flags, &s, NULL));
}
static int64_t remaining(int id, int64_t *interval) {
  struct itimerspec s;
  CHECK(!syscall(SYS_timer_gettime, id, &s), "timer %d is gone: %s", id, strerror(errno));
  if (interval) *interval = s.it_interval.tv_sec * 1000000000LL + s.it_interval.tv_nsec;
  return s.it_value.tv_sec * 1000000000LL + s.it_value.tv_nsec;
}

int main(int argc, char **argv) {
  start(argc, argv);
  const int64_t HOUR = 3600000000000;
  sigaction(SIGALRM, &(struct sigaction){.sa_handler = on_alarm, .sa_flags = SA_RESTART}, NULL);
  sigaction(SIGVTALRM, &(struct sigaction){.sa_handler = on_virtual, .sa_flags = SA_RESTART}, NULL);
  sigaction(SIGPROF, &(struct sigaction){.sa_handler = on_prof, .sa_flags = SA_RESTART}, NULL);
  sigaction(SIGRTMIN + 1, &(struct sigaction){.sa_sigaction = on_tick, .sa_flags = SA_RESTART | SA_SIGINFO}, NULL);
  sigaction(SIGRTMIN + 2, &(struct sigaction){.sa_sigaction = on_thread_tick, .sa_flags = SA_RESTART | SA_SIGINFO}, NULL);
  pthread_t thread;
  pthread_create(&thread, NULL, other, NULL);
  while (!wanted_thread) nap(1);
  int ids[12];
  for (int i = 0; i < 12; i++) ids[i] = create(CLOCK_MONOTONIC, SIGEV_NONE, 0, NULL, 0);
  int drop[] = {0, 2, 5, 9};
  for (int i = 0; i < 4; i++) MUST(syscall(SYS_timer_delete, ids[drop[i]]));
  int tick = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 1, (void *)77, 0);
  int thread_tick = create(CLOCK_BOOTTIME, SIGEV_THREAD_ID, SIGRTMIN + 2, (void *)0x1234567890, wanted_thread);
  int cpu = create(CLOCK_PROCESS_CPUTIME_ID, SIGEV_NONE, 0, NULL, 0);
  int real = create(CLOCK_REALTIME, SIGEV_SIGNAL, SIGRTMIN + 4, NULL, 0);
  arm(tick, 0, 7000000, 7000000);
  arm(thread_tick, 0, 9000000, 9000000);
  arm(cpu, 0, HOUR, 0);
  arm(real, TIMER_ABSTIME, now_ns(CLOCK_REALTIME) + HOUR, HOUR);
  int64_t armed = now_ns(CLOCK_MONOTONIC);
  arm(ids[1], 0, HOUR, 5 * HOUR);
  arm(ids[3], TIMER_ABSTIME, now_ns(CLOCK_MONOTONIC) + HOUR, 0);
  // ids[4] stays disarmed.
  MUST(setitimer(ITIMER_REAL, &(struct itimerval){{0, 11000}, {0, 11000}}, NULL));
  MUST(setitimer(ITIMER_VIRTUAL, &(struct itimerval){{0, 5000}, {0, 5000}}, NULL));
  MUST(setitimer(ITIMER_PROF, &(struct itimerval){{0, 6000}, {1000, 6000}}, NULL));
  // A one-shot timer whose signal is pending, blocked, with overruns.
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGRTMIN + 5);
  pthread_sigmask(SIG_BLOCK, &blocked, NULL);
  int pending = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 5, (void *)55, 0);
  arm(pending, 0, 1000000, 0);
  nap(20);
  ready();
  wait_for_check();
  int before[4] = {alarms, ticks, thread_ticks, virtuals};
  int64_t begin = now_ns(CLOCK_MONOTONIC);
  // The interval timers' signals have no overruns, and virtual time needs a processor: a loaded machine is waited for.
  while (now_ns(CLOCK_MONOTONIC) - begin < 300000000 ||
         ((alarms - before[0] < 10 || virtuals - before[3] < 5) && now_ns(CLOCK_MONOTONIC) - begin < 20000000000)) {
  }
  CHECK(alarms - before[0] >= 10, "ITIMER_REAL: %d signals in 20 s", alarms - before[0]);
  CHECK(ticks - before[1] >= 20, "POSIX timer: %d signals in 300 ms", ticks - before[1]);
  CHECK(thread_ticks - before[2] >= 15, "SIGEV_THREAD_ID timer: %d signals in 300 ms", thread_ticks - before[2]);
  CHECK(virtuals - before[3] >= 5, "ITIMER_VIRTUAL: %d signals in 20 s", virtuals - before[3]);
  CHECK(!wrong_thread && !wrong_value, "%d in the wrong thread, %d with the wrong value", wrong_thread, wrong_value);
  int64_t interval, elapsed = now_ns(CLOCK_MONOTONIC) - armed, left = remaining(ids[1], &interval);
  CHECK(interval == 5 * HOUR, "interval %lld", (long long)interval);
  CHECK(left <= HOUR && left >= HOUR - elapsed - 1000000000, "relative timer: %lld left", (long long)left);
  left = remaining(ids[3], &interval);
  CHECK(interval == 0 && left > HOUR - elapsed - 1000000000 && left <= HOUR, "absolute timer: %lld left", (long long)left);
  CHECK(remaining(ids[4], &interval) == 0 && interval == 0, "disarmed timer");
  left = remaining(real, &interval);
  CHECK(interval == HOUR && left > HOUR - elapsed - 1000000000 && left <= HOUR, "realtime timer: %lld left", (long long)left);
  left = remaining(cpu, NULL);
  CHECK(left <= HOUR && left > HOUR - elapsed - 1000000000, "processor-time timer: %lld left", (long long)left);
  for (int i = 0; i < 4; i++) {
    struct itimerspec s;
    errno = 0;
    CHECK(syscall(SYS_timer_gettime, ids[drop[i]], &s) == -1 && errno == EINVAL, "timer %d came from nowhere", ids[drop[i]]);
  }
  siginfo_t info;
  CHECK(sigtimedwait(&blocked, &info, &(struct timespec){0, 0}) == SIGRTMIN + 5, "pending signal of a timer");
  CHECK(info.si_code == SI_TIMER && info.si_value.sival_ptr == (void *)55, "its siginfo: code %d", info.si_code);
  struct itimerval v;
  getitimer(ITIMER_PROF, &v);
  CHECK(v.it_interval.tv_usec == 6000 && v.it_value.tv_sec >= 900 && v.it_value.tv_sec <= 1000, "ITIMER_PROF: %ld s left", v.it_value.tv_sec);
  int fresh = create(CLOCK_MONOTONIC, SIGEV_NONE, 0, NULL, 0);
  CHECK(fresh > pending, "a new timer got id %d", fresh);
  ending = 1;
  pthread_join(thread, NULL);
  pass();
}
