// seccomp(2): filters per thread, with and without no_new_privs.
//
//   seccomp DIR filter|threads|log|privileged
#include "jcrtest.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>

// `nr` fails with `error`, everything else is allowed.
static void forbid(int nr, int error, unsigned flags) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  MUST(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program));
}
static int error_of(long nr) { return syscall(nr) == -1 ? errno : 0; }

static int in_thread[2];
static volatile int go;
static void *thread(void *argument) {
  (void)argument;
  forbid(SYS_getsid, 77, 0);
  __atomic_add_fetch(&go, 1, __ATOMIC_SEQ_CST);
  while (go != 2) nap(1);
  in_thread[0] = error_of(SYS_getsid);
  in_thread[1] = error_of(SYS_getppid);
  return NULL;
}

int main(int argc, char **argv) {
  start(argc, argv);
  const char *part = argc > 2 ? argv[2] : "filter";
  int privileged = !strcmp(part, "privileged");
  if (!privileged) MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  forbid(SYS_getppid, 55, !strcmp(part, "log") ? SECCOMP_FILTER_FLAG_LOG : 0);
  pthread_t other;
  int threads = !strcmp(part, "threads");
  if (threads) {
    pthread_create(&other, NULL, thread, NULL);
    while (go != 1) nap(1);
  } else {
    forbid(SYS_sched_yield, 66, 0);
    forbid(SYS_getppid, 56, 0);  // the newest wins among errors
  }
  if (privileged) {
    MUST(chmod(jcr_dir, 0777));
    MUST(setresgid(65534, 65534, 65534));
    MUST(setresuid(65534, 65534, 65534));
  }
  // Those set now are the state to be found later.
  int before = error_of(SYS_getppid), yield = error_of(SYS_sched_yield);
  ready();
  wait_for_check();
  CHECK(error_of(SYS_getppid) == before && before != 0, "getppid: %d, was %d", error_of(SYS_getppid), before);
  CHECK(error_of(SYS_sched_yield) == yield, "sched_yield");
  CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == !privileged, "no_new_privs");
  CHECK(prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 2, "mode");
  if (threads) {
    go = 2;
    pthread_join(other, NULL);
    CHECK(in_thread[0] == 77 && in_thread[1] == 55, "thread: %d %d", in_thread[0], in_thread[1]);
    CHECK(error_of(SYS_getsid) == 0, "the thread's filter is in the leader");
  }
  pass();
}
