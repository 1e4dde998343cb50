// regs PID: one line for every register set that the kernel and CPU have, read in an EVENT_STOP: name, bytes, digest.
//
//   regs PID [BEGIN END]   a task whose pc lies in BEGIN..END (hexadecimal) runs a counting loop: its counters and pc
//                          are left out; exit status 3 when it lies elsewhere
//   regs PID absent        the names of the sets that are not there, on one line
#include <elf.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

static const struct { int type; const char *name; size_t unit; } sets[] = {
    {1, "PRSTATUS", 8}, {2, "PRFPREG", 4}, {0x401, "TLS", 8}, {0x402, "HW_BREAK", 4}, {0x403, "HW_WATCH", 4},
    {0x404, "SYSTEM_CALL", 4}, {0x405, "SVE", 16}, {0x406, "PAC_MASK", 16}, {0x407, "PACA_KEYS", 16},
    {0x408, "PACG_KEYS", 16}, {0x409, "TAGGED_ADDR_CTRL", 8}, {0x40a, "PAC_ENABLED_KEYS", 8}, {0x40b, "SSVE", 16},
    {0x40c, "ZA", 16}, {0x40d, "ZT", 64}, {0x40e, "FPMR", 8}, {0x40f, "POE", 8}, {0x410, "GCS", 8}};

static uint8_t set[131072];

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  int pid = atoi(argv[1]), status;
  int absent = argc == 3;
  uint64_t begin = argc > 3 ? strtoull(argv[2], NULL, 16) : 0, end = argc > 3 ? strtoull(argv[3], NULL, 16) : 0;
  if (ptrace(PTRACE_SEIZE, pid, 0, 0) || ptrace(PTRACE_INTERRUPT, pid, 0, 0)) return perror("ptrace"), 1;
  if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) || status >> 16 != PTRACE_EVENT_STOP)
    return fprintf(stderr, "status %x\n", status), 1;
  int code = 0;
  for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
    struct iovec v = {set, sizeof set};
    memset(set, 0, sizeof set);
    if (ptrace(PTRACE_GETREGSET, pid, sets[i].type, &v)) {
      if (absent) printf("%s ", sets[i].name);
      continue;
    }
    uint32_t size = (uint32_t)v.iov_len;
    if (sets[i].type == 0x405 || sets[i].type == 0x40b || sets[i].type == 0x40c) memcpy(&size, set, 4);
    if (sets[i].type == 1 && begin) {
      uint64_t *x = (uint64_t *)set;
      if (x[32] < begin || x[32] >= end) {
        code = 3;
        break;
      }
      x[16] = x[17] = x[32] = 0;
    }
    uint64_t digest = 0xcbf29ce484222325;
    for (uint32_t n = 0; n < size; n++) digest = (digest ^ set[n]) * 0x100000001b3;
    if (!absent) printf("%s %u %016llx\n", sets[i].name, size, (unsigned long long)digest);
  }
  return ptrace(PTRACE_DETACH, pid, 0, 0) ? perror("detach"), 1 : code;
}
