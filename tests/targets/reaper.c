// reaper COMMAND [ARGUMENT ...]: runs the command and collects every orphan below it at once, so
// that the pid of a dumped process is free again immediately; process 1 of a container may take
// seconds or never do it. Exits as the command did.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  pid_t command = fork();
  if (command == 0) {
    // nohup and background jobs leave signals ignored, which the tests of signals would inherit.
    for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
    execvp(argv[1], argv + 1);
    perror(argv[1]);
    _exit(127);
  }
  signal(SIGINT, SIG_IGN);
  for (;;) {
    int status;
    pid_t ended = waitpid(-1, &status, 0);
    if (ended == command)
      return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (ended < 0 && errno != EINTR) return 1;
  }
}
