// A process whose leader thread has ended while four others go on: one computes with registers, one
// sleeps again and again, one waits on a futex for ever, and one takes the signals of the process.
// The zombie that the leader is has a name, a signal mask and a status.
//
//   leaderless DIR         main called pthread_exit(3)
//   leaderless DIR status  it called exit(2) with 7, which its zombie shows
//   leaderless DIR exit    the process ends by exit_group(2) with 23
#include "jcrtest.h"
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>

#define SIZE (64 * WHOLE_PAGE)

static atomic_int done, word, computed, slept;
static atomic_long rounds, sleeps;
static char *memory;
static int fds[2], file;
static pthread_t waiter;
static pid_t pid;
static int status;

typedef struct {
  uint64_t x;
  double d;
} values;

static void next(values *v) {
  for (int i = 0; i < 1000; i++) {
    v->x = mix(v->x);
    v->d = v->d * 0.5 + (double)(v->x & 0xff);
  }
}

// Twice the same, each time from what is in registers.
static void *compute(void *argument) {
  values one = {(uintptr_t)argument, 1}, other = one;
  while (!done) {
    next(&one);
    next(&other);
    CHECK(one.x == other.x && one.d == other.d, "round %ld: the results differ", (long)rounds);
    rounds++;
  }
  computed = 1;
  return NULL;
}

static void *sleeping(void *argument) {
  (void)argument;
  while (!done) {
    int64_t begin = now_ns(CLOCK_MONOTONIC);
    nap(40);
    CHECK(now_ns(CLOCK_MONOTONIC) - begin >= 40000000, "a sleep was short");
    sleeps++;
  }
  slept = 1;
  return NULL;
}

static void *waiting(void *argument) {
  (void)argument;
  while (!done) syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
  return NULL;
}

// The line of a file in /proc/self/task/PID.
static void line_of(const char *name, const char *key, char *into, size_t size) {
  char path[64], text[4096];
  snprintf(path, sizeof path, "/proc/self/task/%d/%s", (int)pid, name);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  CHECK(fd >= 0, "%s: %s", path, strerror(errno));
  ssize_t length = read(fd, text, sizeof text - 1);
  close(fd);
  CHECK(length > 0, "%s is empty", path);
  text[length] = 0;
  char *line = key ? strstr(text, key) : text;
  CHECK(line, "%s has no %s", path, key);
  line += key ? strlen(key) : 0;
  snprintf(into, size, "%.*s", (int)strcspn(line, "\n"), line);
}

static void check_leader(void) {
  char line[800];
  line_of("stat", NULL, line, sizeof line);
  char *state = strrchr(line, ')');
  CHECK(state && state[2] == 'Z', "the leader is no zombie: %s", line);
  // Field 52, which is the last: as wait(2) gives it.
  char *shown = strrchr(line, ' ');
  CHECK(shown && atoi(shown + 1) == status << 8, "the leader's status is %s", shown);
  line_of("comm", NULL, line, sizeof line);
  CHECK(!strcmp(line, "ended (x)"), "the leader's name is %s", line);
  line_of("status", "\nSigBlk:\t", line, sizeof line);
  CHECK(!strcmp(line, "0000000000000200"), "the leader blocks %s", line);
  line_of("status", "\nTracerPid:\t", line, sizeof line);
  CHECK(!strcmp(line, "0"), "the leader is traced by %s", line);
}

static int take(const sigset_t *set, int seconds, int code) {
  struct timespec patience = {seconds, 0};
  siginfo_t info;
  int signal;
  while ((signal = sigtimedwait(set, &info, &patience)) < 0 && errno == EINTR) {
  }
  CHECK(signal < 0 || info.si_code == code, "signal %d has code %d", signal, info.si_code);
  return signal;
}

static void *checking(void *argument) {
  const char *mode = argument;
  sigset_t usr1, usr2;
  sigemptyset(&usr1);
  sigaddset(&usr1, SIGUSR1);
  sigemptyset(&usr2);
  sigaddset(&usr2, SIGUSR2);
  char name[16];
  char line[800];
  do {
    nap(1);
    line_of("stat", NULL, line, sizeof line);
  } while (strrchr(line, ')')[2] != 'Z');
  MUST(prctl(PR_SET_NAME, "goes on"));
  // Waits for the process through the dump.
  CHECK(!kill(getpid(), SIGUSR2), "kill");
  nap(50);
  check_leader();
  ready();
  wait_for_check();
  check_leader();
  MUST(prctl(PR_GET_NAME, name));
  CHECK(!strcmp(name, "goes on"), "the name is %s", name);
  CHECK(personality(0xffffffff) & ADDR_NO_RANDOMIZE, "the personality");
  CHECK(getpid() == pid && syscall(SYS_gettid) != pid, "pid %d", getpid());
  CHECK(take(&usr2, 0, SI_USER) == SIGUSR2, "the signal that waited for the process is gone");
  CHECK(take(&usr2, 0, SI_USER) < 0, "there are two of it");
  CHECK(!kill(pid, SIGUSR1), "kill");
  CHECK(take(&usr1, 20, SI_USER) == SIGUSR1, "a signal of the process did not come");
  CHECK(differs(memory, SIZE, 42) == -1, "memory");
  char text[8] = "";
  CHECK(write(fds[1], "pipe", 4) == 4 && read(fds[0], text, 8) == 4 && !memcmp(text, "pipe", 4), "the pipe");
  CHECK(lseek(file, 0, SEEK_CUR) == 5, "the position of the file");
  CHECK(pread(file, text, 5, 0) == 5 && !memcmp(text, "file\n", 5), "the file");
  long before = rounds, slept_before = sleeps;
  nap(200);
  CHECK(rounds > before, "the thread that computes stands still");
  CHECK(sleeps > slept_before, "the thread that sleeps does not wake up");
  done = 1;
  word = 1;
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1);
  CHECK(!pthread_join(waiter, NULL), "join of the thread that waits");
  while (!computed || !slept) nap(1);
  pthread_t one;
  CHECK(!pthread_create(&one, NULL, waiting, NULL) && !pthread_join(one, NULL), "a new thread");
  if (!strcmp(mode, "exit")) {
    put_file("result", "PASS");
    syscall(SYS_exit_group, 23);
  }
  pass();
}

int main(int argc, char **argv) {
  start(argc, argv);
  pid = getpid();
  // Without it nobody can take over descriptors of a process whose leader has ended: PIDFD_THREAD.
  int pidfd = (int)syscall(SYS_pidfd_open, pid, O_EXCL);
  if (pidfd < 0) skip("this kernel has no pidfds of threads");
  close(pidfd);
  memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(memory != MAP_FAILED, "mmap");
  fill(memory, SIZE, 42);
  // Of each thread for itself, from the one that makes it.
  MUST(personality(personality(0xffffffff) | ADDR_NO_RANDOMIZE));
  MUST(pipe2(fds, O_CLOEXEC));
  file = MUST(open(in_dir("data"), O_RDWR | O_CREAT | O_TRUNC, 0600));
  CHECK(write(file, "file\n", 5) == 5, "write");
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  pthread_t thread;
  const char *mode = argc > 2 ? argv[2] : "";
  status = strcmp(mode, "status") ? 0 : 7;
  CHECK(!pthread_create(&thread, NULL, compute, (void *)4711), "pthread_create");
  CHECK(!pthread_create(&thread, NULL, sleeping, NULL), "pthread_create");
  CHECK(!pthread_create(&waiter, NULL, waiting, NULL), "pthread_create");
  CHECK(!pthread_create(&thread, NULL, checking, (void *)mode), "pthread_create");
  MUST(prctl(PR_SET_NAME, "ended (x)"));
  sigdelset(&set, SIGUSR2);
  pthread_sigmask(SIG_SETMASK, &set, NULL);
  if (!status) pthread_exit(NULL);
  syscall(SYS_exit, status);
}
