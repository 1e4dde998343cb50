// Dumped while a handler runs on the alternate stack, over code that has live vector registers.
#include "jcrtest.h"
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

static char *alternate;
static volatile int depth;
static volatile uint64_t seen_xmm;

static void inner(int number) {
  (void)number;
  depth++;
  ready();
  wait_for_check();
  stack_t now;
  sigaltstack(NULL, &now);
  CHECK(now.ss_flags == SS_ONSTACK && now.ss_sp == alternate, "flags %x", now.ss_flags);
  char here;
  CHECK(&here > alternate && &here < alternate + 65536, "not on the alternate stack");
}

static void outer(int number, siginfo_t *info, void *context) {
  (void)context;
  depth++;
  raise(SIGUSR2);
  CHECK(number == SIGUSR1 && info->si_signo == SIGUSR1 && info->si_code == SI_TKILL, "siginfo");
}

int main(int argc, char **argv) {
  start(argc, argv);
  alternate = MUST(mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  MUST(sigaltstack(&(stack_t){.ss_sp = alternate, .ss_size = 65536}, NULL));
  struct sigaction action = {.sa_sigaction = outer, .sa_flags = SA_ONSTACK | SA_SIGINFO};
  sigaddset(&action.sa_mask, SIGTERM);
  MUST(sigaction(SIGUSR1, &action, NULL));
  MUST(sigaction(SIGUSR2, &(struct sigaction){.sa_handler = inner, .sa_flags = SA_ONSTACK}, NULL));
  uint64_t in[4], out[4], rbx = mix(1), r15 = mix(2), rbx_out, r15_out;
  fill(in, sizeof in, 5);
  long number = SYS_tgkill;
  asm volatile(
      "vmovdqu %[in], %%ymm13\n mov %[rbx], %%rbx\n mov %[r15], %%r15\n syscall\n"
      "vmovdqu %%ymm13, %[out]\n mov %%rbx, %[rbx_out]\n mov %%r15, %[r15_out]\n"
      : "+a"(number), [out] "=m"(out), [rbx_out] "=m"(rbx_out), [r15_out] "=m"(r15_out)
      : "D"((long)getpid()), "S"((long)getpid()), "d"((long)SIGUSR1), [in] "m"(in), [rbx] "m"(rbx), [r15] "m"(r15)
      : "rbx", "r15", "rcx", "r11", "memory", "xmm13");
  CHECK(depth == 2, "depth %d", depth);
  CHECK(number == 0, "tgkill %ld", number);
  CHECK(!memcmp(in, out, sizeof in), "ymm13 after the handler");
  CHECK(rbx_out == rbx && r15_out == r15, "general registers after the handler");
  sigset_t mask;
  sigprocmask(SIG_SETMASK, NULL, &mask);
  CHECK(sigisemptyset(&mask), "mask after the handlers");
  stack_t now;
  sigaltstack(NULL, &now);
  CHECK(now.ss_flags == 0, "flags %x", now.ss_flags);
  pass();
}
