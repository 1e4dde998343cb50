// tracer PID WAY: another tracer that has just let a task go. It stops the task where WAY says and detaches there.
//
//   step     after single-stepping 50 instructions
//   entry    at the entry of a system call        exit     at its exit
//   pseudo   at the single-step stop that follows the exit of a call which was stepped over from its entry
//   none     after a call whose number it made -1 at the entry, so that it was not made and x0 is still its argument; it
//            is made again
//   show     only prints what is left: PSTATE.SS, the system call number, the queue of signals
#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

static int pid;

static int next(long request) {
  int status;
  if (ptrace(request, pid, 0, 0) || waitpid(pid, &status, 0) != pid) exit((perror("ptrace"), 1));
  return status >> 8;
}

static void expect(int is, int wanted, const char *where) {
  if (is != wanted) exit((fprintf(stderr, "%s: stop %x, not %x\n", where, is, wanted), 1));
}

static void set(int type, void *data, size_t size) {
  struct iovec v = {data, size};
  if (ptrace(PTRACE_SETREGSET, pid, type, &v)) exit((perror("setregset"), 1));
}

static void get(int type, void *data, size_t size) {
  struct iovec v = {data, size};
  if (ptrace(PTRACE_GETREGSET, pid, type, &v)) exit((perror("getregset"), 1));
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  pid = atoi(argv[1]);
  const char *way = argv[2];
  uint64_t x[34], again[34];
  int number = -1;
  if (ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD)) return perror("seize"), 1;
  int stop = next(PTRACE_INTERRUPT);
  if (!strcmp(way, "show")) {
    get(NT_PRSTATUS, x, sizeof x);
    get(NT_ARM_SYSTEM_CALL, &number, sizeof number);
    struct __ptrace_peeksiginfo_args all = {0, PTRACE_PEEKSIGINFO_SHARED, 8}, own = {0, 0, 8};
    siginfo_t infos[8];
    long shared = ptrace(PTRACE_PEEKSIGINFO, pid, &all, infos), private = ptrace(PTRACE_PEEKSIGINFO, pid, &own, infos);
    printf("stop %x SS %d call %d signals %ld\n", stop, (int)(x[33] >> 21 & 1), number, shared + private);
  } else if (!strcmp(way, "step")) {
    for (int i = 0; i < 50; i++) expect(next(PTRACE_SINGLESTEP), 5, "step");
  } else {
    // At the first stop a call may be about to begin again.
    do {
      expect(next(PTRACE_SYSCALL), 0x85, "entry");
      get(NT_PRSTATUS, x, sizeof x);
    } while (x[7] != 0);
    if (!strcmp(way, "exit")) {
      expect(next(PTRACE_SYSCALL), 0x85, "exit");
    } else if (!strcmp(way, "pseudo")) {
      expect(next(PTRACE_SINGLESTEP), 5, "pseudo step");
    } else if (!strcmp(way, "none")) {
      set(NT_ARM_SYSTEM_CALL, &number, sizeof number);
      expect(next(PTRACE_SYSCALL), 0x85, "exit of no call");
      get(NT_PRSTATUS, again, sizeof again);
      if (again[0] != x[0]) return fprintf(stderr, "x0 %llx\n", (unsigned long long)again[0]), 1;
      ptrace(PTRACE_INTERRUPT, pid, 0, 0);
      next(PTRACE_CONT);
      get(NT_PRSTATUS, again, sizeof again);
      again[0] = x[0], again[32] = x[32] - 4;
      set(NT_PRSTATUS, again, sizeof again);
    } else if (strcmp(way, "entry")) {
      return 2;
    }
  }
  return ptrace(PTRACE_DETACH, pid, 0, 0) ? perror("detach"), 1 : 0;
}
