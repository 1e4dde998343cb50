// poke PID WHAT: flips one bit of a register of a running thread, so that the tests can show that
// the register targets notice. WHAT: rbx r15 fs_base mxcsr x87 xmm ymm
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <elf.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  int pid = atoi(argv[1]), status;
  const char *what = argv[2];
  if (ptrace(PTRACE_SEIZE, pid, 0, 0) || ptrace(PTRACE_INTERRUPT, pid, 0, 0)) return perror("ptrace"), 1;
  waitpid(pid, &status, 0);
  struct user_regs_struct regs;
  static uint8_t xsave[65536];
  struct iovec v = {xsave, sizeof xsave};
  ptrace(PTRACE_GETREGS, pid, 0, &regs);
  ptrace(PTRACE_GETREGSET, pid, NT_X86_XSTATE, &v);
  int vector = -1;
  if (!strcmp(what, "rbx")) regs.rbx ^= 1ull << 40;
  else if (!strcmp(what, "r15")) regs.r15 ^= 1;
  else if (!strcmp(what, "fs_base")) regs.fs_base ^= 1ull << 20;
  else if (!strcmp(what, "mxcsr")) vector = 24;
  else if (!strcmp(what, "x87")) vector = 33;
  else if (!strcmp(what, "xmm")) vector = 160 + 16 * 9 + 3;
  else if (!strcmp(what, "ymm")) vector = 576 + 16 * 14 + 5;
  else return 2;
  if (vector >= 0) {
    xsave[vector] ^= 1;
    if (ptrace(PTRACE_SETREGSET, pid, NT_X86_XSTATE, &v)) return perror("setregset"), 1;
  } else if (ptrace(PTRACE_SETREGS, pid, 0, &regs)) {
    return perror("setregs"), 1;
  }
  return ptrace(PTRACE_DETACH, pid, 0, 0) ? 1 : 0;
}
