// A restartable sequence: glibc's registration still works, and a critical section that a dump hits
// is aborted. The section reads the time stamp counter without pause; a big step between two readings
// means that the thread did not run, and then the kernel must have aborted it.
#include "jcrtest.h"
#include <pthread.h>
#include <signal.h>
#include <sched.h>
#include <sys/rseq.h>

extern const ptrdiff_t __rseq_offset;
extern const unsigned int __rseq_size;

static struct rseq *registered(void) { return (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset); }

__attribute__((used)) volatile int stop;  // named by the assembler

static uint64_t ticks(void) {
#ifdef __aarch64__
  uint64_t now;
  asm volatile("mrs %0, cntvct_el0" : "=r"(now));
  return now;
#else
  return __builtin_ia32_rdtsc();
#endif
}

// Runs the section until it is aborted or `stop`; returns the largest step of the counter in it.
static uint64_t section(struct rseq *rs, int *aborted) {
  uint64_t largest = 0;
  *aborted = 0;
#ifdef __aarch64__
  asm volatile goto(
      ".pushsection __rseq_cs, \"aw\"\n.balign 32\n7: .long 0, 0\n.quad 1f, 2f - 1f, 4f\n.popsection\n"
      "adrp x9, 7b\n add x9, x9, :lo12:7b\n str x9, [%[rs], 8]\n"
      "adrp x13, stop\n add x13, x13, :lo12:stop\n"
      "mrs x10, cntvct_el0\n"
      "1: mrs x9, cntvct_el0\n sub x11, x9, x10\n mov x10, x9\n"
      "ldr x12, [%[largest]]\n cmp x11, x12\n b.ls 3f\n str x11, [%[largest]]\n"
      "3: ldr w12, [x13]\n cbz w12, 1b\n"
      "2: b 5f\n"
      ".inst 0xd428bc00\n4: b %l[was_aborted]\n"
      "5:\n"
      :
      : [rs] "r"(rs), [largest] "r"(&largest)
      : "x9", "x10", "x11", "x12", "x13", "memory", "cc"
      : was_aborted);
#else
  asm volatile goto(
      ".pushsection __rseq_cs, \"aw\"\n.balign 32\n7: .long 0, 0\n.quad 1f, 2f - 1f, 4f\n.popsection\n"
      "lea 7b(%%rip), %%rax\n mov %%rax, 8(%[rs])\n"
      "rdtsc\n shl $32, %%rdx\n or %%rdx, %%rax\n mov %%rax, %%r8\n"
      "1: rdtsc\n shl $32, %%rdx\n or %%rdx, %%rax\n"
      "mov %%rax, %%r9\n sub %%r8, %%r9\n mov %%rax, %%r8\n"
      "cmp (%[largest]), %%r9\n jbe 3f\n mov %%r9, (%[largest])\n"
      "3: cmpl $0, stop(%%rip)\n je 1b\n"
      "2: jmp 5f\n"
      ".byte 0x0f, 0xb9, 0x3d\n.long 0x53053053\n4: jmp %l[was_aborted]\n"
      "5:\n"
      :
      : [rs] "r"(rs), [largest] "r"(&largest)
      : "rax", "rdx", "r8", "r9", "memory", "cc"
      : was_aborted);
#endif
  return largest;
was_aborted:
  *aborted = 1;
  return largest;
}

static uint64_t aborts, worst, worst_allowed;
static void *work(void *argument) {
  (void)argument;
  struct rseq *rs = registered();
  while (!stop) {
    int aborted;
    uint64_t step = section(rs, &aborted);
    __atomic_fetch_add(&aborts, aborted, __ATOMIC_RELAXED);
    if (step > worst) worst = step;
  }
  return NULL;
}

static void nothing(int n) { (void)n; }

int main(int argc, char **argv) {
  start(argc, argv);
  signal(SIGUSR2, nothing);
  if (!__rseq_size || (int32_t)registered()->cpu_id < 0) skip("libc registers no rseq area");
  int64_t t = now_ns(CLOCK_MONOTONIC);
  uint64_t c = ticks();
  nap(50);
  // 80 ms: no interrupt handler takes that long, every dump and restore by command line does.
  worst_allowed = (ticks() - c) * 80000000 / (now_ns(CLOCK_MONOTONIC) - t);
  pthread_t thread;
  pthread_create(&thread, NULL, work, NULL);
  nap(20);
  ready();
  wait_for_check();
  // A signal aborts the section that it comes into; nothing else need happen on an idle machine.
  uint64_t before = __atomic_load_n(&aborts, __ATOMIC_RELAXED);
  for (int i = 0; i < 5000 && __atomic_load_n(&aborts, __ATOMIC_RELAXED) == before; i++) {
    pthread_kill(thread, SIGUSR2);
    nap(1);
  }
  stop = 1;
  pthread_join(thread, NULL);
  CHECK(aborts > before, "nothing is aborted");
  CHECK(worst < worst_allowed, "a section survived a pause of %llu cycles (%llu allowed)",
        (unsigned long long)worst, (unsigned long long)worst_allowed);
  cpu_set_t all, one;
  sched_getaffinity(0, sizeof all, &all);
  for (int i = 0; i < CPU_SETSIZE; i++) {
    if (!CPU_ISSET(i, &all)) continue;
    CPU_ZERO(&one); CPU_SET(i, &one);
    MUST(sched_setaffinity(0, sizeof one, &one));
    CHECK((int)((volatile struct rseq *)registered())->cpu_id == i, "rseq says cpu %d on cpu %d",
          (int)registered()->cpu_id, i);
  }
  pass();
}
