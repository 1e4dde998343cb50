// Processes that cannot be dumped, for the tests of wrong input.
//
//   family DIR zombie      has a child that ended and that it does not wait for
//   family DIR child       has a child that sleeps
//   family DIR traced      traces a process that it started
//   family DIR vfork       a thread of it waits in vfork(2)
//
// Writes the pid of the other process to `other`.
#include "jcrtest.h"
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

static volatile pid_t in_vfork;
static void *forking(void *argument) {
  (void)argument;
  pid_t pid = vfork();
  if (pid == 0) {
    in_vfork = getpid();
    while (access(in_dir("check"), F_OK)) usleep(1000);
    _exit(7);
  }
  int status;
  CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7, "the child ended otherwise");
  pass();
}

int main(int argc, char **argv) {
  start(argc, argv);
  const char *mode = argc > 2 ? argv[2] : "";
  pthread_t thread;
  if (!strcmp(mode, "vfork")) {
    pthread_create(&thread, NULL, forking, NULL);
    while (!in_vfork) nap(1);
    char text[32];
    snprintf(text, sizeof text, "%d\n", (int)in_vfork);
    put_file("other", text);
    ready();
    for (;;) nap(1000);
  }
  pid_t other = MUST(fork());
  if (other == 0) {
    prctl(PR_SET_NAME, mode);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!strcmp(mode, "zombie")) _exit(0);
    for (;;) pause();
  }
  if (!strcmp(mode, "traced")) MUST(ptrace(PTRACE_SEIZE, other, 0, 0));
  siginfo_t info;
  if (!strcmp(mode, "zombie")) MUST(waitid(P_PID, other, &info, WEXITED | WNOWAIT));
  char text[32];
  snprintf(text, sizeof text, "%d\n", (int)other);
  nap(20);
  put_file("other", text);
  ready();
  wait_for_check();
  CHECK(!kill(other, 0), "the other process is gone");
  if (strcmp(mode, "zombie")) CHECK(waitpid(other, NULL, WNOHANG | __WALL) == 0, "the other process ended");
  kill(other, SIGKILL);
  pass();
}
