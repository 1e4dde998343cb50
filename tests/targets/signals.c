// Dispositions with every flag and mask, ignored and blocked signals, both queues with values in order.
#include "jcrtest.h"
#include <pthread.h>
#include <signal.h>

struct kernel_action { void *handler; unsigned long flags; void *restorer; uint64_t mask; };
static struct kernel_action actions[65], now;
static void on_signal(int number) { (void)number; }
static void on_info(int number, siginfo_t *info, void *context) { (void)number, (void)info, (void)context; }

static uint64_t bit(int signal) { return 1ull << (signal - 1); }

static void expect(int signal, int value, int code, const char *what) {
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, signal);
  siginfo_t info;
  struct timespec zero = {0, 0};
  // The raw call: glibc turns SI_TKILL into SI_USER.
  int got = (int)syscall(SYS_rt_sigtimedwait, &one, &info, &zero, 8);
  CHECK(got == signal, "%s: signal %d is not queued (%s)", what, signal, strerror(errno));
  CHECK(info.si_code == code, "%s: signal %d: code %d", what, signal, info.si_code);
  CHECK(info.si_pid == getpid() && info.si_uid == getuid(), "%s: sender %d", what, info.si_pid);
  if (code == SI_QUEUE) CHECK(info.si_value.sival_int == value, "%s: value %d, want %d", what, info.si_value.sival_int, value);
}

int main(int argc, char **argv) {
  start(argc, argv);
  for (int s = 1; s <= 64; s++) {
    if (s == SIGKILL || s == SIGSTOP || s == 32 || s == 33) continue;
    struct sigaction action = {.sa_handler = on_signal};
    if (s % 3 == 0) action.sa_flags |= SA_RESTART;
    if (s % 4 == 0) action.sa_flags |= SA_SIGINFO, action.sa_sigaction = on_info;
    if (s % 5 == 0) action.sa_flags |= SA_NODEFER;
    if (s % 7 == 0) action.sa_flags |= SA_ONSTACK;
    if (s % 11 == 0) action.sa_flags |= SA_RESETHAND;
    if (s == SIGCHLD) action.sa_flags |= SA_NOCLDSTOP | SA_NOCLDWAIT;
    if (s % 13 == 0 || s == SIGTRAP) action.sa_flags = 0, action.sa_handler = SIG_IGN;
    if (s % 17 == 0) action.sa_flags = 0, action.sa_handler = SIG_DFL;
    for (int i = 1; i <= 64; i++)
      if (mix(s * 64 + i) & 1) sigaddset(&action.sa_mask, i);
    MUST(sigaction(s, &action, NULL));
    MUST(syscall(SYS_rt_sigaction, s, NULL, &actions[s], 8));
  }
  uint64_t mask = bit(SIGUSR1) | bit(SIGUSR2) | bit(SIGTRAP) | bit(SIGHUP) | bit(SIGRTMIN + 1) | bit(SIGRTMIN + 2) |
                  bit(SIGRTMIN + 3) | bit(SIGCHLD) | bit(SIGTERM), seen;
  MUST(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8));
  MUST(kill(getpid(), SIGUSR1));
  MUST(kill(getpid(), SIGTERM));
  for (int i = 0; i < 5; i++) MUST(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 100 + i}));
  for (int i = 0; i < 4; i++) pthread_sigqueue(pthread_self(), SIGRTMIN + 2, (union sigval){.sival_int = 200 + i});
  MUST(sigqueue(getpid(), SIGRTMIN + 3, (union sigval){.sival_int = 300}));
  pthread_sigqueue(pthread_self(), SIGRTMIN + 3, (union sigval){.sival_int = 301});
  pthread_kill(pthread_self(), SIGHUP);
  sigset_t pending_before, pending_after;
  sigpending(&pending_before);
  ready();
  wait_for_check();
  for (int s = 1; s <= 64; s++) {
    if (s == SIGKILL || s == SIGSTOP || s == 32 || s == 33) continue;
    MUST(syscall(SYS_rt_sigaction, s, NULL, &now, 8));
    CHECK(!memcmp(&now, &actions[s], sizeof now), "action of signal %d: flags %lx mask %llx", s, now.flags,
          (unsigned long long)now.mask);
  }
  MUST(syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &seen, 8));
  CHECK(seen == mask, "mask %llx", (unsigned long long)seen);
  sigpending(&pending_after);
  CHECK(!memcmp(&pending_before, &pending_after, 8), "pending set");
  expect(SIGUSR1, 0, SI_USER, "shared");
  expect(SIGTERM, 0, SI_USER, "shared");
  expect(SIGHUP, 0, SI_TKILL, "private");
  for (int i = 0; i < 5; i++) expect(SIGRTMIN + 1, 100 + i, SI_QUEUE, "shared");
  for (int i = 0; i < 4; i++) expect(SIGRTMIN + 2, 200 + i, SI_QUEUE, "private");
  expect(SIGRTMIN + 3, 301, SI_QUEUE, "private before shared");
  expect(SIGRTMIN + 3, 300, SI_QUEUE, "shared after private");
  sigpending(&pending_after);
  CHECK(sigisemptyset(&pending_after), "signals that nobody sent");
  pass();
}
