// naive PID: what a textbook tracer does. It takes the registers at a syscall-entry stop, lets the call run to its exit,
// and puts the registers back when the task is no longer in a syscall-stop, with the pc at the call again. The kernel
// showed it a false x7.
#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

static int pid;
static int next(long request) {
  int status;
  if (ptrace(request, pid, 0, 0) || waitpid(pid, &status, 0) != pid) exit((perror("ptrace"), 1));
  return status >> 8;
}

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  pid = atoi(argv[1]);
  if (ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD)) return perror("seize"), 1;
  next(PTRACE_INTERRUPT);
  uint64_t saved[34], now[34];
  struct iovec v = {saved, sizeof saved};
  // x7 shows 0 at the entry and 1 at the exit; the target's other call has nothing live in x7.
  do {
    if (next(PTRACE_SYSCALL) != 0x85) return fprintf(stderr, "no syscall-stop\n"), 1;
    ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &v);
  } while (saved[7] != 0 || saved[8] != SYS_getppid);
  if (next(PTRACE_SYSCALL) != 0x85) return fprintf(stderr, "no exit-stop\n"), 1;
  struct iovec w = {now, sizeof now};
  ptrace(PTRACE_INTERRUPT, pid, 0, 0);
  next(PTRACE_CONT);
  ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &w);
  saved[32] -= 4;
  if (ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &v)) return perror("setregset"), 1;
  printf("x7 at the syscall-entry stop %llx, at the EVENT_STOP after it %llx, put back %llx\n",
         (unsigned long long)saved[7], (unsigned long long)now[7], (unsigned long long)saved[7]);
  return ptrace(PTRACE_DETACH, pid, 0, 0) ? 1 : 0;
}
