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
  uint64_t in[4], out[4], a = mix(1), b = mix(2), a_out, b_out;
  fill(in, sizeof in, 5);
  memset(out, 0, sizeof out);
#ifdef __aarch64__
  register long x0 asm("x0") = getpid(), x1 asm("x1") = getpid(), x2 asm("x2") = SIGUSR1, x8 asm("x8") = SYS_tgkill;
  asm volatile(
      "ldp q13, q14, [%[in]]\n mov x7, %[a]\n mov x23, %[b]\n svc #0\n"
      "stp q13, q14, [%[out]]\n mov %[a_out], x7\n mov %[b_out], x23\n"
      : "+r"(x0), [a_out] "=&r"(a_out), [b_out] "=&r"(b_out)
      : "r"(x1), "r"(x2), "r"(x8), [in] "r"(in), [out] "r"(out), [a] "r"(a), [b] "r"(b)
      : "x7", "x23", "memory", "v13", "v14");
  long number = x0;
#else
  long number = SYS_tgkill;
  asm volatile(
      "vmovdqu %[in], %%ymm13\n mov %[a], %%rbx\n mov %[b], %%r15\n syscall\n"
      "vmovdqu %%ymm13, %[out]\n mov %%rbx, %[a_out]\n mov %%r15, %[b_out]\n"
      : "+a"(number), [out] "=m"(out), [a_out] "=m"(a_out), [b_out] "=m"(b_out)
      : "D"((long)getpid()), "S"((long)getpid()), "d"((long)SIGUSR1), [in] "m"(in), [a] "m"(a), [b] "m"(b)
      : "rbx", "r15", "rcx", "r11", "memory", "xmm13");
#endif
  CHECK(depth == 2, "depth %d", depth);
  CHECK(number == 0, "tgkill %ld", number);
  CHECK(!memcmp(in, out, sizeof in), "vector registers after the handler");
  CHECK(a_out == a && b_out == b, "general registers after the handler");
  sigset_t mask;
  sigprocmask(SIG_SETMASK, NULL, &mask);
  CHECK(sigisemptyset(&mask), "mask after the handlers");
  stack_t now;
  sigaltstack(NULL, &now);
  CHECK(now.ss_flags == 0, "flags %x", now.ss_flags);
  pass();
}
