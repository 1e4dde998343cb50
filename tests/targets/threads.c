// Many threads, each with its own of everything the kernel and libc keep per thread: tid, name, TLS,
// personality, signal mask, alternate stack, queued private signals, a robust mutex, a stack full of data.
//
//   threads DIR [COUNT]
#include "jcrtest.h"
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/personality.h>
#include <stdatomic.h>
#include <sys/prctl.h>

#define MAX 2000
static atomic_int started, checking, finished;
static __thread uint64_t local = 1;
static __thread char local_text[32];
static pthread_mutex_t robust[MAX], inherit, error_checking;
static pid_t tids[MAX];
static pthread_t threads[MAX];

static uint64_t mask_of(int i) { return (mix(i) & 0x3fffffff00000000) | 1ull << (SIGUSR1 - 1) | 1ull << (SIGUSR2 - 1); }

static void *body(void *argument) {
  int i = (int)(intptr_t)argument;
  pid_t tid = (pid_t)syscall(SYS_gettid);
  pthread_t self = pthread_self();
  tids[i] = tid;
  local = mix(i);
  snprintf(local_text, sizeof local_text, "thread %d", i);
  int kind = SHORT_INODE | (i % 3 == 2 ? ADDR_NO_RANDOMIZE : 0), kill = i % 3 == 1 ? PR_MCE_KILL_EARLY : PR_MCE_KILL_LATE;
  if (i % 3 == 2) MUST(personality(kind));  // of its own; the others have that of the one that made them
  if (i % 3 == 1) MUST(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, kill, 0, 0));
  char name[16];
  snprintf(name, sizeof name, "t%d (x) %d", i, i);
  MUST(prctl(PR_SET_NAME, name));
  uint64_t mask = mask_of(i) | 1ull << (SIGRTMAX - 3 - 1), now;
  MUST(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8));
  stack_t alternate = {.ss_sp = malloc(16384 + 64 * (i % 7)), .ss_size = 16384 + 64 * (i % 7)}, seen;
  MUST(sigaltstack(&alternate, NULL));
  char on_stack[8192];
  fill(on_stack, sizeof on_stack, i);
  pthread_mutex_lock(&robust[i]);
  for (int n = 0; n <= i % 3; n++) {
    union sigval value = {.sival_int = 1000 * i + n};
    CHECK(!pthread_sigqueue(self, n == 2 ? SIGUSR2 : SIGRTMAX - 3, value), "sigqueue");
  }
  started++;
  while (!checking) {
    if (i % 2) nap(5);
    else syscall(SYS_futex, &checking, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
  }
  CHECK(syscall(SYS_gettid) == tid, "thread %d: tid %ld", i, syscall(SYS_gettid));
  CHECK(pthread_self() == self, "thread %d: fs base", i);
  CHECK(personality(0xffffffff) == kind, "thread %d: personality %x", i, personality(0xffffffff));
  CHECK(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0) == kill, "thread %d: machine check kill", i);
  CHECK(local == mix(i), "thread %d: TLS", i);
  char text[32];
  snprintf(text, sizeof text, "thread %d", i);
  CHECK(!strcmp(text, local_text), "thread %d: TLS text %s", i, local_text);
  MUST(prctl(PR_GET_NAME, text));
  CHECK(!strcmp(text, name), "thread %d: name %s", i, text);
  MUST(syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &now, 8));
  CHECK(now == mask, "thread %d: mask %llx", i, (unsigned long long)now);
  MUST(sigaltstack(NULL, &seen));
  CHECK(seen.ss_sp == alternate.ss_sp && seen.ss_size == alternate.ss_size && !seen.ss_flags,
        "thread %d: alternate stack", i);
  CHECK(differs(on_stack, sizeof on_stack, i) == -1, "thread %d: stack", i);
  struct timespec zero = {0, 0};
  for (int n = 0; n <= i % 3; n++) {
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, n == 2 ? SIGUSR2 : SIGRTMAX - 3);
    siginfo_t info;
    int signal = sigtimedwait(&one, &info, &zero);
    CHECK(signal > 0, "thread %d: queued signal %d is missing", i, n);
    CHECK(info.si_value.sival_int == 1000 * i + n && info.si_code == SI_QUEUE && info.si_pid == getpid(),
          "thread %d: siginfo %d, code %d", i, info.si_value.sival_int, info.si_code);
  }
  finished++;
  return NULL;  // with its robust mutex held
}

static void *waits_for_owner(void *argument) {
  (void)argument;
  tids[MAX - 1] = (pid_t)syscall(SYS_gettid);
  pthread_mutex_lock(&inherit);
  pthread_mutex_unlock(&inherit);
  return NULL;
}

int main(int argc, char **argv) {
  start(argc, argv);
  MUST(personality(SHORT_INODE));  // which each thread has from the one that made it
  MUST(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_LATE, 0, 0));
  int count = argc > 2 ? atoi(argv[2]) : 60;
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  for (int i = 0; i < count; i++) pthread_mutex_init(&robust[i], &attributes);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_STALLED);
  pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
  pthread_mutex_init(&inherit, &attributes);
  pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_NONE);
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
  pthread_mutex_init(&error_checking, &attributes);
  pthread_mutex_lock(&inherit);
  pthread_mutex_lock(&error_checking);
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 65536);
  pthread_t waiter;
  CHECK(!pthread_create(&waiter, &small, waits_for_owner, NULL), "pthread_create");
  for (int i = 0; i < count; i++)
    CHECK(!pthread_create(&threads[i], &small, body, (void *)(intptr_t)i), "pthread_create %d", i);
  while (started < count || !tids[MAX - 1]) nap(1);
  local = 4711;
  nap(20);
  ready();
  wait_for_check();
  CHECK(local == 4711, "TLS of the main thread");
  CHECK(pthread_mutex_lock(&error_checking) == EDEADLK, "owner of a mutex");
  CHECK(!pthread_mutex_unlock(&error_checking), "unlock");
  CHECK(!pthread_mutex_unlock(&inherit), "unlock of a priority-inheriting mutex");
  CHECK(!pthread_join(waiter, NULL), "join of the waiter");
  checking = 1;
  syscall(SYS_futex, &checking, FUTEX_WAKE_PRIVATE, count);
  for (int i = 0; i < count; i++) CHECK(!pthread_join(threads[i], NULL), "join %d", i);
  CHECK(finished == count, "%d of %d finished", finished, count);
  for (int i = 0; i < count; i++) {
    int error = pthread_mutex_lock(&robust[i]);
    CHECK(error == EOWNERDEAD, "robust mutex %d: %s", i, strerror(error));
  }
  pthread_t one;
  CHECK(!pthread_create(&one, &small, waits_for_owner, NULL) && !pthread_join(one, NULL), "a new thread");
  pass();
}
