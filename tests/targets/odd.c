// Processes in states that tracers trip over.
//
//   odd DIR trapblocked|trapignored|traphandled|stoppending|vdso|zombies|zombieleft|strict|chroot|keyring|breakpoint|dispatch
#include "jcrtest.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

static void sync_(void) { ready(), wait_for_check(); }
static volatile int seen, stop_;
static void on_signal(int signal) { seen = signal; }

static int is_pending(int signal) {
  sigset_t set;
  sigpending(&set);
  return sigismember(&set, signal);
}

static void trap(const char *how) {
  struct sigaction act = {.sa_handler = SIG_DFL}, now;
  sigset_t set;
  sigemptyset(&set), sigaddset(&set, SIGTRAP);
  if (!strcmp(how, "trapignored")) act.sa_handler = SIG_IGN;
  else act.sa_handler = on_signal;
  MUST(sigaction(SIGTRAP, &act, NULL));
  if (!strcmp(how, "trapblocked")) sigprocmask(SIG_BLOCK, &set, NULL), kill(getpid(), SIGTRAP);
  sync_();
  MUST(sigaction(SIGTRAP, NULL, &now));
  CHECK(now.sa_handler == act.sa_handler, "the action of SIGTRAP has changed");
  CHECK(!seen, "a SIGTRAP that nobody sent");
  sigset_t mask;
  sigprocmask(SIG_BLOCK, NULL, &mask);
  if (!strcmp(how, "trapblocked")) {
    CHECK(sigismember(&mask, SIGTRAP) && is_pending(SIGTRAP), "not blocked and pending");
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    CHECK(seen == SIGTRAP, "the pending SIGTRAP is lost");
  } else {
    CHECK(!sigismember(&mask, SIGTRAP), "blocked");
    kill(getpid(), SIGTRAP);
    CHECK(seen == (!strcmp(how, "trapignored") ? 0 : SIGTRAP), "SIGTRAP does something else");
  }
}

// SIGTSTP and SIGTTIN wait, blocked; a SIGCONT would take them away.
static void stop_pending(void) {
  sigset_t set;
  sigemptyset(&set), sigaddset(&set, SIGTSTP), sigaddset(&set, SIGTTIN);
  sigprocmask(SIG_BLOCK, &set, NULL);
  kill(getpid(), SIGTSTP);
  pthread_kill(pthread_self(), SIGTTIN);
  CHECK(is_pending(SIGTSTP) && is_pending(SIGTTIN), "set-up");
  sync_();
  CHECK(is_pending(SIGTSTP), "the pending SIGTSTP is lost");
  CHECK(is_pending(SIGTTIN), "the pending SIGTTIN is lost");
  signal(SIGTSTP, on_signal), signal(SIGTTIN, SIG_IGN);
  sigprocmask(SIG_UNBLOCK, &set, NULL);
  CHECK(seen == SIGTSTP, "SIGTSTP");
}

static volatile long calls[8];
static void *in_vdso(void *argument) {
  long n = (long)argument;
  struct timespec now;
  struct timeval day;
  int64_t last = 0;
  while (!stop_) {
    if (n % 3 == 0) clock_gettime(CLOCK_MONOTONIC, &now);
    else if (n % 3 == 1) gettimeofday(&day, NULL), clock_gettime(CLOCK_MONOTONIC, &now);
    else sched_getcpu(), clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t at = now.tv_sec * 1000000000LL + now.tv_nsec;
    if (at < last) fail("the clock went back by %ld ns", (long)(last - at));
    last = at, calls[n]++;
  }
  return NULL;
}
static void vdso(void) {
  pthread_t threads[4];
  for (long i = 0; i < 4; i++) pthread_create(&threads[i], NULL, in_vdso, (void *)i);
  for (int i = 0; i < 4; i++)
    while (!calls[i]) nap(1);
  sync_();
  long before[4];
  for (int i = 0; i < 4; i++) before[i] = calls[i];
  for (int i = 0; i < 4; i++) {
    for (int tries = 0; calls[i] == before[i] && tries < 1000; tries++) nap(10);
    CHECK(calls[i] > before[i], "thread %d does not run", i);
  }
  stop_ = 1;
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
}

static pid_t child(int code, int signal) {
  pid_t pid = MUST(fork());
  if (pid == 0) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    if (signal == 1) setpgid(0, 0);
    if (signal) kill(getpid(), signal), pause();
    _exit(code);
  }
  siginfo_t info;
  MUST(waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
  return pid;
}
static void zombies(int handled) {
  struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
  if (handled) sigaction(SIGCHLD, &act, NULL);
  pid_t a = child(0, 0), b = child(37, 0), c = child(0, SIGKILL), d = child(0, SIGHUP);
  if (handled) CHECK(seen == SIGCHLD, "set-up");
  seen = 0;
  sync_();
  CHECK(!seen, "a SIGCHLD that nobody sent");
  int status;
  CHECK(waitpid(b, &status, WNOHANG) == b && WIFEXITED(status) && WEXITSTATUS(status) == 37, "exit code");
  CHECK(waitpid(-d, &status, WNOHANG) == d && WIFSIGNALED(status) && WTERMSIG(status) == SIGHUP, "group or signal");
  CHECK(waitpid(c, &status, WNOHANG) == c && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "killed");
  CHECK(wait(&status) == a && status == 0, "the last one");
  CHECK(wait(&status) == -1 && errno == ECHILD, "another child");
  pid_t next = child(5, 0);
  CHECK(waitpid(next, &status, 0) == next && WEXITSTATUS(status) == 5, "a new one");
  if (handled) CHECK(seen == SIGCHLD, "no SIGCHLD of a new one");
}

static int ask[2], answer[2];
static volatile int strict_tid;
static void *strictly(void *argument) {
  (void)argument;
  char byte;
  strict_tid = syscall(SYS_gettid);
  if (prctl(PR_SET_SECCOMP, 1)) {
    strict_tid = -1;
    return NULL;
  }
  for (;;) {
    if (syscall(SYS_read, ask[0], &byte, 1) != 1) syscall(SYS_exit, 1);
    byte++;
    if (syscall(SYS_write, answer[1], &byte, 1) != 1) syscall(SYS_exit, 1);
  }
}
static int seccomp_mode(int tid) {
  char path[64], line[256];
  snprintf(path, sizeof path, "/proc/self/task/%d/status", tid);
  FILE *file = fopen(path, "r");
  int mode = -1;
  while (file && fgets(line, sizeof line, file)) sscanf(line, "Seccomp: %d", &mode);
  if (file) fclose(file);
  return mode;
}
static void strict(void) {
  MUST(pipe(ask)), MUST(pipe(answer));
  pthread_t thread;
  pthread_create(&thread, NULL, strictly, NULL);
  while (!strict_tid) nap(1);
  nap(20);
  if (strict_tid < 0 || seccomp_mode(strict_tid) != 1) skip("no strict seccomp mode");
  sync_();
  CHECK(seccomp_mode(strict_tid) == 1, "mode %d", seccomp_mode(strict_tid));
  CHECK(seccomp_mode(getpid()) == 0, "the other thread has it too");
  char byte = 'a';
  CHECK(write(ask[1], &byte, 1) == 1 && read(answer[0], &byte, 1) == 1 && byte == 'b', "no answer");
}

static void jail(void) {
  int outside = MUST(open("/proc/self/status", O_RDONLY));
  if (mkdir(in_dir("below"), 0777) || chroot(jcr_dir)) skip("no right to chroot");
  MUST(chdir("/below"));
  jcr_dir = "";
  sync_();
  char text[64];
  CHECK(getcwd(text, sizeof text) && !strcmp(text, "/below"), "working directory %s", text);
  CHECK(access("/proc", F_OK) == -1 && errno == ENOENT, "the root directory is another");
  CHECK(access("/ready", F_OK) == 0, "the root directory is another");
  CHECK(pread(outside, text, sizeof text, 0) > 10 && !strncmp(text, "Name:", 5), "the file from outside");
}

#ifdef __x86_64__
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/user.h>
static volatile int guarded;
static volatile sig_atomic_t hits;
static void on_hit(int signal) { hits += signal == SIGTRAP; }
// A watchpoint that a debugger has left behind when it detached.
static void breakpoint(void) {
  struct sigaction act = {.sa_handler = on_hit};
  MUST(sigaction(SIGTRAP, &act, NULL));
  prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
  pid_t self = getpid(), child = MUST(fork());
  if (child == 0) {
    int status;
    if (ptrace(PTRACE_SEIZE, self, 0, 0) || ptrace(PTRACE_INTERRUPT, self, 0, 0)) _exit(1);
    waitpid(self, &status, __WALL);
    long failed = ptrace(PTRACE_POKEUSER, self, offsetof(struct user, u_debugreg), &guarded);
    // Writes, four bytes, register 0.
    failed |= ptrace(PTRACE_POKEUSER, self, offsetof(struct user, u_debugreg) + 7 * 8, 1ul | 0xdul << 16);
    ptrace(PTRACE_DETACH, self, 0, 0);
    _exit(failed != 0);
  }
  int status;
  while (waitpid(child, &status, 0) == -1 && errno == EINTR) continue;
  if (status) skip("no debug registers to set");
  guarded = 1;
  CHECK(hits == 1, "set-up: %d hits", (int)hits);
  sync_();
  guarded = 2;
  CHECK(hits == 2, "%d hits", (int)hits);
}
#else
static void breakpoint(void) { skip("an x86_64 test"); }
#endif

// Two threads whose system calls go to a handler: one waits in a call that its selector lets pass, the
// other computes, and would not get a call through.
#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif
static __thread volatile char blocks;
static __thread volatile int dispatched, dispatched_number;
static volatile int computes, other_dispatched, other_number;
static void on_dispatch(int signal, siginfo_t *info, void *context) {
  (void)signal, (void)context;
  blocks = 0;  // the way back from here is a call
  dispatched++, dispatched_number = info->si_syscall;
}
static long a_call(long number) {
  blocks = 1;
  long result = syscall(number);
  blocks = 0;
  return result;
}
static void *computing(void *argument) {
  (void)argument;
  blocks = 0;
  if (prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, 0, 0, &blocks)) fail("syscall user dispatch: %s", strerror(errno));
  blocks = 1;
  while (!stop_) computes++;
  syscall(4712);
  other_dispatched = dispatched, other_number = dispatched_number;
  a_call(4713);
  other_dispatched = other_dispatched == 1 ? dispatched : 0;
  return NULL;
}
static void dispatch(void) {
  struct sigaction act = {.sa_sigaction = on_dispatch, .sa_flags = SA_SIGINFO};
  MUST(sigaction(SIGSYS, &act, NULL));
  if (prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, 0, 0, &blocks)) skip("no syscall user dispatch");
  a_call(4711);
  CHECK(dispatched == 1 && dispatched_number == 4711, "set-up");
  pthread_t thread;
  pthread_create(&thread, NULL, computing, NULL);
  while (!computes) nap(1);
  sync_();
  CHECK(dispatched == 1, "%d calls came to the handler", dispatched);
  a_call(4714);
  CHECK(dispatched == 2 && dispatched_number == 4714, "call %d is not dispatched", dispatched_number);
  int before = computes;
  for (int tries = 0; computes == before && tries < 1000; tries++) nap(10);
  CHECK(computes != before, "the other thread does not run");
  stop_ = 1;
  pthread_join(thread, NULL);
  CHECK(other_dispatched == 2 && other_number == 4712, "%d of the other thread, call %d", other_dispatched, other_number);
}

// A keyring of the process, which no other process can read.
static void keyring(void) {
  long id = syscall(SYS_keyctl, 0 /* KEYCTL_GET_KEYRING_ID */, -2 /* KEY_SPEC_PROCESS_KEYRING */, 1);
  if (id < 0) skip("no keyrings");
  sync_();
  CHECK(syscall(SYS_keyctl, 0, -2, 0) == id, "another keyring");
}

int main(int argc, char **argv) {
  start(argc, argv);
  const char *part = argc > 2 ? argv[2] : "";
  if (!strncmp(part, "trap", 4)) trap(part);
  else if (!strcmp(part, "stoppending")) stop_pending();
  else if (!strcmp(part, "vdso")) vdso();
  else if (!strcmp(part, "zombies")) zombies(1);
  else if (!strcmp(part, "zombieleft")) zombies(0);
  else if (!strcmp(part, "strict")) strict();
  else if (!strcmp(part, "chroot")) jail();
  else if (!strcmp(part, "keyring")) keyring();
  else if (!strcmp(part, "breakpoint")) breakpoint();
  else if (!strcmp(part, "dispatch")) dispatch();
  else fail("no part %s", part);
  pass();
}
