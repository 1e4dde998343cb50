// stepper PID COUNT: single-steps a running task that often, and lets it go while it is stepping.
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  int pid = atoi(argv[1]), status;
  if (ptrace(PTRACE_SEIZE, pid, 0, 0) || ptrace(PTRACE_INTERRUPT, pid, 0, 0)) return perror("ptrace"), 1;
  waitpid(pid, &status, 0);
  for (int i = atoi(argv[2]); i > 0; i--) {
    if (ptrace(PTRACE_SINGLESTEP, pid, 0, 0)) return perror("step"), 1;
    waitpid(pid, &status, 0);
    if (status >> 8 != 5) return fprintf(stderr, "status %x\n", status), 1;
  }
  return ptrace(PTRACE_DETACH, pid, 0, 0) ? 1 : 0;
}
