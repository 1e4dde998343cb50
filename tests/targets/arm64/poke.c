// poke PID WHAT: flips one bit of a register of a running thread, so that the tests can show that the register targets
// notice. WHAT: x7 x23 tpidr_el0 tpidr2_el0 fpsr v z p ffr za zt0 fpmr
#include <elf.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

static uint8_t set[131072];

// The byte to flip, or -1; Z, P and FFR lie where the header's vector length says.
static long place(const char *what, int *type) {
  static const struct { const char *what; int type; long at; } fixed[] = {
      {"x7", 1, 8 * 7 + 5}, {"x23", 1, 8 * 23}, {"tpidr_el0", 0x401, 2}, {"tpidr2_el0", 0x401, 8}, {"fpsr", 2, 512},
      {"v", 2, 16 * 9 + 3}, {"za", 0x40c, 16 + 17}, {"zt0", 0x40d, 9}, {"fpmr", 0x40e, 0}};
  for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
    if (strcmp(what, fixed[i].what)) continue;
    *type = fixed[i].type;
    return fixed[i].at;
  }
  *type = 0x405;
  if (!strcmp(what, "z")) return -2;
  if (!strcmp(what, "p")) return -3;
  if (!strcmp(what, "ffr")) return -4;
  return -1;
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  int pid = atoi(argv[1]), status, type = 0;
  long at = place(argv[2], &type);
  if (at == -1) return 2;
  if (ptrace(PTRACE_SEIZE, pid, 0, 0) || ptrace(PTRACE_INTERRUPT, pid, 0, 0)) return perror("ptrace"), 1;
  waitpid(pid, &status, 0);
  struct iovec v = {set, sizeof set};
  if (ptrace(PTRACE_GETREGSET, pid, type, &v)) return perror("getregset"), 1;
  if (type == 0x405 || type == 0x40c) {
    uint32_t size;
    uint16_t vl;
    memcpy(&size, set, 4);
    memcpy(&vl, set + 8, 2);
    v.iov_len = size;
    if (at == -2) at = 16 + 14 * vl + vl - 1;
    if (at == -3) at = 16 + 32 * vl + 3 * vl / 8;
    if (at == -4) at = 16 + 34 * vl;
    if (at >= (long)size) return fprintf(stderr, "not live\n"), 3;
  }
  set[at] ^= 1;
  if (ptrace(PTRACE_SETREGSET, pid, type, &v)) return perror("setregset"), 1;
  return ptrace(PTRACE_DETACH, pid, 0, 0) ? 1 : 0;
}
