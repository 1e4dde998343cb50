// occupy DIR PID [zombie]: takes a pid, for a child that sleeps or that has ended and is not waited
// for.
#include "jcrtest.h"
#include <linux/sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

int main(int argc, char **argv) {
  start(argc, argv);
  int wanted = atoi(argv[2]), zombie = argc > 3;
  struct clone_args arguments = {.exit_signal = SIGCHLD, .set_tid = (uintptr_t)&wanted, .set_tid_size = 1};
  pid_t child = MUST(syscall(SYS_clone3, &arguments, sizeof arguments));
  if (child == 0) {
    prctl(PR_SET_NAME, "squatter");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (zombie) _exit(0);
    for (;;) pause();
  }
  siginfo_t info;
  if (zombie) MUST(waitid(P_PID, child, &info, WEXITED | WNOWAIT));
  nap(20);
  ready();
  wait_for_check();
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  pass();
}
