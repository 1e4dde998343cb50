// Who the process is and how it is treated: credentials, limits, file-system context, scheduling,
// prctl settings. Takes a snapshot of all of it as text and compares it at the end.
//
//   identity DIR root|user
#include "jcrtest.h"
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <pthread.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static char first[65536], second[65536];
static char *out;
static size_t left;
static void note(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int n = vsnprintf(out, left, format, arguments);
  va_end(arguments);
  out += n, left -= n;
}
static void file(const char *path, const char *only) {
  FILE *f = fopen(path, "r");
  char line[4096];
  if (!f) return note("%s: %s\n", path, strerror(errno));
  while (fgets(line, sizeof line, f))
    if (!only || !strncmp(line, only, strlen(only))) note("%s: %s", path, line);
  note("\n");
  fclose(f);
}
static void snapshot(char *to) {
  out = to, left = 65536;
  uid_t r, e, s;
  gid_t g[100];
  getresuid(&r, &e, &s), note("uids %d %d %d\n", r, e, s);
  getresgid(&r, &e, &s), note("gids %d %d %d\n", r, e, s);
  int n = getgroups(100, g);
  for (int i = 0; i < n; i++) note("group %d\n", g[i]);
  note("pid %d ppid? pgid %d sid %d\n", getpid(), getpgid(0), getsid(0));
  for (int i = 0; i < RLIMIT_NLIMITS; i++) {
    struct rlimit l;
    getrlimit(i, &l);
    note("limit %d %lx %lx\n", i, (long)l.rlim_cur, (long)l.rlim_max);
  }
  mode_t mask = umask(0);
  umask(mask);
  char cwd[4096];
  note("umask %o cwd %s\n", mask, getcwd(cwd, sizeof cwd));
  note("nice %d\n", getpriority(PRIO_PROCESS, 0));
  cpu_set_t cpus;
  sched_getaffinity(0, sizeof cpus, &cpus);
  for (int i = 0; i < 64; i++) note("%d", CPU_ISSET(i, &cpus));
  struct sched_param p;
  sched_getparam(0, &p);
  note("\npolicy %d priority %d\n", sched_getscheduler(0), p.sched_priority);
  struct { uint32_t size, policy; uint64_t flags; int32_t nice; uint32_t priority; uint64_t r, d, p; } a = {.size = 48};
  syscall(SYS_sched_getattr, 0, &a, 48, 0);
  note("attr %u %llx %d %u\n", a.policy, (unsigned long long)a.flags, a.nice, a.priority);
  note("ioprio %lx\n", syscall(SYS_ioprio_get, 1, 0));
  note("personality %x\n", personality(0xffffffff));
  int v;
  unsigned long u;
  prctl(PR_GET_PDEATHSIG, &v), note("pdeathsig %d\n", v);
  note("dumpable %d\n", prctl(PR_GET_DUMPABLE));
  note("keepcaps %d\n", prctl(PR_GET_KEEPCAPS));
  note("securebits %x\n", prctl(PR_GET_SECUREBITS));
  note("no_new_privs %d\n", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  note("timerslack %d\n", prctl(PR_GET_TIMERSLACK));
  note("thp %d\n", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
  prctl(PR_GET_CHILD_SUBREAPER, &v), note("subreaper %d\n", v);
  note("mce %d\n", prctl(PR_MCE_KILL_GET, 0, 0, 0, 0));
  note("io_flusher %d\n", prctl(58, 0, 0, 0, 0));
  note("mdwe %d\n", prctl(66, 0, 0, 0, 0));
  note("seccomp %d\n", prctl(PR_GET_SECCOMP));
  prctl(PR_GET_TSC, &v), note("tsc %d\n", v);
  note("ksm %d\n", prctl(68, 0, 0, 0, 0));
  (void)u;
  struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct d[2] = {{0, 0, 0}, {0, 0, 0}};
  syscall(SYS_capget, &h, d);
  note("caps %x %x %x %x %x %x\n", d[0].effective, d[0].permitted, d[0].inheritable, d[1].effective, d[1].permitted, d[1].inheritable);
  for (int i = 0; i < 41; i++) note("%d%d ", prctl(PR_CAPBSET_READ, i, 0, 0, 0), prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, i, 0, 0));
  char name[32];
  prctl(PR_GET_NAME, name), note("\nname %s\n", name);
  file("/proc/self/oom_score_adj", NULL);
  file("/proc/self/coredump_filter", NULL);
  file("/proc/self/timerslack_ns", NULL);
  file("/proc/self/status", "Cpus_allowed:");
  file("/proc/self/status", "Speculation");
  file("/proc/self/status", "x86_Thread");
}

static atomic_int thread_ready, thread_check;
static void *other(void *argument) {
  (void)argument;
  // A thread that differs from its process: scheduling, slack, death signal, name.
  struct sched_param p = {.sched_priority = 0};
  sched_setscheduler(0, SCHED_IDLE, &p);
  prctl(PR_SET_TIMERSLACK, 777777);
  prctl(PR_SET_NAME, "odd one");
  cpu_set_t cpus;
  sched_getaffinity(0, sizeof cpus, &cpus);
  for (int i = 63; i >= 0; i--)
    if (CPU_ISSET(i, &cpus)) { CPU_ZERO(&cpus); CPU_SET(i, &cpus); break; }
  sched_setaffinity(0, sizeof cpus, &cpus);
  thread_ready = 1;
  while (!thread_check) nap(5);
  cpu_set_t now;
  sched_getaffinity(0, sizeof now, &now);
  CHECK(CPU_EQUAL(&now, &cpus), "affinity of a thread");
  CHECK(sched_getscheduler(0) == SCHED_IDLE, "policy of a thread: %d", sched_getscheduler(0));
  CHECK(prctl(PR_GET_TIMERSLACK) == 777777, "slack of a thread: %d", prctl(PR_GET_TIMERSLACK));
  return NULL;
}

int main(int argc, char **argv) {
  start(argc, argv);
  int user = argc > 2 && !strcmp(argv[2], "user");
  if (geteuid()) skip("needs root");
  MUST(chmod(jcr_dir, 0777));
  MUST(mkdir(in_dir("work"), 0777));
  MUST(chdir(in_dir("work")));
  umask(0137);
  for (int i = 0; i < RLIMIT_NLIMITS; i++) {
    struct rlimit l;
    getrlimit(i, &l);
    if (i == RLIMIT_NOFILE) l.rlim_cur = 777, l.rlim_max = 888;
    if (i == RLIMIT_CORE) l.rlim_cur = 4096;
    if (i == RLIMIT_NPROC) l.rlim_cur = 5000;
    if (i == RLIMIT_MSGQUEUE) l.rlim_cur = 12345, l.rlim_max = 23456;
    if (i == RLIMIT_STACK) l.rlim_cur = 4 << 20;
    MUST(setrlimit(i, &l));
  }
  MUST(setpriority(PRIO_PROCESS, 0, 7));
  MUST(sched_setscheduler(0, SCHED_BATCH | SCHED_RESET_ON_FORK, &(struct sched_param){0}));
  MUST(setpriority(PRIO_PROCESS, 0, 7));
  MUST(syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 6));
  cpu_set_t cpus;
  sched_getaffinity(0, sizeof cpus, &cpus);
  for (int i = 0; i < 64; i++)
    if (CPU_ISSET(i, &cpus)) { CPU_ZERO(&cpus); CPU_SET(i, &cpus); break; }
  pthread_t thread;
  CHECK(!pthread_create(&thread, NULL, other, NULL), "thread");
  MUST(sched_setaffinity(0, sizeof cpus, &cpus));
  int fd = MUST(open("/proc/self/oom_score_adj", O_WRONLY));
  MUST(write(fd, "345", 3));
  close(fd);
  fd = MUST(open("/proc/self/coredump_filter", O_WRONLY));
  MUST(write(fd, "0x7b", 4));
  close(fd);
  MUST(prctl(PR_SET_TIMERSLACK, 123456));
  MUST(prctl(PR_SET_NAME, "a) R (b\n\x01\xfe"));
  MUST(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
  MUST(prctl(PR_SET_CHILD_SUBREAPER, 1));
  MUST(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0));
  MUST(personality(personality(0xffffffff) | ADDR_NO_RANDOMIZE));
  while (!thread_ready) nap(1);
  if (user) {
    gid_t groups[] = {5, 44, 70000};
    MUST(prctl(PR_SET_SECUREBITS, SECBIT_KEEP_CAPS | SECBIT_NO_SETUID_FIXUP));
    MUST(prctl(PR_CAPBSET_DROP, CAP_SYS_MODULE, 0, 0, 0));
    MUST(setgroups(3, groups));
    MUST(setresgid(70001, 70002, 70003));
    MUST(setresuid(70011, 70012, 70013));
    struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
    uint32_t some = 1 << CAP_NET_BIND_SERVICE | 1 << CAP_CHOWN | 1 << CAP_KILL;
    struct __user_cap_data_struct d[2] = {{1 << CAP_KILL, some, 1 << CAP_NET_BIND_SERVICE}, {0, 0, 0}};
    MUST(syscall(SYS_capset, &h, d));
    MUST(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0));
    MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    MUST(prctl(PR_SET_PDEATHSIG, SIGWINCH));  // after the uids: a change of them clears it
    MUST(prctl(PR_SET_DUMPABLE, 1));
  } else {
    MUST(prctl(PR_SET_PDEATHSIG, SIGURG));
    prctl(57, 1, 0, 0, 0);  // PR_SET_IO_FLUSHER, where CAP_SYS_RESOURCE is there
  }
  snapshot(first);
  ready();
  wait_for_check();
  snapshot(second);
  if (strcmp(first, second)) {
    char *a = first, *b = second;
    for (;;) {
      size_t m = strcspn(a, "\n"), n = strcspn(b, "\n");
      CHECK(m == n && !strncmp(a, b, m), "was \"%.*s\", is \"%.*s\"", (int)m, a, (int)n, b);
      a += m + 1, b += n + 1;
    }
  }
  thread_check = 1;
  pthread_join(thread, NULL);
  pass();
}
